"""One CUDA kernel behind the signature of `gpucube.arrays.random.random_bits`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import cupy
import numpy as np

from gpucube.arrays.random import KEY_STEPS, ROUNDS

__all__ = ["random_bits", "round_keys"]

THREADS = 256
# Threads stride over the blocks of words, so that a launch never exceeds the grid's limits.
MAX_GRID = 2**16


@cache
def _kernel() -> Any:
    source = files("gpucube.arrays.native").joinpath("philox.cu").read_text(encoding="utf-8")
    return cupy.RawKernel(source, "philox_words")


def round_keys(key: tuple[int, int]) -> np.ndarray:
    """The struct Keys of philox.cu. An array of one element is passed to the kernel by value."""
    struct = np.empty(1, dtype=[("of_round", np.uint64, (2 * ROUNDS,))])
    steps = range(ROUNDS)
    struct["of_round"][0] = [(k + i * step) % 2**64 for i in steps for k, step in zip(key, KEY_STEPS, strict=True)]
    return struct


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
    numbers = [np.uint64(value) for value in (out.size, skipped, *counter)]
    _kernel()((grid,), (THREADS,), (out, *numbers, round_keys(key)))
