"""The command `gpucube info` on folders and files that gpucube writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpucube.cubes.fits import read_background_model
from gpucube.observations.group_by import groups_by
from gpucube.pipeline import Settings, make_models
from gpucube.pipeline.make_models import Summary
from tests.commands import assert_refused, run
from tests.stores import DAMAGES, copy_store, event_file


@pytest.fixture(scope="module")
def made(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """Models of two groups, of which one observation is damaged."""
    data = copy_store(store, tmp_path_factory.mktemp("info") / "data")
    DAMAGES["truncated"][0](event_file(data, 2))
    settings = Settings(backend="numpy", catalog="none", energy_edges=(0.01, 0.02, 0.2, 2, 20), pixels=5)
    return make_models(data, data.parent / "models", settings=settings, groups=groups_by(["ALT:0,60,90"]))


def info(path: Path) -> str:
    result = run("info", path)
    assert result.exit_code == 0, result.output
    return result.output


def facts(output: str) -> dict[str, str]:
    lines = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in output.splitlines()]
    return {line[0]: line[1] for line in lines if len(line) == 2}


def test_folder_of_models(made: Summary) -> None:
    """A line for each group: what it was made of, and where it is exposed."""
    output = info(made.folder)
    found = facts(output)
    assert found["models"] == "2"
    assert found["method"] == "default"
    assert found["observations"] == "8: 7 used, 1 skipped"
    table = [re.split(r"\s{2,}", line.strip()) for line in output.splitlines() if "_table.fits.gz" in line]
    assert [line[0] for line in table] == ["0", "1"]
    for line, (group, path) in zip(table, made.models.items(), strict=True):
        members = [row for row in made.rows if row.group_id == group and row.status == "used"]
        assert line[1:3] == [made.groups.describe(group), f"{len(members)}"]
        model = read_background_model(path)
        assert line[3] == f"{sum(row.livetime for row in members) / 3600:.2f} h"
        assert line[4] == f"{sum(row.n_filled for row in members):,}"
        exposed = model.livetime.quantity.value.any(axis=(1, 2))
        low = model.axes[0].edges[exposed.argmax()]
        assert line[5] == f"{low:.3g} to 20 TeV"
        assert line[6] == path.name


def test_event_ledger(made: Summary) -> None:
    output = info(made.folder / "bg_event_ledger.ecsv")
    found = facts(output)
    assert found["kind"] == "event ledger"
    assert found["observations"] == "8: 7 used, 1 skipped"
    assert found["why skipped"].startswith("1 × ")
    assert "damaged" in found["why skipped"]
    n_filled = sum(row.n_filled for row in made.rows)
    assert found["events filled"].startswith(f"{n_filled:,} (")


def test_damaged_ledger_does_not_hide_the_models(made: Summary, tmp_path: Path) -> None:
    folder = copy_store(made.folder, tmp_path / "models")
    (folder / "bg_event_ledger.ecsv").write_text("hello")
    output = info(folder)
    assert "bg_event_ledger.ecsv" in facts(output)
    assert output.count("_table.fits.gz") == 2
    assert_refused(run("info", folder / "bg_event_ledger.ecsv"), "bg_event_ledger.ecsv")


def test_regression_that_cannot_be_read_does_not_hide_the_models(made: Summary, tmp_path: Path) -> None:
    folder = copy_store(made.folder, tmp_path / "models")
    (folder / "bg_regression_model.fits.gz").write_text("hello")
    output = info(folder)
    assert facts(output)["bg_regression_model.fits.gz"].startswith("cannot be used: ")
    assert output.count("_table.fits.gz") == 2
    assert_refused(run("info", folder / "bg_regression_model.fits.gz"), "bg_regression_model.fits.gz")


def test_folder_without_a_model(store: Path, tmp_path: Path) -> None:
    result = run("make-models", store, "auto", tmp_path / "out", "--catalog", "none", "--group-by", "ALT:0,1")
    assert result.exit_code == 1
    found = facts(info(tmp_path / "out"))
    assert found["models"] == "0"
    assert found["observations"] == "8: 8 ungrouped"
    assert found["why ungrouped"] == "8 × ALT is outside 0..1 deg"


def test_attached_folder(store: Path, made: Summary, tmp_path: Path) -> None:
    options = ("--link", "--normalise", "norm", "--catalog", "none")
    assert run("attach", made.folder, store, tmp_path / "out", *options).exit_code == 0
    found = facts(info(tmp_path / "out"))
    assert "scheme GADF, with backgrounds by gpucube attach" in found["kind"]
    assert found["observations"] == "8: 8 attached"
    assert found["made of"].endswith(("group 0", "group 1"))
    assert "median" in found["normalised, norm"]
    assert "livetime" in found


def test_attached_folder_without_a_background(store: Path, tmp_path: Path) -> None:
    """All observations saw the same target as the only model."""
    one = ("--catalog", "none", "--group-by", "ALT:0,90", "--pixels", 5)
    assert run("make-models", store, "auto", tmp_path / "one", *one).exit_code == 0
    options = ("--link", "--leave-out-target")
    assert run("attach", tmp_path / "one", store, tmp_path / "out", *options).exit_code == 1
    found = facts(info(tmp_path / "out"))
    assert found["observations"] == "8: 8 skipped"
    assert "same target" in found["why skipped"]


def test_other_tables_are_refused(made: Summary) -> None:
    assert_refused(run("info", made.folder / "bg_observation_groups.ecsv"), "no ledger")
