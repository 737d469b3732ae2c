"""make-models from files to models: against decompressing, against reading, and with more observations."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.device import open_device
from benchmarks.table import Row, Settings, missing
from benchmarks.timing import Times, compare, interleaved
from gpucube.gzipped import decompress
from gpucube.observations.group_by import groups_by
from gpucube.observations.groups import ObservationGroups
from gpucube.observations.store import DataStore
from gpucube.pipeline import Settings as Recipe
from gpucube.pipeline import make_models
from gpucube.pipeline.read import read_observations
from gpucube.synthetic import make_test_dataset
from gpucube.workers import process_pool

__all__ = ["cost", "memory", "plain_files", "real_files"]

# Enough that reading takes most of the time, in observations of some minutes each.
PLAIN_EVENTS, EVENTS_PER_OBSERVATION = 16_000_000, 400_000
TRIGGER_RATE = 325.0  # Hz, by which synthetic observations have about so many
GZIP = 31  # window bits by which zlib takes a gzip file
ALL = Recipe(backend="numpy", catalog="none")
IMPORTS = "import time; t = time.process_time(); import gpucube.pipeline; print(time.process_time() - t)"
PEAK = """
import re, sys
from pathlib import Path
from gpucube.pipeline import Settings, make_models
make_models(sys.argv[1], sys.argv[2], settings=Settings(backend="numpy", catalog="none"))
# Not the peak of getrusage, which a process inherits from the one that starts it
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def _real_data() -> Path | None:
    folder = Path(os.environ.get("GAMMAPY_DATA", "")) / "hess-dl3-dr1"
    return folder if os.environ.get("GAMMAPY_DATA") and folder.is_dir() else None


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gpucube-benchmark-") as name:
        yield Path(name)


def _run(
    data: Path, out: Path, recipe: Recipe, executor: Executor | None = None, groups: ObservationGroups | None = None
) -> int:
    """Make all models in a new folder, and give the number of events."""
    folder = tempfile.mkdtemp(dir=out)  # those before are deleted at the end: that is not what is timed
    return sum(row.n_read for row in make_models(data, folder, settings=recipe, groups=groups, executor=executor).rows)


def _unzip(path: Path) -> int:
    return len(zlib.decompress(path.read_bytes(), GZIP))


def _cpu_times(functions: Mapping[str, Callable[[], Any]], repeats: int) -> Times:
    """Seconds of processor time of each call, in turns: other work on the machine matters less than by a clock."""
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.process_time()
            function()
            times[name].append(time.process_time() - start)
    return times


def real_files(settings: Settings) -> list[Row]:
    """The H.E.S.S. DL3 DR1 with the default options, and all of it, against zlib on the same files."""
    work = "make-models, H.E.S.S. DL3 DR1"
    data = _real_data()
    if data is None:
        return [missing(work, "zlib", why="no $GAMMAPY_DATA/hess-dl3-dr1 (goal: at most 2)")]
    files = sorted((data / "data").iterdir())
    default = Recipe(backend="numpy")
    with _folder() as folder, process_pool(2) as pool:
        n_events = _run(data, folder, default)
        alone = _cpu_times(
            {
                "default options": lambda: _run(data, folder, default),
                "all observations": lambda: _run(data, folder, ALL),
                "zlib": lambda: sum(map(_unzip, files)),
                "installed decompressor": lambda: sum(len(decompress(path.read_bytes())) for path in files),
            },
            settings.repeats,
        )
        two = Recipe(backend="numpy", workers=2)
        together, _ = interleaved(
            {
                "2 workers": lambda: _run(data, folder, two, pool),
                "zlib, 2 processes": lambda: sum(pool.map(_unzip, files)),
            },
            settings.repeats,
        )
    imports = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True).stdout
    note = f"CPU time; {n_events} events; imports cost another {float(imports):.2f} s"
    return [
        compare(work, alone, "default options", "zlib", goal=2.0, goal_kind="at most", note=note),
        compare(work, alone, "all observations", "zlib", goal_kind="at most", note="CPU time, catalogue none"),
        compare(work, alone, "installed decompressor", "zlib", goal_kind="at most", note="CPU time"),
        compare(work, together, "2 workers", "zlib, 2 processes", goal=2.0, goal_kind="at most", note="wall time"),
    ]


