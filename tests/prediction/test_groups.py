"""Models of groups: which group an observation gets, and what lies between groups."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gpucube.cubes.axis import Axis
from gpucube.cubes.background import RATE_UNIT, BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.cubes.fits import write_table
from gpucube.errors import DataError, ObservationError, OptionError
from gpucube.observations.conditions import Conditions
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.observations.table import ObservationTable
from gpucube.pipeline.ledger import LedgerRow, ledger_hdu
from gpucube.pipeline.output import model_file, write_groups, write_observations
from gpucube.prediction import GroupModels, SingleModel, open_predictor

GROUPS = ObservationGroups(
    [
        ObservationGroupAxis("ALT", edges=(0, 30, 50, 70, 90), unit="deg"),
        ObservationGroupAxis("AZ", edges=(-90, 90, 270), unit="deg"),
    ]
)
FIELD = (Axis("dety", np.array([-2.0, 0.5, 2.0]), "deg"), Axis("detx", np.array([-2.0, -1.0, 1.0, 2.0]), "deg"))
ENERGY = Axis("energy", np.array([0.1, 1.0, 10.0, 100.0, 300.0]), "TeV")
# Altitude, azimuth, livetime, right ascension and level of the observations of each group that has a model.
MEMBERS = {
    0: [(20.0, 0.0, 900.0, 10.0)],
    2: [(40.0, 0.0, 900.0, 80.0), (45.0, 10.0, 1800.0, 83.0)],
    4: [(60.0, 0.0, 900.0, 200.0)],
    5: [(60.0, 180.0, 900.0, 200.0)],
}
LEVEL = {0: 8.0, 2: 4.0, 4: 1.0, 5: 100.0}
ONTIME = 1000.0 / 900.0


def spectrum(level: float) -> np.ndarray:
    """Rate that differs from cell to cell."""
    shape = (ENERGY.n_bins, *(axis.n_bins for axis in FIELD))
    return level * np.arange(1.0, np.prod(shape) + 1).reshape(shape)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder as make-models writes it."""
    rows = [(group, *values) for group, members in MEMBERS.items() for values in members]
    group, alt, az, livetime, ra = (np.array(column) for column in zip(*rows, strict=True))
    names = ("OBS_ID", "GROUP_ID", "ALT_PNT", "AZ_PNT", "LIVETIME", "RA_PNT", "DEC_PNT")
    table = ObservationTable([np.arange(len(rows)), group, alt, az, livetime, ra, np.zeros(len(rows))], names=names)
    write_observations(tmp_path, table, table)
    write_groups(tmp_path, GROUPS)
    for number in MEMBERS:
        write_model(tmp_path, number)
    return tmp_path


def write_model(folder: Path, number: int, **changes: object) -> None:
    rows = [(i, group, values) for i, (group, values) in enumerate(all_members()) if group == number]
    ledger = [LedgerRow(i, number, livetime=values[2], ontime=values[2] * ONTIME) for i, _, values in rows]
    model = BackgroundModel(Cube((ENERGY, *FIELD), spectrum(LEVEL[number]), RATE_UNIT))
    write_table(replace(model, **changes), model_file(folder, number, "table"), (ledger_hdu(ledger),))


def all_members() -> list[tuple[int, tuple[float, ...]]]:
    return [(group, values) for group, members in MEMBERS.items() for values in members]


def conditions(*altitudes: float, azimuth: float = 0.0, target: tuple[float, float] | None = None) -> Conditions:
    azimuths = np.full(len(altitudes), azimuth)
    return Conditions(7, 1500.0, 1600.0, 0.5, (120.0, 5.0), np.array(altitudes), azimuths, target)


def level(predicted: BackgroundModel) -> float:
    """Level of a rate, which must be the same in all cells."""
    ratio = predicted.rate.quantity.to_value(RATE_UNIT) / spectrum(1.0)
    assert np.allclose(ratio, ratio.flat[0])
    return float(ratio.flat[0])


def cos_zenith(altitude: float) -> float:
    return float(np.sin(np.deg2rad(altitude)))


def test_each_observation_gets_the_model_of_its_group(folder: Path) -> None:
    models = open_predictor(folder)
    assert level(models.predict(conditions(31.0))) == pytest.approx(4.0)
    assert level(models.predict(conditions(69.0, azimuth=200.0))) == pytest.approx(100.0)
    assert models.predict(conditions(31.0)).meta["BKGMODEL"] == "group 2"


@pytest.mark.parametrize("interpolate", ["linear", "log"])
def test_rates_between_groups_are_interpolated_in_the_cosine_of_the_zenith_angle(
    folder: Path, interpolate: str
) -> None:
    models = GroupModels.open(folder, interpolate)
    low = (cos_zenith(40) * 900 + cos_zenith(45) * 1800) / 2700
    weight = (cos_zenith(55) - low) / (cos_zenith(60) - low)
    expected = {"linear": 4 * (1 - weight) + weight, "log": 4.0 ** (1 - weight)}
    assert level(models.predict(conditions(55.0))) == pytest.approx(expected[interpolate])


