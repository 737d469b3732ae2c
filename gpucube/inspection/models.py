"""What is in a background model, a regression, or a folder of models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import read_background_model
from gpucube.errors import DataError
from gpucube.pipeline.output import model_tables
from gpucube.regression.model import REGRESSION_FILE, RegressionModel, read_regression_model

__all__ = ["ModelRow", "describe_model", "describe_models", "describe_regression"]

META_WORDS = {
    "GROUP_ID": "group",
    "GROUP": "group contains",
    "NOBS": "observations",
    "METHOD": "method",
    "NSMOOTH": "smoothing passes",
    "THRESRUL": "threshold rule",
}


@dataclass(frozen=True)
class ModelRow:
    """A model in a list of models.

    Attributes
    ----------
    group, contains : str
        Number of its group, and the observations that this is for.
    observations, livetime, counts, energies : str
        What it was made of, and where it is exposed; empty where the file does not say.
    file : str
        Name of the file.
    """

    group: str
    contains: str
    observations: str
    livetime: str
    counts: str
    energies: str
    file: str


def describe_models(folder: Path) -> tuple[dict[str, str], list[ModelRow]]:
    """Describe a folder of models.

    Parameters
    ----------
    folder : pathlib.Path
        Output folder of `make_models`.

    Returns
    -------
    facts : dict of str to str
        What is common to all.
    rows : list of ModelRow
        The models in the order of their groups.

    Raises
    ------
    DataError
        A model cannot be read. A regression that cannot does not hide the models.
    """
    paths = [path for _, path in sorted(model_tables(folder).items())]
    models = [read_background_model(path) for path in paths]
    facts = {"kind": "background models", "models": f"{len(models)}"}
    of_each = {
        META_WORDS["METHOD"]: [str(model.meta.get("METHOD", "")) for model in models],
        "orientation (FOVALIGN)": [model.fov_align for model in models],
        "rate per": [model.rate_per for model in models],
    }
    facts |= {name: ", ".join(dict.fromkeys(values)) for name, values in of_each.items() if any(values)}
    if (folder / REGRESSION_FILE).exists():
        facts[REGRESSION_FILE] = _regression(folder / REGRESSION_FILE)
    return facts, [_row(model, path) for model, path in zip(models, paths, strict=True)]


def _regression(path: Path) -> str:
    try:
        return _fitted(read_regression_model(path))
    except DataError as error:
        return f"cannot be used: {error.problem}"


def _row(model: BackgroundModel, path: Path) -> ModelRow:
    group, contains, n_observations = (str(model.meta.get(key, "")) for key in ("GROUP_ID", "GROUP", "NOBS"))
    return ModelRow(group, contains, n_observations, _livetime(model), _counts(model), _energies(model), path.name)


def _counts(model: BackgroundModel) -> str:
    return "" if model.counts is None else f"{model.counts.quantity.value.sum():,.0f}"


def _livetime(model: BackgroundModel) -> str:
    return "" if model.livetime is None else f"{model.livetime.quantity.to_value('h').max():.2f} h"


def _energies(model: BackgroundModel) -> str:
    """From the lowest to the highest energy at which something is exposed."""
    edges = model.axes[0].edges_in("TeV")
    bins = np.flatnonzero(_exposed(model).reshape(edges.size - 1, -1).any(axis=1))
    return f"{edges[bins[0]]:.3g} to {edges[bins[-1] + 1]:.3g} TeV" if bins.size else "none"


def _exposed(model: BackgroundModel) -> np.ndarray:
    exposed = np.isfinite(model.rate.quantity.value)
    return exposed if model.livetime is None else exposed & (model.livetime.quantity.value > 0)


def describe_regression(model: RegressionModel) -> dict[str, str]:
    """Describe a regression.

    Parameters
    ----------
    model : RegressionModel
        The regression.

    Returns
    -------
    dict of str to str
        Facts by name.
    """
    scales = model.scales
    facts = {"kind": "regression", "orientation (FOVALIGN)": model.fov_align, "rate per": "LIVETIME"}
    facts |= {META_WORDS[name]: str(value) for name, value in model.meta.items() if name in META_WORDS}
    facts["fit"] = _fitted(model)
    facts["energy"] = f"{scales.energy_low:.4g} to {scales.energy_high:.4g} TeV"
    facts["DETX, DETY"] = f"-{scales.offset:.4g} to {scales.offset:.4g} deg"
    facts["scatter between observations"] = f"{model.nights.scatter:.1%}"
    facts |= {f"mean of {name}": f"{value:.4g}" for name, value in scales.means.items()}
    facts["terms"] = ", ".join(term.name for term in model.terms)
    return facts


def _fitted(model: RegressionModel) -> str:
    return f"{model.nights.obs_ids.size} observations, {model.freedom.sum():.0f} effective parameters"


def describe_model(model: BackgroundModel) -> dict[str, str]:
    """Describe a background model.

    Parameters
    ----------
    model : BackgroundModel
        The model.

    Returns
    -------
    dict of str to str
        Facts by name.
    """
    facts = {"kind": "background model", "orientation (FOVALIGN)": model.fov_align, "rate per": model.rate_per}
    facts |= {META_WORDS.get(name, name): str(value) for name, value in model.meta.items()}
    for axis in model.axes:
        facts[axis.name] = f"{axis.n_bins} bins, {axis.edges[0]:.4g} to {axis.edges[-1]:.4g} {axis.unit}"
    facts |= {name: text for name, text in (("counts", _counts(model)), ("livetime", _livetime(model))) if text}
    rate, exposed = model.rate.quantity, _exposed(model)
    facts["exposed bins"] = f"{exposed.mean():.0%}"
    if exposed.any():
        facts["rate"] = f"{rate[exposed].min().value:.3g} to {rate[exposed].max().value:.3g} {rate.unit}"
        facts["rate, whole cube"] = f"{np.nansum(rate.to_value('s-1 TeV-1 sr-1') * model.rate.bin_volume):.4g} 1/s"
    return facts
