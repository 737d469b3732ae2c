"""Places in the field of view at which a rate is taken for its mean over pixels or rings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpucube.cubes.axis import Axis

__all__ = ["Places", "places_of"]

# Of the harmonics in the angle around the pointing that a rate has, those below this one are averaged exactly.
ANGLES = 16
# Offsets in each ring
NODES = 2


@dataclass(frozen=True, eq=False)
class Places:
    """Places that stand for bins of the field of view.

    Attributes
    ----------
    detx, dety : numpy.ndarray of float64, shape (n_bins * n_places,)
        Where, in deg; the places of a bin follow each other.
    weights : numpy.ndarray of float64, shape (n_bins, n_places)
        Weights of the places of each bin in its mean over solid angle; their sum is 1.
    """

    detx: NDArray[np.float64]
    dety: NDArray[np.float64]
    weights: NDArray[np.float64]


def places_of(field: tuple[Axis, ...]) -> Places:
    """Places that stand for the bins of a field of view.

    Parameters
    ----------
    field : tuple of Axis
        DETY and DETX axis, or offset axis.

    Returns
    -------
    Places
        The centre of each pixel, which is what 3D models show; or points all over each ring.
    """
    return _in_rings(field[0]) if len(field) == 1 else _in_pixels(*field)


def _in_pixels(dety: Axis, detx: Axis) -> Places:
    y, x = (axis.centers * axis.unit.to("deg") for axis in (dety, detx))
    y, x = np.meshgrid(y, x, indexing="ij")
    return Places(x.ravel(), y.ravel(), np.ones((x.size, 1)))


def _in_rings(offset: Axis) -> Places:
    """Gauss-Legendre quadrature in the cosine of the offset, equal steps in the angle."""
    cosines = np.cos(offset.edges_in("rad"))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    middle, half = 0.5 * (cosines[:-1] + cosines[1:]), 0.5 * (cosines[:-1] - cosines[1:])
    cosine = (middle[:, None] + half[:, None] * nodes)[:, :, None]
    sine = np.sqrt(1 - cosine**2)
    angle = 2 * np.pi * (np.arange(ANGLES) + 0.5) / ANGLES
    detx = np.arctan2(sine * np.cos(angle), cosine)
    dety = np.arcsin(sine * np.sin(angle))
    of_place = np.repeat(0.5 * weights / ANGLES, ANGLES)
    detx, dety = (np.rad2deg(values).ravel() for values in (detx, dety))
    return Places(detx, dety, np.tile(of_place, (offset.n_bins, 1)))
