"""The same models from a Dask cluster of processes, also when one of them is killed."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpucube.errors import GpucubeError, OptionError
from gpucube.pipeline import Settings, make_models
from gpucube.workers import dask_workers

distributed = pytest.importorskip("distributed")
# A cluster leaves sockets and loops of its own behind when it is closed.
pytestmark = pytest.mark.filterwarnings("ignore")

QUICK = Settings(backend="numpy", catalog="none", test=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Scheduler and two worker processes on this machine."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def models(store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files that this process makes."""
    out = tmp_path_factory.mktemp("alone") / "out"
    make_models(store, out, settings=QUICK)
    return contents(out)


def test_cluster_makes_the_same_models(
    cluster: Any, store: Path, models: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from a relative path, which workers could not follow."""
    monkeypatch.chdir(store.parent)
    make_models(store.name, tmp_path / "out", settings=replace(QUICK, scheduler=cluster.scheduler_address))
    assert contents(tmp_path / "out") == models


def test_killed_worker_costs_no_event(
    cluster: Any, store: Path, models: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["gpucube.pipeline.blocks"], "MOST_OBSERVATIONS", 1)
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        workers = list(client.run(os.getpid).values())
    killed: list[int] = []

    def kill_one(done: int, total: int) -> None:
        if done >= 2 and not killed:
            killed.append(workers[0])
            os.kill(workers[0], signal.SIGKILL)

    settings = replace(QUICK, scheduler=cluster.scheduler_address)
    make_models(store, tmp_path / "out", settings=settings, progress=kill_one)
    assert killed
    assert contents(tmp_path / "out") == models


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address at which no scheduler answers."""
    monkeypatch.setattr(sys.modules["gpucube.workers"], "CONNECT_TIMEOUT", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{free.getsockname()[1]}"


def test_scheduler_that_does_not_answer(nobody: str, store: Path, tmp_path: Path) -> None:
    """The next try is not refused: nothing was written."""
    with pytest.raises(GpucubeError, match=f"no Dask scheduler answers at {nobody} within 1 s"):
        make_models(store, tmp_path / "out", settings=replace(QUICK, scheduler=nobody))
    assert not (tmp_path / "out").exists()


def test_models_are_not_replaced_without_a_scheduler(
    nobody: str, store: Path, models: dict[str, bytes], tmp_path: Path
) -> None:
    make_models(store, tmp_path / "out", settings=QUICK)
    with pytest.raises(GpucubeError, match="no Dask scheduler answers"):
        make_models(store, tmp_path / "out", settings=replace(QUICK, scheduler=nobody, overwrite=True))
    assert contents(tmp_path / "out") == models


@pytest.mark.parametrize("address", ["nonsense", "htp://x:1", "node1:port", "tcp://node1", ""])
def test_address_that_is_none(address: str) -> None:
    """It is refused before anything tries it, which would take a while."""
    with pytest.raises(GpucubeError, match=r"--scheduler: .*such as tcp://node1:8786"), dask_workers(address):
        pass


def test_without_dask(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(GpucubeError, match=r"gpucube\[dask\]"):
        make_models(store, tmp_path / "out", settings=replace(QUICK, scheduler="tcp://127.0.0.1:1"))
    assert not (tmp_path / "out").exists()


def test_workers_or_a_scheduler() -> None:
    with pytest.raises(OptionError, match="exclude each other"):
        Settings(workers=2, scheduler="tcp://127.0.0.1:1")
