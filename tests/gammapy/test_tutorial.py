"""The tutorial runs, and what it shows is true."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gammapy")

TUTORIAL = Path(__file__).parents[2] / "docs" / "make_tutorial_picture.py"


def test_tutorial_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    found = runpy.run_path(str(TUTORIAL))["run_tutorial"](tmp_path)
    assert 1000 < (tmp_path / "background.png").stat().st_size < 60_000
    assert found["counts"].sum() > 10_000
    assert found["background"].sum() == pytest.approx(found["counts"].sum(), rel=0.02)
    # The models were made from the same events, so they fit a little too well.
    significance = found["significance"]
    assert abs(significance.mean()) < 0.1
    assert 0.9 < significance.std() < 1.1
    assert np.abs(significance).max() < 5.5
    assert (TUTORIAL.parent / "tutorial.png").stat().st_size < 60_000
