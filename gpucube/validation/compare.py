"""Two sets of models side by side: ratio and pulls of each cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack
from numpy.typing import NDArray

from gpucube.cubes.axis import Axis
from gpucube.cubes.background import FLOOR_2015, RATE_UNIT, BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.cubes.fits import read_background_model
from gpucube.errors import DataError
from gpucube.pipeline.output import model_tables
from gpucube.prediction.regrid import regrid
from gpucube.prediction.stored import known_rate

__all__ = ["Comparison", "compare_files", "compare_sets", "comparison_table"]

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models on the same axes.

    Attributes
    ----------
    name : str
        What they are models of.
    axes : tuple of Axis
        Axes of the first model.
    first, second : numpy.ndarray of float64, shape of the axes
        Rates in 1 / (s TeV sr); NaN where they are not known.
    error : numpy.ndarray of float64, same shape
        Statistical error of their difference; NaN where neither model has one.
    is_resampled : bool
        Whether the second model came from other axes.
    """

    name: str
    axes: tuple[Axis, ...]
    first: Values
    second: Values
    error: Values
    is_resampled: bool

    @property
    def both(self) -> NDArray[np.bool_]:
        """Cells in which both rates are known and above the floor of 2015; what averaging leaves below is no rate."""
        return (np.nan_to_num(self.first) > FLOOR_2015) & (np.nan_to_num(self.second) > FLOOR_2015)

    @property
    def ratio(self) -> Values:
        """First over second rate of each cell; NaN where one of them is not known or 0."""
        return np.where(self.both, self.first / np.where(self.both, self.second, 1.0), np.nan)

    @property
    def pull(self) -> Values:
        """Difference in units of its error; NaN where there is none."""
        known = np.isfinite(self.first) & np.isfinite(self.second) & (np.nan_to_num(self.error) > 0)
        return np.where(known, (self.first - self.second) / np.where(known, self.error, 1.0), np.nan)


def compare_sets(
    first: str | Path, second: str | Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[Comparison], list[str]]:
    """Compare folders of models, or files.

    Parameters
    ----------
    first, second : path-like
        Folders that `make_models` wrote, or model files. A file is compared with every model of a folder.
    progress : function (done, total)
        Called after each pair of models with the number of pairs done and their total.

    Returns
    -------
    comparisons : list of Comparison
        One for each group that both have.
    alone : list of str
        What only one of them has.

    Raises
    ------
    DataError
        There are no models to compare, or they are of different kinds.
    """
    a, b = _models(Path(first)), _models(Path(second))
    a, b = (dict.fromkeys(b, a[None]) if None in a else a), (dict.fromkeys(a, b[None]) if None in b else b)
    common = [group for group in a if group in b]
    if not common:
        raise DataError(f"no group of {first} is in this folder", second, remedy="give the files of two models")
    names = ((str(first), a, b), (str(second), b, a))
    alone = [f"group {group} is in {name} only" for name, mine, other in names for group in mine if group not in other]
    comparisons = []
    for group in common:
        comparisons.append(compare_files(a[group], b[group], _name(a[group], b[group], group)))
        progress(len(comparisons), len(common))
    return comparisons, alone


def _models(path: Path) -> dict[int | None, Path]:
    if not path.is_dir():
        return {None: path}
    found = model_tables(path)
    if not found:
        raise DataError("no models (bg_cube_model_group*_table.fits.gz) in this folder", path)
    return dict(sorted(found.items()))


def _name(first: Path, second: Path, group: int | None) -> str:
    return f"group {group}" if group is not None else f"{first.name} and {second.name}"


