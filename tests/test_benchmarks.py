"""The benchmarks run, compare their answers and write what they measured; with NumPy in place of a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import device, histogram, histogram_gpu, pipeline, profile_gpu, regression, sampling, throughput
from benchmarks.page import write_page
from benchmarks.table import Row, Settings, cells, environment, write_json
from benchmarks.timing import compare, interleaved

ROOT = Path(__file__).parents[1]
FEW = Settings(events=3000, repeats=1)


@pytest.fixture
def rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUCUBE_GPU_BACKEND", "numpy")


@pytest.mark.parametrize(
    "benchmark",
    [
        histogram_gpu.kernel,
        histogram_gpu.peers,
        sampling.sampling,
        sampling.sampling_cpu,
        profile_gpu.profile,
        pipeline.plain_files,
    ],
)
def test_gpu_benchmarks_rehearse(rehearsal: None, benchmark: object) -> None:
    rows = benchmark(FEW)  # type: ignore[operator]
    assert rows
    measured = [row for row in rows if row.ratio is not None]
    assert measured
    assert all(row.work.startswith(("REHEARSAL on NumPy", "CPU")) for row in rows)
    assert all(row.met is None for row in rows)


@pytest.mark.parametrize("benchmark", [histogram.cpu, histogram.at_edges, histogram.portable_memory])
def test_cpu_benchmarks_run(benchmark: object) -> None:
    rows = benchmark(FEW)  # type: ignore[operator]
    assert any(row.ratio is not None and row.peer == "numpy.histogramdd" for row in rows)
    assert all(row.ratio is not None or row.note.startswith("missing: ") for row in rows)


def test_throughput_has_points_of_each_library(rehearsal: None) -> None:
    rows = [
        row
        for benchmark in (throughput.throughput_cpu, throughput.throughput_gpu)
        for row in benchmark(replace(FEW, events=10**4))
    ]
    assert {row.ours for row in rows} >= {"gpucube, NumPy, 1 core", "numpy.histogramdd"}
    assert all(row.events and row.ours_seconds for row in rows)


def test_without_gpu_it_is_named_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (histogram_gpu, sampling, profile_gpu, pipeline):
        monkeypatch.setattr(module, "open_device", lambda: "no GPU with CuPy (Error)")
    rows = [*histogram_gpu.kernel(FEW), *histogram_gpu.peers(FEW), *sampling.sampling(FEW), *profile_gpu.profile(FEW)]
    rows += pipeline.plain_files(FEW)
    assert len(rows) == 6
    assert all(row.note == "missing: no GPU with CuPy (Error)" and row.ratio is None for row in rows)
    goals = [row.goal for row in rows]
    assert goals == [4.0, 20.0, 5.0, 4.0, None, 1.2]


def test_wrong_counts_are_counted() -> None:
    truth = np.array([3, 4, 5])
    assert histogram.wrong_counts(np.array([3.0, 4.0, 5.0]), truth) == "same counts"
    assert histogram.wrong_counts(np.array([4, 3, 5]), truth) == "miscounts 1 events"
    assert histogram.wrong_counts(np.array([3, 2, 5]), truth) == "miscounts 2 events"


def test_goals() -> None:
    row = Row("work", "ours", "peer", 1.0, 3.0, 3.0, 2.0)
    assert row.met is True
    assert replace(row, goal=3.1).met is False
    assert replace(row, goal=3.1, goal_kind="at most").met is True
    assert replace(row, goal=None).met is None
    assert cells(replace(row, unit="MB"))[2:8] == ["1 MB", "peer", "3 MB", "3.00", "≥ 2", "yes"]


def test_ratio_is_the_median_of_turns() -> None:
    times = {"ours": [1.0, 2.0, 1.0], "peer": [3.0, 4.0, 9.0]}
    assert compare("work", times, "ours", "peer").ratio == 3.0
    assert compare("work", times, "ours", "peer", goal_kind="at most").ratio == 1 / 3


def test_functions_are_called_in_turns() -> None:
    calls: list[str] = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}  # type: ignore[misc]
    times, _ = interleaved(functions, 2, lambda: calls.append("|"))
    assert "".join(calls) == "ab" + "|a||b|" * 2
    assert [len(values) for values in times.values()] == [2, 2]


def test_sets_of_events_are_larger_than_the_cache(rehearsal: None) -> None:
    opened = device.open_device()
    assert not isinstance(opened, str)
    sets = device.event_sets(opened, 10**4)
    assert sum(values.nbytes for events in sets for values in events) >= 4 * opened.cache_bytes
    seen = device.rotating(lambda events: events, sets)
    assert [id(seen()) for _ in range(len(sets) + 1)] == [id(events) for events in (*sets, sets[0])]


def test_command_writes_after_each_benchmark_and_goes_on_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(settings: Settings) -> list[Row]:
        assert not list(tmp_path.glob("*.json"))
        raise MemoryError

    def works(settings: Settings) -> list[Row]:
        assert len(list(tmp_path.glob("*.json"))) == 1
        return [Row("work", "ours", "peer", 1.0, 2.0, 2.0)]

    monkeypatch.setattr(command, "import_module", lambda name: SimpleNamespace(fails=fails, works=works))
    monkeypatch.setattr(command, "BENCHMARKS", ("some.fails", "some.works"))
    result = CliRunner().invoke(command.main, ["--out", str(tmp_path)])
    assert result.exit_code == 1
    (path,) = tmp_path.glob("*.json")
    rows = json.loads(path.read_text())["rows"]
    assert [row["note"] for row in rows] == ["missing: the benchmark failed", ""]


def test_page_shows_the_newest_complete_run(tmp_path: Path) -> None:
    where = environment() | {"gpu": None}
    old, new = where | {"date": "2026-01-01T00:00:00+00:00"}, where | {"date": "2026-02-01T00:00:00+00:00"}
    part = where | {"date": "2026-03-01T00:00:00+00:00"}
    points = [Row("CPU: throughput", "gpucube, NumPy", "", seconds, events=n) for n, seconds in ((10, 1.0), (99, 2.0))]
    for document, settings, work in (
        (old, Settings(), "old"),
        (new, Settings(), "new"),
        (part, Settings(only=("cpu",)), "part"),
    ):
        write_json([Row(work, "ours", "peer", 1.0, 2.0, 2.0, 1.5), *points], settings, document, tmp_path)
    write_page(tmp_path, tmp_path)
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "| new | ours | 1 | peer | 2 | 2.00 | ≥ 1.5 | yes |  |" in text
    assert "old" not in text
    assert "part" not in text
    assert "throughput" not in text
    assert "have not been run on a GPU" in text
    assert 3000 < (tmp_path / "benchmarks.png").stat().st_size < 60_000


def test_rehearsal_is_never_shown(rehearsal: None, tmp_path: Path) -> None:
    path = write_json([Row("work", "ours", "peer")], Settings(), environment(), tmp_path)
    assert "rehearsal" in path.name
    write_page(tmp_path, tmp_path)
    assert "work | ours" not in (tmp_path / "benchmarks.md").read_text(encoding="utf-8")


def test_every_kernel_once() -> None:
    code = "import runpy, sys; sys.argv[1:] = ['2000']; runpy.run_module('benchmarks.once', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ | {"GPUCUBE_GPU_BACKEND": "numpy"},
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    assert all(line.startswith("REHEARSAL on NumPy: 2000 ") for line in lines)


def test_fit_of_a_regression() -> None:
    rows = regression.fit(Settings(events=3))
    assert [row.work for row in rows[:2]] == [
        "regression fit, 3 observations",
        "regression fit, 3 observations: memory",
    ]
    assert rows[0].ours_seconds > 0
    assert 0.05 < rows[1].ours_seconds < 2.0
    assert rows[1].met


def test_fit_of_a_regression_on_a_gpu() -> None:
    row, *others = regression.fit_on_gpu(Settings(events=3))
    if isinstance(device.open_device(), str):
        assert row.note == "missing: no GPU with CuPy (goal: at most 60 s)"
        assert (row.met, others) == (None, [])
    else:
        assert row.ours == "cupy"
        assert row.met
        assert others[0].met
