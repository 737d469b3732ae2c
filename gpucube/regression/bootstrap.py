"""Covariance of the coefficients from the observations themselves: a regression to samples of them.

Observations are drawn with replacement, as many as there are, and the regression is fitted to each sample, by one
Newton step from the fit to all observations, with its strengths of penalties and variances of nights: all samples need
but one pass through the cells.

References
----------
.. [1] S. N. Lahiri, Resampling Methods for Dependent Data, Springer, 2003.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpucube.arrays.backend import Array, Backend
from gpucube.arrays.bootstrap import effective_number, resampling_weights
from gpucube.arrays.design import Design
from gpucube.arrays.penalties import covariance_of_strengths, penalty_matrix
from gpucube.arrays.poisson_regression import Fit, resampled_coefficients
from gpucube.regression.nights import SHARED_DAYS

__all__ = ["Cells", "blocks_of_nights", "bootstrap_covariance", "number_of_blocks"]

# Key of the random numbers, far from the seeds of synthetic data
KEY = (0x7265_6772_6573_7369, 0)


@dataclass(frozen=True, eq=False)
class Cells:
    """What a regression is fitted to, on the device.

    Attributes
    ----------
    counts, exposure : array of float64, shape (n_obs, n_energy, n_pixels)
        Counts and exposure, see `gpucube.arrays.poisson_regression.fit_poisson`.
    conditions : array of float64, shape (n_obs, n_energy, K)
        Columns of the conditions.
    design : Design
        Columns of the field, pairs and penalties.
    likeness : array of float64, shape (n_components, n_obs, n_obs)
        Correlations between observations.
    """

    counts: Array
    exposure: Array
    conditions: Array
    design: Design
    likeness: Array


def blocks_of_nights(mjd: Sequence[float] | None, n_obs: int) -> NDArray[np.int64]:
    """What is drawn together: observations of the same week, if the fit takes nights near in time as alike.

    Parameters
    ----------
    mjd : sequence of float, optional
        Times in days; each observation is a block of its own if not given.
    n_obs : int
        Number of observations.

    Returns
    -------
    numpy.ndarray of int64, shape (n_obs,)
        Number of the block of each, from 0.
    """
    if mjd is None:
        return np.arange(n_obs)
    return np.unique(np.floor(np.asarray(mjd) / SHARED_DAYS), return_inverse=True)[1]


def number_of_blocks(blocks: NDArray[np.int64], livetime: NDArray[np.float64]) -> float:
    """Number of blocks of the same livetime whose mean would vary as much.

    Parameters
    ----------
    blocks : numpy.ndarray of int64, shape (n_obs,)
        Number of the block of each observation.
    livetime : numpy.ndarray of float64, shape (n_obs,)
        Livetime in s.

    Returns
    -------
    float
        Number; below `gpucube.arrays.bootstrap.FEWEST` blocks cannot tell how much they differ.
    """
    return float(effective_number(np.bincount(blocks, livetime)))


def bootstrap_covariance(
    cells: Cells, fit: Fit, blocks: NDArray[np.int64], number: float, n_samples: int, backend: Backend
) -> Array:
    """Covariance of the coefficients from samples of the observations.

    Parameters
    ----------
    cells : Cells
        What was fitted.
    fit : Fit
        The fit to it.
    blocks : numpy.ndarray of int64, shape (n_obs,)
        Number of the block of each observation, which is drawn as a whole.
    number : float
        Their effective number.
    n_samples : int
        Number of samples.
    backend : Backend
        Library and device of the cells.

    Returns
    -------
    array of float64, shape (Q, Q)
        Covariance of the coefficients of the samples, times number / (number - 1), and what no sample can tell because
        penalties hold it back: with the covariance V and the penalty S of the fit V S V, and that of the strengths.
    """
    xp = backend.xp
    draws = resampling_weights(n_samples, int(blocks.max()) + 1, KEY, xp=np, device="cpu")
    weights = backend.asarray(draws[:, blocks].astype(np.float64))
    found = resampled_coefficients(
        cells.counts, cells.exposure, cells.conditions, cells.design, cells.likeness, fit, weights
    )
    spread = found - xp.mean(found, axis=0, keepdims=True)
    sampled = xp.matrix_transpose(spread) @ spread / (n_samples - 1) * (number / (number - 1))
    given = fit.given_strengths
    penalty = penalty_matrix(cells.design.penalties, fit.strengths)
    of_strengths = covariance_of_strengths(cells.design.penalties, fit.strengths, fit.coefficients, given)
    return sampled + given @ penalty @ given + of_strengths
