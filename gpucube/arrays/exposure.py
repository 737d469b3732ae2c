"""Livetime per energy bin of observations that each have their own energy threshold.

Three rules say what happens to the bin that a threshold cuts; each gives the share of every
bin for which an observation counts, and the lowest energy from which its events are filled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

__all__ = ["THRESHOLD_RULES", "ThresholdRule", "livetime_per_bin"]

Array = Any

# Spectral index of the background that divides the bin cut by the threshold.
SPECTRAL_INDEX = 2.7


@dataclass(frozen=True)
class ThresholdRule:
    """What an energy threshold does to exposure and to events.

    Attributes
    ----------
    share : function (threshold, energy_edges) -> array
        Share of each bin that counts as exposed; shapes (n_obs,), (n_bins + 1,) -> (n_obs, n_bins).
    cut : function (threshold, energy_edges) -> array
        Energy from which events are filled; shapes (n_obs,), (n_bins + 1,) -> (n_obs,).
    """

    share: Callable[[Array, Array], Array]
    cut: Callable[[Array, Array], Array]


def _share_above(threshold: Array, energy_edges: Array) -> Array:
    xp = array_namespace(threshold, energy_edges)
    low, high = energy_edges[:-1], energy_edges[1:]
    lowest = xp.clip(threshold[:, None], low[None, :], high[None, :])
    exponent = 1 - SPECTRAL_INDEX
    return (lowest**exponent - high**exponent) / (low**exponent - high**exponent)


def _share_whole_bins(threshold: Array, energy_edges: Array) -> Array:
    xp = array_namespace(threshold, energy_edges)
    return xp.astype(energy_edges[None, :-1] >= threshold[:, None], xp.float64)


def _share_2015(threshold: Array, energy_edges: Array) -> Array:
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


def livetime_per_bin(livetime: Array, threshold: Array, energy_edges: Array, rule: str = "share") -> Array:
    """Livetime that observations contribute to each energy bin, added up.

    Parameters
    ----------
    livetime : array of float64, shape (n_obs,)
        Dead-time corrected observation time in s.
    threshold : array of float64, shape (n_obs,)
        Energy threshold in TeV.
    energy_edges : array of float64, shape (n_bins + 1,)
        Increasing, positive bin edges in TeV.
    rule : {"share", "edge", "2015"}
        What to do with the bin that contains the threshold: count the share of an E^-2.7 spectrum that
        lies above it, count only bins wholly above it, or count that bin whole as the 2015 code did.

    Returns
    -------
    array of float64, shape (n_bins,)
        Livetime in s.

    Raises
    ------
    KeyError
        `rule` is not one of `THRESHOLD_RULES`.
    """
    xp = array_namespace(livetime, threshold, energy_edges)
    share = THRESHOLD_RULES[rule].share(threshold, energy_edges)
    return xp.sum(livetime[:, None] * share, axis=0)
