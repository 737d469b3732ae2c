"""The regression on 1000 observations: time and memory of the fit."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.table import Row, Settings, missing
from gpucube.arrays.backend import get_backend
from gpucube.errors import BackendError

__all__ = ["fit", "fit_on_gpu"]

MANY, FEW = 1000, 10
MOST_MEMORY = 4.0  # GiB
MOST_SECONDS = 60.0

# Observations with all effects in 66 x 24 x 24 bins, one after the other: each is kept as make-models keeps it.
FIT = """
import json, re, sys, time
from pathlib import Path
import numpy as np
from gpucube.arrays.backend import get_backend
from gpucube.regression.fit import ObservationCounts, fit_regression, regression_axes
from tests.regression.truth import Truth, make_conditions, observe

def peak():
    # Not that of getrusage, which a process inherits from the one that starts it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

n_obs, name = int(sys.argv[1]), sys.argv[2]
rng, axes, backend = np.random.default_rng(1), regression_axes(), get_backend(name)
observed = [
    ObservationCounts(item.conditions, backend.asarray(item.counts))
    for item in observe(Truth(), make_conditions(n_obs, rng), rng, axes)
]
before = peak()
wall, cpu = time.perf_counter(), time.process_time()
model = fit_regression(observed, axes, backend)
print(json.dumps({
    "wall": time.perf_counter() - wall,
    "cpu": time.process_time() - cpu,
    "coefficients": model.coefficients.size,
    "before": before / 2**20,
    "peak": peak() / 2**20,
    "device": backend.xp.get_default_memory_pool().total_bytes() / 2**30 if name == "cupy" else None,
}))
"""


def _fit(n_obs: int, name: str) -> dict[str, float]:
    """In a process of its own, whose peak is that of the fit."""
    command = [sys.executable, "-W", "ignore", "-c", FIT, str(n_obs), name]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def fit(settings: Settings) -> list[Row]:
    """Time and peak memory of a fit on the CPU."""
    return _rows(settings, "numpy")


def fit_on_gpu(settings: Settings) -> list[Row]:
    """The same on a GPU, in a process whose kernels another one has compiled."""
    try:
        get_backend("cupy")
    except BackendError:
        return [missing(_work(settings), "a GPU", why=f"no GPU with CuPy (goal: at most {MOST_SECONDS:.0f} s)")]
    _fit(FEW, "cupy")
    return _rows(settings, "cupy")


def _work(settings: Settings) -> str:
    return f"regression fit, {_n_obs(settings)} observations"


def _n_obs(settings: Settings) -> int:
    return min(MANY, settings.events or MANY)


def _rows(settings: Settings, name: str) -> list[Row]:
    work, found = _work(settings), _fit(_n_obs(settings), name)
    goal = MOST_SECONDS if name == "cupy" else None
    note = f"{found['cpu']:.0f} s of processor time, {found['coefficients']} coefficients"
    memory = found["device"] or found["peak"]
    where = "on the device" if found["device"] else f"of which {found['before']:.2f} before the fit"
    ratio = None if goal is None else found["wall"] / goal
    return [
        Row(work, name, "goal", found["wall"], goal, ratio, 1.0 if goal else None, "at most", note),
        Row(f"{work}: memory", name, "goal", memory, MOST_MEMORY, memory / MOST_MEMORY, 1.0, "at most", where, "GiB"),
    ]
