"""Poisson deviance of counts, and what it is on average where the expectation is right.

The deviance of n counts where mu are expected is D = 2 [n ln(n / mu) - (n - mu)], twice the logarithm of the ratio of
their likelihood to the best possible one [1]_. Its mean is 1 only where mu is large: in sparse cells it depends on mu
(Cash statistic of a right model [2]_), and has to be computed.

References
----------
.. [1] P. McCullagh, J. A. Nelder, Generalized Linear Models, 2nd ed., Chapman & Hall, 1989, section 2.3.
.. [2] J. S. Kaastra (2017), Astronomy & Astrophysics 605, A51.
"""

from __future__ import annotations

import math
from typing import Any

from array_api_compat import array_namespace

__all__ = ["expected_deviance", "expected_deviance_of_share", "poisson_deviance"]

Array = Any

# Up to this mean the distribution is summed, above it a series in 1 / mean is right to about 1e-5.
LARGEST_SUMMED = 30.0
# Larger numbers have a probability below 1e-25 at the largest mean that is summed.
LARGEST_NUMBER = 110
# The probability of a number is computed from that of the number before: a share of 1 would divide by 0.
LARGEST_SHARE = 1 - 1e-12


def poisson_deviance(counts: Array, expected: Array) -> Array:
    """Deviance of each count.

    Parameters
    ----------
    counts : array of int64 or float64, any shape
        Counts.
    expected : array of float64, broadcastable to that shape
        Expected counts, not negative.

    Returns
    -------
    array of float64
        Deviance: never negative, 0 where both are equal, infinite for counts where none are possible.
    """
    xp = array_namespace(counts, expected)
    n = xp.astype(counts, xp.float64)
    n, mu = xp.broadcast_arrays(n, expected)
    filled, possible = n > 0, mu > 0
    ratio = xp.where(filled & possible, n, 1.0) / xp.where(filled & possible, mu, 1.0)
    deviance = 2 * (n * xp.log(ratio) - (n - mu))
    # Rounding may leave a little less than 0 where both are nearly equal.
    return xp.where(filled & ~possible, xp.inf, xp.clip(deviance, 0.0, None))


def expected_deviance(expected: Array) -> Array:
    """Mean deviance of counts that follow a Poisson distribution around what is expected.

    Parameters
    ----------
    expected : array of float64, any shape
        Expected counts, not negative.

    Returns
    -------
    array of float64, same shape
        Mean of `poisson_deviance`; it tends to 1 for large expectations and to 0 for small ones.
    """
    xp = array_namespace(expected)
    small = xp.clip(expected, 0.0, LARGEST_SUMMED)
    summed = _summed(small, xp.exp(-small), small, xp.zeros_like(small))
    return xp.where(expected <= LARGEST_SUMMED, summed, _series(expected, xp.zeros_like(expected)))


def expected_deviance_of_share(total: Array, share: Array) -> Array:
    """Mean deviance of counts where the sum over cells is known and shared out at random.

    Parameters
    ----------
    total : array of int64 or float64, any shape
        Number of counts that are shared out.
    share : array of float64, broadcastable to that shape
        Probability that a count falls into the cell.

    Returns
    -------
    array of float64
        Mean of 2 N ln(N / (total * share)) for a binomial N: the sum over all cells is the mean deviance of cells whose
        expectation was scaled to their total.
    """
    xp = array_namespace(total, share)
    total, share = xp.broadcast_arrays(xp.astype(total, xp.float64), share)
    share = xp.clip(share, 0.0, LARGEST_SHARE)
    mean = total * share
    is_small = mean <= LARGEST_SUMMED
    number = xp.where(is_small, total, 0.0)
    odds = share / (1 - share)
    summed = _summed(number * share, xp.exp(number * xp.log1p(-share)), number * odds, odds)
    return xp.where(is_small, summed, _series(mean, share))


def _summed(mean: Array, none: Array, rise: Array, fall: Array) -> Array:
    """Sum over all numbers k: P(0) is `none`, and P(k + 1) / P(k) = (rise - k fall) / (k + 1)."""
    xp = array_namespace(mean)
    probability, total = none, xp.zeros_like(mean)
    for k in range(LARGEST_NUMBER):
        probability = probability * xp.clip(rise - k * fall, 0.0, None) / (k + 1)
        total = total + probability * ((k + 1) * math.log(k + 1))
    return 2 * (total - mean * xp.log(xp.where(mean > 0, mean, 1.0)))


def _series(mean: Array, share: Array) -> Array:
    """Taylor series of the deviance about the mean, with the central moments of the binomial distribution."""
    xp = array_namespace(mean, share)
    inverse = 1 / xp.clip(mean, LARGEST_SUMMED, None)
    rest = 1 - share
    skew = 1 - 2 * share
    first = rest / 2 - skew / 3
    second = (1 - 6 * share * rest) / 6 - skew * rest + rest**2
    return rest * (1 + inverse * (first + inverse * second))
