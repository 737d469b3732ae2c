"""One CUDA kernel behind the signature of `gpucube.arrays.random.random_bits`."""

from __future__ import annotations

from functools import cache
from typing import Any

import cupy
import numpy as np

__all__ = ["random_bits"]

THREADS = 256
# Threads stride over the blocks of words, so that a launch never exceeds the grid's limits.
MAX_GRID = 2**16

# One thread per block of four words. Valid C++ too, given __umul64hi and the thread indices: the tests
# run it without a GPU.
SOURCE = r"""
typedef unsigned long long word;

__device__ inline void philox4x64_10(word x[4], word key0, word key1)
{
    for (int i = 0; i < 10; ++i) {
        const word high0 = __umul64hi(x[0], 0xD2E7470EE14C6C93ULL);
        const word high2 = __umul64hi(x[2], 0xCA5A826395121157ULL);
        const word low0 = x[0] * 0xD2E7470EE14C6C93ULL;
        const word low2 = x[2] * 0xCA5A826395121157ULL;
        x[0] = high2 ^ x[1] ^ key0;
        x[1] = low2;
        x[2] = high0 ^ x[3] ^ key1;
        x[3] = low0;
        key0 += 0x9E3779B97F4A7C15ULL;
        key1 += 0xBB67AE8584CAA73BULL;
    }
}

// Word `skipped` of the block with counter (c3 c2 c1 c0) goes to out[0].
extern "C" __global__ void philox_words(word* out, word n, word skipped, word c0, word c1, word c2, word c3,
                                        word key0, word key1)
{
    const word n_blocks = (skipped + n + 3) / 4;
    const word stride = (word)gridDim.x * blockDim.x;
    for (word block = (word)blockIdx.x * blockDim.x + threadIdx.x; block < n_blocks; block += stride) {
        word x[4] = {c0 + block, c1, c2, c3};
        for (int i = 1, carry = x[0] < block; i < 4 && carry; ++i)
            carry = ++x[i] == 0;
        philox4x64_10(x, key0, key1);
        for (int i = 0; i < 4; ++i) {
            const word place = 4 * block + i - skipped;  // wraps to a huge number before the first word
            if (place < n)
                out[place] = x[i];
        }
    }
}
"""


@cache
def _kernel() -> Any:
    return cupy.RawKernel(SOURCE, "philox_words")


def random_bits(n: int, key: tuple[int, int], *, start: int = 0, xp: Any = cupy, device: Any = None) -> Any:
    """Words `start` to `start + n - 1` of the Philox stream of a key, as int64 of shape (n,), on `device`."""
    del xp  # CuPy, or the dispatcher would not have come here
    with cupy.cuda.Device() if device is None else device:
        out = cupy.empty(n, dtype=cupy.int64)
        if n:
            _launch(out, key, start)
    return out


def _launch(out: Any, key: tuple[int, int], start: int) -> None:
    first_block, skipped = divmod(start, 4)
    n_blocks = -(-(skipped + out.size) // 4)
    # NumPy counts before it makes a block: the counter of the first one is 1.
    counter = [((first_block + 1) >> shift) % 2**64 for shift in (0, 64, 128, 192)]
    grid = min(-(-n_blocks // THREADS), MAX_GRID)
    arguments = [np.uint64(value) for value in (out.size, skipped, *counter, *key)]
    _kernel()((grid,), (THREADS,), (out, *arguments))
