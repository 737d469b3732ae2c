"""Exact histograms on CuPy: one fused CUDA kernel, whose source and design are in ``histogram.cu``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import cupy
import numpy as np

__all__ = ["bin_counts"]

# The struct Axis of histogram.cu.
AXIS = np.dtype(
    [("values", np.uintp), ("stride", np.int64), ("wide", np.int64), ("edges", np.uintp), ("bins", np.int64)]
)
# Bytes of the struct Finder of histogram.cu.
FINDER_BYTES = 16
# Events per thread and turn at least: UNROLL of histogram.cu for doubles.
UNROLL = 4
# Blocks per multiprocessor that are enough to hide the latency of plain atomics.
DIRECT_BLOCKS = 8
# Small cubes get copies, up to one per thread of a warp, until they fill this many words.
WORDS_WITH_COPIES = 2**13


@dataclass(frozen=True)
class _Launch:
    """Which kernel counts, on how many blocks and threads, with how many bytes of shared memory."""

    kernel: str
    blocks: int
    threads: int
    shared_bytes: int = 0
    copies: int = 0


def _choose_launch(n_cells: int, n_events: int, multiprocessors: int, shared_limit: int) -> _Launch:
    """Choose how to count, as explained in histogram.cu."""
    # Each block of a shared cube adds all of it to the one in global memory at its end. That pays if it
    # takes fewer atomics than the events themselves.
    pays = n_events >= n_cells * multiprocessors
    blocks = min(multiprocessors, -(-n_events // (1024 * UNROLL)))
    if pays and 4 * n_cells <= shared_limit:
        copies = 32
        while copies > 1 and copies * n_cells > WORDS_WITH_COPIES:
            copies //= 2
        return _Launch("count_words", blocks, 1024, 4 * n_cells * copies, copies)
    if pays and 4 * -(-n_cells // 2) <= shared_limit:
        return _Launch("count_halves", blocks, 1024, 4 * -(-n_cells // 2))
    return _Launch("count_direct", min(DIRECT_BLOCKS * multiprocessors, -(-n_events // (256 * UNROLL))), 256)


def options(n_axes: int, value: str) -> tuple[str, ...]:
    """Options of the compiler, for coordinates that are compared with edges in a type of C."""
    return f"-DAXES={n_axes}", f"-DVALUE={value}"


@cache
def _module(n_axes: int, value: str) -> Any:
    source = files("gpucube.arrays.native").joinpath("histogram.cu").read_text(encoding="utf-8")
    # CuPy keeps the binary in its cache on disk, and loads it once per device.
    return cupy.RawModule(code=source, options=options(n_axes, value))


@cache
def _limits(device: int) -> tuple[int, int]:
    """Multiprocessors of a device and bytes of shared memory that a block may have; CuPy asks the driver each time."""
    attributes = cupy.cuda.Device(device).attributes
    return attributes["MultiProcessorCount"], attributes["MaxSharedMemoryPerBlockOptin"]


def _in_elements(values: Any) -> tuple[Any, int]:
    """Return an array that the kernel can address, almost always the same one, and its stride in elements."""
    if values.strides[0] % values.itemsize or values.data.ptr % values.itemsize:
        # A column of packed records: a GPU reads numbers at multiples of their size only, but bytes anywhere.
        shape, strides = (values.size, values.itemsize), (values.strides[0], 1)
        as_bytes = cupy.ndarray(shape, dtype=cupy.uint8, memptr=values.data, strides=strides)
        values = as_bytes.copy().view(values.dtype)[:, 0]
    return values, values.strides[0] // values.itemsize


def bin_counts(coordinates: tuple[Any, ...], edges: tuple[Any, ...]) -> Any:
    """Count events in bins, with arguments that `gpucube.arrays.histogram.histogramdd` has checked.

    All work is queued on the current stream; nothing waits for it.

    Parameters
    ----------
    coordinates : tuple of cupy.ndarray of float32 or float64, each of shape (n_events,)
        One array per axis.
    edges : tuple of cupy.ndarray of float64, each of shape (n_bins + 1,)
        Increasing edges, on the device of `coordinates`.

    Returns
    -------
    cupy.ndarray of int64, shape (n_bins_1, n_bins_2, ...)
        Counts.
    """
    shape = tuple(values.size - 1 for values in edges)
    n_cells, n_events = math.prod(shape), coordinates[0].size
    device = coordinates[0].device
    with device:
        cube = cupy.zeros(shape, dtype=cupy.int64)
        if n_events:
            _count(coordinates, edges, cube, _choose_launch(n_cells, n_events, *_limits(device.id)))
    return cube


def _count(coordinates: tuple[Any, ...], edges: tuple[Any, ...], cube: Any, launch: _Launch) -> None:
    """Queue the two kernels: one that looks at the edges, one that counts."""
    # Arrays made here must outlive the launches: memory of a freed one is reused in stream order, so until then.
    arrays = [_in_elements(values) for values in coordinates]
    edges = tuple(cupy.ascontiguousarray(values) for values in edges)
    # An array of one element is passed to the kernel by value.
    axes = np.zeros(1, dtype=[("axis", AXIS, (len(edges),))])
    for axis, (values, stride), axis_edges in zip(axes["axis"][0], arrays, edges, strict=True):
        axis["values"], axis["stride"], axis["wide"] = values.data.ptr, stride, values.dtype == np.float64
        axis["edges"], axis["bins"] = axis_edges.data.ptr, axis_edges.size - 1
    value = "double" if axes["axis"]["wide"].any() else "float"
    finders = cupy.empty(FINDER_BYTES * len(edges), dtype=cupy.uint8)
    thresholds = cupy.empty(sum(values.size for values in edges), dtype=np.int64 if value == "double" else np.int32)
    module = _module(len(edges), value)
    module.get_function("prepare")((len(edges),), (256,), (axes, finders, thresholds), shared_mem=8)

    kernel = module.get_function(launch.kernel)
    arguments = [axes, np.int64(coordinates[0].size), finders, thresholds, cube]
    if launch.kernel != "count_direct":
        arguments.append(np.int32(cube.size))
    if launch.copies:
        arguments.append(np.int32(launch.copies))
    if launch.shared_bytes > 48 * 1024:  # more has to be asked for
        kernel.max_dynamic_shared_size_bytes = launch.shared_bytes
    kernel((launch.blocks,), (launch.threads,), tuple(arguments), shared_mem=launch.shared_bytes)
