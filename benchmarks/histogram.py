"""Events into a cube of 20 x 60 x 60 bins: logarithmic energy, linear DETY and DETX."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.table import Row, Settings, missing
from benchmarks.timing import compare, interleaved
from gpucube.arrays import histogram
from gpucube.arrays.native import histogram_numpy

__all__ = [
    "at_edges",
    "boost_histogram",
    "cpu",
    "cube_edges",
    "fast_histogram",
    "field_of_view",
    "optional",
    "portable_memory",
    "wrong_counts",
]

CPU_EVENTS = 10**7


def cube_edges() -> tuple[np.ndarray, ...]:
    """Edges of energy (TeV), DETY and DETX (rad)."""
    return np.geomspace(0.1, 80, 21), np.linspace(-0.07, 0.07, 61), np.linspace(-0.07, 0.07, 61)


def field_of_view(n_events: int, dtype: type = np.float32, seed: int = 2015) -> tuple[np.ndarray, ...]:
    """Energies of an E^-2.7 spectrum, from a little below the cube on, and a Gaussian field of view."""
    rng = np.random.default_rng(seed)
    energy = 0.09 * (1 - rng.random(n_events)) ** (-1 / 1.7)
    return tuple(values.astype(dtype) for values in (energy, *rng.normal(0, 0.03, (2, n_events))))


def optional(name: str) -> Any:
    """Import a peer; None where it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None


def wrong_counts(answer: Any, truth: np.ndarray) -> str:
    """Say in how many events an answer differs, each of which may be missing in a bin, extra in another, or both."""
    difference = np.asarray(answer).astype(np.int64) - truth
    wrong = int(max(difference.clip(0).sum(), -difference.clip(None, 0).sum()))
    return "same counts" if wrong == 0 else f"miscounts {wrong} events"


def boost_histogram(
    library: Any, coordinates: tuple[np.ndarray, ...], threads: int, *, regular: bool
) -> Callable[[], Any]:
    """Function that fills a boost-histogram of the cube."""
    axis, edges = library.axis, cube_edges()
    if regular:  # bins computed from their number and range: faster, but not the edges that were asked for
        axes = [axis.Regular(e.size - 1, e[0], e[-1]) for e in edges[1:]]
        axes.insert(0, axis.Regular(20, 0.1, 80, transform=axis.transform.log))
    else:
        axes = [axis.Variable(e) for e in edges]

    def fill() -> Any:
        counts = library.Histogram(*axes, storage=library.storage.Int64())
        counts.fill(*coordinates, threads=threads)
        return counts.values()

    return fill


def fast_histogram(library: Any, coordinates: tuple[np.ndarray, ...]) -> Callable[[], Any]:
    """Function that fills the cube with fast-histogram, energies in their logarithm."""
    edges = cube_edges()
    ranges = [(np.log10(0.1), np.log10(80)), *[(e[0], e[-1]) for e in edges[1:]]]
    bins = tuple(e.size - 1 for e in edges)
    return lambda: library.histogramdd((np.log10(coordinates[0]), *coordinates[1:]), bins, ranges)


def _torch(library: Any, coordinates: tuple[np.ndarray, ...]) -> Callable[[], Any]:
    columns = [library.from_numpy(values) for values in coordinates]
    edges = [library.from_numpy(e.astype(coordinates[0].dtype)) for e in cube_edges()]
    return lambda: library.histogramdd(library.stack(columns, dim=-1), edges).hist.numpy()


