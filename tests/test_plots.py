"""Pictures of models: they are written whole, can be read, and show models of every kind."""

from __future__ import annotations

import builtins
import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucube import plots
from gpucube.arrays.backend import Backend, get_backend
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel, make_background_model
from gpucube.cubes.cube import Cube
from gpucube.cubes.fits import read_background_model, write_table
from gpucube.errors import OptionError, OutputError
from gpucube.plots import plot_model

matplotlib_image = pytest.importorskip("matplotlib.image")

NUMPY = get_backend("numpy")
NAMES = ["a_images.png", "a_spectra.png"]


def make_model(
    backend: Backend = NUMPY, shape: tuple[int, int, int] = (4, 9, 12), mean: float = 3.0
) -> BackgroundModel:
    """Model without exposure in the first energy bin and with fewer and fewer counts towards high energies."""
    axes = (
        Axis.energy(0.1, 80.0, shape[0]),
        Axis.field_of_view("dety", 3.0, shape[1]),
        Axis.field_of_view("detx", 4.0, shape[2]),
    )
    expected = mean * np.geomspace(100, 0.001, shape[0])[:, None, None] * np.ones(shape)
    counts, livetime = np.random.default_rng(0).poisson(expected), np.full(shape, 3600.0)
    counts[0], livetime[0] = 0, 0.0
    cubes = Cube(axes, backend.asarray(counts)), Cube(axes, backend.asarray(livetime), "s")
    model = make_background_model(*cubes, cubes[1], int(counts.sum()), backend)
    return replace(model, meta=model.meta | {"GROUP_ID": 7})


