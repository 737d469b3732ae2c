"""Events that are on a GPU into a cube of 20 x 60 x 60 bins, against the card itself and against its histograms."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.device import Device, Events, copy_bandwidth, event_sets, open_device, rotating
from benchmarks.histogram import cube_edges, wrong_counts
from benchmarks.table import Row, Settings, missing
from benchmarks.timing import compare, interleaved
from gpucube.arrays.histogram import bin_counts

__all__ = ["kernel", "peers"]

GPU_EVENTS = 10**9
# What cupy.histogramdd may need beside its input: a stacked copy, three arrays of int64, and what works on them.
PEER_BYTES_PER_EVENT = 120


def kernel(settings: Settings) -> list[Row]:
    """Native kernel, float32 and float64, against the time to read its events; all answers by the portable path too."""
    device = open_device()
    if isinstance(device, str):
        return [missing("GPU: histogram", "reading the events", why=device, goal=4.0, goal_kind="at most")]
    rows, edges = [], _edges(device)
    for dtype, goal in ((np.float32, 4.0), (np.float64, None)):
        size = np.dtype(dtype).itemsize
        n = device.n_events(GPU_EVENTS * 4 // size, settings.events, 6 * size)
        sets = event_sets(device, n, dtype)
        count = rotating(device.native(bin_counts), sets, edges)
        times, answers = interleaved({"native": count}, settings.repeats, device.synchronize)
        bandwidth = copy_bandwidth(device)
        seconds = 3 * n * size / bandwidth
        times = {**times, "reading the events": [seconds] * settings.repeats}
        _check(device, sets[0], answers["native"])
        note = f"{3 * size} bytes/event at {bandwidth / 1e12:.3g} TB/s copy bandwidth; same counts as the portable path"
        work = f"{device.label}: {n:.0e} {np.dtype(dtype).name} events"
        goal = device.goal(goal)
        rows.append(compare(work, times, "native", "reading the events", goal=goal, goal_kind="at most", note=note))
        del sets, count
        device.release()
    return rows


def _edges(device: Device) -> Events:
    return tuple(device.library.asarray(values) for values in cube_edges())


def _check(device: Device, events: Events, counts: Any) -> None:
    """All events by the portable path, and a million of them by NumPy itself."""
    edges = _edges(device)
    np.testing.assert_array_equal(device.to_host(counts), device.to_host(bin_counts(events, edges)))
    few = tuple(values[: 10**6] for values in events)
    truth = np.histogramdd(tuple(device.to_host(values).astype(np.float64) for values in few), cube_edges())[0]
    np.testing.assert_array_equal(device.to_host(device.native(bin_counts)(few, edges)), truth)


def _cuda_histogram(library: Any, *, regular: bool) -> Callable[[Events], Any]:
    edges, axis = cube_edges(), library.axis
    axes = [axis.Variable(values) for values in edges]
    if regular:  # it has no logarithmic axis
        axes[1:] = [axis.Regular(e.size - 1, float(e[0]), float(e[-1])) for e in edges[1:]]

    def fill(events: Events) -> Any:
        counts = library.Hist(*axes)
        counts.fill(*events)
        return counts.values()

    return fill


def _candidates(device: Device) -> dict[str, Callable[[Events], Any]]:
    library, edges = device.library, _edges(device)
    native = device.native(bin_counts)
    functions: dict[str, Callable[[Events], Any]] = {
        "native": lambda events: native(events, edges),
        "portable": lambda events: bin_counts(events, edges),
        f"{library.__name__}.histogramdd": lambda events: library.histogramdd(
            library.stack(events, axis=-1), list(edges)
        )[0],
    }
    if not device.is_rehearsal:
        try:
            peer = import_module("cuda_histogram")
        except ImportError:
            return functions
        functions["cuda-histogram"] = _cuda_histogram(peer, regular=False)
        functions["cuda-histogram regular axes"] = _cuda_histogram(peer, regular=True)
    return functions


def peers(settings: Settings) -> list[Row]:
    """Native and portable paths against the GPU peers: time, and what each needs beside the events."""
    device = open_device()
    if isinstance(device, str):
        goals = {"cupy.histogramdd": 20.0, "cuda-histogram": 5.0}
        return [missing("GPU: histogram", peer, why=device, goal=goal) for peer, goal in goals.items()]
    n = device.n_events(GPU_EVENTS, settings.events, PEER_BYTES_PER_EVENT + 12)
    sets, work = event_sets(device, n), f"{device.label}: {n:.0e} float32 events"
    functions, memory, rows = {}, {}, []
    candidates = _candidates(device)
    for name, count in candidates.items():
        try:
            memory[name] = device.peak_memory(lambda count=count: count(sets[0]))  # type: ignore[misc]
        except Exception as error:  # out of memory, or a peer that does not know this CuPy
            rows.append(missing(work, name, why=f"{type(error).__name__}: {error}"[:100]))
            continue
        functions[name] = rotating(count, sets)
    times, answers = interleaved(functions, settings.repeats, device.synchronize)
    truth = device.to_host(answers["native"])
    np.testing.assert_array_equal(device.to_host(answers["portable"]), truth)
    return rows + _rows(device, work, times, {k: device.to_host(v) for k, v in answers.items()}, memory, candidates)


def _rows(
    device: Device, work: str, times: Any, answers: Any, memory: dict[str, int], candidates: dict[str, Any]
) -> list[Row]:
    theirs = f"{device.library.__name__}.histogramdd"
    goals = {theirs: 20.0, "cuda-histogram": 5.0, "cuda-histogram regular axes": None, "portable": None}
    pairs = [("native", peer, goal) for peer, goal in goals.items()] + [("portable", theirs, 1.0)]
    rows = []
    for ours, peer, goal in pairs:
        goal = device.goal(goal)
        if peer not in candidates:
            rows.append(missing(work, peer, goal=goal))
        elif peer in times:
            note = wrong_counts(answers[peer], answers["native"])
            rows.append(compare(work, times, ours, peer, goal=goal, note=note))
    for ours in ("native", "portable"):
        if theirs in memory:
            ratio, goal = memory[ours] / memory[theirs], device.goal(0.5)
            note = "beside the events; goal: a fraction"
            measured = (memory[ours] / 1e6, memory[theirs] / 1e6)
            rows.append(Row(f"{work}: memory", ours, theirs, *measured, ratio, goal, "at most", note, unit="MB"))
    return rows