def compare_files(first: Path, second: Path, name: str = "") -> Comparison:
    """Compare two models.

    Parameters
    ----------
    first, second : pathlib.Path
        Model files.
    name : str
        What to call them.

    Returns
    -------
    Comparison
        Rates on the axes of the first: where those of the second differ, its rate is averaged over the new cells.

    Raises
    ------
    DataError
        One is radial and the other is not, or they are aligned, or per time, in different ways.
    """
    (a, a_error), (b, b_error) = _rate_and_error(first), _rate_and_error(second)
    for what, mine, other in (
        ("number of axes", len(a.axes), len(b.axes)),
        ("FOVALIGN", a.fov_align if len(a.axes) == 3 else "", b.fov_align if len(b.axes) == 3 else ""),
        ("RATEPER", a.rate_per, b.rate_per),
    ):
        if mine != other:
            raise DataError(f"{what} is {other}, but {mine} in {first}: not to be compared", second)
    same = all(mine.matches(other) for mine, other in zip(a.axes, b.axes, strict=True))
    first_rate, second_rate = (np.asarray(regrid(model.rate, a.axes).data) for model in (a, b))
    variance = [np.nan_to_num(regrid(error, a.axes).data) ** 2 for error in (a_error, b_error) if error is not None]
    error = np.sqrt(np.sum(variance, axis=0)) if variance else np.full_like(first_rate, np.nan)
    return Comparison(name or first.name, a.axes, first_rate, second_rate, error, not same)


def _rate_and_error(path: Path) -> tuple[BackgroundModel, Cube | None]:
    stored = read_background_model(path)
    model = known_rate(stored, path)
    if stored.error is None:
        return model, None
    rate, error = stored.rate.quantity.to_value(RATE_UNIT), stored.error.quantity.to_value(RATE_UNIT)
    # Where the rate came to be per livetime, its error has to follow.
    factor = np.where(rate > 0, np.nan_to_num(model.rate.data) / np.where(rate > 0, rate, 1.0), 0.0)
    return model, model.rate.with_data(np.where(factor > 0, error * factor, np.nan))


def comparison_table(comparisons: list[Comparison]) -> Table:
    """Compare energy by energy.

    Parameters
    ----------
    comparisons : list of Comparison
        Comparisons.

    Returns
    -------
    astropy.table.Table
        NAME, E_MIN and E_MAX in TeV, N_CELLS known in both, FIRST and SECOND (mean rates over these in
        1 / (s TeV sr)), RATIO and RATIO_ERR of these, MAX_DEVIATION (largest abs(ratio - 1) of a cell), CHI2_NDF (mean
        square of the pulls) and MAX_PULL (that of the largest size); NaN where no errors are known.
    """
    return vstack([_rows(comparison) for comparison in comparisons])


def _rows(comparison: Comparison) -> Table:
    edges = comparison.axes[0].edges_in("TeV")
    n_energy = edges.size - 1
    volume = Cube(comparison.axes, comparison.first).bin_volume.reshape(n_energy, -1)
    a, b, error, pull, ratio = (
        np.asarray(values).reshape(n_energy, -1)
        for values in (comparison.first, comparison.second, comparison.error, comparison.pull, comparison.ratio)
    )
    known = np.isfinite(a) & np.isfinite(b)
    weight = np.where(known, volume, 0.0)
    total = np.maximum(weight.sum(axis=1), np.finfo(float).tiny)
    first, second = ((np.where(known, rate, 0.0) * weight).sum(axis=1) / total for rate in (a, b))
    spread = np.sqrt(((np.where(known, error, 0.0) * weight) ** 2).sum(axis=1)) / total
    positive = second > 0
    mean = np.where(positive, second, 1.0)
    table = Table({"NAME": [comparison.name] * n_energy, "E_MIN": edges[:-1], "E_MAX": edges[1:]})
    table["N_CELLS"] = known.sum(axis=1)
    table["FIRST"], table["SECOND"] = first, second
    table["RATIO"] = np.where(positive, first / mean, np.nan)
    table["RATIO_ERR"] = np.where(positive, spread / mean, np.nan)
    table["MAX_DEVIATION"] = _largest(ratio - 1, size=True)
    n_pulls = np.isfinite(pull).sum(axis=1)
    table["CHI2_NDF"] = np.where(n_pulls > 0, np.nansum(pull**2, axis=1) / np.maximum(n_pulls, 1), np.nan)
    table["MAX_PULL"] = _largest(pull)
    table["E_MIN"].unit = table["E_MAX"].unit = "TeV"
    table["FIRST"].unit = table["SECOND"].unit = RATE_UNIT
    return table


def _largest(values: Values, size: bool = False) -> Values:
    """Value of the largest size in each row, NaN where all are NaN."""
    finite = np.isfinite(values)
    at = np.argmax(np.where(finite, np.abs(values), -1.0), axis=1)[:, None]
    largest = np.take_along_axis(np.where(finite, values, np.nan), at, axis=1)[:, 0]
    return np.abs(largest) if size else largest
