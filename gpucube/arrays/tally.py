"""Account for every event: each is filled, or left out for exactly one reason."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

__all__ = ["FATES", "fillable", "tally_fates"]

Array = Any

# What can become of an event, in the order in which it is asked.
FATES = ("invalid", "excluded", "below_threshold", "outside_energy", "outside_fov", "filled")


def tally_fates(
    energy: Array, dety: Array, detx: Array, excluded: Array, cut: Array, edges: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    """Decide what becomes of each event.

    Parameters
    ----------
    energy, dety, detx : array of float32 or float64, shape (n_events,)
        Energies in TeV and field-of-view coordinates in deg; an event that is to count as invalid has NaN.
    excluded : array of bool, shape (n_events,)
        Whether an event is in an exclusion region.
    cut : array of float64, shape ()
        Energy in TeV below which events are not filled.
    edges : tuple of array of float64
        Energy, DETY and DETX edges.

    Returns
    -------
    fills : array of bool, shape (n_events,)
        Whether an event is to be filled.
    tallies : array of int64, shape (6,)
        Number of events of each fate, in the order of `FATES`.
    """
    xp = array_namespace(energy, dety, detx)
    energy, dety, detx = (xp.astype(values, xp.float64) for values in (energy, dety, detx))
    reasons = (
        ~(xp.isfinite(energy) & xp.isfinite(dety) & xp.isfinite(detx) & (energy > 0)),
        excluded,
        energy < cut,
        ~_inside(energy, edges[0]),
        ~(_inside(dety, edges[1]) & _inside(detx, edges[2])),
    )
    remaining = xp.ones_like(excluded)
    tallies = []
    for reason in reasons:
        tallies.append(xp.count_nonzero(remaining & reason))
        remaining = remaining & ~reason
    tallies.append(xp.count_nonzero(remaining))
    return remaining, xp.stack([xp.astype(tally, xp.int64) for tally in tallies])


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
