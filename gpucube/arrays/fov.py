"""Rotation of event directions between the sky and the field of view.

A rotation is a 3 x 3 matrix (GADF field-of-view longitude is mirrored, so its determinant may be -1)
from a sky frame to a frame whose first axis is the pointing: there the pointing is (0, 0) deg.
The matrices come from elsewhere, at a few times; here they are interpolated and applied to events.
"""

from __future__ import annotations

import math
from typing import Any

from array_api_compat import array_namespace

from gpucube.arrays.dispatch import fastest

__all__ = [
    "between_rotations",
    "directions",
    "fov_offset",
    "fov_to_sky",
    "interpolate_rotation",
    "sky_to_fov",
    "sky_to_fov_between",
]

Array = Any

DEGREE = math.pi / 180


def directions(lon: Array, lat: Array) -> tuple[Array, Array, Array]:
    """Cartesian unit vectors of spherical coordinates.

    Parameters
    ----------
    lon, lat : array of float64, shape (n,)
        Longitude and latitude in deg.

    Returns
    -------
    x, y, z : array of float64, shape (n,)
        Components.
    """
    xp = array_namespace(lon, lat)
    lon, lat = lon * DEGREE, lat * DEGREE
    across = xp.cos(lat)
    return across * xp.cos(lon), across * xp.sin(lon), xp.sin(lat)


def _longitude_latitude(x: Array, y: Array, z: Array) -> tuple[Array, Array]:
    xp = array_namespace(x, y, z)
    # atan2 keeps its precision near the poles and does not need unit vectors.
    return xp.atan2(y, x) / DEGREE, xp.atan2(z, xp.sqrt(x * x + y * y)) / DEGREE


def fov_offset(fov_lon: Array, fov_lat: Array) -> Array:
    """Angle between field-of-view coordinates and the pointing.

    Parameters
    ----------
    fov_lon, fov_lat : array of float32 or float64, shape (n,)
        Field-of-view longitude and latitude in deg.

    Returns
    -------
    array of float64, shape (n,)
        Offset in deg.
    """
    xp = array_namespace(fov_lon, fov_lat)
    x, y, z = directions(xp.astype(fov_lon, xp.float64), xp.astype(fov_lat, xp.float64))
    return xp.atan2(xp.sqrt(y * y + z * z), x) / DEGREE


def interpolate_rotation(time: Array, node_times: Array, node_rotations: Array) -> Array:
    """Rotation at the time of each event, linear between nodes.

    Parameters
    ----------
    time : array of float64, shape (n,)
        Event times in s.
    node_times : array of float64, shape (k,), k >= 2
        Increasing times in s at which the rotation is known; used beyond their ends, too.
    node_rotations : array of float64, shape (k, 3, 3)
        Rotations at `node_times`.

    Returns
    -------
    array of float64, shape (n, 3, 3)
        Rotation of each event. It is off by less than a^2 / 16 for nodes that differ by the angle a (rad).
    """
    xp = array_namespace(time, node_times, node_rotations)
    index = xp.astype(xp.searchsorted(node_times, time, side="right"), xp.int64) - 1
    index = xp.clip(index, 0, node_times.shape[0] - 2)
    start, stop = xp.take(node_times, index), xp.take(node_times, index + 1)
    weight = ((time - start) / (stop - start))[:, None, None]
    return xp.take(node_rotations, index, axis=0) * (1 - weight) + xp.take(node_rotations, index + 1, axis=0) * weight


def sky_to_fov(lon: Array, lat: Array, rotation: Array) -> tuple[Array, Array]:
    """Turn sky coordinates into field-of-view coordinates.

    Parameters
    ----------
    lon, lat : array of float64, shape (n,)
        Coordinates in the sky frame in deg.
    rotation : array of float64, shape (3, 3) or (n, 3, 3)
        Rotation from the sky frame to the field of view.

    Returns
    -------
    fov_lon, fov_lat : array of float64, shape (n,)
        Field-of-view longitude (-180 to 180) and latitude in deg: DETX and DETY.
    """
    return _longitude_latitude(*_apply(rotation, directions(lon, lat), transpose=False))


