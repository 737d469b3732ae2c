"""Rates of observations over what their conditions let expect, and what they tell of nights near in time.

What changes the background beside the known conditions, above all the air, lasts for days. The logarithm of the rate of
an observation has a part of its own, and one that it shares with others by exp(-(days between them) / SHARED_DAYS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpucube.arrays.random_effects import effects_expected

__all__ = ["SHARED_DAYS", "NightExpected", "Nights", "likeness_in_time"]

SHARED_DAYS = 7.0
# What is further away in time has no weight.
FAR = 10 * SHARED_DAYS


@dataclass(frozen=True, eq=False)
class NightExpected:
    """What is expected of the rate of an observation at some time, over what its conditions let expect.

    Attributes
    ----------
    effect : float
        Logarithm of the rate.
    variance : float
        Statistical variance of it, if the coefficients were known.
    slopes : numpy.ndarray of float64, shape (Q,)
        By how much it falls when a coefficient rises.
    scatter : float
        Standard deviation of observations about it.
    """

    effect: float
    variance: float
    slopes: NDArray[np.float64]
    scatter: float


@dataclass(frozen=True, eq=False)
class Nights:
    """Effects of the observations of a fit.

    Attributes
    ----------
    obs_ids : numpy.ndarray of int64, shape (n_obs,)
        Identifiers.
    mjd : numpy.ndarray of float64, shape (n_obs,)
        Times in days, NaN where the fit did not ask for them.
    effects, errors : numpy.ndarray of float64, shape (n_obs,)
        Logarithm of the rate over what the conditions let expect, and its error if the coefficients were known.
    slopes : numpy.ndarray of float64, shape (n_obs, Q)
        By how much each effect falls when a coefficient rises.
    own, shared : float
        Variance of what an observation has of its own, and of what it shares with others that are near in time.
    """

    obs_ids: NDArray[np.int64]
    mjd: NDArray[np.float64]
    effects: NDArray[np.float64]
    errors: NDArray[np.float64]
    slopes: NDArray[np.float64]
    own: float
    shared: float = 0.0

    @property
    def scatter(self) -> float:
        """Standard deviation of the effects under the same conditions."""
        return float(np.sqrt(self.own + self.shared))

    def expected_at(self, mjd: float | None = None) -> NightExpected:
        """What is expected at some time.

        Parameters
        ----------
        mjd : float, optional
            Time in days; the mean over all nights if not given.

        Returns
        -------
        NightExpected
            What those near in time tell.
        """
        near = np.flatnonzero(np.abs(self.mjd - (np.nan if mjd is None else mjd)) < FAR)
        if not near.size or not self.shared:
            return NightExpected(0.0, 0.0, np.zeros(self.slopes.shape[1]), self.scatter)
        among = _likeness(self.mjd[near], self.mjd[near])
        toward = _likeness(self.mjd[near], np.array([mjd]))[:, 0]
        weights, variance = effects_expected(np.asarray(self.own), np.asarray(self.shared), among, toward)
        return NightExpected(
            effect=float(weights @ self.effects[near]),
            variance=float(weights**2 @ self.errors[near] ** 2),
            slopes=weights @ self.slopes[near],
            scatter=float(np.sqrt(variance)),
        )


def likeness_in_time(mjd: Sequence[float] | None, n_obs: int) -> NDArray[np.float64]:
    """Correlations between observations, see `gpucube.arrays.poisson_regression.fit_poisson`.

    Parameters
    ----------
    mjd : sequence of float, optional
        Times in days; observations have nothing in common if not given.
    n_obs : int
        Number of observations.

    Returns
    -------
    numpy.ndarray of float64, shape (1 or 2, n_obs, n_obs)
        What each has of its own, and what they share.
    """
    alone = np.eye(n_obs)
    if mjd is None:
        return alone[None]
    times = np.asarray(mjd, dtype=np.float64)
    return np.stack([alone, _likeness(times, times)])


def _likeness(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.abs(one[:, None] - other) / SHARED_DAYS)