def assert_pictures(paths: list[Path], folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert [path.name for path in paths] == NAMES
    for path in paths:
        picture = colors(path)
        assert min(picture.shape) > 300
        assert max(picture.shape) < 4000
        assert np.unique(picture).size > 20


def colors(path: Path) -> np.ndarray:
    """Red, green and blue of each pixel as one number."""
    return (matplotlib_image.imread(path)[:, :, :3] * 255).round().astype(int) @ [65536, 256, 1]


def dominant_colors(path: Path) -> set[int]:
    """Colours of at least one part in a hundred of a picture: not those of the rims of letters."""
    found, counts = np.unique(colors(path), return_counts=True)
    return set(found[counts > 0.01 * counts.sum()].tolist())


def test_every_backend(backend: Backend, tmp_path: Path) -> None:
    assert_pictures(plot_model(make_model(backend), tmp_path, "a"), tmp_path)


def test_same_model_same_bytes_on_every_backend(backend: Backend, tmp_path: Path) -> None:
    rate = make_model(shape=(2, 9, 12)).rate
    ours, theirs = (BackgroundModel(rate.with_data(b.asarray(rate.data))) for b in (NUMPY, backend))
    pictures = [[p.read_bytes() for p in plot_model(m, tmp_path, stem)] for m, stem in ((ours, "a"), (theirs, "b"))]
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize(
    ("shape", "mean"),
    [((1, 1, 1), 0.0), ((1, 3, 2), 3.0), ((4, 2, 3), 0.01), ((4, 3, 2), 100.0), ((20, 9, 12), 3.0)],
)
def test_shapes_and_numbers_of_counts(tmp_path: Path, shape: tuple[int, int, int], mean: float) -> None:
    assert_pictures(plot_model(make_model(shape=shape, mean=mean), tmp_path, "a"), tmp_path)


@pytest.mark.parametrize("value", [np.nan, 0.0, 1e-10, 1e-9, 1e100])
def test_models_of_one_value(tmp_path: Path, value: float) -> None:
    model = make_model()
    flat = model.rate.with_data(np.full((4, 9, 12), value))
    assert_pictures(plot_model(replace(model, rate=flat, livetime=None), tmp_path, "a"), tmp_path)


def test_rate_only(tmp_path: Path) -> None:
    assert_pictures(plot_model(BackgroundModel(make_model().rate), tmp_path, "a"), tmp_path)


def test_no_exposure_is_grey(tmp_path: Path) -> None:
    grey = 0xBFBFBF
    model = make_model()
    images, _ = plot_model(model, tmp_path, "a")
    assert grey in dominant_colors(images)
    exposed = replace(model, rate=model.rate.with_data(np.nan_to_num(model.rate.data)), livetime=None)
    images, _ = plot_model(exposed, tmp_path, "a")
    assert grey not in dominant_colors(images)


def test_floor_of_a_file_hides_nothing(tmp_path: Path) -> None:
    model = make_model()
    write_table(model, tmp_path / "model.fits.gz")
    rate = plots._exposed_rate(read_background_model(tmp_path / "model.fits.gz"))
    expected = np.where(model.rate.data < 1e-10, 0.0, model.rate.data)
    assert np.isnan(expected).any()
    assert (expected == 0).any()
    np.testing.assert_allclose(rate, expected, rtol=1e-12)


def test_rings_share_no_bin_and_have_names() -> None:
    rings = plots._rings(make_model(shape=(2, 60, 60)).rate)
    assert list(rings) == ["< 0.5°", "0.5° – 1.5°", "1.5° – 2.5°", "2.5° – 3.5°"]
    counts = np.sum(list(rings.values()), axis=0)
    assert counts.max() == 1
    solid_angle = (60 * 60) / (6.0 * 8.0) * np.pi * 0.25  # bins per square degree, radius 0.5 deg
    assert rings["< 0.5°"].sum() == pytest.approx(solid_angle, rel=0.1)
    assert all(bins.any() for bins in rings.values())


def test_mean_rate_of_a_ring_is_drawn(tmp_path: Path) -> None:
    """A flat rate is the mean of every ring, whatever has no exposure."""
    model = make_model(shape=(3, 30, 30))
    rate = np.full((3, 30, 30), 5.0)
    rate[:, :, :15] = np.nan
    figure = plots._draw_spectra(replace(model, rate=model.rate.with_data(rate)), rate)
    lines = [bar.lines[0] for bar in figure.axes[0].containers]
    assert len(lines) == 4
    for line in lines:
        np.testing.assert_allclose(line.get_ydata(), 5.0)
        np.testing.assert_allclose(line.get_xdata(), model.axes[0].centers)


def unknown_and_bars(model: BackgroundModel) -> tuple[list[int], list[np.ndarray]]:
    """Number of open markers of each ring, and the ends of its error bars."""
    panel = plots._draw_spectra(model, plots._exposed_rate(model)).axes[0]
    marked = [line for line in panel.lines if line.get_markerfacecolor() == "white"]
    bars = [np.array(container.lines[2][0].get_segments())[:, :, 1] for container in panel.containers]
    return [len(line.get_xdata()) for line in marked], bars


def flat_model(**changes: Any) -> BackgroundModel:
    """Rate of 5 with 4 counts in each pixel, but none in the last energy bin."""
    model = make_model(shape=(3, 30, 30))
    counts = np.full((3, 30, 30), 4)
    counts[2] = 0
    rate, livetime = np.full((3, 30, 30), 5.0), np.ones((3, 30, 30))
    cubes = {"rate": rate, "counts": counts, "livetime": livetime, "error": np.full((3, 30, 30), 0.5)}
    return replace(model, **{name: getattr(model, name).with_data(data) for name, data in cubes.items()} | changes)


def test_error_bars_of_a_fit_are_those_of_the_model() -> None:
    """Also where there are no counts: what is extrapolated must not look the best known."""
    unknown, bars = unknown_and_bars(flat_model(meta={"ERRKIND": "COVARIANCE"}))
    assert unknown == [0, 0, 0, 0]
    for ring in bars:
        np.testing.assert_allclose(ring, [[4.5, 5.5]] * 3)


def test_error_bars_of_a_recipe_are_those_of_all_counts_in_the_ring() -> None:
    model = flat_model(meta={"ERRKIND": "POISSON"})
    unknown, bars = unknown_and_bars(model)
    assert unknown == [0, 0, 0, 0]
    for ring, pixels in zip(bars, plots._rings(model.rate).values(), strict=True):
        factor = np.exp(1 / np.sqrt(4 * pixels.sum()))
        np.testing.assert_allclose(ring, [[5 / factor, 5 * factor]] * 2 + [[4.5, 5.5]])


@pytest.mark.parametrize(("has_counts", "n_open"), [(True, 1), (False, 3)])
def test_points_without_counts_and_without_error_are_open(has_counts: bool, n_open: int) -> None:
    model = flat_model(error=None) if has_counts else flat_model(error=None, counts=None)
    assert unknown_and_bars(model)[0] == [n_open] * 4
    no_error = flat_model(meta={"ERRKIND": "POISSON"})
    assert no_error.error is not None
    nothing = no_error.error.with_data(np.where(no_error.counts.data > 0, 0.5, 0.0))
    assert unknown_and_bars(replace(no_error, error=nothing))[0] == [1] * 4


def test_title_and_labels(tmp_path: Path) -> None:
    model = make_model()
    figure = plots._draw_images(model, plots._exposed_rate(model))
    assert "group 7 · method default · aligned with ALTAZ · per livetime" in figure.get_suptitle()
    assert "s⁻¹ TeV⁻¹ sr⁻¹" in figure.get_suptitle()
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("DETX (deg)", "DETY (deg)")
    titles = [panel.get_title() for panel in figure.axes if panel.get_title()]
    assert len(titles) == 4
    assert titles[0] == "0.1 – 0.532 TeV"
    assert titles[-1].endswith("– 80 TeV")


def test_images_have_the_right_orientation() -> None:
    """DETX to the right, DETY upwards."""
    rate = np.zeros((1, 4, 6))
    rate[0, 3, 1] = 1.0
    axes = (Axis.energy(1, 2, 1), Axis.field_of_view("dety", 2.0, 4), Axis.field_of_view("detx", 3.0, 6))
    model = BackgroundModel(Cube(axes, rate, "s-1 TeV-1 sr-1"))
    panel = plots._draw_images(model, rate).axes[0]
    mesh = panel.collections[0]
    assert np.argwhere(mesh.get_array() == 1.0).tolist() == [[3, 1]]
    corners = mesh.get_coordinates()[3:5, 1:3]
    assert corners[0, 0].tolist() == [-2.0, 1.0]
    assert corners[1, 1].tolist() == [-1.0, 2.0]
    assert panel.get_xlim() == (-3.0, 3.0)
    assert panel.get_ylim() == (-2.0, 2.0)
    assert panel.get_aspect() == 1.0


@pytest.mark.parametrize("ratio", [1.3, 2.0, 5.2, 9.0, 30.0])
def test_labels_beside_the_colours_do_not_touch(ratio: float) -> None:
    rate = np.geomspace(0.023, 0.023 * ratio, 12).reshape(1, 3, 4)
    axes = (Axis.energy(1, 2, 1), Axis.field_of_view("dety", 2.0, 3), Axis.field_of_view("detx", 3.0, 4))
    figure = plots._draw_images(BackgroundModel(Cube(axes, rate, "s-1 TeV-1 sr-1")), rate)
    plots.png_bytes(figure)
    (bar,) = figure.axes[0].child_axes
    boxes = [label.get_window_extent() for label in bar.get_yticklabels()]
    assert len(boxes) >= 3
    assert all(lower.y1 < upper.y0 for lower, upper in itertools.pairwise(boxes))


@given(st.floats(1e-12, 1e6), st.floats(1.25, 1000.0))
def test_labels_beside_the_colours_are_few_and_apart(lowest: float, ratio: float) -> None:
    """Two letters high is a tenth of a bar; its range is that of `_draw_image`."""
    highest = lowest * ratio
    ticks = plots._log_ticks(lowest, highest)
    assert 3 <= ticks.size <= 5
    assert lowest <= ticks[0]
    assert ticks[-1] <= highest
    assert np.diff(np.log(ticks)).min() > 0.1 * np.log(ratio)
    labels = [plots._scientific(value) for value in ticks]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("lowest", "highest", "expected"),
    [
        (0.2, 300.0, [1, 10, 100]),
        (0.5, 40.0, [1, 3, 10, 30]),
        (0.9, 6.0, [1, 2, 5]),
        (0.023, 0.13, [0.025, 0.05, 0.075, 0.1, 0.125]),
        (0.81, 1.0, [0.85, 0.9, 0.95, 1.0]),
    ],
)
def test_labels_are_round_values(lowest: float, highest: float, expected: list[float]) -> None:
    np.testing.assert_allclose(plots._log_ticks(lowest, highest), expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (150.0, "150"),
        (0.02, "0.02"),
        (1e-3, "10⁻³"),
        (2e4, "2×10⁴"),
        (1.5e-12, "1.5×10⁻¹²"),
        (1.25e3, "1.25×10³"),
    ],
)
def test_numbers_beside_the_colours(value: float, text: str) -> None:
    assert plots._scientific(value) == text


def test_failing_write_keeps_the_old_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAMES[0]).write_bytes(b"old")

    def fail(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="no space left"):
        plot_model(make_model(), tmp_path, "a")
    assert [path.name for path in tmp_path.iterdir()] == NAMES[:1]
    assert (tmp_path / NAMES[0]).read_bytes() == b"old"


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def no_matplotlib(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real_import(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(OptionError, match=r"pip install 'gpucube\[plot\]'"):
        plot_model(make_model(), tmp_path, "a")
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_loaded_when_it_is_needed() -> None:
    code = "import sys, gpucube.plots; print([m for m in sys.modules if m.partition('.')[0] == 'matplotlib'])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
