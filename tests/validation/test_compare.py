"""Models side by side, against numbers made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from gpucube.cubes.axis import Axis
from gpucube.cubes.background import RATE_UNIT, BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.cubes.fits import write_table
from gpucube.errors import DataError
from gpucube.validation.compare import compare_files, compare_sets, comparison_table

AXES = (Axis.energy(0.1, 10.0, 3), Axis.field_of_view("dety", 2.0, 4), Axis.field_of_view("detx", 2.0, 5))


def model(axes=AXES, factor=1.0, relative_error=0.1, seed=None):
    shape = tuple(axis.n_bins for axis in axes)
    spectrum = axes[0].centers[(...,) + (None,) * (len(axes) - 1)] ** -3.0
    rate = factor * np.broadcast_to(spectrum, shape)
    error = relative_error * rate
    if seed is not None:
        rate = rate + error * np.random.default_rng(seed).normal(size=shape)
    rate_cube, error_cube = (Cube(axes, values, RATE_UNIT) for values in (rate, error))
    return BackgroundModel(rate_cube, error=error_cube if relative_error else None)


def write(path, *arguments, **options):
    write_table(model(*arguments, **options), path)
    return path


def test_ratio_and_pulls(tmp_path):
    a, b = write(tmp_path / "a.fits", factor=1.3), write(tmp_path / "b.fits")
    found = compare_files(a, b)
    np.testing.assert_allclose(found.ratio, 1.3)
    np.testing.assert_allclose(found.pull, 0.3 / np.hypot(0.13, 0.1))
    table = comparison_table([found])
    np.testing.assert_allclose(table["RATIO"], 1.3)
    np.testing.assert_allclose(table["CHI2_NDF"], 0.09 / (0.13**2 + 0.1**2))
    np.testing.assert_allclose(table["MAX_DEVIATION"], 0.3)
    assert table["N_CELLS"].tolist() == [20, 20, 20]


def test_pulls_of_equal_models_are_normal(tmp_path):
    axes = (Axis.energy(0.1, 10.0, 6), Axis.field_of_view("dety", 2.0, 24), Axis.field_of_view("detx", 2.0, 25))
    a, b = (write(tmp_path / f"{seed}.fits", axes, relative_error=0.05, seed=seed) for seed in (1, 2))
    pull = compare_files(a, b).pull
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
    assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * pull.size))


def test_the_same_model_differs_in_nothing(tmp_path):
    a = write(tmp_path / "a.fits", seed=4)
    table = comparison_table([compare_files(a, a)])
    assert (table["MAX_DEVIATION"] == 0).all()
    assert (table["CHI2_NDF"] == 0).all()


def test_without_errors_there_are_no_pulls(tmp_path):
    a, b = (write(tmp_path / f"{name}.fits", relative_error=0.0) for name in "ab")
    table = comparison_table([compare_files(a, b)])
    assert np.isnan(table["CHI2_NDF"]).all()
    np.testing.assert_allclose(table["RATIO"], 1)


def test_other_bins_are_averaged(tmp_path):
    fine = (Axis.energy(0.1, 10.0, 30), Axis.field_of_view("dety", 2.0, 8), Axis.field_of_view("detx", 2.0, 15))
    a, b = write(tmp_path / "a.fits"), write(tmp_path / "b.fits", fine)
    found = compare_files(a, b)
    assert found.is_resampled
    # What a coarse bin has at its centre, a steep spectrum has less than on average.
    assert (comparison_table([found])["RATIO"] < 1).all()
    mean = np.diff(-0.5 / AXES[0].edges ** 2) / np.diff(AXES[0].edges)
    np.testing.assert_allclose(found.second[:, 0, 0], mean, rtol=0.02)


@pytest.mark.parametrize(
    ("change", "what"), [({"fov_align": "RADEC"}, "FOVALIGN"), ({"rate_per": "ONTIME"}, "RATEPER")]
)
def test_different_kinds_are_refused(change, what, tmp_path):
    a = write(tmp_path / "a.fits")
    write_table(replace(model(), **change), tmp_path / "b.fits")
    with pytest.raises(DataError, match=what):
        compare_files(a, tmp_path / "b.fits")


def test_rings_and_images_are_refused(tmp_path):
    a, b = write(tmp_path / "a.fits"), write(tmp_path / "b.fits", (AXES[0], Axis.offset(2.0, 5)))
    with pytest.raises(DataError, match="number of axes"):
        compare_files(a, b)


def folder(path, groups):
    path.mkdir()
    for group in groups:
        write(path / f"bg_cube_model_group{group}_table.fits.gz", factor=1.0 + group)
    return path


def test_folders_are_compared_group_by_group(tmp_path):
    a, b = folder(tmp_path / "a", (2, 10, 7)), folder(tmp_path / "b", (7, 2))
    found, alone = compare_sets(a, b)
    assert [comparison.name for comparison in found] == ["group 2", "group 7"]
    assert alone == [f"group 10 is in {a} only"]
    np.testing.assert_allclose(found[1].ratio, 1.0)


def test_a_file_is_compared_with_every_group(tmp_path):
    a, b = write(tmp_path / "a.fits"), folder(tmp_path / "b", (0, 1))
    found, _ = compare_sets(a, b)
    np.testing.assert_allclose([comparison.ratio.mean() for comparison in found], [1.0, 0.5])


def test_nothing_in_common(tmp_path):
    (tmp_path / "empty").mkdir()
    a, b = folder(tmp_path / "a", (1,)), folder(tmp_path / "b", (3,))
    with pytest.raises(DataError, match="no group"):
        compare_sets(a, b)
    with pytest.raises(DataError, match="no models"):
        compare_sets(a, tmp_path / "empty")