def cpu(settings: Settings) -> list[Row]:
    """NumPy path against NumPy and the histogram libraries for a CPU, with one and two threads."""
    n_events, edges = settings.events or CPU_EVENTS, cube_edges()
    events = field_of_view(n_events)
    doubles = tuple(values.astype(np.float64) for values in events)
    boost, fast, torch = (optional(name) for name in ("boost_histogram", "fast_histogram", "torch"))
    thread_counts = (1, 2) if len(os.sched_getaffinity(0)) > 1 else (1,)

    functions: dict[str, Callable[[], Any]] = {}
    for threads in thread_counts:
        functions[f"native, {threads} thread(s)"] = partial(histogram_numpy.bin_counts, events, edges, threads)
        functions[f"native float64, {threads} thread(s)"] = partial(histogram_numpy.bin_counts, doubles, edges, threads)
        if boost:
            functions[f"boost-histogram, {threads} thread(s)"] = boost_histogram(boost, events, threads, regular=False)
            functions[f"boost-histogram float64, {threads} thread(s)"] = boost_histogram(
                boost, doubles, threads, regular=False
            )
            functions[f"boost-histogram regular/log axes, {threads} thread(s)"] = boost_histogram(
                boost, events, threads, regular=True
            )
    functions["numpy.histogramdd"] = lambda: np.histogramdd(events, edges)[0]
    functions["portable on NumPy"] = lambda: histogram.bin_counts(events, edges)
    if fast:
        functions["fast-histogram"] = fast_histogram(fast, events)
    if torch:
        functions["torch.histogramdd, CPU"] = _torch(torch, events)

    times, answers = interleaved(functions, settings.repeats)
    truth = np.histogramdd(doubles, edges)[0].astype(np.int64)
    for name, answer in answers.items():
        if name.startswith(("native", "portable")):
            np.testing.assert_array_equal(answer, truth, err_msg=name)

    work = f"CPU: {n_events:.0e} float32 events"
    rows = []
    goals = {"boost-histogram": 1.5, "boost-histogram float64": None, "boost-histogram regular/log axes": 1.5}
    for threads in thread_counts:
        for name, goal in goals.items():
            peer, own = f"{name}, {threads} thread(s)", "native float64" if "float64" in name else "native"
            if peer not in times:
                rows.append(missing(work, peer, goal=goal))
                continue
            of = work.replace("float32", "float64") if "float64" in name else work
            ours = f"{own}, {threads} thread(s)"
            rows.append(compare(of, times, ours, peer, goal=goal, note=wrong_counts(answers[peer], truth)))
    ours = "native, 1 thread(s)"
    for peer, goal in {
        "numpy.histogramdd": 6.0,
        "portable on NumPy": None,
        "fast-histogram": None,
        "torch.histogramdd, CPU": None,
    }.items():
        if peer in times:
            rows.append(compare(work, times, ours, peer, goal=goal, note=wrong_counts(answers[peer], truth)))
        else:
            rows.append(missing(work, peer, goal=goal))
    return rows


def at_edges(settings: Settings) -> list[Row]:
    """Who counts right where all values lie on an edge or one unit in the last place beside it."""
    edges = cube_edges()
    rng, n_events = np.random.default_rng(1), min(settings.events or 10**5, 10**6)
    events = []
    for axis in edges:
        at = rng.choice(axis, n_events).astype(np.float32)
        events.append(np.nextafter(at, at + rng.integers(-1, 2, n_events).astype(np.float32)))
    coordinates = tuple(events)
    truth = np.histogramdd(tuple(values.astype(np.float64) for values in coordinates), edges)[0].astype(np.int64)
    boost, fast, torch = (optional(name) for name in ("boost_histogram", "fast_histogram", "torch"))
    functions: dict[str, Callable[[], Any]] = {
        "native, 1 thread(s)": partial(histogram_numpy.bin_counts, coordinates, edges, 1),
        "numpy.histogramdd": lambda: np.histogramdd(coordinates, edges)[0],
    }
    if boost:
        functions["boost-histogram"] = boost_histogram(boost, coordinates, 1, regular=False)
        functions["boost-histogram regular/log axes"] = boost_histogram(boost, coordinates, 1, regular=True)
    if fast:
        functions["fast-histogram"] = fast_histogram(fast, coordinates)
    if torch:
        functions["torch.histogramdd, CPU"] = _torch(torch, coordinates)
    times, answers = interleaved(functions, settings.repeats)
    ours, *peers = functions
    np.testing.assert_array_equal(answers[ours], truth)
    work = f"CPU: {n_events:.0e} float32 values on and beside edges"
    return [compare(work, times, ours, peer, note=wrong_counts(answers[peer], truth)) for peer in peers]


def portable_memory(settings: Settings) -> list[Row]:
    """Portable path against numpy.histogramdd: what each needs beside the events."""
    n_events, edges = settings.events or CPU_EVENTS, cube_edges()
    events = field_of_view(n_events)
    functions = {
        "portable on NumPy": lambda: histogram.bin_counts(events, edges),
        "numpy.histogramdd": lambda: np.histogramdd(events, edges)[0],
    }
    peaks = []
    for function in functions.values():
        tracemalloc.start()
        function()
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
    times, answers = interleaved(functions, settings.repeats)
    np.testing.assert_array_equal(*answers.values())
    work = f"CPU: {n_events:.0e} float32 events"
    return [
        compare(work, times, *functions, note="same counts"),
        Row(f"{work}: memory", *functions, *peaks, peaks[0] / peaks[1], goal_kind="at most", unit="MB"),
    ]
