"""Account for every event: each is filled, or left out for exactly one reason."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from itertools import accumulate
from operator import add, and_
from typing import Any

from array_api_compat import array_namespace

__all__ = ["FATES", "event_fates", "fillable", "tally_fates"]

Array = Any

# What can become of an event, in the order in which it is asked.
FATES = ("invalid", "excluded", "below_threshold", "outside_energy", "outside_fov", "filled")
FILLED = FATES.index("filled")
# TeV. Some libraries take smaller float32 numbers, subnormal ones, for zeros; the ledger must not tell which.
LEAST_ENERGY = 2.0**-126


def tally_fates(
    energy: Array, position: tuple[Array, ...], excluded: Array, cut: Array, edges: tuple[Array, ...]
) -> tuple[Array, Array]:
    """Decide what becomes of each event.

    Parameters
    ----------
    energy : array of float32 or float64, shape (n_events,)
        Energies in TeV; an event that is to count as invalid has NaN.
    position : tuple of array of float32 or float64, shape (n_events,)
        Field-of-view coordinates in deg, one for each axis: DETY and DETX, or the offset.
    excluded : array of bool, shape (n_events,)
        Whether an event is in an exclusion region.
    cut : array of float64, shape ()
        Energy in TeV below which events are not filled.
    edges : tuple of array of float64
        Edges of the energy and of each coordinate.

    Returns
    -------
    fills : array of bool, shape (n_events,)
        Whether an event is to be filled.
    tallies : array of int64, shape (6,)
        Number of events of each fate, in the order of `FATES`.
    """
    xp = array_namespace(energy, *position)
    fates = event_fates(energy, position, excluded, cut, edges)
    tallies = [xp.count_nonzero(fates == number) for number in range(len(FATES))]
    return fates == FILLED, xp.stack([xp.astype(tally, xp.int64) for tally in tallies])


def event_fates(
    energy: Array, position: tuple[Array, ...], excluded: Array, cut: Array, edges: tuple[Array, ...]
) -> Array:
    """Find out what becomes of each event.

    Parameters
    ----------
    energy : array of float32 or float64, shape (n_events,)
        Energies in TeV; an event that is to count as invalid has NaN.
    position : tuple of array of float32 or float64, shape (n_events,)
        Field-of-view coordinates in deg, one for each axis: DETY and DETX, or the offset.
    excluded : array of bool, shape (n_events,)
        Whether an event is in an exclusion region.
    cut : array of float64, shape () or (n_events,)
        Energy in TeV below which events are not filled, of all events or of each.
    edges : tuple of array of float64
        Edges of the energy and of each coordinate.

    Returns
    -------
    array of int8, shape (n_events,)
        Number of its fate in `FATES`.
    """
    xp = array_namespace(energy, *position)
    energy, *place = (xp.astype(values, xp.float64) for values in (energy, *position))
    conditions = (
        _all(xp.isfinite(values) for values in (energy, *place)) & (energy >= LEAST_ENERGY),
        ~excluded,
        ~(energy < cut),
        _inside(energy, edges[0]),
        _all(_inside(values, its_edges) for values, its_edges in zip(place, edges[1:], strict=True)),
    )
    # The first condition that fails decides, so that its number in FATES is how many there are before it.
    holds = accumulate(conditions, and_)
    return reduce(add, (xp.astype(so_far, xp.int8) for so_far in holds))


def _all(conditions: Iterable[Array]) -> Array:
    return reduce(and_, conditions)


def _inside(values: Array, edges: Array) -> Array:
    return (values >= edges[0]) & (values <= edges[-1])


def fillable(energy: Array, fills: Array) -> Array:
    """Energies of which only those of events to be filled lie in any bin.

    Parameters
    ----------
    energy : array of float32 or float64, shape (n_events,)
        Energies.
    fills : array of bool, shape (n_events,)
        Whether an event is to be filled.

    Returns
    -------
    array of the dtype of `energy`, shape (n_events,)
        NaN, which is in no bin, for all other events: to take them out would need their number on the host.
    """
    xp = array_namespace(energy, fills)
    return xp.where(fills, energy, xp.nan)
