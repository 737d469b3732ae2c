"""Deviance of observed from predicted counts in three senses, and what a perfect prediction would have.

Cells are (observation, energy, DETY, DETX). In the first sense the prediction stands as it is; in the second it is
scaled to the counts of each observation, in the third to those of each observation and energy. Since
D(n; mu) = D(n; s mu) + D(N; M), where s = N / M is the ratio of the totals, the mean deviance of a perfect prediction
is that of the third sense, given the totals, plus that of the totals.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from gpucube.arrays.deviance import expected_deviance, expected_deviance_of_share, poisson_deviance

__all__ = ["SENSES", "deviances", "flat_prediction", "perfect_deviances", "scaled_to_totals"]

Array = Any

#: What is compared: the absolute rate, the shape per observation, the shape per observation and energy.
SENSES = ("absolute", "shape", "shape_per_energy")
# Axes over which counts are summed before a prediction is scaled to them
SCALED_OVER: dict[str, tuple[int, ...] | None] = {"absolute": None, "shape": (1, 2, 3), "shape_per_energy": (2, 3)}
CELLS = (1, 2, 3)
FIELD = (2, 3)


def flat_prediction(counts: Array, exposure: Array) -> Array:
    """Counts of a field of view that is flat, with the mean spectrum of all observations.

    Parameters
    ----------
    counts : array of float64, shape (n_obs, n_energy, n_dety, n_detx)
        Observed counts.
    exposure : array of float64, same shape
        Livetime times energy width above threshold times solid angle, in any unit.

    Returns
    -------
    array of float64, same shape
        Expected counts: the rate of each energy bin is all its counts over all its exposure.
    """
    xp = array_namespace(counts, exposure)
    total, seen = (xp.sum(values, axis=(0, 2, 3), keepdims=True) for values in (counts, exposure))
    return exposure * (total / xp.where(seen > 0, seen, 1.0))


def scaled_to_totals(expected: Array, counts: Array, axes: tuple[int, ...] | None) -> Array:
    """Scale a prediction to the sums of the observed counts.

    Parameters
    ----------
    expected, counts : array of float64, shape (n_obs, n_energy, n_dety, n_detx)
        Predicted and observed counts.
    axes : tuple of int, optional
        Axes to sum over; nothing is scaled if not given.

    Returns
    -------
    array of float64, same shape
        Prediction with the sums of `counts`, but 0 where nothing was predicted.
    """
    if axes is None:
        return expected
    xp = array_namespace(expected, counts)
    predicted = xp.sum(expected, axis=axes, keepdims=True)
    observed = xp.sum(counts, axis=axes, keepdims=True)
    return expected * (observed / xp.where(predicted > 0, predicted, 1.0))


def deviances(counts: Array, expected: Array) -> Array:
    """Deviance of each observation in each sense.

    Parameters
    ----------
    counts, expected : array of float64, shape (n_obs, n_energy, n_dety, n_detx)
        Observed and predicted counts.

    Returns
    -------
    array of float64, shape (3, n_obs)
        Sums over all cells, in the order of `SENSES`.
    """
    xp = array_namespace(counts, expected)
    scaled = (scaled_to_totals(expected, counts, SCALED_OVER[sense]) for sense in SENSES)
    return xp.stack([xp.sum(poisson_deviance(counts, prediction), axis=CELLS) for prediction in scaled])


def perfect_deviances(counts: Array, expected: Array) -> Array:
    """Mean deviance of each observation in each sense if the prediction had the right shape.

    Parameters
    ----------
    counts, expected : array of float64, shape (n_obs, n_energy, n_dety, n_detx)
        Observed and predicted counts. Of the latter only shares matter: how the counts of an observation and energy
        are shared between positions, and those of an observation between energies.

    Returns
    -------
    array of float64, shape (3, n_obs)
        Sums over all cells, in the order of `SENSES`.
    """
    xp = array_namespace(counts, expected)
    per_energy, predicted = (xp.sum(values, axis=FIELD) for values in (counts, expected))
    per_observation = xp.sum(per_energy, axis=1)
    among_cells = expected_deviance_of_share(per_energy[:, :, None, None], _shares(expected, axes=FIELD))
    among_energies = expected_deviance_of_share(per_observation[:, None], _shares(predicted, axes=(1,)))
    shape_per_energy = xp.sum(among_cells, axis=CELLS)
    shape = shape_per_energy + xp.sum(among_energies, axis=1)
    return xp.stack([shape + expected_deviance(per_observation), shape, shape_per_energy])


def _shares(expected: Array, axes: tuple[int, ...]) -> Array:
    xp = array_namespace(expected)
    total = xp.sum(expected, axis=axes, keepdims=True)
    return expected / xp.where(total > 0, total, 1.0)
