"""Circles that cover a shape on the sky, so that exclusion regions of any shape are circles.

A shape is drawn on a tangent plane. The largest circle that fits into what is not covered yet is taken, let out by a
margin, until nothing is left: the circles reach beyond the shape by the margin, and nowhere stay within it.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.typing import NDArray

__all__ = ["MARGIN", "circles_over"]

# Pixels along the longer side. A pixel is uncertain by half of its diagonal.
PIXELS = 200
# Part of the longer side by which circles may reach beyond a shape: half of it makes twice as many circles.
MARGIN = 0.03
# Size in deg up to which distances on a tangent plane are right to 2 %, so that circles do not grow.
LARGEST = 20.0
# Pixels in which the extent of a shape is measured, in deg.
FINE = 1e-3

Floats = NDArray[np.float64]


def circles_over(shape: Any) -> tuple[SkyCoord, Floats]:
    """Cover a shape on the sky with circles.

    Parameters
    ----------
    shape : regions.SkyRegion
        Ellipse, rectangle, polygon or ring, up to 20 deg long.

    Returns
    -------
    centers : astropy.coordinates.SkyCoord, shape (n,)
        Centres of the circles.
    radius : numpy.ndarray of float64, shape (n,)
        Radii in deg. Circles reach beyond the shape by `MARGIN` of its longer side at most.

    Raises
    ------
    ValueError
        The shape is larger than that, has no inside, or is nowhere.
    """
    middle = _middle(shape)
    if not np.isfinite([middle.ra.deg, middle.dec.deg]).all():
        raise ValueError(f"its centre is no position: RA {middle.ra.deg} deg, DEC {middle.dec.deg} deg")
    box = shape.to_pixel(_tangent_plane(middle, FINE)).bounding_box
    low, high = np.array([box.ixmin, box.iymin]) * FINE, np.array([box.ixmax, box.iymax]) * FINE
    longer = float((high - low).max())
    if longer > LARGEST:
        raise ValueError(f"it is {longer:.1f} deg long; shapes that are no circles may be up to {LARGEST:g} deg")
    step = longer / PIXELS
    plane = _tangent_plane(middle, step)
    inside, pixels = _draw(shape.to_pixel(plane), low / step, high / step)
    if not _eroded(inside).any():
        raise ValueError(f"it has no inside, or is thinner than {3 * step:.2g} deg")
    centers, depth = _largest_circles(inside, pixels, MARGIN * longer / step)
    return plane.pixel_to_world(*centers.T), depth * step + MARGIN * longer


def _middle(shape: Any) -> SkyCoord:
    if hasattr(shape, "center"):
        return shape.center.icrs
    mean = shape.vertices.icrs.cartesian.mean()
    return SkyCoord(mean, frame="icrs", representation_type="unitspherical")


def _tangent_plane(center: SkyCoord, step: float) -> WCS:
    """Tangent plane in which a direction and its pixel differ by no offset: pixel 0 is the centre."""
    plane = WCS(naxis=2)
    plane.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    plane.wcs.crval = [center.ra.deg, center.dec.deg]
    plane.wcs.crpix = [1.0, 1.0]
    plane.wcs.cdelt = [-step, step]
    return plane


def _draw(shape: Any, low: Floats, high: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Which pixels are inside, and where they are; there is a free pixel on every side."""
    package = importlib.import_module("regions")
    x, y = (np.arange(np.floor(a) - 2, np.ceil(b) + 3) for a, b in zip(low, high, strict=True))
    pixels = np.stack(np.meshgrid(x, y), axis=-1)
    return np.asarray(shape.contains(package.PixCoord(pixels[..., 0], pixels[..., 1]))), pixels


def _largest_circles(inside: NDArray[np.bool_], pixels: Floats, margin: float) -> tuple[Floats, Floats]:
    """Centres, and distances to the edge, of circles in pixels, the largest first."""
    edge = inside & ~_eroded(inside)
    left, rim = pixels[inside], pixels[edge]
    depth = np.sqrt(np.concatenate([_nearest(rows, rim) for rows in np.array_split(left, 1 + len(left) // 2000)]))
    chosen = []
    waiting = np.ones(len(left), dtype=bool)
    while waiting.any():
        largest = int(np.argmax(np.where(waiting, depth, -1.0)))
        chosen.append(largest)
        # What lies around the middle of a pixel counts as well, and what the edge has beyond it.
        waiting &= np.hypot(*(left - left[largest]).T) > depth[largest] + margin - 1
    return left[chosen], depth[chosen]


def _eroded(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose four neighbours are inside."""
    core = np.zeros_like(inside)
    core[1:-1, 1:-1] = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return core & inside


def _nearest(points: Floats, others: Floats) -> Floats:
    """Squared distance of each point to the nearest of others."""
    return np.min(((points[:, None, :] - others[None, :, :]) ** 2).sum(axis=-1), axis=1)
