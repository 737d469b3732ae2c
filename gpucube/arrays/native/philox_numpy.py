"""NumPy's own Philox generator behind the signature of `gpucube.arrays.random.random_bits`."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["random_bits"]


def random_bits(n: int, key: tuple[int, int], *, start: int = 0, xp: Any = np, device: Any = None) -> np.ndarray:
    """Words `start` to `start + n - 1` of the Philox stream of a key, as int64 of shape (n,)."""
    del xp, device  # NumPy has one of each
    generator = np.random.Philox(key=np.array(key, dtype=np.uint64), counter=0)
    n_blocks, skipped = divmod(start, 4)
    generator.advance(n_blocks % 2**256)
    generator.random_raw(skipped, output=False)
    return generator.random_raw(n).view(np.int64)
