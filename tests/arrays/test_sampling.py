"""Background events: the portable function on every backend, and the CUDA kernel compiled as C++."""

from __future__ import annotations

import ctypes
import importlib
import shutil
import subprocess
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gpucube.arrays import sampling
from gpucube.arrays.backend import Backend, get_backend, to_host
from gpucube.arrays.random import powerlaw, random_bits, standard_normal
from gpucube.arrays.sampling import EventShape, background_events, sample_background

NUMPY = get_backend("numpy")
PLACE = {"xp": NUMPY.xp, "device": NUMPY.device}
KEY = (20150, 23523)
SHAPE = EventShape(2.7, 0.1, 100.0, 5.0, (0.9, -0.5), (0, 2**40, 2**41))

# What CUDA supplies, and a loop over the threads of the grid.
PRELUDE = r"""
#include <cmath>
#include <cstring>
#define __device__
#define __global__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
static unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned __int128)a * b >> 64;
}
static double __longlong_as_double(long long bits) { double x; memcpy(&x, &bits, 8); return x; }
static long long __double_as_longlong(double x) { long long bits; memcpy(&bits, &x, 8); return bits; }
static struct { unsigned x; } gridDim, blockDim, blockIdx, threadIdx;
"""
LAUNCHER = r"""
extern "C" void launch(unsigned grid, unsigned threads, void* const* out, const word* numbers, const Keys* keys,
                       const Shape* shape)
{
    gridDim.x = grid;
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x)
            background_events((double*)out[0], (double*)out[1], (double*)out[2], numbers[0], numbers[1], numbers[2],
                              numbers[3], numbers[4], *keys, *shape);
}
"""


class EmulatedKernel:
    """Stands in for `cupy.RawKernel`, on NumPy arrays."""

    folder: Path

    def __init__(self, source: str, name: str, options: tuple[str, ...]) -> None:
        assert f"{name}(double* energy" in source
        assert options[0] == "--fmad=false"
        path = self.folder / f"kernel{options[1]}.cpp"
        path.write_text(PRELUDE + source + LAUNCHER)
        library = path.with_suffix(".so")
        flags = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused"]
        subprocess.run(["g++", *flags, *options[1:], "-shared", "-fPIC", str(path), "-o", str(library)], check=True)
        self.launch = ctypes.CDLL(str(library)).launch
        self.launch.restype = None

    def __call__(self, grid: tuple[int], threads: tuple[int], arguments: tuple[Any, ...]) -> None:
        out, numbers, structs = arguments[:3], arguments[3:-2], arguments[-2:]
        assert all(type(number) is np.uint64 for number in numbers)
        assert [struct.nbytes for struct in structs] == [160, 64]
        pointers = (ctypes.c_void_p * 3)(*(values.ctypes.data for values in out))
        parameters = (np.array(numbers, dtype=np.uint64), *structs)
        self.launch(grid[0], threads[0], pointers, *(ctypes.c_void_p(values.ctypes.data) for values in parameters))


@pytest.fixture(scope="module")
def sampling_cupy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The native module with an emulated CuPy in place of the real one."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++ to compile the kernel for the CPU")
    EmulatedKernel.folder = tmp_path_factory.mktemp("sampling")
    cuda = SimpleNamespace(Device=nullcontext)
    emulated = SimpleNamespace(RawKernel=EmulatedKernel, empty=np.empty, float64=np.float64, cuda=cuda)
    module = _imported(emulated)
    return module


