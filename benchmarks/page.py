"""``docs/benchmarks.md`` and its plot, made from the newest results of each kind of machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.table import HEADER, Row, cells

__all__ = ["write_page"]

PLOT = "benchmarks.png"

INTRODUCTION = """# Benchmarks

How fast events go into a cube of 20 × 60 × 60 bins (energy, DETY, DETX), and what else is hot, against the libraries
that one would take otherwise. All answers are compared while they are timed: "same counts" means bin by bin,
"miscounts" how many events are in a wrong bin or in none. Ratios are medians of the ratios of interleaved calls, so
that other work on the machine slows both alike. Goals were set before anything was measured.

This page is written by `python -m benchmarks --page` from the files in `benchmarks/results/`, to which
`python -m benchmarks` adds one. Peers are optional: `pip install boost-histogram fast-histogram torch`, and on a GPU
`cuda-histogram`.
"""
NO_GPU = """
## GPU

No figure: the benchmarks have not been run on a GPU yet. They are ready (`ci/gpu`). The CUDA kernels compile, and
give the bits of NumPy where their source is compiled for a CPU. What they should reach by counting bytes and
instructions is in [`benchmarks/LOG.md`](../benchmarks/LOG.md).
"""


def write_page(results: Path, docs: Path) -> None:
    """Write the page and its plot.

    Parameters
    ----------
    results : pathlib.Path
        Folder of JSON files.
    docs : pathlib.Path
        Where to write.
    """
    documents = _newest(results)
    _plot([row for document in documents for row in _rows(document)], docs / PLOT)
    parts = [INTRODUCTION, f"\n![Events per second over the number of events]({PLOT})\n"]
    has_gpu = any(document["environment"]["gpu"] for document in documents)
    parts += [_section(document, has_gpu=has_gpu) for document in documents]
    if not has_gpu:
        parts.append(NO_GPU)
    (docs / "benchmarks.md").write_text("".join(parts), encoding="utf-8")


def _newest(results: Path) -> list[dict[str, Any]]:
    """Newest complete run of each kind of machine; rehearsals are none."""
    newest: dict[str, dict[str, Any]] = {}
    for path in sorted(results.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        settings = document["settings"]
        if not (document.get("rehearsal") or settings["events"] or settings.get("only")):
            gpu = document["environment"]["gpu"]
            newest[gpu["name"] if gpu else "CPU"] = document
    return list(newest.values())


def _rows(document: dict[str, Any]) -> list[Row]:
    names = {field.name for field in fields(Row)}
    return [Row(**{name: value for name, value in row.items() if name in names}) for row in document["rows"]]


def _section(document: dict[str, Any], *, has_gpu: bool) -> str:
    where = document["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    load = f" (load {where['load']} when it began)" if where.get("load") is not None else ""
    machine = f"{where['cpu']}, {where['cores']} cores{load}, Python {where['python']}"
    gpu = where["gpu"]
    title = gpu["name"] if gpu else "CPU"
    lines = ["| " + " | ".join(HEADER) + " |", "|---|---|--:|---|--:|--:|--:|---|---|"]
    shown = [row for row in _rows(document) if row.events is None]
    if has_gpu:  # in a section of its own
        shown = [row for row in shown if not row.note.startswith("missing: no GPU")]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in shown]
    return f"\n## {title}\n\n{where['date'][:10]}, {machine}; {versions}.\n\n" + "\n".join(lines) + "\n"


def _plot(rows: Sequence[Row], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    series: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row.events is not None and row.ours_seconds:
            series.setdefault(row.ours, []).append((row.events, row.events / row.ours_seconds))
    for name, points in series.items():
        own = name.startswith("gpucube")
        events, rates = zip(*sorted(points), strict=True)
        axes.plot(events, rates, "o-" if own else "s--", lw=2 if own else 1, ms=4, label=name)
    axes.set(
        xscale="log", yscale="log", xlabel="events", ylabel="events per second", title="20 × 60 × 60 bins, float32"
    )
    axes.grid(alpha=0.3)
    if series:
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=72, metadata={"Software": None}, pil_kwargs={"optimize": True})
    plt.close(figure)
