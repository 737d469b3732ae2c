"""What a first user does wrong, and what damaged files do: one clear line each, and nothing half done."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gpucube.workers import process_pool
from tests.commands import assert_refused, run

ONE_GROUP = ("--catalog", "none", "--group-by", "ALT:0,90")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def models(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "of all"
    options = ("--energy-bins", "0.1,20,7", "--fov", 3, "--pixels", 6, "--terms", "spectrum,radial")
    result = run("make-models", store, "auto", folder, *ONE_GROUP, "--method", "regression", *options)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def changed(models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(models, tmp_path / "changed"))


def edit(path: Path, change: Callable[[fits.HDUList], None]) -> None:
    with fits.open(path) as hdus:
        change(hdus)
        hdus.writeto(path, overwrite=True)


def spoil(hdu: str, column: str, value: float) -> Callable[[fits.HDUList], None]:
    def change(hdus: fits.HDUList) -> None:
        hdus[hdu].data[column].flat[0] = value

    return change


def test_a_truncated_regression_is_no_reason_to_take_other_models(changed: Path, store: Path, tmp_path: Path) -> None:
    path = changed / "bg_regression_model.fits.gz"
    path.write_bytes(path.read_bytes()[:2000])
    assert_refused(run("attach", changed, store, tmp_path / "out"), path.name, "damaged")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("hdu", "column", "value"),
    [("COEFFICIENTS", "VALUE", np.nan), ("EFFECTS", "EFFECT", np.inf)],
)
def test_a_regression_of_no_numbers_is_refused(
    hdu: str, column: str, value: float, changed: Path, store: Path, tmp_path: Path
) -> None:
    path = changed / "bg_regression_model.fits.gz"
    edit(path, spoil(hdu, column, value))
    assert_refused(run("attach", changed, store, tmp_path / "out"), path.name, hdu, "no finite numbers")


@pytest.mark.parametrize("value", [-1.0, np.inf])
def test_impossible_rates_are_refused(value: float, changed: Path) -> None:
    path = changed / "bg_cube_model_group0_table.fits.gz"
    edit(path, spoil("BACKGROUND", "BKG", value))
    for command in ("info", "plot"):
        assert_refused(run(command, path), path.name, "BKG", str(value))


def test_a_rate_per_an_unknown_time_is_refused(changed: Path) -> None:
    path = changed / "bg_cube_model_group0_table.fits.gz"
    edit(path, lambda hdus: hdus["BACKGROUND"].header.set("RATEPER", "FORTNIGHT"))
    assert_refused(run("info", path), path.name, "RATEPER", "FORTNIGHT")


def test_info_knows_regressions(models: Path) -> None:
    result = run("info", models / "bg_regression_model.fits.gz")
    assert result.exit_code == 0, result.output
    assert "8 observations" in result.output
    assert "spectrum, radial" in result.output
    assert "bg_regression_model.fits.gz" in run("info", models).output


def test_plot_takes_folders_and_says_what_a_regression_is(models: Path, tmp_path: Path) -> None:
    result = run("plot", models, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert len(list(tmp_path.iterdir())) == 2
    assert_refused(run("plot", models / "bg_regression_model.fits.gz"), "bg_cube_model_group*")
    assert_refused(run("plot", tmp_path), "no models")


def test_radial_models_are_drawn(store: Path, tmp_path: Path) -> None:
    assert run("make-models", store, "auto", tmp_path / "a", *ONE_GROUP, "--model", "2d").exit_code == 0
    result = run("plot", tmp_path / "a", "--out", tmp_path / "b")
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["bg_cube_model_group0_table_spectra.png"]


@pytest.mark.parametrize("bins", ["1,2,1e9", "1,inf,3", "1,2,nan"])
def test_absurd_energy_bins_are_refused_before_they_take_all_memory(bins: str, store: Path, tmp_path: Path) -> None:
    result = run("make-models", store, "auto", tmp_path / "out", "--energy-bins", bins)
    assert result.exit_code == 2, result.output
    assert bins in result.output


def test_absurd_pixels_and_steps_are_refused(models: Path, store: Path, tmp_path: Path) -> None:
    assert_refused(run("make-models", store, "auto", tmp_path / "out", "--pixels", 100_000), "pixels is 100000")
    assert_refused(run("attach", models, store, tmp_path / "out", "--time-step", 1e-9), "time_step is 1e-09")
    assert not (tmp_path / "out").exists()


def test_a_tiny_field_of_view(store: Path, tmp_path: Path) -> None:
    options = ("--fov", 1e-6)
    result = run("make-models", store, "auto", tmp_path / "a", *ONE_GROUP, *options)
    assert result.exit_code == 0, result.output
    assert "its model is empty" in result.output
    assert "outside the field of view" in result.output
    assert "of 1e-06 deg" in result.output.strip().splitlines()[-1]
    result = run("make-models", store, "auto", tmp_path / "b", *ONE_GROUP, *options, "--method", "regression")
    assert_refused(result, "--fov")


@pytest.mark.parametrize("options", [("--energy-bins", "1000,10000,4"), ("--energy-edges", "1000,2000,10000")])
def test_energies_in_another_unit_end_with_a_warning(options: tuple[str, ...], store: Path, tmp_path: Path) -> None:
    result = run("make-models", store, "auto", tmp_path / "out", "--catalog", "none", *options)
    assert result.exit_code == 0, result.output
    last = result.output.strip().splitlines()[-1]
    assert last.startswith("warning: nothing was filled: none of ")
    assert "energy bins from 1000 to 10000 TeV" in last


def test_models_with_events_end_without_that_warning(store: Path, tmp_path: Path) -> None:
    assert "nothing was filled" not in run("make-models", store, "auto", tmp_path / "out", *ONE_GROUP).output


def test_a_folder_that_cannot_be_made_is_said_before_the_work(models: Path, store: Path, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("mine")
    for out in (in_the_way, in_the_way / "sub"):
        for arguments in (("validate", models, store), ("compare", models, models), ("plot", models)):
            result = run(*arguments, "--out", out)
            assert_refused(result, str(out))
            assert "scores" not in result.output
        assert_refused(run("make-models", store, "auto", out), str(out))
    assert in_the_way.read_text() == "mine"


def test_dates_that_are_none_are_refused_in_one_line(tmp_path: Path) -> None:
    result = run("make-test-dataset", tmp_path / "out", "--date-range", "x", "y")
    assert_refused(result, "date_range")
    assert len(result.output.strip().splitlines()) == 1


def test_data_without_backgrounds(store: Path) -> None:
    assert_refused(run("validate", "--attached", store, "--catalog", "none"), "BKG", "gpucube attach")


def test_wrong_only_is_not_called_group_by(models: Path, store: Path) -> None:
    assert_refused(run("validate", models, store, "--only", "x"), "--only 'x'")


def test_only_that_leaves_nothing_is_not_blamed_on_the_catalogue(models: Path, store: Path) -> None:
    result = run("validate", models, store, "--only", "OBS_ID=77")
    assert_refused(result, "--only leaves none of 8 observations", "OBS_ID 1 is none of 77; ", "; ...")
    assert "catalog, or" not in result.output


def test_text_is_no_fits_file(models: Path) -> None:
    assert_refused(
        run("plot", models / "bg_event_ledger.ecsv"),
        "bg_event_ledger.ecsv: cannot be read as FITS: it does not begin as one",
    )


def test_regression_is_cross_validated(store: Path) -> None:
    cells = ("--bins-per-decade", 1, "--cell", 2, "--catalog", "none", "--energy-range", "0.2,20")
    bins = ("--energy-bins", "0.1,20,7", "--fov", 3, "--pixels", 6)
    result = run("validate", "--cross-validate", 2, "--method", "regression", *cells, *bins, store)
    assert result.exit_code == 0, result.output
    assert "scores of regression" in result.output


def touch(path: Path) -> None:
    time.sleep(0.5)
    path.touch()


def interrupted_work(folder: Path) -> None:
    with process_pool(1) as pool:
        futures = [pool.submit(touch, folder / f"{number}") for number in range(6)]
        futures[0].result()
        raise KeyboardInterrupt


def test_workers_begin_nothing_new_after_an_interruption(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_work(tmp_path)
    # The first, and the second, which had begun: the executor had handed out one or two more.
    assert len(list(tmp_path.iterdir())) <= 2


@pytest.mark.parametrize(
    "page", sorted(["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\((?!http)([^)#]*)(?:#[^)]*)?\)", text):
        assert (ROOT / page).parent.joinpath(link).exists(), link
