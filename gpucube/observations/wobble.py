"""Wobble positions: where observations point relative to their target.

Observers point beside a target, in turn to different sides. Observations of different targets share a wobble position
if they point to the same side at about the same distance. Targets are told by their position, because real tables spell
the name of one target in many ways.
"""

from __future__ import annotations

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from numpy.typing import NDArray

from gpucube.observations.columns import column_values

__all__ = ["WOBBLE_DISTANCE", "linked_positions", "wobble_positions"]

#: Pointings nearer to each other than this (deg) are the same wobble position: less than between two wobbles of 0.4 deg
#: to different sides, more than pointings scatter.
WOBBLE_DISTANCE = 0.3


def wobble_positions(table: Table) -> tuple[NDArray[np.int64], list[str]]:
    """Find the wobble position of each observation.

    Parameters
    ----------
    table : astropy.table.Table
        Observations with RA_PNT and DEC_PNT in deg; RA_OBJ and DEC_OBJ are the target. Without these two columns, the
        pointings themselves are told apart, which is the same thing for a single target.

    Returns
    -------
    indices : numpy.ndarray of int64, shape (n_obs,)
        Index of the position; -1 where the pointing or the target is no position on the sky.
    labels : list of str
        Text of each position: the offset of its first pointing in right ascension and declination, such as
        "wobble +0.00 +0.50 deg". The order of positions does not depend on the order of the observations.

    Raises
    ------
    DataError
        If RA_PNT or DEC_PNT is missing, or if a column does not hold angles.
    """
    lon, lat = _offsets(table)
    known = np.isfinite(lon) & np.isfinite(lat)
    # Sorted, and each only once: thousands of observations have a few positions.
    offsets, inverse = np.unique(np.round(np.stack([lon, lat], axis=1)[known], 4), axis=0, return_inverse=True)
    members = linked_positions(offsets, WOBBLE_DISTANCE)
    indices = np.full(len(table), -1, dtype=np.int64)
    indices[known] = members[inverse.ravel()]
    firsts = np.unique(members, return_index=True)[1]
    return indices, [f"wobble {lon:+.2f} {lat:+.2f} deg" for lon, lat in np.round(offsets[firsts], 2) + 0.0]


def _offsets(table: Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of the pointing in a frame whose origin is the target, in deg."""
    pointing = _positions(table, "RA_PNT", "DEC_PNT")
    if not {"RA_OBJ", "DEC_OBJ"} <= set(table.colnames):
        return pointing.ra.deg, pointing.dec.deg
    lon, lat = _positions(table, "RA_OBJ", "DEC_OBJ").spherical_offsets_to(pointing)
    return lon.deg, lat.deg


def _positions(table: Table, lon: str, lat: str) -> SkyCoord:
    ra, dec = column_values(table, lon, "deg"), column_values(table, lat, "deg")
    good = np.isfinite(ra) & (np.abs(dec) <= 90)
    return SkyCoord(np.where(good, ra, np.nan), np.where(good, dec, np.nan), unit="deg")


def linked_positions(positions: NDArray[np.float64], distance: float) -> NDArray[np.int64]:
    """Number the sets of positions that are linked by steps of less than a distance.

    Parameters
    ----------
    positions : numpy.ndarray of float64, shape (n, 2)
        Longitude and latitude in deg.
    distance : float
        Longest step in deg.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
        Number of the set of each position; sets are numbered in the order of their first positions.
    """
    lon, lat = np.deg2rad(positions.T)
    vectors = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    numbers = np.full(len(positions), -1, dtype=np.int64)
    for start in range(len(positions)):
        if numbers[start] >= 0:
            continue
        number = numbers.max() + 1
        waiting = [start]
        while waiting:
            near = vectors @ vectors[waiting.pop()] > np.cos(np.deg2rad(distance))
            near[start] = True
            new = np.flatnonzero(near & (numbers < 0))
            numbers[new] = number
            waiting += new.tolist()
    return numbers
