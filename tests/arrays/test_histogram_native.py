"""Native histograms against `numpy.histogramdd` on float64 values, and the CUDA kernel run on the CPU."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpucube.arrays import histogram
from gpucube.arrays.native import histogram_numpy

CUDA_SOURCE = Path(histogram_numpy.__file__).with_name("histogram.cu")
# Finite extremes of float32, beyond them, denormals of both types, and the special values.
SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1e300,
    -1e300,
    3.4028235e38,
    -3.4028235e38,
    1e-45,
    -1e-45,
    5e-324,
    1e-310,
]
CUBE_EDGES = (np.geomspace(0.1, 80, 21), np.linspace(-0.07, 0.07, 61), np.linspace(-0.07, 0.07, 61))

Array = np.ndarray
Counter = Callable[[tuple[Array, ...], tuple[Array, ...]], Array]


def oracle(coordinates: tuple[Array, ...], edges: tuple[Array, ...]) -> Array:
    """Counts by NumPy's own code, which does not take events without axes apart."""
    sample = np.stack([np.asarray(values, dtype=np.float64) for values in coordinates], axis=-1)
    # numpy.histogramdd subtracts infinite edges, for a density that nobody asked for.
    with np.errstate(all="ignore"):
        return np.histogramdd(sample, bins=list(edges))[0].astype(np.int64)


def around(values: Array, dtype: type) -> Array:
    """Values of a dtype next to given ones: below, at and above each."""
    with np.errstate(over="ignore"):
        at: Array = np.asarray(values, dtype=np.float64).astype(dtype)
        return np.concatenate([at, np.nextafter(at, dtype(-np.inf)), np.nextafter(at, dtype(np.inf))])


@st.composite
def axis_edges(draw: st.DrawFn) -> Array:
    """Edges, strictly increasing: even, even in the logarithm, uneven, tiny, huge, off centre, infinite."""
    n = draw(st.integers(1, 40))
    low = draw(st.sampled_from([-0.07, 0.0, -3.3, 1e-3, 55000.0, -1e30, 1e-40, 16777216.0]))
    match draw(st.sampled_from(["even", "log", "uneven", "any", "infinite", "ulps"])):
        case "even":
            edges = np.linspace(low, low + abs(draw(st.sampled_from([0.14, 60.0, 1e-6, 1e31]))), n + 1)
        case "log":
            start = draw(st.sampled_from([0.1, 1.0, 1e-30, 7e-310]))
            edges = np.geomspace(start, start * draw(st.sampled_from([2.0, 800.0, 1e40])), n + 1)
        case "uneven":
            edges = np.cumsum(np.array(draw(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=30)))) + low
        case "infinite":
            edges = np.concatenate([[-np.inf], np.linspace(-1, 1, n), [np.inf]])
        case "ulps":
            edges = low + np.arange(n + 1) * np.spacing(abs(low))
        case _:
            edges = np.array(draw(st.lists(st.floats(allow_nan=False), min_size=2, max_size=9)))
    edges = np.unique(edges)  # -0.0 and 0.0 are one edge
    return edges if edges.size > 1 else np.array([0.0, 1.0])


