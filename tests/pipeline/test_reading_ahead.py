"""Beside a device, a thread reads ahead: it changes no result, has a bound, and ends with the run."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gpucube.arrays.backend import Backend
from gpucube.errors import ObservationError
from gpucube.pipeline import Settings, make_models
from gpucube.pipeline.read import AHEAD
from tests.stores import copy_store, event_file

STRICT = Settings(backend="array_api_strict", catalog="none", test=True)
READ = sys.modules["gpucube.pipeline.count"]
BLOCKS = sys.modules["gpucube.pipeline.blocks"]


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("gpucube-reader")]


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One observation in a block, and threads that take turns as often as they can."""
    monkeypatch.setattr(BLOCKS, "DEVICE_BLOCK", 1)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Observations in the order in which they are read, and the thread."""
    seen: list[tuple[int, str]] = []
    original = READ.read_or_error

    def read(obs_id: int, *arguments: object) -> object:
        seen.append((obs_id, threading.current_thread().name))
        return original(obs_id, *arguments)

    monkeypatch.setattr(READ, "read_or_error", read)
    return seen


@pytest.mark.parametrize("changes", [{}, {"mask": True, "bootstrap": 3}, {"align": "RADEC", "mask": True}])
def test_results_do_not_depend_on_it(
    backend: Backend, changes: dict[str, object], one_by_one: None, reads: list, store: Path, tmp_path: Path
) -> None:
    """Against a run that reads each block when it is its turn."""
    recipe = replace(STRICT, backend=backend.name, **changes)
    make_models(store, tmp_path / "ahead", settings=recipe)
    names = {name for _, name in reads}
    assert names == ({"MainThread"} if backend.name == "numpy" else {"gpucube-reader_0"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["gpucube.pipeline.make_models"], "open_workers", alone)
        make_models(store, tmp_path / "alone", settings=recipe)
    assert {name for _, name in reads} - names <= {"MainThread"}
    files = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "ahead").iterdir())
    for name in files:
        assert (tmp_path / "ahead" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def alone(*arguments: object, on_device: bool) -> object:
    from gpucube.workers import open_workers

    return open_workers(1)


def test_no_more_than_some_blocks_are_read_ahead(
    one_by_one: None, reads: list, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, most = [], []
    original = READ.count_block

    def count(block: object, **place: object) -> object:
        time.sleep(0.02)  # long enough to read all that may be read
        counted.append(block.task.observations[0].obs_id)
        most.append(len(reads) - len(counted))
        return original(block, **place)

    monkeypatch.setattr(READ, "count_block", count)
    make_models(store, tmp_path / "out", settings=STRICT)
    assert counted == [obs_id for obs_id, _ in reads]
    assert 1 <= max(most) <= AHEAD + 1


def test_what_is_wrong_with_an_observation_is_said_in_its_turn(
    one_by_one: None, reads: list, store: Path, tmp_path: Path
) -> None:
    data = copy_store(store, tmp_path / "data")
    make_models(data, tmp_path / "good", settings=STRICT)
    order = [obs_id for obs_id, _ in reads]
    event_file(data, order[4]).write_text("nonsense")
    done = []
    with pytest.raises(ObservationError, match=f"observation {order[4]}: "):
        make_models(data, tmp_path / "bad", settings=replace(STRICT, strict=True), progress=lambda n, _: done.append(n))
    assert done == [1, 2, 3, 4]
    assert not readers()


@pytest.mark.parametrize("where", ["progress", "count"])
def test_interrupted_run_ends_at_once_and_can_be_resumed(
    where: str, one_by_one: None, reads: list, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_models(store, tmp_path / "whole", settings=STRICT)
    reads.clear()

    def interrupted(*arguments: object, **place: object) -> object:
        raise KeyboardInterrupt

    progress: Callable[[int, int], None] = interrupted if where == "progress" else lambda done, total: None
    with monkeypatch.context() as patch:
        if where == "count":
            patch.setattr(READ, "count_block", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_models(store, tmp_path / "out", settings=STRICT, progress=progress)
    assert not readers()
    assert len(reads) <= 1 + AHEAD + 1
    make_models(store, tmp_path / "out", settings=replace(STRICT, resume=True))
    files = sorted((tmp_path / "whole").iterdir())
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in sorted((tmp_path / "out").iterdir())]


@pytest.mark.parametrize(
    "changes", [{}, {"mask": True, "bootstrap": 3}, {"method": "smooth"}, {"method": "regression", "mask": True}]
)
def test_no_two_threads_change_filters_of_warnings(
    changes: dict[str, object], one_by_one: None, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They belong to the whole process: the one that is done first would take those of the other along."""
    inside: list[str] = []
    together: set[tuple[str, ...]] = set()
    enter, leave = warnings.catch_warnings.__enter__, warnings.catch_warnings.__exit__

    def entered(self: warnings.catch_warnings) -> object:
        inside.append(threading.current_thread().name)
        together.add(tuple(sorted(set(inside))))
        return enter(self)

    def left(self: warnings.catch_warnings, *reason: object) -> None:
        leave(self, *reason)
        inside.remove(threading.current_thread().name)

    before = list(warnings.filters)
    monkeypatch.setattr(warnings.catch_warnings, "__enter__", entered)
    monkeypatch.setattr(warnings.catch_warnings, "__exit__", left)
    make_models(store, tmp_path / "out", settings=replace(STRICT, **changes))
    assert ("gpucube-reader_0",) in together
    assert all(len(names) == 1 for names in together)
    assert list(warnings.filters) == before
