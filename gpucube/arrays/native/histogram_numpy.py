"""Exact histograms on NumPy, in blocks, in place and on several threads.

Arithmetic guesses the bin of each value, and only values close to an edge are compared with the
edges. How close is measured, not assumed: see `_Axis.tolerance`.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["bin_counts"]

# Events per block: what a block needs stays in the cache of a core. Threads take double, because each
# call into NumPy may wait for Python's lock.
BLOCK = 2**16
# Events per call of bincount, which makes and adds a whole cube at each call.
FLUSH = 2**19
# Below this number of events per thread, starting threads costs more than it gains.
EVENTS_PER_THREAD = 2**19
# Guesses worse than this share of a bin are not worth their repairs.
TOLERANCE_LIMIT = 2**-7
# NumPy tests its logarithms to 4 units in the last place. This is how many are allowed for.
LOG_ULPS = 64


@dataclass(frozen=True)
class _Axis:
    """How to find the bin of a value along one axis, where bin 0 is below all edges.

    Attributes
    ----------
    thresholds : ndarray, shape (n_bins + 1,)
        In the dtype of the coordinates: bin ``i`` holds ``thresholds[i - 1] <= x < thresholds[i]``.
    kind : {"linear", "log", "search"}
        The position ``scale * f(x) + offset`` of a value rounds to its bin, with f(x) = x, log(x) or
        the bin itself.
    tolerance : float
        Positions within this distance of a half-integer have to be compared with the thresholds.
    """

    thresholds: np.ndarray
    kind: str
    scale: float = 1.0
    offset: float = 0.0
    tolerance: float = 0.0


def _thresholds(edges: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Smallest values of a dtype that are not below each edge, and above the last one, whose bin is closed."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = edges.astype(dtype)
        low = rounded < edges
        rounded[low] = np.nextafter(rounded[low], dtype.type(np.inf))
        if rounded[-1] == edges[-1]:
            # Nothing is above infinity but, in the order of searchsorted, NaN.
            rounded[-1] = np.nan if np.isinf(edges[-1]) else np.nextafter(rounded[-1], dtype.type(np.inf))
    return rounded


def _axis(thresholds: np.ndarray, dtype: type) -> _Axis:
    """Find the arithmetic that guesses bins along an axis, for positions of a dtype."""
    for kind in ("linear", "log"):
        axis = _fit(thresholds, kind, dtype)
        if axis.tolerance < TOLERANCE_LIMIT:  # false for NaN
            return axis
    return _Axis(thresholds, "search")


def _fit(thresholds: np.ndarray, kind: str, dtype: type) -> _Axis:
    n_bins = thresholds.size - 1
    # The largest values below and the smallest values above each edge go through the arithmetic of the
    # events. Multiplying and adding preserve order, so positions further from a half-integer than the worst
    # of these are on the right side of it. Only the logarithm may break order, by its rounding.
    with np.errstate(all="ignore"):
        around = np.stack([np.nextafter(thresholds, thresholds.dtype.type(-np.inf)), thresholds])
        values = np.log(around.astype(dtype)) if kind == "log" else around.astype(dtype)
        first, last = (float(value) for value in values[1, [0, -1]])
        scale = dtype(n_bins / (last - first) if last > first else np.nan)
        offset = dtype(0.5 - first * float(scale))
        positions = (values * scale + offset).astype(np.float64)
        tolerance = np.max(np.abs(positions - (np.arange(n_bins + 1) + 0.5)))
        if kind == "log":
            tolerance += LOG_ULPS * np.finfo(dtype).eps * max(abs(first), abs(last)) * scale
    return _Axis(thresholds, kind, float(scale), float(offset), float(tolerance))


# Cubes of many groups and blocks have the same edges.
@lru_cache(maxsize=64)
def _axis_of(edges: bytes, dtype: str) -> tuple[_Axis, _Axis]:
    """Arithmetic in float32 and in float64 for edges and a dtype of coordinates."""
    thresholds = _thresholds(np.frombuffer(edges), np.dtype(dtype))
    return _axis(thresholds, np.float32), _axis(thresholds, np.float64)


def _axes(both: list[tuple[_Axis, _Axis]], n_cells: int) -> tuple[list[_Axis], type]:
    """Choose the arithmetic for all axes, and its dtype: float32, twice as fast, unless float64 does more."""
    single, double = ([axis[i] for axis in both] for i in (0, 1))
    # Flat bins are sums of floats, which have to be exact.
    fits = n_cells < 1 / np.finfo(np.float32).eps
    if fits and all(one.kind == two.kind or two.kind == "search" for one, two in zip(single, double, strict=True)):
        return single, np.float32
    return double, np.float64


def bin_counts(
    coordinates: tuple[np.ndarray, ...], edges: tuple[np.ndarray, ...], threads: int | None = None
) -> np.ndarray:
    """Count events in bins, with arguments that `gpucube.arrays.histogram.histogramdd` has checked.

    Parameters
    ----------
    coordinates : tuple of ndarray of float32 or float64, each of shape (n_events,)
        One array per axis.
    edges : tuple of ndarray of float64, each of shape (n_bins + 1,)
        Increasing edges.
    threads : int, optional
        Number of threads, each with a cube of its own; one per core by default, fewer for few events.

    Returns
    -------
    ndarray of int64, shape (n_bins_1, n_bins_2, ...)
        Counts; they do not depend on the number of threads.
    """
    both = [_axis_of(e.tobytes(), c.dtype.newbyteorder("=").str) for c, e in zip(coordinates, edges, strict=True)]
    # A bin more at each end catches what is outside and NaN, so that no event has to be taken out.
    shape = tuple(axis.thresholds.size + 1 for axis, _ in both)
    n_cells, n_events = math.prod(shape), coordinates[0].shape[0]
    axes, dtype = _axes(both, n_cells)
    if threads is None:
        threads = max(1, min(_cores(), n_events // EVENTS_PER_THREAD, n_events // n_cells))

    def count(start: int, stop: int) -> np.ndarray:
        part = tuple(values[start:stop] for values in coordinates)
        return _count(part, axes, n_cells, dtype, shares_lock=threads > 1)

    bounds = [n_events * i // threads for i in range(threads + 1)]
    if threads == 1:
        cube = count(0, n_events)
    else:
        with ThreadPoolExecutor(threads) as pool:
            cube, *others = pool.map(count, bounds[:-1], bounds[1:])
        for other in others:
            cube += other
    return np.ascontiguousarray(cube.reshape(shape)[(slice(1, -1),) * len(shape)])


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _count(
    coordinates: tuple[np.ndarray, ...], axes: list[_Axis], n_cells: int, dtype: Any, *, shares_lock: bool
) -> np.ndarray:
    """Count events in the flat cube with its outer bins, on the thread of the caller."""
    n_events = coordinates[0].shape[0]
    # add.at is faster than bincount, but only bincount lets other threads run meanwhile.
    by_bincount = shares_lock and n_cells <= FLUSH
    block = min(2 * BLOCK if shares_lock else BLOCK, max(n_events, 1))
    cube = np.zeros(n_cells, dtype=np.int64)
    flat = np.empty(max(FLUSH, block) if by_bincount else block, dtype=np.intp)
    work = np.empty((2, len(axes), block), dtype=dtype)
    n_waiting = 0
    for start in range(0, n_events, block):
        part = tuple(values[start : start + block] for values in coordinates)
        n_part = part[0].shape[0]
        _flat_bins(part, axes, work[:, :, :n_part], out=flat[n_waiting : n_waiting + n_part])
        n_waiting += n_part
        if n_waiting + block > flat.size or start + block >= n_events:
            if by_bincount:
                cube += np.bincount(flat[:n_waiting], minlength=n_cells)
            else:
                np.add.at(cube, flat[:n_waiting], 1)
            n_waiting = 0
    return cube


def _positions(part: tuple[np.ndarray, ...], axes: list[_Axis], *, out: np.ndarray) -> None:
    """Write to `out`, a row per axis, the positions of events, from 0 to one above the number of edges, or NaN."""
    scales, offsets, ends = (
        np.array(column, dtype=out.dtype)[:, np.newaxis]
        for column in zip(*((axis.scale, axis.offset, axis.thresholds.size) for axis in axes), strict=True)
    )
    with np.errstate(all="ignore"):  # threads do not inherit it
        for row, values, axis in zip(out, part, axes, strict=True):
            np.copyto(row, axis.thresholds.searchsorted(values, side="right") if axis.kind == "search" else values)
            if axis.kind == "log":
                np.log(row, out=row)
        out *= scales
        out += offsets
        np.clip(out, out.dtype.type(0), ends, out=out)


def _flat_bins(part: tuple[np.ndarray, ...], axes: list[_Axis], work: np.ndarray, *, out: np.ndarray) -> None:
    """Write the bins of a block of events in the flattened cube to `out`."""
    position, index = work
    _positions(part, axes, out=position)
    np.rint(position, out=index)
    position -= index
    np.abs(position, out=position)
    worst, total = position[0], index[0]
    for row, bins, axis in zip(position[1:], index[1:], axes[1:], strict=True):
        np.maximum(worst, row, out=worst)
        total *= axis.thresholds.size + 1
        total += bins
    # NaN, also of negative values on a logarithmic axis, goes below all first edges.
    np.fmax(total, 0, out=total)
    np.copyto(out, total, casting="unsafe")
    unsure = np.flatnonzero(worst >= worst.dtype.type(0.5 - max(axis.tolerance for axis in axes)))
    if unsure.size:
        few = tuple(values[unsure] for values in part)
        out[unsure] = _compared_bins(few, axes, np.empty((len(axes), unsure.size), dtype=work.dtype))


def _compared_bins(part: tuple[np.ndarray, ...], axes: list[_Axis], position: np.ndarray) -> np.ndarray:
    """Find the bins of events in the flattened cube by comparing each value with the edge next to its guess."""
    _positions(part, axes, out=position)
    flat = np.zeros(position.shape[1], dtype=np.intp)
    for row, values, axis in zip(position, part, axes, strict=True):
        bins = row.astype(np.intp)
        if axis.kind != "search":
            # Position i + 0.5 is at edge i.
            np.minimum(bins, axis.thresholds.size - 1, out=bins)
            bins += values >= axis.thresholds[bins]
        flat *= axis.thresholds.size + 1
        flat += bins
    return flat