def test_beyond_the_ends_the_nearest_is_taken_and_other_axes_are_kept(folder: Path) -> None:
    models = GroupModels.open(folder, "linear")
    assert level(models.predict(conditions(85.0))) == pytest.approx(1.0)
    assert level(models.predict(conditions(5.0))) == pytest.approx(8.0)
    assert level(models.predict(conditions(35.0, azimuth=180.0))) == pytest.approx(100.0)


def test_the_mean_over_the_run_is_that_of_its_steps(folder: Path) -> None:
    steps = (48.0, 49.0, 51.0, 52.0)
    assert level(open_predictor(folder).predict(conditions(*steps))) == pytest.approx((4 + 4 + 1 + 1) / 4)
    models = GroupModels.open(folder, "linear")
    single = [level(models.predict(conditions(step))) for step in steps]
    assert level(models.predict(conditions(*steps))) == pytest.approx(np.mean(single))


def test_a_group_without_model_is_an_error_unless_neighbours_serve(folder: Path) -> None:
    with pytest.raises(ObservationError, match="no model of group 6"):
        open_predictor(folder).predict(conditions(80.0))
    assert level(GroupModels.open(folder, "log").predict(conditions(80.0))) == pytest.approx(1.0)


def test_an_observation_outside_all_groups_is_an_error(folder: Path) -> None:
    with pytest.raises(ObservationError, match="ALT -5 deg is outside"):
        open_predictor(folder).predict(conditions(-5.0))


def test_models_of_the_same_target_are_left_out(folder: Path) -> None:
    models = open_predictor(folder, leave_out_target=True)
    assert level(models.predict(conditions(40.0))) == pytest.approx(4.0)
    # Group 2 pointed 2 deg from it; group 0 is nearer in zenith angle than group 4.
    other = models.predict(conditions(31.0, target=(82.0, 0.0)))
    assert level(other) == pytest.approx(8.0)
    assert other.meta["BKGMODEL"] == "group 0 instead of group 2"
    assert models.predict(conditions(40.0)).meta["BKGMODEL"] == "group 2"
    with pytest.raises(ObservationError, match="same target"):
        models.predict(conditions(60.0, azimuth=180.0, target=(201.0, 0.0)))


def test_a_rate_per_ontime_is_brought_to_livetime(folder: Path) -> None:
    write_model(folder, 4, rate_per="ONTIME")
    predicted = open_predictor(folder).predict(conditions(60.0))
    assert predicted.rate_per == "LIVETIME"
    assert level(predicted) == pytest.approx(ONTIME)


def test_the_floor_of_2015_and_what_has_no_livetime_are_unknown(folder: Path) -> None:
    rate, livetime = spectrum(1.0), np.ones_like(spectrum(1.0))
    rate[1, 0, 0], livetime[0] = 0.0, 0.0
    axes = (ENERGY, *FIELD)
    write_model(folder, 4, rate=Cube(axes, rate, RATE_UNIT), livetime=Cube(axes, livetime, "s"), floor=1e-10)
    predicted = open_predictor(folder).predict(conditions(60.0)).rate.data
    assert np.isnan(predicted[0]).all()
    assert predicted[1, 0, 0] == 0
    assert (predicted[2:] > 0).all()


def test_models_of_different_binning_are_brought_together(folder: Path) -> None:
    energy = Axis("energy", np.array([1.0, 10.0, 100.0]), "TeV")
    # The same rate as in the two bins in the middle of the other models.
    write_model(folder, 4, rate=Cube((energy, *FIELD), spectrum(4.0)[1:3], RATE_UNIT))
    predicted = GroupModels.open(folder, "linear").predict(conditions(50.5))
    assert level(predicted) == pytest.approx(4.0)


def test_kinds_that_do_not_fit_are_refused(folder: Path) -> None:
    write_model(folder, 4, fov_align="RADEC")
    with pytest.raises(DataError, match="alignment"):
        GroupModels.open(folder, "linear").predict(conditions(55.0))


def test_one_file_serves_all(folder: Path) -> None:
    path = model_file(folder, 2, "table")
    predictor = open_predictor(path)
    assert isinstance(predictor, SingleModel)
    assert level(predictor.predict(conditions(89.0))) == pytest.approx(4.0)
    with fits.open(path) as hdus:
        fits.HDUList([hdus[0].copy(), hdus["BACKGROUND"].copy()]).writeto(folder / "other.fits")
    fits.setval(folder / "other.fits", "RATEPER", value="ONTIME", ext=1)
    # Nothing says of which observations: it is a rate per this one's ontime.
    assert level(open_predictor(folder / "other.fits").predict(conditions(89.0))) == pytest.approx(4.0 * 1600 / 1500)


def test_what_is_no_folder_of_models(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(DataError, match="no models"):
        open_predictor(tmp_path_factory.mktemp("empty"))
    with pytest.raises(DataError, match="no such file"):
        open_predictor(folder / "nowhere")
    with pytest.raises(OptionError, match="cubic"):
        GroupModels.open(folder, "cubic")
    copy = Path(shutil.copytree(folder, folder / "copy"))
    (copy / "bg_observation_groups.ecsv").unlink()
    with pytest.raises(DataError, match="bg_observation_groups"):
        open_predictor(copy)