def sky_to_fov_between(
    lon: Array, lat: Array, rotations: Array, node: Array, weight: Array, wanted: Array | None = None
) -> tuple[Array, Array]:
    """Turn sky coordinates into field-of-view coordinates, each by its own rotation between two nodes.

    Parameters
    ----------
    lon, lat : array of float64, shape (n,)
        Coordinates in the sky frame in deg.
    rotations : array of float64, shape (k, 3, 3)
        Rotations at all nodes.
    node : array of int, shape (n,)
        The node before each event, at most k - 2.
    weight : array of float64, shape (n,)
        How far it is to the next node, from 0 to 1.
    wanted : array of bool, shape (n,), optional
        Events whose coordinates are of interest; those of others may be any, but finite where `lon` and `lat` are.

    Returns
    -------
    fov_lon, fov_lat : array of float64, shape (n,)
        DETX and DETY in deg: what `sky_to_fov` gives for `interpolate_rotation`, without a matrix per event in memory.
    """
    return fastest(between_rotations, array_namespace(lon, lat, rotations))(lon, lat, rotations, node, weight, wanted)


def between_rotations(
    lon: Array, lat: Array, rotations: Array, node: Array, weight: Array, wanted: Array | None = None
) -> tuple[Array, Array]:
    """Do the work of `sky_to_fov_between` on any library, for all events: to pick some needs their number on the host.

    Parameters
    ----------
    lon, lat : array of float64, shape (n,)
        Coordinates in the sky frame in deg.
    rotations : array of float64, shape (k, 3, 3)
        Rotations at all nodes.
    node : array of int, shape (n,)
        The node before each event, at most k - 2.
    weight : array of float64, shape (n,)
        How far it is to the next node, from 0 to 1.
    wanted : array of bool, shape (n,), optional
        Events whose coordinates are of interest; those of others may be any, but finite where `lon` and `lat` are.

    Returns
    -------
    fov_lon, fov_lat : array of float64, shape (n,)
        DETX and DETY in deg.
    """
    xp = array_namespace(lon, lat, rotations)
    before, after, vector = 1 - weight, node + 1, directions(lon, lat)

    def component(row: int) -> Array:
        x, y, z = (
            (xp.take(rotations[:, row, i], node) * before + xp.take(rotations[:, row, i], after) * weight) * vector[i]
            for i in range(3)
        )
        return x + y + z

    return _longitude_latitude(component(0), component(1), component(2))


def fov_to_sky(fov_lon: Array, fov_lat: Array, rotation: Array) -> tuple[Array, Array]:
    """Turn field-of-view coordinates into sky coordinates: the inverse of `sky_to_fov`.

    Parameters
    ----------
    fov_lon, fov_lat : array of float64, shape (n,)
        Field-of-view longitude and latitude in deg.
    rotation : array of float64, shape (3, 3) or (n, 3, 3)
        Rotation from the sky frame to the field of view.

    Returns
    -------
    lon, lat : array of float64, shape (n,)
        Longitude (0 to 360) and latitude in the sky frame in deg.
    """
    lon, lat = _longitude_latitude(*_apply(rotation, directions(fov_lon, fov_lat), transpose=True))
    return lon % 360.0, lat


def _apply(rotation: Array, vector: tuple[Array, Array, Array], *, transpose: bool) -> tuple[Array, Array, Array]:
    x, y, z = vector
    xp = array_namespace(rotation, x)
    rows = xp.matrix_transpose(rotation) if transpose else rotation
    turned = [rows[..., i, 0] * x + rows[..., i, 1] * y + rows[..., i, 2] * z for i in range(3)]
    return turned[0], turned[1], turned[2]
