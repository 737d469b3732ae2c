"""The CUDA kernel of Philox without a GPU: its source compiled as C++, its launcher on an emulated CuPy.

The test of `random_bits` on the backend CuPy runs the same module on a GPU.
"""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

import gpucube

MODULE = Path(gpucube.__file__).parent / "arrays" / "native" / "philox_cupy.py"
KEY = (20150, 23523)

# What CUDA supplies, and a loop over the threads of a part of the grid.
PRELUDE = r"""
#define __device__
#define __global__
#define __forceinline__ inline
static unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned __int128)a * b >> 64;
}
static struct { unsigned x; } gridDim, blockDim, blockIdx, threadIdx;
"""
LAUNCHER = r"""
extern "C" void launch(unsigned first, unsigned last, unsigned grid, unsigned threads, word* out, word n, word skipped,
                       word c0, word c1, word c2, word c3, const Keys* keys)
{
    gridDim.x = grid;
    blockDim.x = threads;
    for (blockIdx.x = first; blockIdx.x < last; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x)
            philox_words(out, n, skipped, c0, c1, c2, c3, *keys);
}
"""


class EmulatedKernel:
    """Stands in for `cupy.RawKernel`, on NumPy arrays."""

    folder: Path

    def __init__(self, source: str, name: str) -> None:
        assert f"void {name}(" in source
        path = self.folder / "kernel.cpp"
        path.write_text(PRELUDE + source + LAUNCHER)
        library = path.with_suffix(".so")
        options = ["-std=c++17", "-O1", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-shared", "-fPIC"]
        subprocess.run(["g++", *options, str(path), "-o", str(library)], check=True)
        self.launch = ctypes.CDLL(str(library)).launch
        self.launch.argtypes = [ctypes.c_uint] * 4 + [ctypes.c_void_p] + [ctypes.c_uint64] * 6 + [ctypes.c_void_p]
        self.launch.restype = None

    def __call__(self, grid: tuple[int], threads: tuple[int], arguments: tuple[Any, ...]) -> None:
        out, *numbers, keys = arguments
        assert all(type(number) is np.uint64 for number in numbers)
        self.launch(0, grid[0], grid[0], threads[0], out.ctypes.data, *map(int, numbers), keys.ctypes.data)


@pytest.fixture(scope="module")
def philox_cupy(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module with an emulated CuPy in place of the real one."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++ to compile the kernel for the CPU")
    EmulatedKernel.folder = tmp_path_factory.mktemp("philox")
    cuda = SimpleNamespace(Device=nullcontext)
    emulated = SimpleNamespace(RawKernel=EmulatedKernel, empty=np.empty, int64=np.int64, cuda=cuda)
    spec = importlib.util.spec_from_file_location("emulated_philox_cupy", MODULE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", emulated)
        spec.loader.exec_module(module)
    return module


def numpy_words(n: int, key: tuple[int, int], start: int) -> np.ndarray:
    generator = np.random.Philox(key=np.asarray(key, dtype=np.uint64), counter=start // 4 % 2**256)
    return generator.random_raw(start % 4 + n)[start % 4 :].view(np.int64)


@given(
    n=st.integers(0, 3000),
    key=st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    start=st.integers(0, 50) | st.integers(0, 2**258),
)
@example(n=0, key=KEY, start=0)
@example(n=9, key=KEY, start=2**66 - 7)
@example(n=9, key=KEY, start=2**130 - 7)
@example(n=9, key=KEY, start=2**194 - 7)
@example(n=9, key=(2**64 - 1, 2**64 - 1), start=2**258 - 6)
def test_kernel_gives_the_words_of_numpy(philox_cupy: ModuleType, n: int, key: tuple[int, int], start: int) -> None:
    words = philox_cupy.random_bits(n, key, start=start)
    assert words.dtype == np.int64
    np.testing.assert_array_equal(words, numpy_words(n, key, start))


@settings(max_examples=20)
@given(n=st.integers(1, 3000), start=st.integers(0, 7), grid=st.integers(1, 3), threads=st.integers(1, 40))
def test_threads_stride_over_a_small_grid(philox_cupy: ModuleType, n: int, start: int, grid: int, threads: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(philox_cupy, "MAX_GRID", grid)
        patch.setattr(philox_cupy, "THREADS", threads)
        words = philox_cupy.random_bits(n, KEY, start=start)
    np.testing.assert_array_equal(words, numpy_words(n, KEY, start))


def test_places_beyond_32_bits(philox_cupy: ModuleType) -> None:
    # One thread of a grid without strides writes one block, far into an array of which only that part exists.
    n, block, skipped = 2**35, 2**32 + 5, 1
    threads, grid = 2**10, 2**24
    part = np.zeros(4 * threads, dtype=np.int64)
    first = 4 * (block // threads * threads) - skipped
    launch = philox_cupy._kernel().launch
    index = block // threads
    launch(
        index,
        index + 1,
        grid,
        threads,
        part.ctypes.data - 8 * first,
        n,
        skipped,
        1,
        0,
        0,
        0,
        philox_cupy.round_keys(KEY).ctypes.data,
    )
    np.testing.assert_array_equal(part, numpy_words(part.size, KEY, first + skipped))


def test_nothing_is_written_outside_the_array(philox_cupy: ModuleType) -> None:
    memory = np.full(12, -7, dtype=np.int64)
    philox_cupy._launch(memory[3:9], KEY, 2)
    assert memory[:3].tolist() == memory[9:].tolist() == [-7] * 3
    np.testing.assert_array_equal(memory[3:9], numpy_words(6, KEY, 2))


def test_module_is_imported_without_a_gpu() -> None:
    pytest.importorskip("cupy")
    code = "import gpucube.arrays.native.philox_cupy as module; print(module._kernel.cache_info().currsize)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=MODULE.parents[3],
        env={"CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.stdout.strip() == "0"
