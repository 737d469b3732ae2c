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
from gpucube.arrays.native.philox_cupy import round_keys
from gpucube.arrays.random import WORDS_PER_BLOCK, is_nearly_flat

__all__ = ["background_events"]

# As in the launch bounds of the kernel.
THREADS = 128
# Threads stride over the blocks of words, so that a launch never exceeds the grid's limits.
MAX_GRID = 2**20


def source() -> str:
    """Source of the kernel after that of Philox and the constants of the portable functions."""
    scalars = {
        "LN2_HIGH": elementary._LN2_HIGH,
        "LN2_LOW": elementary._LN2_LOW,
        "INVERSE_LN2": float(1 / elementary._LN2),
        "HALF_PI": math.pi / 2,
        "HALF_LN2": elementary.HALF_LN2,
        "SQRT_HALF": elementary.SQRT_HALF,
    }
    series = {
        "ARTANH": elementary._ARTANH,
        "EXP": elementary._EXP,
        "COS": elementary._COS,
        "SIN": elementary._SIN,
        "INVERSE_SQRT": elementary._INVERSE_SQRT,
    }
    # From constant memory a number is loaded by one instruction; in the code it takes two.
    constant = "static __constant__ double"
    lines = [f"#define LEAST_SIGNIFICAND {elementary.LEAST_SIGNIFICAND.hex()}"]
    lines += [f"{constant} {name} = {value.hex()};" for name, value in scalars.items()]
    for name, values in series.items():
        lines.append(f"{constant} {name}[] = {{{', '.join(value.hex() for value in values)}}};")
    folder = files("gpucube.arrays.native")
    kernels = [folder.joinpath(name).read_text(encoding="utf-8") for name in ("philox.cu", "sampling.cu")]
    return "\n".join([*lines, *kernels])


def options(index: float) -> tuple[str, ...]:
    """Options of the compiler for a spectral index."""
    spectrum = "FLAT" if index == 1.0 else "NEARLY_FLAT" if is_nearly_flat(index) else "STEEP"
    # The portable functions round after each product; a fused product and sum would not.
    return "--fmad=false", f"-DSPECTRUM={spectrum}"


@cache
def _kernel(options: tuple[str, ...]) -> Any:
    return cupy.RawKernel(source(), "background_events", options=options)


def _shape(shape: portable.EventShape) -> np.ndarray:
    """The struct Shape of sampling.cu. An array of one element is passed to the kernel by value."""
    g = 1.0 - shape.index
    # The functions of `elementary` give the same bits on NumPy as on the device.
    logs = elementary.log(np.asarray([2.0, shape.high / shape.low]))
    log_ratio = logs[1:]
    growth = log_ratio if g == 0.0 else elementary.expm1(log_ratio * g)
    values = (
        growth[0] * 2.0**-53,
        0.0 if g == 0.0 else 1.0 / g,
        shape.low,
        shape.high,
        logs[0] / logs[1],
        shape.sigma / elementary.SQRT_2,
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
    numbers = [np.uint64(value) for value in (n, skipped, *counters)]
    kernel = _kernel(options(shape.index))
    kernel((grid,), (THREADS,), (*out, *numbers, round_keys(key), _shape(shape)))
