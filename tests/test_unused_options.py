"""Options that would change nothing are refused, and what would give them an effect is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpucube.errors import OptionError
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.pipeline import Settings, make_models
from gpucube.prediction.opening import open_predictor
from tests.commands import assert_refused, run

ONE_GROUP = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 90), unit="deg")])
COARSE = {"backend": "numpy", "catalog": "none", "pixels": 6, "fov": 3.0, "energy_edges": (0.1, 0.5, 2, 20)}


@pytest.fixture(scope="module")
def groups(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unused") / "groups"
    make_models(store, folder, settings=Settings(**COARSE), groups=ONE_GROUP)
    return folder


@pytest.fixture(scope="module")
def regression(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unused") / "regression"
    settings = Settings(method="regression", terms=("spectrum", "radial"), **COARSE)
    make_models(store, folder, settings=settings, groups=ONE_GROUP)
    return folder


@pytest.mark.parametrize(
    ("option", "name"),
    [
        (("--mask-radius", 0.3), "--mask-radius has"),
        (("--mask-radius", 0.4), "--mask-radius has"),  # its default, but who gives it wants a mask
        (("--no-mask-target",), "--no-mask-target has"),
        (("--mask-target",), "--mask-target has"),
        (("--mask-radius", 0.3, "--no-mask-target"), "--mask-radius and --no-mask-target have"),
    ],
)
def test_how_to_mask_needs_a_mask(option: tuple[object, ...], name: str, store: Path, tmp_path: Path) -> None:
    result = run("make-models", store, "auto", tmp_path / "out", *option)
    assert_refused(result, f"{name} no effect without --mask; add it", "--mask-regions or --wobble-mask imply it")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("mask", "word"), [("--mask", "8 used"), ("--wobble-mask", "no target position")])
def test_how_to_mask_with_a_mask(mask: str, word: str, store: Path, tmp_path: Path) -> None:
    coarse = ("--group-by", "ALT:0,90", "--catalog", "none", "--pixels", 5, "--energy-bins", "0.1,20,3")
    result = run("make-models", store, "auto", tmp_path / "out", mask, "--mask-radius", 0.3, *coarse)
    assert word in result.output
    assert "no effect" not in result.output


@pytest.mark.parametrize(
    "option",
    [
        ("--mask-radius", 0.1),
        ("--no-mask-target",),
        ("--mask-regions", "sources.reg"),
        ("--wobble-mask",),
        ("--catalog", "sources.fits"),
    ],
)
def test_attach_masks_only_what_it_normalises_to(
    option: tuple[object, ...], groups: Path, store: Path, tmp_path: Path
) -> None:
    result = run("attach", groups, store, tmp_path / "out", *option)
    assert_refused(result, f"{option[0]} has no effect without --normalise; add --normalise norm or tilt")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [("--interpolate", "linear"), ("--leave-out-target",)])
def test_one_model_for_all_observations_leaves_no_choice(
    option: tuple[object, ...], groups: Path, regression: Path, store: Path, tmp_path: Path
) -> None:
    places = (regression, regression / "bg_regression_model.fits.gz", groups / "bg_cube_model_group0_table.fits.gz")
    for place in places:
        result = run("attach", place, store, tmp_path / "out", *option)
        assert_refused(result, f"{option[0]} has no effect", str(place), "for all observations")
    assert not (tmp_path / "out").exists()
    with pytest.raises(OptionError, match="--interpolate and --leave-out-target have no effect"):
        open_predictor(regression, "log", leave_out_target=True)


@pytest.mark.parametrize(
    "option",
    [
        ("--method", "smooth"),
        ("--method", "default"),
        ("--terms", "spectrum"),
        ("--threshold", "edge"),
        ("--align", "RADEC"),
        ("--energy-bins", "1,10,2"),
        ("--model", "2d"),
        ("--fov", 3),
        ("--pixels", 5),
        ("--group-by", "ALT:0,90"),
        ("--groups", "groups.ecsv"),
    ],
)
def test_validate_makes_no_models_without_folds(option: tuple[object, ...], groups: Path, store: Path) -> None:
    assert_refused(run("validate", groups, store, *option), f"{option[0]} has no effect without --cross-validate")


def test_validate_interpolates_between_groups_alone(regression: Path, store: Path) -> None:
    interpolate = ("--interpolate", "linear")
    assert_refused(run("validate", "--attached", store, *interpolate), "--interpolate has no effect with --attached")
    folds = ("--cross-validate", 2, "--method", "regression")
    assert_refused(run("validate", *folds, store, *interpolate), "--interpolate has no effect with --method regression")
    assert_refused(run("validate", regression, store, "--catalog", "none", *interpolate), "a regression for all")


def test_validate_masks_with_a_mask_alone(groups: Path, store: Path) -> None:
    result = run("validate", groups, store, "--mask-radius", 0.2)
    assert_refused(result, "--mask-radius has no effect without --mask; add it (--mask-regions implies it)")
