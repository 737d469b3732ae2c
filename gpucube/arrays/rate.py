"""From counts and livetime to a background rate: the order of steps of each method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from array_api_compat import array_namespace

from gpucube.arrays.smoothing import smooth_images

__all__ = ["METHODS", "background_rate"]

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


def _smooth_then_divide(counts: Array, livetime: Array, volume: Array, passes: int) -> Array:
    return background_rate(smooth_images(counts, passes), livetime, volume)


def _divide_then_smooth(counts: Array, livetime: Array, volume: Array, passes: int) -> Array:
    return smooth_images(background_rate(counts, livetime, 1.0), passes) / volume


METHODS: dict[str, Callable[[Array, Array, Array, int], Array]] = {
    "default": _smooth_then_divide,
    "mayer2015": _divide_then_smooth,
}
