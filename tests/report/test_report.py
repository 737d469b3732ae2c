"""Tables, pictures and pages of validations and comparisons."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from astropy.table import Table
from click.testing import CliRunner

from gpucube.cli import cli
from gpucube.plots import label_pulls, new_figure
from gpucube.report import comparison
from gpucube.report.page import Section, html_page
from gpucube.report.text import cell_text, column_label
from gpucube.report.validation import NO_SKILL
from gpucube.validation.compare import compare_sets
from tests.stores import DAMAGES, copy_store, event_file

VALIDATION = {
    *(f"validation_{name}.ecsv" for name in ("scores", "energy", "offset", "quadrant", "observations", "cells")),
    *(f"validation_{name}.png" for name in ("skill", "counts", "pulls", "observations")),
    "validation.html",
}


class Checker(HTMLParser):
    """Finds what a page refers to, and that its tags are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.references = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.references += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check_page(text):
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert all(reference.startswith("data:image/png;base64,") for reference in checker.references)
    assert not re.search(r"https?://|@import|url\(", text)
    return checker.references


def run(*arguments, code=0):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def models(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    options = ("--group-by", "ALT:0,55,90", "--catalog", "none", "--energy-bins", "0.1,100,5", "--pixels", "7")
    for method in ("default", "mayer2015"):
        run("make-models", store, "GADF", folder / method, "--backend", "numpy", "--method", method, *options)
    return folder


def test_validate(store, models, tmp_path):
    output = run("validate", models / "default", store, "--catalog", "none", "--cell", "1", "--out", tmp_path / "out")
    assert "8 of 8 observations are scored" in output
    assert "warning: scores are too good, for the models have seen observations 1, 2, 3, 4, 5, ..." in output
    assert {path.name for path in (tmp_path / "out").iterdir()} == VALIDATION
    pictures = check_page((tmp_path / "out" / "validation.html").read_text())
    assert len(pictures) == 4
    table = Table.read(tmp_path / "out" / "validation_scores.ecsv")
    assert cell_text("MODEL", table["MODEL"][0]) in output
    assert table["FLAT"][0] > 0
    assert table.meta["creator"].startswith("gpucube")


def test_cross_validate(store):
    output = run(
        *("validate", "--cross-validate", 2, store, "--catalog", "none", "--cell", "1", "--bins-per-decade", "2"),
        *("--group-by", "ALT:0,90", "--energy-bins", "0.1,100,6", "--pixels", 8, "--fov", 3),
    )
    assert "models were made 2 times" in output
    assert "too good" not in output


def test_cross_validate_a_regression(store):
    output = run(
        *("validate", "--cross-validate", 2, store, "--catalog", "none", "--cell", "1", "--bins-per-decade", "2"),
        *("--method", "regression", "--terms", "spectrum,zenith,radial", "--group-by", "ALT:0,90"),
        *("--energy-bins", "0.2,30,8", "--pixels", 8, "--fov", 3),
    )
    assert "scores of regression" in output
    assert "models were made 2 times" in output


@pytest.fixture
def damaged(store, tmp_path):
    data = copy_store(store, tmp_path / "data")
    DAMAGES["truncated"][0](event_file(data, 2))
    return data


def test_observations_that_cannot_be_read_are_told_once_and_are_status_3(damaged, models, tmp_path):
    cells = ("--catalog", "none", "--cell", "1", "--bins-per-decade", "2")
    bins = ("--group-by", "ALT:0,90", "--energy-bins", "0.1,100,6", "--pixels", 8, "--fov", 3)
    out = tmp_path / "out"
    for arguments in ((models / "default", damaged, "--out", out), ("--cross-validate", 2, damaged, *bins)):
        output = run("validate", *arguments, *cells, code=3)
        assert output.count(event_file(damaged, 2).name) == 1, output
        assert "7 observations (1 more could not be read)" in output
    assert "observation 2 is not scored" in (out / "validation.html").read_text()


def _without_index_row(path):
    index = Table.read(path.parents[1] / "hdu-index.fits.gz")
    index[np.char.strip(np.asarray(index["FILE_NAME"], dtype=str)) != path.name].write(
        path.parents[1] / "hdu-index.fits.gz", overwrite=True
    )


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (DAMAGES["truncated"][0], ("bkg_000002.fits.gz", "damaged")),
        (DAMAGES["missing file"][0], ("bkg_000002.fits.gz", "no such file")),
        (DAMAGES["not FITS"][0], ("bkg_000002.fits.gz", "FITS")),
        (_without_index_row, ("names no BKG HDU", "gpucube attach")),
    ],
    ids=["truncated", "missing", "not FITS", "not in the index"],
)
def test_attached_backgrounds_that_cannot_be_read_are_told_once_and_are_status_3(
    damage, words, store, models, tmp_path
):
    run("attach", models / "default", store, tmp_path / "dl3", "--link", "-l", "error")
    damage(tmp_path / "dl3" / "bkg" / "bkg_000002.fits.gz")
    cells = ("--catalog", "none", "--cell", "1", "--bins-per-decade", "2", "--out", tmp_path / "out")
    output = run("validate", "--attached", tmp_path / "dl3", *cells, code=3)
    (line,) = [line for line in output.splitlines() if "observation 2 skipped" in line]
    assert all(word in line for word in words), line
    assert "7 observations (1 more could not be read)" in output
    assert "predict nothing" not in output
    assert "observation 2 is not scored" in (tmp_path / "out" / "validation.html").read_text()
    assert Table.read(tmp_path / "out" / "validation_observations.ecsv")["OBS_ID"].tolist() == [1, 3, 4, 5, 6, 7, 8]