def plain_files(settings: Settings) -> list[Row]:
    """Plain files to models on a GPU, and on NumPy, against reading their events into arrays."""
    work, goal = "make-models, plain files", 1.2
    device = open_device()
    if isinstance(device, str):
        return [missing(work, "reading", why=device, goal=goal, goal_kind="at most")]
    names = dict.fromkeys(("numpy" if device.is_rehearsal else "cupy", "numpy"))
    groups = groups_by(["east-west"])
    with _folder() as folder:
        data = _large_store(folder / "data", device.n_events(PLAIN_EVENTS, settings.events, 1))
        store, recipes = DataStore.open(data), {name: Recipe(backend=name, catalog="none") for name in names}
        tasks = [(obs_id, store.files_of(obs_id)) for obs_id in store.files]
        functions: dict[str, Callable[[], Any]] = {
            name: partial(_run, data, folder, recipe, groups=groups) for name, recipe in recipes.items()
        }
        functions["reading"] = lambda: sum(len(one.energy) for one in read_observations(tasks, "ALTAZ"))
        times, n_events = interleaved(functions, settings.repeats)
    assert len(set(n_events.values())) == 1
    note = f"{n_events['reading']:.1e} events in {len(tasks)} files"
    goals = dict.fromkeys(names) | {"cupy": goal}
    return [
        compare(f"{device.label}: {work}", times, name, "reading", goal=goals[name], goal_kind="at most", note=note)
        for name in names
    ]


def _large_store(folder: Path, n_events: int) -> Path:
    """Uncompressed observations with as many events as real ones of a few minutes each."""
    n_obs = max(2, round(n_events / EVENTS_PER_OBSERVATION))
    rate = min(1.0, n_events / n_obs / EVENTS_PER_OBSERVATION) * TRIGGER_RATE
    # Each process takes longer to start than an observation to be made.
    workers = max(1, min(len(os.sched_getaffinity(0)), n_obs // 5)) if hasattr(os, "sched_getaffinity") else 1
    make_test_dataset(folder, n_obs=n_obs, trigger_rate=rate, seed=1, workers=workers)
    for path in folder.rglob("obs_*.fits.gz"):
        path.with_suffix("").write_bytes(decompress(path.read_bytes()))
        path.unlink()
    return folder


def memory(settings: Settings) -> list[Row]:
    """Peak resident memory of a run with ten times as many observations."""
    peaks = []
    with _folder() as folder:
        for n_obs in (60, 600):
            data, out = folder / f"data{n_obs}", folder / f"out{n_obs}"
            make_test_dataset(data, n_obs=n_obs, trigger_rate=2.0, seed=1)
            command = [sys.executable, "-W", "ignore", "-c", PEAK, str(data), str(out)]
            peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    note = f"peak {peaks[1] / 1024:.0f} MiB against {peaks[0] / 1024:.0f} MiB; the ratio is of memory"
    ratio = peaks[1] / peaks[0]
    return [Row("peak memory", "600 observations", "60 observations", None, None, ratio, 1.1, "at most", note)]


def cost(settings: Settings) -> list[Row]:
    """What an observation and an event cost on one core: the pieces of docs/scaling.md."""
    rates, n_obs = (1.0, 40.0), 40
    seconds, events = [], []
    with _folder() as folder:
        for rate in rates:
            data = folder / f"data{rate:g}"
            make_test_dataset(data, n_obs=n_obs, trigger_rate=rate, seed=1)
            functions = {"run": lambda data=data: _run(data, folder, ALL)}
            events.append(_run(data, folder, ALL))
            seconds.append(median(_cpu_times(functions, settings.repeats)["run"]))
    per_event = (seconds[1] - seconds[0]) / (events[1] - events[0])
    per_observation = (seconds[0] - per_event * events[0]) / n_obs
    note = (
        f"CPU time: {per_observation * 1e3:.1f} ms per observation with its models, {per_event * 1e9:.0f} ns per event"
    )
    return [
        Row(
            f"cost of {n_obs} observations",
            f"{events[1]} events",
            f"{events[0]} events",
            seconds[1],
            seconds[0],
            note=note,
        )
    ]
