"""From the sky to the field of view for NumPy.

Four reasons why this is faster: only events are turned that are wanted; blocks of them stay near the core; sines and
cosines come from a table and two terms of their series; and near to the pointing angles come from a short series, too.
Each event is computed by itself, so that its result does not depend on the block.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["between_rotations"]

BLOCK = 2**13  # events
DEGREE = math.pi / 180
# Directions of which sines and cosines are known: the step, 45/1024 deg, is an exact number, and small enough for two
# terms of either series. A field of view needs some hundred of them, which stay near the core.
N_DIRECTIONS = 2**13
STEP = 360 / N_DIRECTIONS
_TURN = np.arange(N_DIRECTIONS) * STEP * DEGREE
_COS, _SIN = np.cos(_TURN), np.sin(_TURN)
# Up to 5 deg from the pointing, the eighth term of the series of the arcus tangent is below the rounding error.
NEAR = math.tan(5 * DEGREE)
_ARCTAN = tuple((-1) ** k / (2 * k + 1) / DEGREE for k in range(7))


def between_rotations(
    lon: np.ndarray,
    lat: np.ndarray,
    rotations: np.ndarray,
    node: np.ndarray,
    weight: np.ndarray,
    wanted: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Do the work of `gpucube.arrays.fov.between_rotations`, equal but for rounding (1e-12 deg).

    Parameters
    ----------
    lon, lat : numpy.ndarray of float64, shape (n,)
        Coordinates in the sky frame in deg.
    rotations : numpy.ndarray of float64, shape (k, 3, 3)
        Rotations at all nodes.
    node : numpy.ndarray of int, shape (n,)
        The node before each event, at most k - 2.
    weight : numpy.ndarray of float64, shape (n,)
        How far it is to the next node, from 0 to 1.
    wanted : numpy.ndarray of bool, shape (n,), optional
        Events whose coordinates are of interest; those of others may be any, but finite where `lon` and `lat` are.

    Returns
    -------
    fov_lon, fov_lat : numpy.ndarray of float64, shape (n,)
        DETX and DETY in deg.
    """
    found = np.empty((2, *lon.shape))
    index = np.arange(lon.shape[0]) if wanted is None else np.flatnonzero(wanted)
    # One row for each element of a matrix, and how it changes to the next node
    elements = np.ascontiguousarray(np.reshape(rotations, (-1, 9)).T)
    changes = np.diff(elements, axis=1)
    # Events from nowhere, NaN, stay so, also where nobody wants to know.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        found[:] = 0.0 * lon + 0.0 * lat
        for start in range(0, index.shape[0], BLOCK):
            events = index[start : start + BLOCK]
            before = node.take(events).astype(np.intp)
            turns = changes.take(before, axis=1)
            turns *= weight.take(events)
            turns += elements.take(before, axis=1)
            products = turns.reshape(3, 3, -1)
            products *= _directions(lon.take(events), lat.take(events))
            vector = products[:, 0]
            vector += products[:, 1]
            vector += products[:, 2]
            x, y, z = vector
            found[0][events] = _angles(y, x)
            found[1][events] = _angles(z, np.sqrt(x * x + y * y))
    return found[0], found[1]


# In place wherever it goes, below: to fill new memory takes as long as to multiply.
def _directions(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Unit vectors, shape (3, n), of longitudes and latitudes in deg, shape (n,)."""
    (cos_lon, sin_lon), (cos_lat, sin_lat) = _cos_sin(lon), _cos_sin(lat)
    vectors = np.empty((3, lon.shape[0]))
    np.multiply(cos_lat, cos_lon, out=vectors[0])
    np.multiply(cos_lat, sin_lon, out=vectors[1])
    vectors[2] = sin_lat
    return vectors


def _cos_sin(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of angles in deg: those of the direction of the table next to each, turned by the rest."""
    rest = np.rint(angle * (1 / STEP))
    index = rest.astype(np.intp)
    index &= N_DIRECTIONS - 1
    rest *= -STEP
    rest += angle
    rest *= DEGREE
    square = rest * rest
    sin_rest = square * (-1 / 6)
    sin_rest += 1.0
    sin_rest *= rest
    square *= -0.5
    square += 1.0
    cos_rest = square
    cos_near, sin_near = _COS.take(index), _SIN.take(index)
    cos = cos_near * cos_rest
    cos -= sin_near * sin_rest
    sin_near *= cos_rest
    cos_near *= sin_rest
    sin_near += cos_near
    return cos, sin_near


def _angles(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Arcus tangent of y / x in deg, of the whole circle."""
    ratio = y / x
    square = ratio * ratio
    angle = np.full(ratio.shape, _ARCTAN[-1])
    for coefficient in _ARCTAN[-2::-1]:
        angle *= square
        angle += coefficient
    angle *= ratio
    far = np.flatnonzero(~((square < NEAR * NEAR) & (x > 0)))
    angle[far] = np.arctan2(y[far], x[far]) / DEGREE
    return angle
