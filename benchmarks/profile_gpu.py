"""Where the histogram kernel spends its time: variants of its data and of its launch, against reading the events.

What hardware counters would say is told apart by leaving one thing out, or making it worse, at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.device import Device, Events, copy_bandwidth, event_sets, open_device
from benchmarks.histogram import cube_edges
from benchmarks.table import Row, Settings, missing
from benchmarks.timing import compare, interleaved
from gpucube.arrays.histogram import bin_counts

__all__ = ["profile"]

GPU_EVENTS = 3 * 10**8
OBSERVATIONS = 12


def profile(settings: Settings) -> list[Row]:
    """Bytes per event, achieved bandwidth and cost of the atomics, by variants."""
    device = open_device()
    if isinstance(device, str):
        return [missing("GPU: profile of the histogram", "reading the events", why=device)]
    n = device.n_events(GPU_EVENTS, settings.events, 40)
    (events, *_), edges = event_sets(device, n), cube_edges()
    variants = _variants(device, events, edges)
    functions = {name: function for name, (function, _) in variants.items()}
    times, answers = interleaved(functions, settings.repeats, device.synchronize)
    _check(answers, n)
    bandwidth, rows = copy_bandwidth(device), []
    for name, (_, n_bytes) in variants.items():
        reading = n_bytes * n / bandwidth
        achieved = n_bytes * n / float(np.median(times[name]))
        all_times = {**times, "reading the events": [reading] * settings.repeats}
        note = f"{n_bytes} bytes/event, {achieved / 1e12:.3g} of {bandwidth / 1e12:.3g} TB/s"
        work = f"{device.label}: profile, {n:.0e} events"
        rows.append(compare(work, all_times, name, "reading the events", goal_kind="at most", note=note))
    return rows


def _variants(device: Device, events: Events, edges: Events) -> dict[str, tuple[Callable[[], Any], int]]:
    """Function and bytes per event of each variant."""
    library, n = device.library, events[0].size

    def count(events: Events, edges: Events) -> Callable[[], Any]:
        return partial(device.native(bin_counts), events, tuple(library.asarray(values) for values in edges))

    rng = np.random.default_rng(1)
    uneven = tuple(e + rng.uniform(-0.2, 0.2, e.size) * np.gradient(e) for e in edges)
    index = library.repeat(library.arange(OBSERVATIONS, dtype=np.float32), -(-n // OBSERVATIONS))[:n]
    crowded = tuple(library.full(n, value, dtype=np.float32) for value in (0.11, 0.001, 0.001))
    variants = {
        "only read: a sum of each array": (lambda: [values.sum() for values in events], 12),
        "as launched": (count(events, edges), 12),
        "all events outside: no atomics": (count(events, (edges[0] + 1e6, *edges[1:])), 12),
        "all events in one bin: crowded atomics": (count(crowded, edges), 12),
        "uneven edges: searched, not computed": (count(events, uneven), 12),
        f"4 axes: {OBSERVATIONS} observations in one launch": (
            count((index, *events), (np.arange(OBSERVATIONS + 1) - 0.5, *edges)),
            16,
        ),
    }
    if not device.is_rehearsal:
        variants |= _launches(events, tuple(library.asarray(values) for values in edges))
    return variants


def _launches(events: Events, edges: Events) -> dict[str, tuple[Callable[[], Any], int]]:
    """The other ways to launch the kernel, which only CUDA has."""
    import cupy

    from gpucube.arrays.native import histogram_cupy

    shape = tuple(values.size - 1 for values in edges)
    n_cells, (blocks, _) = int(np.prod(shape)), histogram_cupy._limits(cupy.cuda.Device().id)
    launches = {
        "count_direct: atomics in L2": histogram_cupy._Launch("count_direct", 8 * blocks, 256),
        "count_halves, 512 threads": histogram_cupy._Launch("count_halves", blocks, 512, 2 * n_cells),
    }

    def run(launch: Any) -> Any:
        cube = cupy.zeros(shape, dtype=cupy.int64)
        histogram_cupy._count(events, edges, cube, launch)
        return cube

    return {name: (partial(run, launch), 12) for name, launch in launches.items()}


def _check(answers: dict[str, Any], n: int) -> None:
    """Ways of counting the same events agree, and the others count what they must."""
    truth = answers["as launched"]
    for name, counts in answers.items():
        if name.startswith("count_"):
            assert bool((counts == truth).all()), name
        if name.startswith("4 axes"):
            assert bool((counts.sum(axis=0) == truth).all()), name
        if name.startswith("all events"):
            assert int(counts.sum()) == (n if "one bin" in name else 0), name
