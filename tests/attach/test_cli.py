"""The command, as a user calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from click.testing import CliRunner, Result

from gpucube.cli import cli
from gpucube.pipeline.output import model_file
from tests.stores import DAMAGES, copy_store, event_file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["attach", *(str(argument) for argument in arguments)])


def test_copies_with_all_options(store: Path, models: Path, tmp_path: Path) -> None:
    fit = ("--normalise", "tilt", "--norm-range", "0.4,20", "--catalog", "none", "--mask-radius", 0.3)
    choice = ("--interpolate", "log", "--time-step", 600, "--workers", 1)
    result = run(models, store, tmp_path / "out", "--scheme", "gadf", *fit, *choice)
    assert result.exit_code == 0, result.output
    assert "8 observations: 8 attached, 0 skipped" in result.output
    ledger = Table.read(tmp_path / "out" / "attach_ledger.ecsv")
    assert ledger["OBS_ID"].tolist() == list(range(1, 9))
    assert (np.abs(ledger["NORM"] - 1) < 0.5).all()
    assert len(np.unique(ledger["TILT"])) == 8
    assert len(list((tmp_path / "out" / "data").rglob("*.fits.gz"))) == 8


def test_links_and_overwriting(store: Path, models: Path, tmp_path: Path) -> None:
    path = model_file(models, 0, "table")
    for extra, status in (((), 0), ((), 1), (("--overwrite",), 0)):
        result = run(path, store, tmp_path / "out", "--link", *extra)
        assert result.exit_code == status, result.output
    names = {item.relative_to(tmp_path / "out").parts[0] for item in (tmp_path / "out").rglob("*")}
    assert names == {"bkg", "hdu-index.fits.gz", "obs-index.fits.gz", "attach_ledger.ecsv", "attach_files.txt"}


def test_skipped_observations_are_status_3(store: Path, models: Path, tmp_path: Path) -> None:
    damaged = copy_store(store, tmp_path / "data")
    DAMAGES["truncated"][0](event_file(damaged, 2))
    result = run(models, damaged, tmp_path / "out", "--link")
    assert result.exit_code == 3, result.output
    assert "observation 2 skipped" in result.output
    assert run(models, damaged, tmp_path / "strict", "--link", "--strict").exit_code == 1


def test_all_models_saw_the_target(store: Path, models: Path, tmp_path: Path) -> None:
    result = run(models, store, tmp_path / "out", "--leave-out-target", "--link")
    assert result.exit_code == 1
    assert "no observation got a background" in result.output
    assert "same target" in result.output


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("{store}", "{store}", "{tmp}/x"), 1, "no models"),
        (("nowhere", "{store}", "{tmp}/x"), 1, "nowhere"),
        (("{models}", "nowhere", "{tmp}/x"), 1, "nowhere"),
        (("{models}", "{store}", "{store}"), 1, "data store itself"),
        (("{models}", "{store}", "{tmp}/x", "--time-step", "0"), 1, "time_step"),
        (("{models}", "{store}", "{tmp}/x", "--norm-range", "1,2"), 1, "norm_range"),
        (("{models}", "{store}", "{tmp}/x", "--norm-range", "1"), 2, "two energies"),
        (("{models}", "{store}", "{tmp}/x", "--interpolate", "cubic"), 2, "cubic"),
        (("{models}", "{store}", "{tmp}/x", "--normalise", "norm", "--mask-radius", "-1"), 1, "mask_radius"),
        (("{models}", "{store}", "{tmp}/x", "--scheme", "HESS"), 2, "HESS"),
    ],
)
def test_bad_input(
    arguments: tuple[str, ...], status: int, word: str, store: Path, models: Path, tmp_path: Path
) -> None:
    places = {"store": store, "models": models, "tmp": tmp_path}
    result = run(*(argument.format(**places) for argument in arguments))
    assert result.exit_code == status, result.output
    assert word in result.output
    assert not (tmp_path / "x").exists()
