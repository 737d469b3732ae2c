"""From counts and livetime to a background rate and its error: the order of steps of each method.

Where the exposure varies in the field of view, counts and exposure are smoothed alike and divided
(normalised convolution): H. Knutsson, C.-F. Westin (1993), Proc. IEEE CVPR, 515.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from array_api_compat import array_namespace

from gpucube.arrays.smoothing import smooth_images, smooth_variance

__all__ = ["METHODS", "RATES", "background_rate"]

Array = Any


def background_rate(counts: Array, livetime: Array, volume: Array) -> Array:
    """Divide counts by exposure.

    Parameters
    ----------
    counts : array of float64, shape (n_energy, n_dety, n_detx)
        Counts, smoothed or not.
    livetime : array of float64, broadcastable to the shape of `counts`
        Livetime in s.
    volume : float or array of float64, broadcastable to the shape of `counts`
        Energy width times solid angle of each bin in TeV sr.

    Returns
    -------
    array of float64, shape (n_energy, n_dety, n_detx)
        Rate in 1 / (s TeV sr); NaN where the livetime is 0 (no exposure), 0 where only counts are.
    """
    xp = array_namespace(counts, livetime, volume)
    exposed = livetime > 0
    return xp.where(exposed, counts / (xp.where(exposed, livetime, 1.0) * volume), xp.nan)


def _rate_smoothed_first(counts: Array, livetime: Array, volume: Array, passes: int) -> Array:
    # With the same kernel, or the rate would dip where regions were left out.
    return background_rate(smooth_images(counts, passes), smooth_images(livetime, passes), volume)


def _rate_divided_first(counts: Array, livetime: Array, volume: Array, passes: int) -> Array:
    xp = array_namespace(counts, livetime)
    seen = smooth_images(xp.astype(livetime > 0, xp.float64), passes)
    per_time = xp.where(livetime > 0, background_rate(counts, livetime, 1.0), 0.0)
    return background_rate(smooth_images(per_time, passes), seen, volume)


def _smooth_then_divide(counts: Array, livetime: Array, volume: Array, passes: int) -> tuple[Array, Array]:
    xp = array_namespace(counts, livetime)
    time = smooth_images(livetime, passes)
    error = background_rate(xp.sqrt(smooth_variance(counts, passes)), time, volume)
    return background_rate(smooth_images(counts, passes), time, volume), error


def _divide_then_smooth(counts: Array, livetime: Array, volume: Array, passes: int) -> tuple[Array, Array]:
    xp = array_namespace(counts, livetime)
    seen = smooth_images(xp.astype(livetime > 0, xp.float64), passes)
    variance = xp.where(livetime > 0, background_rate(counts, livetime**2, 1.0), 0.0)
    error = background_rate(xp.sqrt(smooth_variance(variance, passes)), seen, volume)
    return _rate_divided_first(counts, livetime, volume, passes), error


# Arguments: counts, livetime, volume, number of smoothing passes; result: the rate.
RATES: dict[str, Callable[[Array, Array, Array, int], Array]] = {
    "default": _rate_smoothed_first,
    "mayer2015": _rate_divided_first,
}
# The same, and the Poisson error of the rate.
METHODS: dict[str, Callable[[Array, Array, Array, int], tuple[Array, Array]]] = {
    "default": _smooth_then_divide,
    "mayer2015": _divide_then_smooth,
}
