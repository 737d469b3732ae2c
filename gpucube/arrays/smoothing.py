"""Smoothing of the energy images of a cube that keeps the sum of each image.

The kernel is k5a of ROOT's ``TH2::Smooth``; images are mirrored at their edges (the edge pixel
is repeated, `scipy.ndimage` mode "reflect"), as in the 2015 recipe [1]_.

References
----------
.. [1] M. Mayer (2015), PhD thesis, University of Potsdam, section 5.2.4.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

__all__ = ["K5A", "smooth_images", "smooth_variance", "smoothing_passes"]

Array = Any

# https://root.cern.ch/doc/master/classTH2.html, method Smooth
K5A = (
    (0, 0, 1, 0, 0),
    (0, 2, 2, 2, 0),
    (1, 2, 5, 2, 1),
    (0, 2, 2, 2, 0),
    (0, 0, 1, 0, 0),
)
REACH = 2  # pixels
# Weights of points that are in memory at once: 256 KiB stay near a core; on a device it is the launches that count.
MOST_WEIGHTS, MOST_ON_DEVICE = 2**15, 2**22


def smoothing_passes(n_counts: int) -> int:
    """Number of times that the 2015 recipes smooth a cube.

    Parameters
    ----------
    n_counts : int
        Counts in the whole cube.

    Returns
    -------
    int
        3 from 1e6 counts on, 4 from 1e5 on, else 5.
    """
    if n_counts >= 1_000_000:
        return 3
    return 4 if n_counts >= 100_000 else 5


def smooth_images(cube: Array, passes: int) -> Array:
    """Smooth each energy image several times and scale it to the sum that it had.

    Parameters
    ----------
    cube : array of float64, shape (n_energy, n_dety, n_detx)
        Images; an image of NaN stays one.
    passes : int
        How often to apply the kernel.

    Returns
    -------
    array of float64, shape (n_energy, n_dety, n_detx)
        Smoothed images.
    """
    xp = array_namespace(cube)
    if cube.shape[1:] == (1, 1):
        return cube
    smooth = _smooth(cube, passes, xp=xp)
    before = xp.sum(cube, axis=(1, 2), keepdims=True)
    after = xp.sum(smooth, axis=(1, 2), keepdims=True)
    empty = after == 0
    return smooth * xp.where(empty, 1.0, before / xp.where(empty, 1.0, after))


def smooth_variance(variance: Array, passes: int) -> Array:
    """Variance of images after `smooth_images`, if their pixels were independent before.

    Parameters
    ----------
    variance : array of float64, shape (n_energy, n_dety, n_detx)
        Variance of each pixel; for counts these are the counts.
    passes : int
        How often the kernel is applied.

    Returns
    -------
    array of float64, shape (n_energy, n_dety, n_detx)
        Sum over all pixels of the variance times the square of the weight with which each of them enters.
    """
    xp = array_namespace(variance)
    n_y, n_x = variance.shape[1:]
    reach = REACH * passes
    kernel = _kernel_of(passes, like=variance, xp=xp)
    rows, columns = (_mirrored_points(n, reach, like=variance, xp=xp) for n in (n_y, n_x))
    # A quarter of the points is enough: the others are mirror images, and so is what comes of them.
    quarter = _fold(_fold(variance, 1, xp=xp), 2, xp=xp)
    half_y, half_x = quarter.shape[1:]
    flat_columns = xp.reshape(columns[:, :half_x, :], (columns.shape[0], -1))
    result = xp.zeros((quarter.shape[0], n_y, n_x), dtype=variance.dtype, device=array_api_compat.device(variance))
    most = MOST_WEIGHTS if array_api_compat.is_numpy_array(variance) else MOST_ON_DEVICE
    step = max(1, most // (n_y * half_x * n_x))
    for first in range(0, half_y, step):
        stop = min(first + step, half_y)
        # These rows of points do not spread beyond these rows.
        low, high = max(0, first - reach), min(n_y, stop + reach)
        near = xp.reshape(xp.permute_dims(rows[:, first:stop, low:high], (1, 2, 0)), (-1, rows.shape[0]))
        weights = xp.reshape((near @ kernel) @ flat_columns, (stop - first, high - low, half_x, n_x))
        weights = xp.reshape(xp.permute_dims(weights**2, (0, 2, 1, 3)), ((stop - first) * half_x, -1))
        spread = xp.reshape(quarter[:, first:stop, :], (quarter.shape[0], -1)) @ weights
        added = xp.reshape(spread, (-1, high - low, n_x)) + result[:, low:high, :]
        result = xp.concat([result[:, :low, :], added, result[:, high:, :]], axis=1)
    return _unfold(_unfold(result, 2, xp=xp), 1, xp=xp)


def _fold(images: Array, axis: int, *, xp: Any) -> Array:
    """First half of images along an axis, then that of their mirror images; the middle of an odd number counts once."""
    n = images.shape[axis]
    mirrored = xp.flip(images, axis=axis)
    if axis == 1:
        first, second, middle = images[:, : (n + 1) // 2, :], mirrored[:, : n // 2, :], mirrored[:, : n % 2, :]
    else:
        first, second, middle = images[:, :, : (n + 1) // 2], mirrored[:, :, : n // 2], mirrored[:, :, : n % 2]
    second = xp.concat([second, xp.zeros_like(middle)], axis=axis) if n % 2 else second
    return xp.concat([first, second])


def _unfold(images: Array, axis: int, *, xp: Any) -> Array:
    """Add the second half of images, mirrored, to the first."""
    n = images.shape[0] // 2
    return images[:n, ...] + xp.flip(images[n:, ...], axis=axis)


def _kernel_of(passes: int, *, like: Array, xp: Any) -> Array:
    """Image of one point after several passes, far from all edges."""
    return xp.asarray(_repeated_k5a(passes), dtype=like.dtype, device=array_api_compat.device(like))


@lru_cache(maxsize=16)
def _repeated_k5a(passes: int) -> tuple[tuple[float, ...], ...]:
    """In whole numbers until the end: there are few numbers of passes, and many models."""
    image = defaultdict(int, {(0, 0): 1})
    steps = [(y, x, n) for y, row in enumerate(K5A, -REACH) for x, n in enumerate(row, -REACH) if n]
    for _ in range(passes):
        spread = defaultdict[tuple[int, int], int](int)
        for (y, x), value in image.items():
            for dy, dx, weight in steps:
                spread[y + dy, x + dx] += value * weight
        image = spread
    axis = range(-REACH * passes, REACH * passes + 1)
    total = sum(map(sum, K5A)) ** passes
    return tuple(tuple(image[y, x] / total for x in axis) for y in axis)


def _mirrored_points(n: int, reach: int, *, like: Array, xp: Any) -> Array:
    """How often mirror images of a pixel lie at each distance from another pixel.

    The kernel is symmetric and edges are mirrors, so that smoothing near an edge is smoothing of all mirror images.
    Shape (2 * reach + 1, n, n): distance, pixel from which it counts, pixel and its images.
    """
    device = array_api_compat.device(like)
    places = _mirrored(n, reach)
    pixel = xp.asarray([places[start : start + n] for start in range(2 * reach + 1)], dtype=xp.int64, device=device)
    return xp.astype(pixel[:, :, None] == xp.arange(n, dtype=xp.int64, device=device), like.dtype)


def _smooth(cube: Array, passes: int, *, xp: Any) -> Array:
    device = array_api_compat.device(cube)
    rows, columns = (xp.asarray(_mirrored(n, REACH), dtype=xp.int64, device=device) for n in cube.shape[1:])
    for _ in range(passes):
        cube = _convolve_k5a(xp.take(xp.take(cube, rows, axis=1), columns, axis=2))
    return cube


def _convolve_k5a(padded: Array) -> Array:
    """Twice the nearest nine pixels, three times the pixel itself, and the four that are two away; edges are lost."""
    triple = padded[:, 1:-1, 1:-3] + padded[:, 1:-1, 2:-2] + padded[:, 1:-1, 3:-1]
    square = triple[:, :-2, :] + triple[:, 1:-1, :] + triple[:, 2:, :]
    center = padded[:, 2:-2, :]
    cross = padded[:, :-4, 2:-2] + padded[:, 4:, 2:-2] + (center[:, :, :-4] + center[:, :, 4:])
    return (2 * square + 3 * center[:, :, 2:-2] + cross) / sum(map(sum, K5A))


def _mirrored(n: int, reach: int) -> list[int]:
    """Pixels of an axis and some more at both ends; also right for axes shorter than these."""
    places = (place % (2 * n) for place in range(-reach, n + reach))
    return [place if place < n else 2 * n - 1 - place for place in places]