def test_no_attached_background_can_be_read(store, models, tmp_path):
    run("attach", models / "default", store, tmp_path / "dl3", "--link", "-l", "error")
    for path in (tmp_path / "dl3" / "bkg").iterdir():
        path.write_bytes(b"")
    output = run("validate", "--attached", tmp_path / "dl3", "--catalog", "none", code=1)
    assert "bkg_00000" in output
    assert "unexpected" not in output


def test_rows_that_are_no_observations_are_status_3(store, models, tmp_path):
    data = copy_store(store, tmp_path / "data")
    index = Table.read(data / "obs-index.fits.gz")
    index["RA_PNT"][1] = np.nan
    index.write(data / "obs-index.fits.gz", overwrite=True)
    output = run("validate", models / "default", data, "--catalog", "none", "--cell", "1", code=3)
    assert output.count("observation 2 skipped") == 1


def test_compare(models, tmp_path):
    output = run("compare", models / "default", models / "mayer2015", "--out", tmp_path / "out")
    assert "group 1" in output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = {f"comparison_group_{group}_{kind}.png" for group in (0, 1) for kind in ("spectra", "images")}
    assert names == pictures | {"comparison.ecsv", "comparison.html"}
    assert len(check_page((tmp_path / "out" / "comparison.html").read_text())) == 4
    assert "first / second" in output


def test_compare_tells_how_far_it_is(models, tmp_path):
    told = []
    both = (models / "default", models / "mayer2015")
    comparisons, notes = compare_sets(*both, lambda *numbers: told.append(numbers))
    assert told == [(1, 2), (2, 2)]
    told.clear()
    comparison.write_comparison(comparisons, ("a", "b"), tmp_path, notes, lambda *numbers: told.append(numbers))
    assert told == [(1, 2), (2, 2)]


def test_images_of_the_same_colours_have_one_bar(models, monkeypatch):
    """A bar for the rates of each, one for all ratios, one for all pulls."""
    figures = []
    monkeypatch.setattr(comparison, "png_bytes", lambda figure: figures.append(figure) or b"")
    comparisons, _ = compare_sets(models / "default", models / "mayer2015")
    comparison._images(comparisons[0], ("a", "b"))
    (figure,) = figures
    images = [panel for panel in figure.axes if panel.get_subplotspec()]
    bars = [bar for panel in images for bar in panel.child_axes] + [a for a in figure.axes if not a.get_subplotspec()]
    n_rows = len(images) // 4
    assert n_rows > 1
    assert len(bars) == n_rows + 2
    limits = [[image.get_clim() for image in panel.collections] for panel in images]
    for row in range(n_rows):
        first, second, ratio, pull = limits[4 * row : 4 * row + 4]
        assert first == second
        assert (ratio, pull) == ([(-1, 1)], [(-5, 5)])