def _imported(cupy: Any) -> ModuleType:
    path = Path(sampling.__file__).parent / "native" / "sampling_cupy.py"
    spec = importlib.util.spec_from_file_location("emulated_sampling_cupy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "cupy", cupy)
        spec.loader.exec_module(module)
    return module


def assert_same_bits(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> None:
    for values, truth in zip(ours, theirs, strict=True):
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values.view(np.int64), truth.view(np.int64))


@pytest.mark.parametrize("index", [2.7, 1.2, 1.0])
def test_every_backend_gives_the_bits_of_numpy(backend: Backend, index: float) -> None:
    shape = replace(SHAPE, index=index)
    ours = sample_background(1001, KEY, shape, start=3, xp=backend.xp, device=backend.device)
    assert_same_bits(tuple(map(to_host, ours)), background_events(1001, KEY, shape, start=3, **PLACE))


def test_events_are_made_of_the_words_of_their_sections() -> None:
    energy, dety, detx = sample_background(50, KEY, SHAPE, **PLACE)
    np.testing.assert_array_equal(energy, powerlaw(50, KEY, index=2.7, low=0.1, high=100.0, **PLACE))
    # The width at 0.1 TeV is 2.5 deg, at 100 TeV 5 deg, a power law of 0.1003 between.
    width = 2.5 * (energy / 0.1) ** (np.log(2) / np.log(1000))
    for values, center, start in ((detx, 0.9, 2**40), (dety, -0.5, 2**41)):
        normal = standard_normal(50, KEY, start=start, **PLACE)
        np.testing.assert_allclose(values, normal * width + center, rtol=1e-13)


@pytest.mark.parametrize("start", [0, 1, 2, 3, 4, 11])
def test_chunk_is_a_slice(start: int) -> None:
    whole = sample_background(20, KEY, SHAPE, **PLACE)
    chunk = sample_background(6, KEY, SHAPE, start=start, **PLACE)
    assert_same_bits(chunk, tuple(values[start : start + 6] for values in whole))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": 0.0}, "need 0 < low < high"),
        ({"high": np.inf}, "finite"),
        ({"index": 300.0}, "too large"),
        ({"sections": (0, 4, 6)}, "multiples of 4"),
        ({"sections": (0, 4, -4)}, "multiples of 4"),
    ],
)
def test_wrong_shape(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SHAPE, **change)


def test_wrong_stream() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        sample_background(-1, KEY, SHAPE, **PLACE)
    with pytest.raises(ValueError, match="key must be"):
        sample_background(1, (0, 2**64), SHAPE, **PLACE)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(0, 700),
    key=st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    start=st.integers(0, 9) | st.integers(0, 2**40),
    index=st.sampled_from([1.0, 2.7, 0.0, -1.5, 1.0 + 1e-15, 10.0]),
    ratio=st.sampled_from([1000.0, 1.0 + 1e-9, 3.0, 1e20]),
    center=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
@example(n=9, key=KEY, start=2**66 - 30, index=2.7, ratio=10.0, center=(0.0, 0.0))
@example(n=9, key=KEY, start=2**67, index=2.7, ratio=10.0, center=(0.0, 0.0))
def test_kernel_gives_the_bits_of_the_portable_function(
    sampling_cupy: Any,
    n: int,
    key: tuple[int, int],
    start: int,
    index: float,
    ratio: float,
    center: tuple[float, float],
) -> None:
    shape = EventShape(index, 0.1, 0.1 * ratio, 5.0, center, SHAPE.sections)
    place = {"xp": NUMPY.xp, "device": None}
    ours = sampling_cupy.background_events(n, key, shape, start=start, **place)
    assert_same_bits(ours, background_events(n, key, shape, start=start, **PLACE))


@pytest.mark.parametrize(("grid", "threads"), [(1, 1), (2, 3), (3, 32)])
def test_threads_stride_over_a_small_grid(
    sampling_cupy: Any, grid: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling_cupy, "MAX_GRID", grid)
    monkeypatch.setattr(sampling_cupy, "THREADS", threads)
    ours = sampling_cupy.background_events(1001, KEY, SHAPE, start=5, **PLACE | {"device": None})
    assert_same_bits(ours, background_events(1001, KEY, SHAPE, start=5, **PLACE))


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_nothing_is_written_outside_the_arrays(sampling_cupy: Any, start: int) -> None:
    memory = np.full((3, 20), -7.0)
    sampling_cupy._launch(tuple(row[4:15] for row in memory), KEY, SHAPE, start)
    assert (memory[:, :4] == -7).all()
    assert (memory[:, 15:] == -7).all()
    assert_same_bits(tuple(memory[:, 4:15]), background_events(11, KEY, SHAPE, start=start, **PLACE))


def test_words_near_the_ends_of_the_range(sampling_cupy: Any) -> None:
    """Largest and smallest uniform numbers, where logarithms and square roots are extreme."""
    bits = random_bits(2**16, KEY, **PLACE).view(np.uint64)
    assert bits.max() > 2**64 * 0.9999
    assert bits.min() < 2**64 * 0.0001
    ours = sampling_cupy.background_events(2**16, KEY, SHAPE, **PLACE | {"device": None})
    assert_same_bits(ours, background_events(2**16, KEY, SHAPE, **PLACE))
