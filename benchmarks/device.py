"""The device of the GPU benchmarks: CuPy on a GPU, or NumPy in its place to rehearse every step without one.

``GPUCUBE_GPU_BACKEND=numpy`` makes it a rehearsal, which every row of the table says: it shows that the
benchmarks run and that the answers agree, and times nothing that matters.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.table import is_rehearsal
from benchmarks.timing import interleaved
from gpucube.arrays.dispatch import fastest

__all__ = ["Device", "Events", "copy_bandwidth", "event_sets", "open_device", "rotating"]

Events = tuple[Any, ...]

REHEARSAL_EVENTS = 2 * 10**5


@dataclass(frozen=True)
class Device:
    """A library and what the benchmarks need to know of its device.

    Attributes
    ----------
    library : module
        CuPy, or NumPy in a rehearsal.
    xp : module
        Its Array API namespace.
    label : str
        How rows call it.
    cache_bytes, free_bytes : int
        Size of the last cache, and memory that is free.
    synchronize : function
        Waits for the device.
    """

    library: Any
    xp: Any
    label: str
    cache_bytes: int
    free_bytes: int
    synchronize: Callable[[], None]

    @property
    def is_rehearsal(self) -> bool:
        """Whether this is NumPy in place of a GPU."""
        return self.library is np

    def native(self, portable: Callable[..., Any]) -> Callable[..., Any]:
        """Fastest version of a function for this library."""
        return fastest(portable, self.xp)

    def n_events(self, wanted: int, asked: int | None, bytes_per_event: int) -> int:
        """Events to use: as many as were asked for, or wanted, and as fit into a tenth less than the free memory."""
        most = REHEARSAL_EVENTS if self.is_rehearsal else int(0.9 * self.free_bytes) // bytes_per_event
        return min(asked or wanted, most)

    def goal(self, value: float | None) -> float | None:
        """Goal of a row; a rehearsal has none."""
        return None if self.is_rehearsal else value

    def peak_memory(self, function: Callable[[], Any]) -> int:
        """Bytes that a call needs at most beside what is there before; its result counts."""
        if self.is_rehearsal:
            tracemalloc.start()
            function()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return peak
        # The pool gives nothing back by itself, so its growth is the peak.
        pool = self.library.get_default_memory_pool()
        pool.free_all_blocks()
        before = pool.total_bytes()
        function()
        self.synchronize()
        peak = pool.total_bytes() - before
        pool.free_all_blocks()
        return int(peak)

    def release(self) -> None:
        """Give memory back that no array uses."""
        if not self.is_rehearsal:
            self.library.get_default_memory_pool().free_all_blocks()

    def to_host(self, values: Any) -> np.ndarray:
        """Copy to the host."""
        return values if self.is_rehearsal else values.get()


def open_device() -> Device | str:
    """Open the device, or say why there is none."""
    if is_rehearsal():
        return Device(np, import_module("array_api_compat.numpy"), "REHEARSAL on NumPy", 2**20, 2**31, lambda: None)
    try:
        cupy = import_module("cupy")
        cupy.zeros(1).sum()
        device = cupy.cuda.Device()
        cache_bytes = cupy.cuda.runtime.getDeviceProperties(device.id)["l2CacheSize"]
    except Exception as error:  # no CuPy, or whatever it raises without driver or device
        return f"no GPU with CuPy ({type(error).__name__})"
    xp = import_module("array_api_compat.cupy")
    return Device(cupy, xp, "GPU", cache_bytes, device.mem_info[0], device.synchronize)


def event_sets(device: Device, n_events: int, dtype: type = np.float32) -> list[Events]:
    """Sets of events to take turns with, together several times larger than the last cache.

    Energies of an E^-2.7 spectrum, from a little below the cube on, and a Gaussian field of view, made on the device.
    """
    library, rng = device.library, device.library.random.default_rng(2015)
    sets = []
    for _ in range(max(1, -(-4 * device.cache_bytes // (3 * n_events * np.dtype(dtype).itemsize)))):
        energy = rng.random(n_events, dtype=np.float32)
        library.subtract(1, energy, out=energy)
        library.power(energy, np.float32(-1 / 1.7), out=energy)
        energy *= np.float32(0.09)
        places = [rng.standard_normal(n_events, dtype=np.float32) for _ in range(2)]
        for place in places:
            place *= np.float32(0.03)
        sets.append(tuple(values.astype(dtype, copy=False) for values in (energy, *places)))
    return sets


def rotating(count: Callable[..., Any], sets: list[Events], *arguments: Any) -> Callable[[], Any]:
    """Function that counts another set of events at each call, and the first one at the first."""
    calls = iter(range(10**9))
    return lambda: count(sets[next(calls) % len(sets)], *arguments)


@cache
def copy_bandwidth(device: Device) -> float:
    """Bytes read and written per second by a large copy within the device, measured once."""
    source = device.library.arange(10**6 if device.is_rehearsal else 2**29, dtype=np.int32)
    target = device.library.empty_like(source)
    times, _ = interleaved({"copy": lambda: device.library.copyto(target, source)}, 9, device.synchronize)
    return 2 * source.nbytes / float(np.median(times["copy"]))
