"""Errors of rates from the observations themselves: the bootstrap [1]_.

Observations are drawn with replacement, as many as there are, and a rate is made of each such sample. The standard
deviation of these rates holds all that observations differ by, whatever the reason; Poisson errors hold the counts
alone.

References
----------
.. [1] B. Efron (1979), Bootstrap methods: another look at the jackknife, Ann. Statist. 7, 1,
   https://doi.org/10.1214/aos/1176344552
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from array_api_compat import array_namespace

from gpucube.arrays.histogram import histogramdd
from gpucube.arrays.random import uniform

__all__ = ["bootstrap_error", "effective_number", "resampling_weights"]

Array = Any
Rate = Callable[[Array, Array, Array, int], Array]

# Fewer observations than this, counted by their exposure, cannot tell how much they differ.
FEWEST = 1.5
# Numbers in an array of samples at most: memory does not grow with their number.
LARGEST_ARRAY = 2**22


def resampling_weights(n_samples: int, n_obs: int, key: tuple[int, int], *, xp: Any, device: Any) -> Array:
    """How often each observation is in each sample.

    Parameters
    ----------
    n_samples, n_obs : int
        Number of samples, and of observations; a sample has as many draws as there are observations.
    key : tuple of two int
        Key of the random numbers, see `gpucube.arrays.random`.
    xp : module
        Array API namespace of the result.
    device : object
        Device of the result, as the creation functions of `xp` take it.

    Returns
    -------
    array of int64, shape (n_samples, n_obs)
        Numbers whose sum over the observations is `n_obs`: the same on every library.
    """
    draws = xp.floor(uniform(n_samples * n_obs, key, xp=xp, device=device) * n_obs)
    sample = xp.astype(xp.arange(n_samples * n_obs, dtype=xp.int64, device=device) // n_obs, xp.float64)
    edges = tuple(xp.arange(n + 1, dtype=xp.float64, device=device) - 0.5 for n in (n_samples, n_obs))
    return histogramdd((sample, draws), edges)


def effective_number(exposure: Array) -> Array:
    """Number of equal observations whose mean would vary as much.

    Parameters
    ----------
    exposure : array of float64, shape (n_obs, ...)
        Exposure of each observation, in any unit.

    Returns
    -------
    array of float64, shape (...)
        Square of the sum over the sum of squares; 0 without exposure.
    """
    xp = array_namespace(exposure)
    squares = xp.sum(exposure**2, axis=0)
    return xp.sum(exposure, axis=0) ** 2 / xp.where(squares > 0, squares, 1.0)


def bootstrap_error(
    counts: Array, time: Array, open_fraction: Array, volume: Array, weights: Array, rate: Rate, passes: int
) -> Array:
    """Error of a rate from samples of its observations.

    Parameters
    ----------
    counts : array of int64 or int32, shape (n_obs, n_energy, n_dety, n_detx)
        Counts of each observation.
    time : array of float64, shape (n_obs, n_energy)
        Time in s for which each observation counts at each energy.
    open_fraction : array of float64, shape (n_obs, n_dety, n_detx) or (n_obs, 1, 1)
        Fraction of the time and solid angle of each pixel outside exclusion regions.
    volume : array of float64, shape (n_energy, n_dety, n_detx)
        Energy width times solid angle of each bin in TeV sr.
    weights : array of int64, shape (n_samples, n_obs)
        How often each observation is in each sample.
    rate : function (counts, livetime, volume, passes) -> array
        How a rate is made, see `gpucube.arrays.rate.RATES`.
    passes : int
        How often to smooth.

    Returns
    -------
    array of float64, shape (n_energy, n_dety, n_detx)
        Standard deviation of the rate in 1 / (s TeV sr), NaN where too few observations were exposed to know it.

    Notes
    -----
    The rate of a sample deviates from that of all observations, of which it is made, less than this does from the
    truth: on the average over Poisson counts the variance is smaller by 1 - 1 / n, where n is the effective number of
    observations at that energy. It is scaled up by this.
    """
    xp = array_namespace(counts, time, open_fraction, volume, weights)
    draws = xp.astype(weights, xp.float64)
    number = effective_number(time * xp.mean(open_fraction, axis=(1, 2))[:, None])
    known = number >= FEWEST
    scale = xp.where(known, number / xp.where(known, number - 1.0, 1.0), xp.nan)
    images = [
        _variance(
            counts[:, i, :, :], time[:, i, None, None] * open_fraction, volume[i : i + 1, :, :], draws, rate, passes
        )
        for i in range(counts.shape[1])
    ]
    return xp.sqrt(xp.stack(images) * scale[:, None, None])


def _variance(counts: Array, exposure: Array, volume: Array, draws: Array, rate: Rate, passes: int) -> Array:
    """Variance of the rate at one energy over the samples that have exposure."""
    xp = array_namespace(counts, exposure)
    counts = xp.astype(counts, xp.float64)

    def rates(weights: Array) -> Array:
        sums, livetime = (_weighted_sums(weights, values, xp=xp) for values in (counts, exposure))
        return rate(sums, livetime, volume, passes)

    # Deviations from the rate of all observations are small, so that their squares lose no digits.
    middle = rates(xp.ones_like(draws[:1, :]))
    number, total, squares = (xp.zeros_like(middle[0, :, :]) for _ in range(3))
    step = max(1, LARGEST_ARRAY // (counts.shape[1] * counts.shape[2]))
    n_samples = draws.shape[0]
    for start in range(0, n_samples, step):
        deviation = rates(draws[start : min(start + step, n_samples), :]) - middle
        exposed = xp.isfinite(deviation)
        deviation = xp.where(exposed, deviation, 0.0)
        number = number + xp.sum(xp.astype(exposed, xp.float64), axis=0)
        total = total + xp.sum(deviation, axis=0)
        squares = squares + xp.sum(deviation**2, axis=0)
    several = number > 1
    number = xp.where(several, number, 2.0)
    variance = (squares - total**2 / number) / (number - 1.0)
    return xp.where(several, xp.clip(variance, min=0.0), xp.nan)


def _weighted_sums(weights: Array, images: Array, *, xp: Any) -> Array:
    """Sums of images, shape (n_samples, n_dety, n_detx)."""
    sums = weights @ xp.reshape(images, (images.shape[0], -1))
    return xp.reshape(sums, (weights.shape[0], *images.shape[1:]))
