"""One CUDA kernel, in ``sampling.cu``, behind the signature of `gpucube.arrays.sampling.background_events`."""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from typing import Any

import cupy
import numpy as np

from gpucube.arrays import elementary
from gpucube.arrays import sampling as portable
from gpucube.arrays.random import WORDS_PER_BLOCK

__all__ = ["background_events"]

THREADS = 256
# Threads stride over the blocks of words, so that a launch never exceeds the grid's limits.
MAX_GRID = 2**20
# The portable functions round after each product; a fused product and sum would not.
OPTIONS = ("--fmad=false",)


def source() -> str:
    """Source of the kernel after that of Philox and the constants of the portable functions."""
    scalars = {
        "LN2_HIGH": elementary._LN2_HIGH,
        "LN2_LOW": elementary._LN2_LOW,
        "INVERSE_LN2": float(1 / elementary._LN2),
        "TAU": math.tau,
    }
    series = {
        "ARTANH": elementary._ARTANH,
        "EXP": elementary._EXP,
        "COS": elementary._COS,
        "SIN": elementary._SIN,
    }
    # Constant memory is an operand of an instruction; numbers in the code take an instruction each, a fifth of all.
    constant = "static __constant__ double"
    lines = [f"#define SQRT_HALF {math.sqrt(0.5).hex()}"]
    lines += [f"{constant} {name} = {value.hex()};" for name, value in scalars.items()]
    for name, values in series.items():
        lines.append(f"{constant} {name}[] = {{{', '.join(value.hex() for value in values)}}};")
    folder = files("gpucube.arrays.native")
    kernels = [folder.joinpath(name).read_text(encoding="utf-8") for name in ("philox.cu", "sampling.cu")]
    return "\n".join([*lines, *kernels])


@cache
def _kernel() -> Any:
    return cupy.RawKernel(source(), "background_events", options=OPTIONS)


def _shape(shape: portable.EventShape) -> np.ndarray:
    """The struct Shape of sampling.cu. An array of one element is passed to the kernel by value."""
    g = 1.0 - shape.index
    # The functions of `elementary` give the same bits on NumPy as on the device.
    logs = elementary.log(np.asarray([2.0, shape.high / shape.low]))
    log_ratio = logs[1:]
    growth = log_ratio if g == 0.0 else elementary.expm1(log_ratio * g)
    values = (
        float(g == 0.0),
        growth[0],
        0.0 if g == 0.0 else 1.0 / g,
        shape.low,
        shape.high,
        1.0 / shape.low,
        logs[0] / logs[1],
        0.5 * shape.sigma,
        *shape.center,
    )
    struct = np.empty(1, dtype=[("values", np.float64, (len(values),))])
    struct["values"][0] = values
    return struct


def background_events(
    n: int, key: tuple[int, int], shape: portable.EventShape, *, start: int = 0, xp: Any = cupy, device: Any = None
) -> tuple[Any, Any, Any]:
    """Energies (TeV), DETY and DETX (deg) of events `start` to `start + n - 1`, as float64, on `device`."""
    if max(shape.sections) + start + n > WORDS_PER_BLOCK * (2**64 - 2):
        # The kernel counts blocks of words with 64 bits.
        return portable.background_events(n, key, shape, start=start, xp=xp, device=device)
    with cupy.cuda.Device() if device is None else device:
        energy, dety, detx = (cupy.empty(n, dtype=cupy.float64) for _ in range(3))
        if n:
            _launch((energy, dety, detx), key, shape, start)
    return energy, dety, detx


def _launch(out: tuple[Any, Any, Any], key: tuple[int, int], shape: portable.EventShape, start: int) -> None:
    n, skipped = out[0].size, start % WORDS_PER_BLOCK
    # NumPy counts before it makes a block: the counter of the first one is 1.
    counters = [(section + start) // WORDS_PER_BLOCK + 1 for section in shape.sections]
    grid = min(-(-(skipped + n) // (WORDS_PER_BLOCK * THREADS)), MAX_GRID)
    numbers = [np.uint64(value) for value in (n, skipped, *counters, *key)]
    _kernel()((grid,), (THREADS,), (*out, *numbers, _shape(shape)))