def test_nothing_known_has_no_bar(models, monkeypatch):
    figures = []
    monkeypatch.setattr(comparison, "png_bytes", lambda figure: figures.append(figure) or b"")
    comparisons, _ = compare_sets(models / "default", models / "mayer2015")
    nothing = np.full_like(comparisons[0].first, np.nan)
    comparison._images(replace(comparisons[0], error=nothing), ("a", "b"))
    bars = [panel for panel in figures[0].axes if not panel.get_subplotspec()]
    assert [bar.get_visible() for bar in bars] == [True, False]


def test_models_without_exposure_are_drawn_without_a_warning(models):
    comparisons, _ = compare_sets(models / "default", models / "mayer2015")
    nothing = np.full_like(comparisons[0].first, np.nan)
    pictures = comparison.comparison_pictures(
        replace(comparisons[0], first=nothing, second=nothing, error=nothing), ("a", "b")
    )
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("models/a", "models/b"), ["a", "b"]),
        (("a/group0.fits", "b/group0.fits"), ["a/group0.fits", "b/group0.fits"]),
        (("a", "a"), ["a", "a"]),
        (("a" * 60, "b"), ["…" + "a" * 49, "b"]),
    ],
)
def test_pictures_name_what_they_compare(names, shown):
    assert comparison._short(names) == shown


def test_outermost_bars_of_pulls_say_what_they_hold():
    panel = new_figure(3, 3).subplots()
    label_pulls(panel, 5.0)
    assert [text.get_text() for text in panel.get_xticklabels()] == ["≤ -5", "-2.5", "0", "2.5", "≥ 5"]


def test_a_skill_that_is_not_known_is_explained(store, models):
    """One cell in the field of view has no structure."""
    cells = ("--cell", "4", "--bins-per-decade", "1", "--energy-range", "1,10")
    vague = run("validate", models / "default", store, "--catalog", "none", *cells)
    assert NO_SKILL in vague
    assert "predicted / observed" in vague


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("DATA",), "give MODEL and DATA"),
        (("M", "DATA", "--attached"), "give DATA only"),
        (("DATA", "--attached", "--cross-validate", "3"), "either --attached or --cross-validate"),
        (("M", "DATA", "--energy-range", "3"), "two numbers"),
        (("DATA", "--cross-validate", "3", "--method", "regression", "--terms", "colour"), "colour"),
    ],
)
def test_usage(arguments, message):
    assert message in run("validate", *arguments, code=2)


def test_bad_input(store, models, tmp_path):
    assert "no such file or folder" in run("validate", tmp_path / "none", store, code=1)
    assert "range" in run("validate", models / "default", store, "--energy-range", "9,2", code=1)
    assert "BKG" in run("validate", "--attached", store, "--catalog", "none", code=1)
    assert "no such file" in run("compare", models / "default", tmp_path / "none.fits", code=1)
    many = run("validate", "--cross-validate", "99", store, "--catalog", "none", code=1)
    assert "99 folds" in many


def test_page_escapes_what_it_is_given():
    table = Table({"NAME": ["<b>&"], "RATIO": [np.nan]})
    page = html_page("a < b", [Section("<i>", ["warning: <script>"], table)])
    check_page(page)
    assert "<script>" not in page
    assert "&lt;b&gt;&amp;" in page
    assert 'class="warning"' in page


def test_text_of_numbers():
    table = Table({"E_MIN": [0.25]})
    table["E_MIN"].unit = "TeV"
    assert column_label(table, "E_MIN") == "e min (TeV)"
    assert [cell_text("PULL", 2.04), cell_text("N", np.int64(12345)), cell_text("OBS_ID", np.int64(12345))] == [
        "+2.0",
        "12,345",
        "12345",
    ]
    assert cell_text("MODEL", 12345.6) == "12,346"
    assert cell_text("X", float("nan")) == "–"
