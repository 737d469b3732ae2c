"""Fixtures and settings for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from gpucube.arrays.backend import Backend, BackendStatus, backend_statuses, get_backend
from gpucube.synthetic.dataset import make_test_dataset

hypothesis.settings.register_profile("gpucube", deadline=None, print_blob=True)
hypothesis.settings.load_profile("gpucube")

STATUSES: list[BackendStatus] = backend_statuses()


def _backend_parameter(status: BackendStatus) -> object:
    marks = () if status.works else pytest.mark.skip(reason=f"{status.name}: {status.detail}")
    return pytest.param(status.name, marks=marks)


@pytest.fixture(params=[_backend_parameter(status) for status in STATUSES], scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every array library found here; ``array_api_strict`` on a device that is not its CPU."""
    return get_backend(request.param)


def pytest_report_header() -> list[str]:
    """Say which backends this run tests."""
    return [f"backend {s.name}: {s.detail if s.works else 'not tested: ' + s.detail}" for s in STATUSES]


@pytest.fixture(scope="session")
def hess_dl3_dr1() -> Path:
    """Folder of the H.E.S.S. DL3 DR1 under ``$GAMMAPY_DATA``; skips where it is missing."""
    folder = Path(os.environ.get("GAMMAPY_DATA", "")) / "hess-dl3-dr1"
    if not (os.environ.get("GAMMAPY_DATA") and folder.is_dir()):
        pytest.skip("needs $GAMMAPY_DATA/hess-dl3-dr1")
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small synthetic data store of scheme GADF: 8 observations; not to be changed."""
    folder = tmp_path_factory.mktemp("gadf") / "data"
    make_test_dataset(folder, scheme="GADF", n_obs=8, trigger_rate=2.0, seed=1)
    return folder


@pytest.fixture(scope="session")
def hess_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same observations in the naming scheme of 2015; not to be changed."""
    folder = tmp_path_factory.mktemp("hess") / "data"
    make_test_dataset(folder, scheme="HESS", n_obs=8, trigger_rate=2.0, seed=1)
    return folder
