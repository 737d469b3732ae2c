"""Every CUDA kernel once, checked against NumPy: ``python -m benchmarks.once [EVENTS]``, to run under a profiler.

For instance ``ncu --set basic python -m benchmarks.once 100000000`` or ``compute-sanitizer python -m benchmarks.once
100000``. With ``GPUCUBE_GPU_BACKEND=numpy`` the NumPy versions run in their place.
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.device import Device, event_sets, open_device
from benchmarks.histogram import cube_edges
from benchmarks.sampling import KEY, SHAPE
from gpucube.arrays.backend import get_backend
from gpucube.arrays.histogram import bin_counts
from gpucube.arrays.random import philox_words, random_bits
from gpucube.arrays.sampling import background_events

# Events that NumPy counts too.
CHECKED = 10**6


def histograms(device: Device, n: int) -> None:
    """Each way to count, in each type: the cube of the benchmarks, a small one, and a large one."""
    few = (np.array([0.1, 1.0, 80.0]), *[np.linspace(-0.07, 0.07, 4)] * 2)
    large = (np.geomspace(0.1, 80, 21), *[np.linspace(-0.07, 0.07, 181)] * 2)
    for dtype in (np.float32, np.float64):
        events = event_sets(device, n, dtype)[0]
        host = tuple(device.to_host(values[:CHECKED]).astype(np.float64) for values in events)
        for edges in (cube_edges(), few, large):
            on_device = tuple(device.library.asarray(values) for values in edges)
            device.native(bin_counts)(events, on_device)
            counts = device.to_host(device.native(bin_counts)(tuple(v[:CHECKED] for v in events), on_device))
            np.testing.assert_array_equal(counts, np.histogramdd(host, edges)[0])
            print(f"{device.label}: {n} {np.dtype(dtype).name} events in {counts.shape} bins, same counts as NumPy")


def samples(device: Device, n: int) -> None:
    """Random words and background events, bit by bit."""
    place = {"xp": device.xp, "device": "cpu" if device.is_rehearsal else None}
    host = get_backend("numpy")
    for public, portable, arguments in (
        (random_bits, philox_words, (KEY,)),
        (background_events, background_events, (KEY, SHAPE)),
    ):
        whole = device.native(public)(n, *arguments, start=3, **place)
        start = max(n - CHECKED, 0)
        truth = portable(n - start, *arguments, start=3 + start, xp=host.xp, device=host.device)
        pairs = zip(whole, truth, strict=True) if isinstance(whole, tuple) else [(whole, truth)]
        for ours, theirs in pairs:
            np.testing.assert_array_equal(device.to_host(ours)[start:].view(np.int64), theirs.view(np.int64))
        print(f"{device.label}: {n} of {public.__name__}, same bits as NumPy")


if __name__ == "__main__":
    opened = open_device()
    if isinstance(opened, str):
        sys.exit(opened)
    n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 10**8
    histograms(opened, n_events)
    samples(opened, n_events)
    opened.synchronize()
