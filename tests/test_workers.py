"""Threads of BLAS: one in each worker, and one beside the work of others."""

from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from gpucube.pipeline import make_models
from gpucube.synthetic import make_test_dataset
from gpucube.workers import one_blas_thread, process_pool


def blas_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch):
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    with threadpool_limits(2, "blas"):
        if blas_threads() != {2}:
            pytest.skip("this BLAS has no two threads")
        yield


def test_limit_ends_with_the_statement() -> None:
    with one_blas_thread():
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_workers_have_one() -> None:
    with process_pool(1) as pool:
        assert pool.submit(blas_threads).result() == {1}


def test_models_are_made_with_one(tmp_path: Path) -> None:
    make_test_dataset(tmp_path / "data", n_obs=2, seed=1)
    seen: list[set[int]] = []
    make_models(tmp_path / "data", tmp_path / "models", progress=lambda done, total: seen.append(blas_threads()))
    assert {1} in seen
    assert blas_threads() == {2}
