"""Livetime per energy bin of observations that each have their own energy threshold.

Three rules say what happens to the bin that a threshold cuts; each gives the share of every
bin for which an observation counts, and the lowest energy from which its events are filled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

__all__ = ["SPECTRAL_INDEX", "THRESHOLD_RULES", "ThresholdRule", "exposure_cube", "spectral_index"]

Array = Any

# Spectral index of cosmic rays, where there are too few counts to measure that of the background.
SPECTRAL_INDEX = 2.7
INDEX_RANGE = (0.0, 6.0)
# Bins of a measurement: enough to be precise where the first is cut, few enough for a spectrum that is no power law.
WINDOW = 3
MIN_COUNTS = 30
# Newton's method doubles the right digits with each step; of the first some may only halve the range.
STEPS = 8


@dataclass(frozen=True)
class ThresholdRule:
    """What an energy threshold does to exposure and to events.

    Attributes
    ----------
    share : function (threshold, energy_edges, index) -> array
        Share of each bin that counts as exposed, of a spectrum that falls with the spectral index there; shapes
        (n_obs,), (n_bins + 1,), (n_bins,) -> (n_obs, n_bins).
    cut : function (threshold, energy_edges) -> array
        Energy from which events are filled; shapes (n_obs,), (n_bins + 1,) -> (n_obs,).
    """

    share: Callable[[Array, Array, Array], Array]
    cut: Callable[[Array, Array], Array]


def _share_above(threshold: Array, energy_edges: Array, index: Array) -> Array:
    xp = array_namespace(threshold, energy_edges, index)
    low, high = energy_edges[:-1], energy_edges[1:]
    lowest = xp.minimum(xp.maximum(threshold[:, None], low[None, :]), high[None, :])
    exponent = _not_zero(1 - index, xp=xp)
    return xp.expm1(exponent * xp.log(lowest / high)) / xp.expm1(exponent * xp.log(low / high))


def _share_whole_bins(threshold: Array, energy_edges: Array, index: Array) -> Array:
    xp = array_namespace(threshold, energy_edges)
    return xp.astype(energy_edges[None, :-1] >= threshold[:, None], xp.float64)


def _share_2015(threshold: Array, energy_edges: Array, index: Array) -> Array:
    xp = array_namespace(threshold, energy_edges)
    return xp.astype(energy_edges[None, 1:] > threshold[:, None], xp.float64)


# The last bin is closed: a threshold on its upper edge must leave out events there, which have no exposure.


def _cut_at_threshold(threshold: Array, energy_edges: Array) -> Array:
    xp = array_namespace(threshold, energy_edges)
    infinity = xp.full((1,), xp.inf, dtype=xp.float64, device=array_api_compat.device(energy_edges))
    return xp.where(threshold == energy_edges[-1], xp.nextafter(energy_edges[-1:], infinity), threshold)


def _cut_at_next_edge(threshold: Array, energy_edges: Array) -> Array:
    xp = array_namespace(threshold, energy_edges)
    infinity = xp.full((1,), xp.inf, dtype=xp.float64, device=array_api_compat.device(energy_edges))
    above = xp.nextafter(energy_edges[-1:], infinity)
    cuts = xp.concat([energy_edges[:-1], above, infinity])
    return xp.take(cuts, xp.searchsorted(energy_edges, threshold, side="left"))


THRESHOLD_RULES = {
    "share": ThresholdRule(_share_above, _cut_at_threshold),
    "edge": ThresholdRule(_share_whole_bins, _cut_at_next_edge),
    "2015": ThresholdRule(_share_2015, _cut_at_threshold),
}


def spectral_index(counts: Array, exposure: Array, threshold: Array, energy_edges: Array) -> Array:
    """Spectral index around each energy bin, measured from the counts.

    In the bin and the two above it (the last three at the end), the index is the one for which a power law above
    the thresholds has the mean bin number of the counts, which is unique (the method of moments).

    Parameters
    ----------
    counts : array of int64, shape (n_bins,)
        Counts of all observations, each above its own threshold.
    exposure : array of float64, shape (n_obs,)
        Livetime of each observation, in any unit, times the part of the field that it saw.
    threshold : array of float64, shape (n_obs,)
        Energy threshold in TeV.
    energy_edges : array of float64, shape (n_bins + 1,)
        Increasing, positive bin edges in TeV.

    Returns
    -------
    array of float64, shape (n_bins,)
        Index G of a spectrum E^-G, within `INDEX_RANGE`; `SPECTRAL_INDEX` where there are too few counts, or a single
        bin is exposed.
    """
    xp = array_namespace(counts, exposure, threshold, energy_edges)
    device = array_api_compat.device(energy_edges)
    n_bins = energy_edges.shape[0] - 1
    default = xp.full((n_bins,), SPECTRAL_INDEX, dtype=xp.float64, device=device)
    if n_bins < WINDOW:
        return default
    position = xp.arange(WINDOW, dtype=xp.int64, device=device)
    bins = xp.clip(xp.arange(n_bins, dtype=xp.int64, device=device), 0, n_bins - WINDOW)[:, None] + position
    flat = xp.reshape(bins, (-1,))
    numbers, low, high = (
        xp.reshape(xp.take(values, flat), bins.shape)
        for values in (xp.astype(counts, xp.float64), energy_edges[:-1], energy_edges[1:])
    )
    total = xp.sum(numbers, axis=1)
    enough = total >= MIN_COUNTS
    place = xp.astype(position, xp.float64)
    # The mean bin number in another form, of which the logarithm is nearly linear in the index
    sides = xp.stack([place, WINDOW - 1 - place], axis=1)
    lowest = xp.minimum(xp.maximum(threshold[:, None, None], low), high)
    # Relative to the window, so that no power of them is too large
    lowest, highest = lowest / low[:, :1], high / low[:, :1]
    odds = partial(_log_odds, sides=sides, exposure=exposure, logs=(xp.log(lowest), xp.log(highest)), xp=xp)
    index = _solve(odds, _log_ratio(numbers @ sides, xp=xp), default, xp=xp)
    return xp.where(enough, index, default)


def _log_odds(
    index: Array, sides: Array, exposure: Array, logs: tuple[Array, Array], *, xp: Any
) -> tuple[Array, Array]:
    """Logarithm of the odds of high against low bins in each window for a power law, and its slope: it falls.

    `sides` are the bin numbers from either end, `logs` the logarithms of the energies between which bins are exposed.
    """
    exponent = _not_zero(1 - index, xp=xp)[:, None]
    low, high = (xp.exp(exponent * log) for log in logs)
    # Events in each bin and how they grow with the exponent, but for a factor that all bins of a window have in common
    single = xp.concat([high - low, logs[1] * high - logs[0] * low], axis=1)
    bins = xp.reshape(
        exposure @ xp.reshape(single, (exposure.shape[0], 2 * high.shape[0] * high.shape[1])), (2, *high.shape)
    )
    events, growth = bins[0, ...] @ sides, bins[1, ...] @ sides
    relative = growth / xp.where(events != 0, events, 1.0)
    return _log_ratio(events, xp=xp), relative[:, 1] - relative[:, 0]


def _log_ratio(pairs: Array, *, xp: Any) -> Array:
    """Logarithm of the ratio of two numbers of the same sign; that of any number and 0 is the same."""
    logs = xp.log(xp.where(pairs != 0, xp.abs(pairs), 1e-300))
    return xp.minimum(xp.maximum(logs[:, 0] - logs[:, 1], -100.0), 100.0)


def _solve(falling: Callable[[Array], tuple[Array, Array]], wanted: Array, start: Array, *, xp: Any) -> Array:
    """Where a function has the values wanted: Newton's method, and bisection where that leads away."""
    lowest, highest = INDEX_RANGE
    low, high, index = xp.full_like(start, lowest), xp.full_like(start, highest), start
    for _ in range(STEPS):
        found, slope = falling(index)
        above = found > wanted
        low, high = xp.where(above, index, low), xp.where(above, high, index)
        # Where there is no slope, the end is as good as any place before it.
        guess = index + (wanted - found) / xp.where(slope < 0, slope, -1e-300)
        guess = xp.minimum(xp.maximum(guess, lowest), highest)
        index = xp.where((guess < low) | (guess > high), 0.5 * (low + high), guess)
    return index


