"""Settings of a run, rows of its table, and the JSON that keeps them."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["HEADER", "Row", "Settings", "cells", "environment", "is_rehearsal", "missing", "print_table", "write_json"]

PACKAGES = ("gpucube", "numpy", "astropy", "cupy", "cupy-cuda12x", "cupy-cuda13x", "torch", "array-api-compat")
PEERS = ("boost-histogram", "fast-histogram", "cuda-histogram", "baccmod")


@dataclass(frozen=True)
class Settings:
    """What a run is asked for.

    Attributes
    ----------
    events : int or None
        Number of events; None for what each goal names.
    repeats : int
        Timed calls of each function, after one that is not timed.
    only : tuple of str
        Parts of the names of the benchmarks to run; empty for all.
    """

    events: int | None = None
    repeats: int = 5
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes
    ----------
    work, ours, peer : str
        What is done, by which of our functions, and what it is compared with.
    ours_seconds, peer_seconds : float or None
        Medians.
    ratio : float or None
        Median over the rounds of peer / ours for `goal_kind` ``at least``, of ours / peer for ``at most``.
    goal : float or None
        What `ratio` has to reach or must not exceed; None where the comparison is for information.
    goal_kind : {"at least", "at most"}
        Direction of the goal.
    note : str
        Differences between the answers, memory, or why a figure is missing.
    unit : str
        Unit of `ours_seconds` and `peer_seconds`, where it is not seconds.
    events : int or None
        Number of events of a point of the plot, which the table leaves out.
    """

    work: str
    ours: str
    peer: str
    ours_seconds: float | None = None
    peer_seconds: float | None = None
    ratio: float | None = None
    goal: float | None = None
    goal_kind: str = "at least"
    note: str = ""
    unit: str = "s"
    events: int | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without goal or figure."""
        if self.goal is None or self.ratio is None:
            return None
        return self.ratio >= self.goal if self.goal_kind == "at least" else self.ratio <= self.goal


def is_rehearsal() -> bool:
    """Whether NumPy stands in for a GPU in this run: environment variable ``GPUCUBE_GPU_BACKEND`` is ``numpy``."""
    return os.environ.get("GPUCUBE_GPU_BACKEND", "cupy") == "numpy"


def missing(
    work: str, peer: str, why: str = "not installed", goal: float | None = None, goal_kind: str = "at least"
) -> Row:
    """Row for a peer, or a device, that is not here."""
    return Row(work, "", peer, goal=goal, goal_kind=goal_kind, note=f"missing: {why}")


def _installed(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> dict[str, Any] | None:
    try:
        import cupy

        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    except Exception:  # no CuPy, driver or device: CuPy has an error class for each
        return None
    return {
        "name": properties["name"].decode(),
        "memory": properties["totalGlobalMem"],
        "multiprocessors": properties["multiProcessorCount"],
        "l2_bytes": properties["l2CacheSize"],
        "runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "driver": cupy.cuda.runtime.driverGetVersion(),
    }


def environment() -> dict[str, Any]:
    """Versions, device and date of this run."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cores": cores,
        # More than a little of it is other work, which all functions of a row suffer from alike.
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "gpu": _gpu(),
        "versions": _installed(PACKAGES + PEERS),
    }


def cells(row: Row) -> list[str]:
    """Row of the table as text."""

    def number(value: float | None, style: str) -> str:
        return "" if value is None else format(value, style)

    unit = "" if row.unit == "s" else f" {row.unit}"
    seconds = [text and text + unit for text in (number(row.ours_seconds, ".3g"), number(row.peer_seconds, ".3g"))]
    goal = "" if row.goal is None else f"{'≥' if row.goal_kind == 'at least' else '≤'} {row.goal:g}"
    met = {None: "", True: "yes", False: "no"}[row.met]
    return [row.work, row.ours, seconds[0], row.peer, seconds[1], number(row.ratio, ".2f"), goal, met, row.note]


HEADER = ("work", "ours", "s", "peer", "s", "ratio", "goal", "met", "note")


def print_table(rows: Sequence[Row], console: Console) -> None:
    """Show rows on a terminal."""
    table = Table(*HEADER, title="gpucube benchmarks")
    for row in rows:
        if row.events is None:
            table.add_row(*cells(row))
    console.print(table)


def write_json(rows: Sequence[Row], settings: Settings, where: dict[str, Any], folder: Path) -> Path:
    """Write rows and environment to a file whose name has the date and the kind of machine.

    Returns
    -------
    pathlib.Path
        The file.
    """
    gpu = where["gpu"]
    kind = re.sub(r"[^a-z0-9]+", "-", gpu["name"].lower()).strip("-") if gpu else f"cpu-{where['cores']}core"
    folder.mkdir(parents=True, exist_ok=True)
    kind = f"rehearsal-{kind}" if is_rehearsal() else kind
    path = folder / f"{where['date'][:19].replace(':', '')}-{kind}.json"
    document = {
        "environment": where,
        "settings": asdict(settings),
        "rehearsal": is_rehearsal(),
        "rows": [asdict(row) | {"met": row.met} for row in rows],
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path
