"""Events into a cube of 20 x 60 x 60 bins: logarithmic energy, linear DETY and DETX."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.table import Row, Settings, missing
from benchmarks.timing import compare, interleaved
from gpucube.arrays import histogram
from gpucube.arrays.native import histogram_numpy

__all__ = ["BENCHMARKS", "cube_edges", "field_of_view"]

CPU_EVENTS = 10**7
GPU_EVENTS = 10**9
# NumPy's own copies of 10 GB and more say nothing about a histogram.
GPU_SMALLER = 10**8


def cube_edges() -> tuple[np.ndarray, ...]:
    """Edges of energy (TeV), DETY and DETX (rad)."""
    return np.geomspace(0.1, 80, 21), np.linspace(-0.07, 0.07, 61), np.linspace(-0.07, 0.07, 61)


def field_of_view(n_events: int, dtype: type = np.float32, seed: int = 2015) -> tuple[np.ndarray, ...]:
    """Energies of an E^-2.7 spectrum, from a little below the cube on, and a Gaussian field of view."""
    rng = np.random.default_rng(seed)
    energy = 0.09 * (1 - rng.random(n_events)) ** (-1 / 1.7)
    return tuple(values.astype(dtype) for values in (energy, *rng.normal(0, 0.03, (2, n_events))))


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def _wrong(answer: Any, truth: np.ndarray) -> str:
    """Say in how many events an answer differs, each of which may be missing in a bin, extra in another, or both."""
    difference = np.asarray(answer).astype(np.int64) - truth
    wrong = int(max(difference.clip(0).sum(), -difference.clip(None, 0).sum()))
    return "same counts" if wrong == 0 else f"miscounts {wrong} events"


def _boost(library: Any, coordinates: tuple[np.ndarray, ...], threads: int, *, regular: bool) -> Callable[[], Any]:
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


def _fast(library: Any, coordinates: tuple[np.ndarray, ...]) -> Callable[[], Any]:
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
    boost, fast, torch = (_import(name) for name in ("boost_histogram", "fast_histogram", "torch"))
    thread_counts = (1, 2) if len(os.sched_getaffinity(0)) > 1 else (1,)

    functions: dict[str, Callable[[], Any]] = {}
    for threads in thread_counts:
        functions[f"native, {threads} thread(s)"] = partial(histogram_numpy.bin_counts, events, edges, threads)
        functions[f"native float64, {threads} thread(s)"] = partial(histogram_numpy.bin_counts, doubles, edges, threads)
        if boost:
            functions[f"boost-histogram, {threads} thread(s)"] = _boost(boost, events, threads, regular=False)
            functions[f"boost-histogram float64, {threads} thread(s)"] = _boost(boost, doubles, threads, regular=False)
            functions[f"boost-histogram regular/log axes, {threads} thread(s)"] = _boost(
                boost, events, threads, regular=True
            )
    functions["numpy.histogramdd"] = lambda: np.histogramdd(events, edges)[0]
    functions["portable on NumPy"] = lambda: histogram.bin_counts(events, edges)
    if fast:
        functions["fast-histogram"] = _fast(fast, events)
    if torch:
        functions["torch.histogramdd, CPU"] = _torch(torch, events)

    times, answers = interleaved(functions, settings.repeats)
    truth = np.histogramdd(doubles, edges)[0].astype(np.int64)
    for name, answer in answers.items():
        if name.startswith(("native", "portable")):
            np.testing.assert_array_equal(answer, truth, err_msg=name)

    work = f"CPU: {n_events:.0e} float32 events"
    rows = []
    goals = {"boost-histogram": 1.5, "boost-histogram float64": None, "boost-histogram regular/log axes": None}
    for threads in thread_counts:
        for name, goal in goals.items():
            peer, own = f"{name}, {threads} thread(s)", "native float64" if "float64" in name else "native"
            if peer not in times:
                rows.append(missing(work, peer, goal=goal))
                continue
            of = work.replace("float32", "float64") if "float64" in name else work
            ours = f"{own}, {threads} thread(s)"
            rows.append(compare(of, times, ours, peer, goal=goal, note=_wrong(answers[peer], truth)))
    ours = "native, 1 thread(s)"
    for peer, goal in {
        "numpy.histogramdd": 6.0,
        "portable on NumPy": None,
        "fast-histogram": None,
        "torch.histogramdd, CPU": None,
    }.items():
        if peer in times:
            rows.append(compare(work, times, ours, peer, goal=goal, note=_wrong(answers[peer], truth)))
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
    boost, fast, torch = (_import(name) for name in ("boost_histogram", "fast_histogram", "torch"))
    functions: dict[str, Callable[[], Any]] = {
        "native, 1 thread(s)": partial(histogram_numpy.bin_counts, coordinates, edges, 1),
        "numpy.histogramdd": lambda: np.histogramdd(coordinates, edges)[0],
    }
    if boost:
        functions["boost-histogram"] = _boost(boost, coordinates, 1, regular=False)
        functions["boost-histogram regular/log axes"] = _boost(boost, coordinates, 1, regular=True)
    if fast:
        functions["fast-histogram"] = _fast(fast, coordinates)
    if torch:
        functions["torch.histogramdd, CPU"] = _torch(torch, coordinates)
    times, answers = interleaved(functions, settings.repeats)
    ours, *peers = functions
    np.testing.assert_array_equal(answers[ours], truth)
    work = f"CPU: {n_events:.0e} float32 values on and beside edges"
    return [compare(work, times, ours, peer, note=_wrong(answers[peer], truth)) for peer in peers]


def gpu(settings: Settings) -> list[Row]:
    """CUDA kernel against reading the events at copy bandwidth, the portable path and the GPU peers."""
    cupy = _import("cupy")
    try:
        cupy.zeros(1).sum()
    except Exception as error:  # no CuPy, or whatever it raises without driver or device
        return [missing("GPU: histogram", "all peers", why=f"no GPU with CuPy ({type(error).__name__})")]
    # Twelve bytes per event, and as many again for what the peers make of them.
    most = cupy.cuda.Device().mem_info[0] // 40
    rows = _gpu_kernel(cupy, min(settings.events or GPU_EVENTS, most), settings)
    return rows + _gpu_peers(cupy, min(settings.events or GPU_SMALLER, most // 4), settings)


def _gpu_inputs(cupy: Any, n_events: int, dtype: type = np.float32) -> list[tuple[Any, ...]]:
    """Sets of events to take turns with, together several times larger than L2."""
    rng = cupy.random.default_rng(2015)
    needed = 4 * cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["l2CacheSize"]
    sets = []
    for _ in range(max(1, -(-needed // (3 * n_events * np.dtype(dtype).itemsize)))):
        energy = rng.random(n_events, dtype=np.float32)
        cupy.subtract(1, energy, out=energy)
        cupy.power(energy, np.float32(-1 / 1.7), out=energy)
        energy *= np.float32(0.09)
        places = [rng.standard_normal(n_events, dtype=np.float32) for _ in range(2)]
        for place in places:
            place *= np.float32(0.03)
        sets.append(tuple(values.astype(dtype, copy=False) for values in (energy, *places)))
    return sets


def _rotating(count: Callable[..., Any], sets: list[tuple[Any, ...]], *arguments: Any) -> Callable[[], Any]:
    """Function that counts another set of events at each call, and the first one at the first."""
    calls = iter(range(10**9))
    return lambda: count(sets[next(calls) % len(sets)], *arguments)


def _copy_bandwidth(cupy: Any, repeats: int) -> float:
    """Bytes read and written per second by a large copy within the device."""
    source = cupy.random.default_rng(0).integers(0, 2**31, 2**29, dtype=np.int32)  # 2 GiB
    target = cupy.empty_like(source)
    synchronize = cupy.cuda.Device().synchronize
    times, _ = interleaved({"copy": lambda: cupy.copyto(target, source)}, repeats, synchronize)
    return 2 * source.nbytes / float(np.median(times["copy"]))


def _gpu_kernel(cupy: Any, n_events: int, settings: Settings) -> list[Row]:
    """Native kernel, float32 and float64, against the time to read its events."""
    from gpucube.arrays.native import histogram_cupy

    bandwidth = _copy_bandwidth(cupy, settings.repeats)
    cupy.get_default_memory_pool().free_all_blocks()
    edges = tuple(cupy.asarray(e) for e in cube_edges())
    rows = []
    for dtype, goal in ((np.float32, 4.0), (np.float64, None)):
        n = n_events * 4 // np.dtype(dtype).itemsize
        sets = _gpu_inputs(cupy, n, dtype)
        count = _rotating(histogram_cupy.bin_counts, sets, edges)
        times, answers = interleaved({"native": count}, settings.repeats, cupy.cuda.Device().synchronize)
        # The first 10^6 events are checked against NumPy, all of them by the portable path below.
        few = tuple(values[: 10**6] for values in sets[0])
        truth = np.histogramdd(tuple(values.get().astype(np.float64) for values in few), cube_edges())[0]
        np.testing.assert_array_equal(histogram_cupy.bin_counts(few, edges).get(), truth)
        reading = 3 * n * np.dtype(dtype).itemsize / bandwidth
        times = {**times, "reading the events": [reading] * settings.repeats}
        note = f"copy bandwidth {bandwidth / 1e12:.2f} TB/s; {int(answers['native'].sum())} events in the cube"
        work = f"GPU: {n:.0e} {np.dtype(dtype).name} events"
        rows.append(compare(work, times, "native", "reading the events", goal=goal, goal_kind="at most", note=note))
        del sets, count
        cupy.get_default_memory_pool().free_all_blocks()
    return rows


def _cuda_histogram(library: Any, coordinates: tuple[Any, ...]) -> Any:
    counts = library.Hist(*[library.axis.Variable(e) for e in cube_edges()])
    counts.fill(*coordinates)
    return counts.values()


def _gpu_peers(cupy: Any, n_events: int, settings: Settings) -> list[Row]:
    """Native and portable paths against the GPU peers, with what each needs beside the events."""
    from gpucube.arrays.native import histogram_cupy

    sets, edges = _gpu_inputs(cupy, n_events), tuple(cupy.asarray(e) for e in cube_edges())
    work = f"GPU: {n_events:.0e} float32 events"
    candidates: dict[str, Callable[..., Any]] = {
        "native": lambda events: histogram_cupy.bin_counts(events, edges),
        "portable on CuPy": lambda events: histogram.bin_counts(events, edges),
        "cupy.histogramdd": lambda events: cupy.histogramdd(cupy.stack(events, axis=-1), list(edges))[0],
    }
    library = _import("cuda_histogram")
    if library:
        candidates["cuda-histogram"] = lambda events: _cuda_histogram(library, events)
    pool, rows, functions, memory = cupy.get_default_memory_pool(), [], {}, {}
    for name, count in candidates.items():
        pool.free_all_blocks()
        before = pool.total_bytes()
        try:
            count(sets[0])
        except Exception as error:  # out of memory, or a peer that does not know this CuPy
            rows.append(missing(work, name, why=f"{type(error).__name__}: {error}"[:100]))
            continue
        memory[name] = pool.total_bytes() - before
        functions[name] = _rotating(count, sets)
    times, answers = interleaved(functions, settings.repeats, cupy.cuda.Device().synchronize)
    truth = answers["native"].get()
    np.testing.assert_array_equal(answers["portable on CuPy"].get(), truth)

    pairs = [
        ("native", "cupy.histogramdd", 20.0),
        ("native", "cuda-histogram", 5.0),
        ("native", "portable on CuPy", None),
        ("portable on CuPy", "cupy.histogramdd", 1.0),
    ]
    for ours, peer, goal in pairs:
        if peer not in functions or ours not in functions:
            if peer not in candidates:
                rows.append(missing(work, peer, goal=goal))
            continue
        note = f"{_wrong(answers[peer].get(), truth)}; memory {memory[ours] / 1e6:.0f} and {memory[peer] / 1e6:.0f} MB"
        rows.append(compare(work, times, ours, peer, goal=goal, note=note))
    return rows


BENCHMARKS = (cpu, at_edges, gpu)
