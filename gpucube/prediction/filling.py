"""Fill what a model does not know, because Gammapy interpolates the logarithm of the rate.

One cell without rate inside the field of view spoils its neighbours there. It gets the spectrum of the whole field
times the shape of the field at neighbouring energies.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpucube.arrays.exposure import SPECTRAL_INDEX
from gpucube.cubes.background import BackgroundModel
from gpucube.errors import DataError

__all__ = ["fill_model", "fill_rate"]

# What an energy bin tells about the shape of the field halves with each bin between.
DECAY = 0.5
# Least rate relative to the mean of the field: it adds nothing that matters, and its logarithm is harmless.
LEAST = 1e-3
# Spectra beyond the last energy with counts are not steeper than this, and do not rise.
STEEPEST = -5.0


def fill_model(model: BackgroundModel) -> tuple[BackgroundModel, int]:
    """Give a rate to all cells of a model that have none.

    Parameters
    ----------
    model : BackgroundModel
        Model on the host; NaN and 0 are to be filled.

    Returns
    -------
    filled : BackgroundModel
        The same with a positive rate everywhere, and without floor.
    n_filled : int
        Number of cells that were filled.

    Raises
    ------
    DataError
        The model has no rate anywhere.
    """
    rate = np.asarray(model.rate.data, dtype=np.float64)
    if not ((rate > 0) & np.isfinite(rate)).any():
        name = model.meta.get("BKGMODEL") or f"group {model.meta.get('GROUP_ID', '?')}"
        raise DataError(
            f"the model of {name} has no positive rate", column="BKG", remedy="make it of more observations"
        )
    filled = fill_rate(rate, model.axes[0].edges_in("TeV"))
    n_filled = int(np.count_nonzero(filled != rate))
    return replace(model, rate=model.rate.with_data(filled), floor=None), n_filled


def fill_rate(rate: NDArray[np.float64], energy_edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace what is not positive by spectrum times shape.

    Parameters
    ----------
    rate : numpy.ndarray of float64, shape (n_energy, ...)
        Rate per energy and solid angle, positive somewhere. NaN, infinite or negative is unknown; 0 is known, but to
        be filled.
    energy_edges : numpy.ndarray of float64, shape (n_energy + 1,)
        Edges in TeV.

    Returns
    -------
    numpy.ndarray of float64, shape of `rate`
        Positive, finite; the same as `rate` where that is.

    Notes
    -----
    The shape is S(e, y, x) = sum_k w(e, k) R(k, y, x) / sum_k w(e, k) mean(R(k)) over the energies k at which the cell
    is known, with w = 2^-abs(e - k) times the width of bin k: proportional to counts, so that bins with few do not
    spoil it. The level of an energy is sum R / sum S over its known cells, zeros among them: an estimate that the
    choice of cells to fill does not bias. Levels that are 0 or not known follow by power laws from the others.
    """
    known = np.isfinite(rate) & (rate >= 0)
    values = np.where(known, rate, 0.0).reshape(len(rate), -1)
    known = known.reshape(values.shape)
    shape = _shapes(values, known, np.diff(energy_edges))
    total = np.sum(shape * known, axis=1)
    level = np.sum(values, axis=1) / np.where(total > 0, total, 1.0)
    level = _along_power_laws(level, np.sqrt(energy_edges[1:] * energy_edges[:-1]))
    return np.where(values > 0, values, level[:, None] * shape).reshape(rate.shape)


def _shapes(values: NDArray[np.float64], known: NDArray[np.bool_], widths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rate relative to the mean of the field, shape (n_energy, n_cells), at least `LEAST`."""
    number = np.arange(len(values))
    weight = DECAY ** np.abs(number[:, None] - number) * widths / widths.max()
    mean = values.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    found, expected = weight @ values, weight @ (known * mean[:, None])
    seen = expected > 0
    shape = np.maximum(found / np.where(seen, expected, 1.0), LEAST)
    return np.where(seen, shape, np.mean(shape, axis=1, keepdims=True, where=seen))


def _along_power_laws(level: NDArray[np.float64], energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values between positive ones by power laws, beyond them by the slope at the end."""
    good = level > 0
    x, y = np.log(energy[good]), np.log(level[good])
    at = np.log(energy)
    slopes = np.clip(np.diff(y) / np.diff(x), STEEPEST, 0.0) if len(x) > 1 else np.array([-SPECTRAL_INDEX])
    log_level = np.interp(at, x, y) + slopes[0] * np.minimum(at - x[0], 0) + slopes[-1] * np.maximum(at - x[-1], 0)
    return np.where(good, level, np.exp(log_level))