def _not_zero(exponent: Array, *, xp: Any) -> Array:
    """The integral of 1 / E is the limit of the others."""
    return xp.where(xp.abs(exponent) < 1e-6, 1e-6, exponent)


def exposure_cube(time: Array, share: Array, open_fractions: Sequence[Array | None], n_field_axes: int = 2) -> Array:
    """Add up the exposure of observations, each above its threshold and outside its exclusion regions.

    Parameters
    ----------
    time : array of float64, shape (n_obs,)
        Livetime or ontime in s.
    share : array of float64, shape (n_obs, n_bins)
        Share of each energy bin above the threshold.
    open_fractions : sequence of n_obs arrays of float64, shape of the field of view, or None
        Fraction of time and solid angle of each bin outside all exclusion regions; None where there are none.
    n_field_axes : int
        Number of axes of the field of view.

    Returns
    -------
    array of float64, shape (n_bins, ...)
        Sum in s, in a fixed order; each axis of the field of view has the length 1 if no observation has regions.
    """
    xp = array_namespace(time, share)
    per_bin = time[:, None] * share
    free = [fraction is None for fraction in open_fractions]
    mask = xp.asarray(free, dtype=xp.bool, device=array_api_compat.device(time))
    total = xp.sum(xp.where(mask[:, None], per_bin, 0.0), axis=0)
    total = xp.reshape(total, (-1, *[1] * n_field_axes))
    for number, fraction in enumerate(open_fractions):
        if fraction is not None:
            total = total + xp.reshape(per_bin[number, :], (-1, *[1] * n_field_axes)) * fraction
    return total
