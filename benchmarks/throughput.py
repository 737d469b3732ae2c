"""Events per second over the number of events, per library: the points of the plot in the docs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.device import event_sets, open_device, rotating
from benchmarks.histogram import boost_histogram, cube_edges, field_of_view, optional
from benchmarks.table import Row, Settings
from benchmarks.timing import interleaved
from gpucube.arrays import histogram
from gpucube.arrays.native import histogram_numpy

__all__ = ["throughput_cpu", "throughput_gpu"]

CPU_EVENTS = (10**4, 10**5, 10**6, 10**7)
GPU_EVENTS = (10**5, 10**6, 10**7, 10**8, 10**9)


def _points(
    where: str, n_events: int, functions: dict[str, Callable[[], Any]], repeats: int, synchronize: Callable[[], None]
) -> Iterable[Row]:
    times, answers = interleaved(functions, repeats, synchronize)
    truth = next(iter(answers.values())).sum()
    assert all(abs(float(answer.sum()) - float(truth)) < 1e-4 * n_events for answer in answers.values())
    for name, seconds in times.items():
        yield Row(f"{where}: throughput", name, "", float(np.median(seconds)), events=n_events)


def throughput_cpu(settings: Settings) -> list[Row]:
    """NumPy paths and peers for a CPU."""
    edges, boost, rows = cube_edges(), optional("boost_histogram"), list[Row]()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    for n_events in CPU_EVENTS:
        if n_events > (settings.events or n_events):
            continue
        events = field_of_view(n_events)
        functions: dict[str, Callable[[], Any]] = {
            f"gpucube, NumPy, {cores} cores": partial(histogram_numpy.bin_counts, events, edges),
            "gpucube, NumPy, 1 core": partial(histogram_numpy.bin_counts, events, edges, 1),
            "gpucube, portable on NumPy": partial(histogram.bin_counts, events, edges),
            "numpy.histogramdd": lambda events=events: np.histogramdd(events, edges)[0],  # type: ignore[misc]
        }
        if boost:
            for name, regular in (("variable", False), ("regular/log", True)):
                fill = boost_histogram(boost, events, 1, regular=regular)
                functions[f"boost-histogram, {name} axes, 1 core"] = fill
        rows += _points("CPU", n_events, functions, settings.repeats, lambda: None)
    return rows


def throughput_gpu(settings: Settings) -> list[Row]:
    """CuPy paths and cupy.histogramdd."""
    device = open_device()
    if isinstance(device, str):
        return []
    library, rows = device.library, list[Row]()
    edges = tuple(library.asarray(values) for values in cube_edges())
    native = device.native(histogram.bin_counts)
    for wanted in GPU_EVENTS:
        n_events = device.n_events(wanted, settings.events, 132)
        if n_events < wanted:
            break
        sets = event_sets(device, n_events)
        counts: dict[str, Callable[..., Any]] = {
            "gpucube, CuPy": lambda events: native(events, edges),
            "gpucube, portable on CuPy": lambda events: histogram.bin_counts(events, edges),
            "cupy.histogramdd": lambda events: library.histogramdd(library.stack(events, axis=-1), list(edges))[0],
        }
        functions = {name: rotating(count, sets) for name, count in counts.items()}
        rows += _points(device.label, n_events, functions, settings.repeats, device.synchronize)
        del sets, functions
        device.release()
    return rows
