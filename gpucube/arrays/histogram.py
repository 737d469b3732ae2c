"""Exact histograms in any number of dimensions, on any Array API library.

Bins are left-closed, and the last bin of each axis is closed on both sides, as in
`numpy.histogramdd`. Values outside the edges and NaN are in no bin.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

from gpucube.arrays.dispatch import fastest

__all__ = ["bin_counts", "histogramdd"]

Array = Any

# Events that the portable path sorts at once: bounds its memory to about 40 bytes times this, and is
# enough for a GPU to be busy while the next functions are queued.
BLOCK = 2**22


def histogramdd(coordinates: Sequence[Array], edges: Sequence[Any]) -> Array:
    """Count events in bins.

    Parameters
    ----------
    coordinates : sequence of array, each of shape (n_events,)
        One array per axis, all of one Array API library and on one device; any real dtype.
    edges : sequence of array-like, each of shape (n_bins + 1,)
        Increasing bin edges of each axis in the unit of its coordinates. Numbers and NumPy arrays are checked
        and copied to the device on each call. Edges that are an array of another library are taken as they
        are, because to check them would wait for the device: pass such edges in a hot loop.

    Returns
    -------
    array of int64, shape (n_bins_1, n_bins_2, ...)
        Counts, of the same library and on the same device as `coordinates`: exactly what
        `numpy.histogramdd` gives for the float64 values of the coordinates. NaN is in no bin.

    Raises
    ------
    ValueError
        The numbers of axes, shapes or lengths do not match, or edges do not increase.
    TypeError
        Coordinates are not real numbers, or have a mask or a unit.

    Notes
    -----
    Nothing is copied to the host. Work is queued on the current stream of the library, and nothing waits for
    it. Besides the counts, a call needs memory for a block of events, not for all of them.

    Examples
    --------
    >>> import numpy as np
    >>> import gpucube
    >>> gpucube.histogramdd((np.array([0.5, 1.0, 2.0, 3.0]),), ([0.0, 1.0, 2.0],))
    array([1, 2])
    """
    if hasattr(coordinates, "ndim"):
        raise ValueError("coordinates must be a tuple of 1-D arrays, one per axis, not one array")
    coordinates = tuple(coordinates)
    if not coordinates or len(coordinates) != len(edges):
        raise ValueError(f"need one sequence of edges per axis: {len(coordinates)} axes, {len(edges)} edges")
    xp = array_namespace(*coordinates)
    coordinates = tuple(_as_float(values, axis, xp) for axis, values in enumerate(coordinates))
    lengths = {values.shape[0] for values in coordinates}
    if len(lengths) > 1:
        raise ValueError(f"coordinates differ in length: {sorted(lengths)}")
    device = array_api_compat.device(coordinates[0])
    checked = tuple(_as_edges(values, axis, xp, device) for axis, values in enumerate(edges))
    return fastest(bin_counts, xp)(coordinates, checked)


def _as_float(values: Array, axis: int, xp: Any) -> Array:
    for attribute, remedy in (("mask", "compress it"), ("unit", "take its value in the unit of the edges")):
        if hasattr(values, attribute):
            raise TypeError(f"coordinates of axis {axis} are a {type(values).__name__}; {remedy} first")
    if values.ndim != 1:
        raise ValueError(f"coordinates of axis {axis} must be 1-D, not {values.ndim}-D")
    if values.dtype in (xp.float32, xp.float64):
        return values
    if not xp.isdtype(values.dtype, ("real floating", "integral", "bool")):
        raise TypeError(f"coordinates of axis {axis} are {values.dtype}, not real numbers")
    return xp.astype(values, xp.float32 if _fits_float32(values.dtype, xp) else xp.float64)


def _fits_float32(dtype: Any, xp: Any) -> bool:
    """Whether float32, which takes half the memory and time of float64, holds every value of another dtype."""
    if xp.isdtype(dtype, "bool"):
        return True
    info = xp.iinfo(dtype) if xp.isdtype(dtype, "integral") else xp.finfo(dtype)
    return bool(info.bits <= 16)


def _as_edges(values: Any, axis: int, xp: Any, device: Any) -> Array:
    on_device = array_api_compat.is_array_api_obj(values) and not array_api_compat.is_numpy_array(values)
    if on_device:
        edges = xp.asarray(values, dtype=xp.float64, device=device)
    else:
        numbers = [float(value) for value in values]
        if any(not low < high for low, high in itertools.pairwise(numbers)):
            raise ValueError(f"edges of axis {axis} must increase: {numbers}")
        edges = xp.asarray(numbers, dtype=xp.float64, device=device)
    if edges.ndim != 1 or edges.shape[0] < 2:
        raise ValueError(f"edges of axis {axis} must be 1-D with at least two values, not of shape {edges.shape}")
    return edges


def bin_counts(coordinates: tuple[Array, ...], edges: tuple[Array, ...]) -> Array:
    """Count events in bins, with arguments that `histogramdd` has checked.

    Parameters
    ----------
    coordinates : tuple of array of float32 or float64, each of shape (n_events,)
        One array per axis.
    edges : tuple of array of float64, each of shape (n_bins + 1,)
        Increasing edges, of the library and on the device of `coordinates`.

    Returns
    -------
    array of int64, shape (n_bins_1, n_bins_2, ...)
        Counts.

    Notes
    -----
    CuPy's own kernels take float32 values below 1.2e-38 for zeros, those that convert them to float64 included: with
    this portable function, not with `histogramdd`, such a value beside an edge at or near 0 may be in the wrong bin.
    """
    xp = array_namespace(*coordinates)
    shape = tuple(values.shape[0] - 1 for values in edges)
    # A bin below the first edge of each axis takes what is in none, so that no event has to be taken out.
    padded = tuple(values.shape[0] for values in edges)
    n_events, n_cells = coordinates[0].shape[0], math.prod(padded)
    counts = xp.zeros((n_cells,), dtype=xp.int64, device=array_api_compat.device(coordinates[0]))
    for start in range(0, n_events, BLOCK):
        block = tuple(values[start : min(start + BLOCK, n_events)] for values in coordinates)
        counts = counts + _count_integers(_flat_bins(block, edges, xp=xp), n_cells, xp=xp)
    inside = (slice(1, None),) * len(shape)
    return xp.reshape(xp.reshape(counts, padded)[inside], shape)


def _flat_bins(coordinates: tuple[Array, ...], edges: tuple[Array, ...], *, xp: Any) -> Array:
    """Index of each event in the flattened cube, whose bins 0 of each axis are for what is in no bin."""
    flat, inside = None, None
    for values, axis_edges in zip(coordinates, edges, strict=True):
        values = xp.astype(values, xp.float64)
        # The last edge belongs to the last bin, so that none of the others can be passed by going beyond it.
        index = xp.searchsorted(axis_edges[:-1], values, side="right")
        # NaN, which libraries sort to different ends, is not below any edge.
        below = values <= axis_edges[-1]
        flat = index if flat is None else flat * axis_edges.shape[0] + index
        inside = below if inside is None else inside & below
    return xp.where(inside, flat, 0)


def _count_integers(values: Array, n: int, *, xp: Any) -> Array:
    """How often each of 0 .. n-1 occurs: the standard has no bincount, but it sorts."""
    # Sorting takes most of the time, and half of it for half the bits.
    dtype = xp.int32 if n < 2**31 else xp.int64
    ordered = xp.sort(xp.astype(values, dtype), stable=False)
    bounds = xp.arange(n + 1, dtype=dtype, device=array_api_compat.device(values))
    return xp.diff(xp.astype(xp.searchsorted(ordered, bounds, side="left"), xp.int64))
