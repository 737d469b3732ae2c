"""The method regression from files to models: closure, masks, resume, what is skipped, and what reads its output."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner

from gpucube.attach import attach_models
from gpucube.cli import cli
from gpucube.cubes.fits import read_background_model
from gpucube.errors import GpucubeError, OptionError, OutputError
from gpucube.observations.conditions import Conditions, read_conditions
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.observations.store import DataStore
from gpucube.pipeline import Settings, make_models
from gpucube.pipeline.settings import FITTED
from gpucube.prediction.centers import rates_at_centers
from gpucube.prediction.opening import open_predictor
from gpucube.prediction.regression import RegressionPredictor
from gpucube.regression.model import REGRESSION_FILE, RegressionModel, read_regression_model
from gpucube.regression.terms import TERMS
from gpucube.synthetic import BackgroundDescription, make_test_dataset
from tests.pipeline.test_make_models import check_ledger, contents, ledger
from tests.stores import copy_store, edit_events, event_file

# Not symmetric, so that a mirrored or transposed model is far off.
TRUTH = BackgroundDescription(trigger_rate=20.0, sigma=3.0, center=(0.8, -0.5))
THRESHOLD = 0.25  # TeV, inside the first energy bin
SETTINGS = Settings(
    backend="numpy",
    catalog="none",
    method="regression",
    energy_edges=tuple(0.2 * 10 ** (number / 6) for number in range(13)),
    fov=2.4,
    pixels=12,
)
TWO_GROUPS = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 65, 90), unit="deg")])
FEW_TERMS = ("spectrum", "radial", "zenith", "gradient_constant")
# For what does not depend on how many terms there are
QUICK = replace(SETTINGS, terms=FEW_TERMS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve observations, of zenith angles from 5 to 40 deg."""
    folder = tmp_path_factory.mktemp("regression") / "data"
    make_test_dataset(
        folder, n_obs=12, alt_range=(50, 85), description=TRUTH, threshold=THRESHOLD, seed=5
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def models(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "out"
    make_models(data, out, settings=SETTINGS, groups=TWO_GROUPS)
    return out


def make(data: Path, out: Path, **changes: object) -> Path:
    make_models(data, out, settings=replace(SETTINGS, **changes), groups=TWO_GROUPS)
    return out


def quadrant_counts(model: RegressionModel, conditions: Conditions) -> np.ndarray:
    """Predicted and true counts above the threshold and the error of the former: in all of the field and its quadrants.

    Errors of all cells are taken as correlated: an upper limit, which is near the truth for the rate of an observation.
    """
    background = model.background(conditions)
    energy, dety, detx = background.axes
    truth = TRUTH.expected_counts(background.axes, conditions.altitude[0], conditions.livetime)
    scale = background.rate.bin_volume * conditions.livetime
    cubes = np.stack([background.rate.data * scale, truth, background.error.data * scale])
    cubes = cubes[:, energy.edges[:-1] >= THRESHOLD].sum(axis=1)
    x, y = np.broadcast_arrays(detx.centers, dety.centers[:, None])
    inside = np.hypot(x, y) < SETTINGS.fov
    parts = [inside, *(inside & (x * sx > 0) & (y * sy > 0) for sx in (-1, 1) for sy in (-1, 1))]
    return np.array([cubes[:, part].sum(axis=1) for part in parts])


def assert_closure(data: Path, folder: Path) -> None:
    store, model = DataStore.open(data), read_regression_model(folder / REGRESSION_FILE)
    found = np.array([quadrant_counts(model, read_conditions(store, obs_id)) for obs_id in range(1, 13)])
    predicted, truth, error = np.moveaxis(found, -1, 0)
    assert (np.abs(predicted - truth) < 3 * error).all()
    assert (error < 0.06 * truth).all()
    assert np.abs(predicted / truth - 1).max() < 0.08
    # The sum over all observations is known to 0.6 % from its counts.
    np.testing.assert_allclose(predicted.sum(axis=0) / truth.sum(axis=0), 1.0, atol=0.03)
    # The truth of the quadrants differs by far more than this.
    assert np.ptp(truth.sum(axis=0)[1:]) > 0.3 * truth.sum(axis=0)[1:].max()


def test_closure(data: Path, models: Path) -> None:
    assert_closure(data, models)


def test_closure_with_regions(data: Path, tmp_path: Path) -> None:
    """What regions cut out of the fields does not change the rate, neither there nor elsewhere."""
    pytest.importorskip("regions")
    pointings = Table.read(data / "obs-index.fits.gz")
    circles = [f"circle({row['RA_PNT']},{row['DEC_PNT'] + 0.6},0.9)" for row in pointings]
    (tmp_path / "sources.reg").write_text("\n".join(["icrs", *circles]))
    make(data, tmp_path / "out", mask_regions=tmp_path / "sources.reg", mask_target=False)
    table = ledger(tmp_path / "out")
    assert (table["N_EXCLUDED"] > 0.03 * table["N_READ"]).all()
    check_ledger(tmp_path / "out")
    assert_closure(data, tmp_path / "out")
    assert read_regression_model(tmp_path / "out" / REGRESSION_FILE).meta["MASKED"]
    group = read_background_model(tmp_path / "out" / "bg_cube_model_group0_table.fits.gz")
    livetime = group.livetime.data[-1]
    assert livetime.min() < 0.9 * livetime.max()


def test_files(data: Path, models: Path) -> None:
    check_ledger(models)
    assert {path.name for path in models.iterdir()} == {
        REGRESSION_FILE,
        "bg_event_ledger.ecsv",
        "bg_observation_groups.ecsv",
        "bg_observation_table.fits.gz",
        "bg_observation_table_grouped.fits.gz",
        *(f"bg_cube_model_group{number}_{kind}.fits.gz" for number in (0, 1) for kind in ("image", "table")),
    }
    numbers = [(ledger(models)["GROUP_ID"] == number).sum() for number in (0, 1)]
    assert min(numbers) > 2
    for number, n_obs in enumerate(numbers):
        group = read_background_model(models / f"bg_cube_model_group{number}_table.fits.gz")
        assert (group.meta["METHOD"], group.meta["NOBS"], group.meta["ERRKIND"]) == ("regression", n_obs, "COVARIANCE")
        assert group.livetime.data.max() == pytest.approx(1500.0 * n_obs)
        used = group.axes[0].edges[:-1] >= THRESHOLD
        predicted = (group.rate.quantity.to_value("s-1 TeV-1 sr-1") * group.rate.bin_volume * group.livetime.data)[used]
        assert predicted.sum() / group.counts.data[used].sum() == pytest.approx(1.0, abs=0.04)


def test_rate_of_a_group_is_the_mean_over_its_observations(data: Path, models: Path) -> None:
    store, model = DataStore.open(data), read_regression_model(models / REGRESSION_FILE)
    group = read_background_model(models / "bg_cube_model_group1_table.fits.gz")
    table = ledger(models)
    members = [read_conditions(store, obs_id) for obs_id in table["OBS_ID"][table["GROUP_ID"] == 1]]
    for item in members:
        # The model of a group is for other nights, too.
        item.covariates.pop("MJD")
    rates = [model.background(item, group.axes).rate.data for item in members]
    np.testing.assert_allclose(group.rate.quantity.to_value("s-1 TeV-1 sr-1"), np.mean(rates, axis=0), rtol=1e-12)


def test_radial_models(data: Path, models: Path, tmp_path: Path) -> None:
    """The fit is to pixels as before; its rings are means over them."""
    make(data, tmp_path / "out", model="2d", pixels=None, terms=FEW_TERMS)
    make(data, tmp_path / "rings", model="2d", pixels=5, terms=FEW_TERMS)
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {path.name for path in models.iterdir() if "image" not in path.name}
    check_ledger(tmp_path / "rings")
    fits = [read_regression_model(tmp_path / name / REGRESSION_FILE) for name in ("out", "rings")]
    np.testing.assert_array_equal(fits[0].coefficients, fits[1].coefficients)
    store, table = DataStore.open(data), ledger(tmp_path / "rings")
    for number in (0, 1):
        own, rings = (
            read_background_model(tmp_path / name / f"bg_cube_model_group{number}_table.fits.gz")
            for name in ("out", "rings")
        )
        assert [axis.name for axis in rings.axes] == ["energy", "offset"]
        np.testing.assert_allclose(rings.axes[1].edges, np.linspace(0, 2.4, 6), atol=1e-12)
        assert own.axes[1].n_bins == 12
        members = [read_conditions(store, obs_id) for obs_id in table["OBS_ID"][table["GROUP_ID"] == number]]
        for name in ("rate", "error"):
            single = [getattr(fits[0].background(item, rings.axes), name).data for item in members]
            found = getattr(rings, name).quantity.to_value("s-1 TeV-1 sr-1")
            np.testing.assert_allclose(found, np.mean(single, axis=0), rtol=1e-12)
        used = rings.axes[0].edges[:-1] >= THRESHOLD
        predicted = (rings.rate.quantity.to_value("s-1 TeV-1 sr-1") * rings.rate.bin_volume * rings.livetime.data)[used]
        np.testing.assert_allclose(predicted.sum(axis=0) / rings.counts.data[used].sum(axis=0), 1.0, atol=0.12)


def test_what_a_regression_predicts_is_what_it_was_made_for(data: Path, models: Path, tmp_path: Path) -> None:
    conditions = read_conditions(DataStore.open(data), 4)
    make(data, tmp_path / "out", model="2d", terms=FEW_TERMS)
    for folder, kind, names in (
        (models, None, ("energy", "dety", "detx")),
        (models, "2d", ("energy", "offset")),
        (tmp_path / "out", None, ("energy", "offset")),
        (tmp_path / "out", "3d", ("energy", "dety", "detx")),
    ):
        predictor = open_predictor(folder, kind=kind)
        assert tuple(axis.name for axis in predictor.predict(conditions).axes) == names
    with pytest.raises(OptionError, match="no regression"):
        open_predictor(models / "bg_cube_model_group0_table.fits.gz", kind="2d")


def test_rate_per_ontime(data: Path, tmp_path: Path) -> None:
    few = make(data, tmp_path / "few", terms=FEW_TERMS)
    make(data, tmp_path / "out", terms=FEW_TERMS, rate_per="ontime")
    for name in ("bg_cube_model_group0_table.fits.gz", "bg_cube_model_group1_table.fits.gz"):
        per_ontime, per_livetime = (read_background_model(folder / name) for folder in (tmp_path / "out", few))
        assert per_ontime.rate_per == "ONTIME"
        np.testing.assert_allclose(per_ontime.rate.data, per_livetime.rate.data * 1500 / 1800, rtol=1e-12)


def test_workers_do_not_matter(data: Path, tmp_path: Path) -> None:
    one, two = (make(data, tmp_path / str(number), terms=FEW_TERMS, workers=number) for number in (1, 2))
    assert contents(one) == contents(two)


def test_other_backend(data: Path, tmp_path: Path) -> None:
    """The device is not the CPU: whatever goes to the host unasked raises."""
    folders = [
        make(data, tmp_path / name, backend=name, terms=FEW_TERMS, pixels=6, energy_edges=(0.2, 0.5, 1.5, 10.0))
        for name in ("numpy", "array_api_strict")
    ]
    rates = [read_background_model(folder / "bg_cube_model_group0_table.fits.gz").rate.data for folder in folders]
    np.testing.assert_allclose(rates[1], rates[0], rtol=1e-6)


def test_resume(data: Path, tmp_path: Path) -> None:
    out = make(data, tmp_path / "out", terms=FEW_TERMS)
    before = contents(out)
    (out / "bg_cube_model_group1_table.fits.gz").unlink()
    make(data, out, terms=FEW_TERMS, resume=True)
    assert contents(out) == before
    for changes in ({"terms": FEW_TERMS[:-1]}, {"terms": None}, {"terms": None, "method": "default"}):
        with pytest.raises(OutputError, match="other settings or observations"):
            make(data, out, resume=True, **changes)
    assert contents(out) == before


def test_models_of_terms_that_meant_something_else_are_not_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else models of groups and the regression beside them are of different terms."""
    before = [Settings(method=method).fingerprint((0, ""), []) for method in (*FITTED, "default")]
    monkeypatch.setitem(TERMS, "zenith", replace(TERMS["zenith"], conditions=("airmass",)))
    after = [Settings(method=method).fingerprint((0, ""), []) for method in (*FITTED, "default")]
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, False, True]


def test_bad_observation_is_skipped(data: Path, tmp_path: Path) -> None:
    damaged = copy_store(data, tmp_path / "data")
    event_file(damaged, 3).write_text("hello")
    make(damaged, tmp_path / "out", terms=FEW_TERMS)
    table = ledger(tmp_path / "out")
    assert table["OBS_ID"][table["STATUS"] == "skipped"].tolist() == [3]
    check_ledger(tmp_path / "out")
    model = read_regression_model(tmp_path / "out" / REGRESSION_FILE)
    assert sorted(model.nights.obs_ids) == [obs_id for obs_id in range(1, 13) if obs_id != 3]
    assert model.meta["NOBS"] == 11


def test_observation_of_unknown_conditions_is_skipped(data: Path, tmp_path: Path) -> None:
    """Its events can be read, but where the telescopes pointed in the sky cannot be told."""
    damaged = copy_store(data, tmp_path / "data")
    edit_events(event_file(damaged, 3), lambda hdus: hdus["EVENTS"].header.set("RA_PNT", "unknown"))
    assert (
        make_models(damaged, tmp_path / "count", settings=replace(SETTINGS, method="default", pixels=10)).n_skipped == 0
    )
    make(damaged, tmp_path / "out", terms=FEW_TERMS)
    table = ledger(tmp_path / "out")
    assert table["OBS_ID"][table["STATUS"] == "skipped"].tolist() == [3]
    assert "RA_PNT" in table["REASON"][2]
    check_ledger(tmp_path / "out")
    before = contents(tmp_path / "out")
    make(damaged, tmp_path / "out", terms=FEW_TERMS, resume=True)
    assert contents(tmp_path / "out") == before
    with pytest.raises(GpucubeError, match="observation 3"):
        make(damaged, tmp_path / "strict", terms=FEW_TERMS, strict=True)


def test_no_observation_is_left(data: Path, tmp_path: Path) -> None:
    damaged = copy_store(data, tmp_path / "data")
    for obs_id in range(1, 13):
        event_file(damaged, obs_id).unlink()
    with pytest.raises(GpucubeError, match="no observation is left"):
        make(damaged, tmp_path / "out", terms=FEW_TERMS)


def test_altitude_of_the_track_where_the_table_has_none(data: Path, tmp_path: Path) -> None:
    """It is computed from the pointing in the sky and the times; the groups then need another column."""
    bare = copy_store(data, tmp_path / "data")
    index = Table.read(bare / "obs-index.fits.gz")
    index.remove_columns(["ALT_PNT", "AZ_PNT", "ZEN_PNT"])
    index.write(bare / "obs-index.fits.gz", overwrite=True)
    for obs_id in (2, 5):
        edit_events(event_file(bare, obs_id), _without_altitude)
    with_it, without = (read_conditions(DataStore.open(folder), 5) for folder in (data, bare))
    assert without.altitude == pytest.approx(with_it.altitude, abs=0.05)
    assert without.azimuth == pytest.approx(with_it.azimuth, abs=0.2)
    assert without.altitude[0] != with_it.altitude[0]
    groups = ObservationGroups([ObservationGroupAxis("N_TELS", values=(3, 4))])
    make_models(bare, tmp_path / "out", settings=QUICK, groups=groups)
    assert_closure(data, tmp_path / "out")


def _without_altitude(hdus: fits.HDUList) -> None:
    for name in ("ALT_PNT", "AZ_PNT"):
        hdus["EVENTS"].header.pop(name, None)


def test_attach_and_gammapy(data: Path, models: Path, tmp_path: Path) -> None:
    predictor = open_predictor(models)
    assert isinstance(predictor, RegressionPredictor)
    few = copy_store(data, tmp_path / "data")
    index = Table.read(few / "obs-index.fits.gz")
    index[3:5].write(few / "obs-index.fits.gz", overwrite=True)
    attach_models(models, few, tmp_path / "dl3")
    gammapy_data = pytest.importorskip("gammapy.data")
    store = gammapy_data.DataStore.from_dir(tmp_path / "dl3")
    conditions = read_conditions(DataStore.open(data), 4)
    expected = predictor.predict(conditions)
    found = store.obs(4, required_irf=["bkg", "aeff"]).bkg
    energy, dety, detx = (axis.centers * axis.unit for axis in expected.axes)
    rate = found.evaluate(energy=energy[:, None, None], fov_lat=dety[None, :, None], fov_lon=detx[None, None, :])
    # Gammapy counts per ontime, and interpolates between the centres of bins.
    wanted = rates_at_centers(expected).rate.data * conditions.livetime / conditions.ontime
    np.testing.assert_allclose(rate.to_value("s-1 TeV-1 sr-1"), wanted, rtol=1e-6)


def test_terms_on_the_command_line(data: Path, tmp_path: Path) -> None:
    def run(*options: str, method: str = "regression") -> tuple[int, str]:
        command = ["make-models", str(data), "auto", str(tmp_path / "out"), "--backend", "numpy", "--catalog", "none"]
        result = CliRunner().invoke(cli, [*command, "--method", method, *options])
        return result.exit_code, result.output

    status, text = run("--terms", "spectrum,parsnip")
    assert status == 2
    assert "parsnip" in text
    status, text = run("--terms=-spectrum")
    assert status == 2
    assert "needs the term spectrum" in text
    status, text = run("--terms", "+season", method="default")
    assert status == 1
    assert "not of default" in text
    status, text = run("--terms", "+nsb")
    assert status == 1
    assert "no NSBLEVEL for observation 1" in text
    options = ["--energy-edges", "0.2,0.5,2,10", "--fov", "2.4", "--pixels", "6", "--overwrite"]
    status, text = run("--terms", ",".join(FEW_TERMS), *options)
    assert status == 0, text
    model = read_regression_model(tmp_path / "out" / REGRESSION_FILE)
    assert {term.name for term in model.terms} == set(FEW_TERMS)


def test_why_nothing_is_left_is_said(data: Path, tmp_path: Path) -> None:
    store = copy_store(data, tmp_path / "data")
    for obs_id in range(1, 13):
        edit_events(event_file(store, obs_id), lambda hdus: hdus["EVENTS"].columns.change_name("ENERGY", "E"))
    with pytest.raises(GpucubeError, match=r"none of 12 observations is left .* observation \d+: .*ENERGY"):
        make(store, tmp_path / "out")