@st.composite
def problems(draw: st.DrawFn, max_axes: int = 4) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Coordinates, many of them on or beside an edge, in either dtype and in any memory layout, and edges."""
    edges = tuple(draw(st.lists(axis_edges(), min_size=1, max_size=max_axes)))
    n_events = draw(st.sampled_from([0, 1, 2, 17, 300]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    coordinates = []
    for values in edges:
        dtype = draw(st.sampled_from([np.float32, np.float64]))
        finite = values[np.isfinite(values)]
        with np.errstate(all="ignore"):
            inside = rng.uniform(0, 1, 100) * (finite[-1] / 2 - finite[0] / 2) * 2 + finite[0]
            pool = np.concatenate([around(values, dtype), around(values, np.float64), inside, SPECIAL]).astype(dtype)
        chosen = rng.choice(pool, n_events)
        match draw(st.sampled_from(["plain", "strided", "backward", "read-only", "big-endian"])):
            case "strided":
                wide = np.empty((n_events, 3), dtype=dtype)
                wide[:, 1] = chosen
                chosen = wide[:, 1]
            case "backward":
                chosen = chosen[::-1].copy()[::-1]
            case "read-only":
                chosen.flags.writeable = False
            case "big-endian":
                chosen = chosen.astype(chosen.dtype.newbyteorder(">"))
        coordinates.append(chosen)
    return tuple(coordinates), edges


def assert_exact(count: Counter, coordinates: tuple[Array, ...], edges: tuple[Array, ...]) -> None:
    before = [values.copy() for values in coordinates]
    counts = count(coordinates, edges)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, oracle(coordinates, edges))
    for values, copy in zip(coordinates, before, strict=True):
        np.testing.assert_array_equal(values, copy)


def field_of_view(n_events: int, dtype: type, seed: int = 0) -> tuple[Array, ...]:
    """Energies (TeV) of a power law and a Gaussian field of view (rad)."""
    rng = np.random.default_rng(seed)
    energy = 0.08 * (1 - rng.random(n_events)) ** (-1 / 1.7)
    return tuple(values.astype(dtype) for values in (energy, *rng.normal(0, 0.03, (2, n_events))))


class TestNumpy:
    """`gpucube.arrays.native.histogram_numpy`."""

    @given(problem=problems(), threads=st.sampled_from([None, 1, 2, 3]))
    def test_equals_numpy_exactly(
        self, problem: tuple[tuple[Array, ...], tuple[Array, ...]], threads: int | None
    ) -> None:
        assert_exact(lambda c, e: histogram_numpy.bin_counts(c, e, threads=threads), *problem)

    @given(problem=problems())
    def test_equals_portable(self, problem: tuple[tuple[Array, ...], tuple[Array, ...]]) -> None:
        coordinates = tuple(values.astype(values.dtype.newbyteorder("=")) for values in problem[0])
        native = histogram_numpy.bin_counts(coordinates, problem[1])
        np.testing.assert_array_equal(native, histogram.bin_counts(coordinates, problem[1]))

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("threads", [1, 2])
    def test_many_blocks(self, dtype: type, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(histogram_numpy, "BLOCK", 1000)
        monkeypatch.setattr(histogram_numpy, "FLUSH", 100_000)
        events = field_of_view(99_999, dtype)
        assert_exact(lambda c, e: histogram_numpy.bin_counts(c, e, threads=threads), events, CUBE_EDGES)

    @pytest.mark.parametrize("threads", [1, 2])
    def test_cube_with_more_bins_than_float32_counts(self, threads: int) -> None:
        edges = (np.linspace(-0.07, 0.07, 6001), np.linspace(-0.07, 0.07, 4001))
        _, *events = field_of_view(20_000, np.float32)
        counts = histogram_numpy.bin_counts(tuple(events), edges, threads=threads)
        inside = np.flatnonzero(oracle(tuple(events), edges))
        np.testing.assert_array_equal(np.flatnonzero(counts), inside)

    def test_default_uses_one_thread_for_few_events_and_all_cores_for_many(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pools: list[int] = []

        def spy(threads: int) -> Any:
            pools.append(threads)
            return ThreadPoolExecutor(threads)

        monkeypatch.setattr(histogram_numpy, "ThreadPoolExecutor", spy)
        monkeypatch.setattr(histogram_numpy, "_cores", lambda: 3)
        monkeypatch.setattr(histogram_numpy, "EVENTS_PER_THREAD", 30_000)
        for n_events in (10_000, 70_000, 200_000):
            events = field_of_view(n_events, np.float32)[1:]
            assert_exact(histogram_numpy.bin_counts, events, (np.linspace(-0.1, 0.1, 8), np.linspace(-0.1, 0.1, 5)))
        assert pools == [2, 3]

    @pytest.mark.parametrize(
        ("edges", "kind"),
        [
            (CUBE_EDGES[0], "log"),
            (CUBE_EDGES[1], "linear"),
            (np.array([0.0, 1.0, 3.0, 10.0]), "search"),
            (np.array([-np.inf, 0.0, 1.0]), "search"),
            (np.array([1.0, 10.0]), "linear"),
        ],
    )
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_recognises_even_axes(self, edges: Array, kind: str, dtype: type) -> None:
        (axis,), _ = histogram_numpy._axes(
            [histogram_numpy._axis_of(edges.tobytes(), np.dtype(dtype).str)], edges.size + 1
        )
        assert axis.kind == kind

    def test_tolerance_is_small_where_it_matters(self) -> None:
        for edges in CUBE_EDGES:
            axis = histogram_numpy._axis(histogram_numpy._thresholds(edges, np.dtype(np.float32)), np.float32)
            assert axis.tolerance < 2e-4  # share of events that have to be repaired


# What NVRTC gives the kernel, on the CPU: threads of a block are threads, blocks run one after another, and operations
# on floats flush.
CUDA_ON_CPU = r"""
#include <atomic>
#include <barrier>
#include <cmath>
#include <string>
#include <thread>
#include <vector>
#include "flushing.h"
#define __device__
#define __global__
#define __shared__
#define __forceinline__ inline
#define __launch_bounds__(n)
struct Index { unsigned x; };
static thread_local Index threadIdx, blockIdx;
static Index blockDim, gridDim;
static std::barrier<>* block_barrier;
static void __syncthreads() { block_barrier->arrive_and_wait(); }
template <class T> T __ldcs(const T* p) { return *p; }
template <class T> T atomicAdd(T* p, T x) { return __atomic_fetch_add(p, x, __ATOMIC_RELAXED); }
template <class T> T atomicSub(T* p, T x) { return __atomic_fetch_sub(p, x, __ATOMIC_RELAXED); }
template <class T> T atomicMax(T* p, T x)
{
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (old < x && !__atomic_compare_exchange_n(p, &old, x, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    return old;
}
#define float Flushing
#include "histogram.cu"
unsigned shared[232448 / 4];

template <class T> T& argument(void** arguments, int i) { return *(T*)arguments[i]; }
#define A(type, i) argument<type>(arguments, i)

// As cuLaunchKernel: one pointer per argument of the kernel.
extern "C" int launch(const char* name, unsigned grid, unsigned block, unsigned shared_bytes, void** arguments)
{
    const std::string kernel = name;
    if (shared_bytes > sizeof(shared)) return 1;
    blockDim.x = block;
    gridDim.x = grid;
    for (unsigned b = 0; b < grid; ++b) {
        for (unsigned& word : shared) word = 0xdeadbeef;  // shared memory starts with anything
        std::barrier<> barrier(block);
        block_barrier = &barrier;
        std::vector<std::thread> threads;
        for (unsigned t = 0; t < block; ++t)
            threads.emplace_back([&, t] {
                threadIdx.x = t;
                blockIdx.x = b;
                if (kernel == "prepare") prepare(A(Axes, 0), A(Finder*, 1), A(Rank*, 2));
                if (kernel == "count_direct")
                    count_direct(A(Axes, 0), A(int64, 1), A(Finder*, 2), A(Rank*, 3), A(counts*, 4));
                if (kernel == "count_words")
                    count_words(A(Axes, 0), A(int64, 1), A(Finder*, 2), A(Rank*, 3), A(counts*, 4), A(int, 5),
                                A(int, 6));
                if (kernel == "count_halves")
                    count_halves(A(Axes, 0), A(int64, 1), A(Finder*, 2), A(Rank*, 3), A(counts*, 4), A(int, 5));
            });
        for (auto& thread : threads) thread.join();
    }
    return 0;
}
"""
# Few threads, so that a test takes no time; barriers and atomics do not depend on how many they are.
EMULATED_THREADS = 3


class DeviceArray(np.ndarray):
    """A NumPy array with the two attributes of a CuPy array that the launcher uses."""

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.__array_interface__["data"][0])

    @property
    def device(self) -> Any:
        return nullcontext()


def device_view(shape: tuple[int, ...], dtype: Any, memptr: Any, strides: tuple[int, ...]) -> DeviceArray:
    """`cupy.ndarray` on memory that an array has."""
    n_bytes = (shape[0] - 1) * strides[0] + shape[1] * strides[1]
    memory = (ctypes.c_ubyte * n_bytes).from_address(memptr.ptr)
    return np.ndarray(shape, dtype, memory, strides=strides).view(DeviceArray)


class EmulatedModule:
    """In place of `cupy.RawModule`: the source compiled by g++."""

    folder: Path
    launched: list[str]
    built: dict[tuple[str, ...], ctypes.CDLL]

    def __init__(self, code: str, options: tuple[str, ...]) -> None:
        assert code == CUDA_SOURCE.read_text(encoding="utf-8")
        self.options = options

    def get_function(self, name: str) -> Callable[..., None]:
        if self.options not in self.built:
            self.built[self.options] = self._build()
        library = self.built[self.options]

        def launch(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...], shared_mem: int) -> None:
            self.launched.append(name)
            pointers = (ctypes.c_void_p * len(arguments))()
            alive = []
            for i, argument in enumerate(arguments):
                if isinstance(argument, DeviceArray):
                    argument = np.uintp(argument.data.ptr)
                by_value = np.asarray(argument)
                assert by_value.size == 1
                alive.append(by_value)
                pointers[i] = by_value.__array_interface__["data"][0]
            threads = min(EMULATED_THREADS, block[0])
            assert library.launch(name.encode(), min(grid[0], 5), threads, shared_mem, pointers) == 0

        return launch

    def _build(self) -> ctypes.CDLL:
        path = self.folder / f"emulated{len(self.built)}"
        path.with_suffix(".cpp").write_text(CUDA_ON_CPU)
        # No contraction: nvcc contracts, so the kernel says fmaf where it means it.
        flags = ["-std=c++20", "-O2", "-ffp-contract=off", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused"]
        command = ["g++", *flags, "-shared", "-fPIC", "-pthread", f"-I{CUDA_SOURCE.parent}"]
        command += [f"-I{Path(__file__).parent}", *self.options]
        subprocess.run([*command, "-o", path.with_suffix(".so"), path.with_suffix(".cpp")], check=True)
        return ctypes.CDLL(str(path.with_suffix(".so")))


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`histogram_cupy` with CuPy replaced by NumPy and the GPU by threads."""
    if not shutil.which("g++"):
        pytest.skip("needs g++")
    pytest.importorskip("cupy")
    from gpucube.arrays.native import histogram_cupy

    EmulatedModule.folder = tmp_path_factory.mktemp("emulated")
    EmulatedModule.launched, EmulatedModule.built = [], {}
    fake = SimpleNamespace(
        RawModule=EmulatedModule,
        uint8=np.uint8,
        empty=lambda n, dtype: np.full(n, 113, dtype=dtype).view(DeviceArray),
        ascontiguousarray=lambda values: np.ascontiguousarray(values).view(DeviceArray),
        ndarray=device_view,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histogram_cupy, "cupy", fake)
        patch.setattr(
            histogram_cupy,
            "_module",
            lambda n, value: EmulatedModule(CUDA_SOURCE.read_text(encoding="utf-8"), histogram_cupy.options(n, value)),
        )
        yield histogram_cupy


def count_emulated(module: Any, kernel: str, coordinates: tuple[Array, ...], edges: tuple[Array, ...]) -> Array:
    """Count with one of the three kernels, whatever the launcher would choose."""
    n_cells = int(np.prod([values.size - 1 for values in edges]))
    cube = np.zeros([values.size - 1 for values in edges], dtype=np.int64).view(DeviceArray)
    shared = {"count_direct": 0, "count_words": 4 * n_cells * 2, "count_halves": 4 * -(-n_cells // 2)}[kernel]
    launch = module._Launch(kernel, 3, 1024, min(shared, 48 * 1024), 2 if kernel == "count_words" else 0)
    native = tuple(
        values.astype(values.dtype.newbyteorder("=")) if values.dtype.byteorder == ">" else values
        for values in coordinates
    )
    module._count(tuple(v.view(DeviceArray) for v in native), tuple(e.view(DeviceArray) for e in edges), cube, launch)
    return cube.view(np.ndarray)


KERNELS = ["count_direct", "count_words", "count_halves"]


# No method: where processes share tests, Hypothesis has taken the instances of a class for one test of many runners.
@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(problem=problems(max_axes=3))
def test_cuda_on_cpu_equals_numpy_exactly(
    emulated: Any, kernel: str, problem: tuple[tuple[Array, ...], tuple[Array, ...]]
) -> None:
    coordinates, edges = problem
    n_cells = np.prod([values.size - 1 for values in edges])
    if coordinates[0].size and n_cells <= 20_000:
        assert_exact(lambda c, e: count_emulated(emulated, kernel, c, e), coordinates, edges)


class TestCudaOnCpu:
    """``histogram.cu`` and its launcher, with every thread of the GPU a thread of the CPU."""

    @pytest.mark.parametrize("kernel", ["count_direct", "count_halves"])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_field_of_view(self, emulated: Any, kernel: str, dtype: type) -> None:
        events = field_of_view(30_000, dtype)
        assert_exact(lambda c, e: count_emulated(emulated, kernel, c, e), events, CUBE_EDGES)

    @pytest.mark.parametrize("mixed", [False, True])
    @pytest.mark.parametrize("center", [0, 1, -3, 2**23, -(2**23)])
    def test_subnormal_floats_are_not_taken_for_zeros(self, emulated: Any, center: int, mixed: bool) -> None:
        # In steps of the smallest float: edges on and between floats, the first or the last at the center.
        steps = np.arange(center - 7, center + 8)
        values = np.concatenate([steps * 2.0**-149, [-0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0]]).astype(np.float32)
        for edges in (center + np.array([0, 1, 2.5, 2.75, 4]), center - np.array([3.3, 2, 0.5, 0])):
            coordinates, axes = (values,), (edges * 2.0**-149,)
            if mixed:
                coordinates, axes = (values, np.zeros(values.size)), (*axes, np.array([0.0, 1.0]))
            assert_exact(lambda c, e: count_emulated(emulated, "count_direct", c, e), coordinates, axes)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize(
        "edges", [np.geomspace(0.1, 80, 21), np.geomspace(0.999, 1.001, 4), np.geomspace(1e-30, 1e30, 61)]
    )
    def test_errors_of_the_logarithm_move_nothing_across_an_edge(
        self, emulated: Any, edges: Array, dtype: type
    ) -> None:
        near = edges.astype(np.float32).view(np.int32)[:, None] + np.arange(-40, 41, dtype=np.int32)
        events = (near.view(np.float32).ravel().astype(dtype),)
        assert_exact(lambda c, e: count_emulated(emulated, "count_direct", c, e), events, (edges,))

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("step", [0, 2])
    def test_values_at_any_byte(self, emulated: Any, dtype: type, step: int) -> None:
        # Columns of packed records: where they begin, or how far they are apart, is no multiple of their size.
        size = np.dtype(dtype).itemsize
        memory = np.zeros(300 * (size + step) + 1, dtype=np.uint8)
        values = np.ndarray(300, dtype, memory, offset=1, strides=(size + step,))
        values[:] = np.random.default_rng(5).normal(0, 0.03, 300)
        edges = (np.linspace(-0.07, 0.07, 8),)
        aligned, stride = emulated._in_elements(values.view(DeviceArray))
        assert aligned.flags.aligned
        assert stride == 1
        assert_exact(lambda c, e: count_emulated(emulated, "count_direct", c, e), (values,), edges)

    @pytest.mark.parametrize("kernel", KERNELS)
    def test_crowded_bin(self, emulated: Any, kernel: str) -> None:
        # More than 2^16 events per block in one bin: 16-bit counters have to empty themselves, twice and more.
        values = np.full(500_001, 2.5, dtype=np.float32)
        values[::1000] = 0.5
        edges = (np.linspace(0, 4, 5),)
        assert_exact(lambda c, e: count_emulated(emulated, kernel, c, e), (values,), edges)

    @pytest.mark.parametrize("n_bins", [2**22 - 2, 2**22 + 6])
    def test_more_bins_than_the_guess_can_round(self, emulated: Any, n_bins: int) -> None:
        edges = (np.arange(n_bins + 1, dtype=np.float64),)
        values = np.array([0.0, 0.5, 1.0, n_bins - 3.3, n_bins - 2.0, n_bins - 0.3, n_bins, n_bins + 1, -0.1])
        counts = count_emulated(emulated, "count_direct", (values,), edges)
        np.testing.assert_array_equal(np.flatnonzero(counts), [0, 1, n_bins - 4, n_bins - 2, n_bins - 1])
        assert counts[[0, 1, n_bins - 4, n_bins - 2, n_bins - 1]].tolist() == [2, 1, 1, 1, 2]

    def test_public_function(self, emulated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        context = nullcontext()
        context.id = 0  # type: ignore[attr-defined]
        monkeypatch.setattr(DeviceArray, "device", context)
        monkeypatch.setattr(emulated, "_limits", lambda device: (2, 232448))
        monkeypatch.setattr(emulated.cupy, "int64", np.int64, raising=False)
        monkeypatch.setattr(
            emulated.cupy, "zeros", lambda shape, dtype: np.zeros(shape, dtype).view(DeviceArray), raising=False
        )
        edges = (np.linspace(0.1, 1, 4), np.linspace(-0.07, 0.07, 7))
        for n_events, kernel in [(0, None), (20, "count_direct"), (5000, "count_words")]:
            EmulatedModule.launched.clear()
            events = field_of_view(n_events, np.float32)[:2]
            views = tuple(values.view(DeviceArray) for values in events)
            counts = emulated.bin_counts(views, tuple(e.view(DeviceArray) for e in edges))
            np.testing.assert_array_equal(counts, oracle(events, edges))
            assert EmulatedModule.launched == ([] if kernel is None else ["prepare", kernel])


def test_choice_of_kernel() -> None:
    pytest.importorskip("cupy")
    from gpucube.arrays.native.histogram_cupy import _choose_launch

    def choose(n_cells: int, n_events: int) -> Any:
        return _choose_launch(n_cells, n_events, 132, 232448)

    cube = choose(20 * 60 * 60, 10**9)
    assert (cube.kernel, cube.blocks, cube.shared_bytes) == ("count_halves", 132, 144_000)
    assert choose(20 * 60 * 60, 10**6).kernel == "count_direct"
    assert choose(10, 10**6).copies == 32
    assert choose(50_000, 10**8).copies == 1
    for n_cells in (1, 10, 3333, 58_112, 58_113, 116_224, 116_225, 10**8):
        for n_events in (1, 10**5, 10**10):
            launch = choose(n_cells, n_events)
            assert launch.shared_bytes <= 232448
            assert 1 <= launch.blocks <= 8 * 132


def test_cupy_equals_numpy_exactly() -> None:
    cupy = pytest.importorskip("cupy")
    try:
        cupy.zeros(1)
    except Exception as error:
        pytest.skip(f"needs a CUDA GPU: {error}")
    from gpucube.arrays.native import histogram_cupy

    def count(coordinates: tuple[Array, ...], edges: tuple[Array, ...]) -> Array:
        on_device = tuple(cupy.asarray(v.astype(v.dtype.newbyteorder("="))) for v in coordinates)
        return histogram_cupy.bin_counts(on_device, tuple(cupy.asarray(e) for e in edges)).get()

    @settings(max_examples=300)
    @given(problem=problems())
    def check(problem: tuple[tuple[Array, ...], tuple[Array, ...]]) -> None:
        assert_exact(count, *problem)

    check()
    for dtype in (np.float32, np.float64):
        # 2e7 events take the way of 16-bit counters, 1e5 that of plain atomics, ten bins that of copies.
        for n_events in (10**5, 2 * 10**7):
            assert_exact(count, field_of_view(n_events, dtype), CUBE_EDGES)
        assert_exact(count, field_of_view(10**6, dtype), (np.geomspace(0.1, 80, 11), *[np.array([-1.0, 0.0, 1.0])] * 2))
        assert_exact(count, (np.full(3 * 10**7, 0.5, dtype),), (np.linspace(0, 1, 90_001),))
