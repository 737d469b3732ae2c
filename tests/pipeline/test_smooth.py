"""The method smooth: a fit to each group by itself, with the files of the other methods and no holes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner

from gpucube.arrays.backend import get_backend
from gpucube.cli import cli
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.cubes.fits import read_background_model
from gpucube.errors import OptionError, OutputError
from gpucube.observations.conditions import read_conditions
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.observations.store import DataStore
from gpucube.pipeline import Settings, make_models
from gpucube.pipeline.fill import FilledGroup
from gpucube.pipeline.regression import GROUP_TERMS, group_background
from gpucube.prediction.groups import GroupModels
from gpucube.prediction.opening import open_predictor
from gpucube.regression.fit import fit_regression
from gpucube.synthetic import BackgroundDescription, make_test_dataset
from tests.pipeline.test_make_models import check_ledger, contents, ledger
from tests.regression.truth import AXES, Truth, make_conditions, observe
from tests.stores import copy_store, edit_events, event_file

# Not symmetric, so that a mirrored or transposed model is far off.
TRUTH = BackgroundDescription(trigger_rate=20.0, sigma=3.0, center=(0.8, -0.5))
THRESHOLD = 0.25  # TeV, inside the first energy bin
EDGES = tuple(0.2 * 10 ** (number / 6) for number in range(13))
SETTINGS = Settings(backend="numpy", catalog="none", method="smooth", energy_edges=EDGES, fov=2.4, pixels=10)
TWO_GROUPS = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 65, 90), unit="deg")])
TABLES = [f"bg_cube_model_group{number}_table.fits.gz" for number in (0, 1)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight observations, of zenith angles from 5 to 40 deg."""
    folder = tmp_path_factory.mktemp("smooth") / "data"
    make_test_dataset(folder, n_obs=8, alt_range=(50, 85), description=TRUTH, threshold=THRESHOLD, seed=6)
    return folder


@pytest.fixture(scope="module")
def models(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(data, tmp_path_factory.mktemp("models") / "out")


def make(data: Path, out: Path, **changes: object) -> Path:
    make_models(data, out, settings=replace(SETTINGS, **changes), groups=TWO_GROUPS)
    return out


def rate_of(model: BackgroundModel) -> np.ndarray:
    return model.rate.quantity.to_value("s-1 TeV-1 sr-1")


def test_files_are_those_of_other_methods(data: Path, models: Path, tmp_path: Path) -> None:
    other = make(data, tmp_path / "other", method="default")
    assert {path.name for path in models.iterdir()} == {path.name for path in other.iterdir()}
    check_ledger(models)
    assert ledger(models).pformat() == ledger(other).pformat()
    for name in TABLES:
        ours, theirs = (read_background_model(folder / name) for folder in (models, other))
        assert (ours.meta["METHOD"], ours.meta["ERRKIND"]) == ("smooth", "COVARIANCE")
        np.testing.assert_array_equal(ours.counts.data, theirs.counts.data)
        np.testing.assert_array_equal(ours.livetime.data, theirs.livetime.data)
    assert isinstance(open_predictor(models), GroupModels)


def test_closure_of_each_group(data: Path, models: Path) -> None:
    """In all of the field and its quadrants, within the errors and better than the counts of one pixel."""
    store, table = DataStore.open(data), ledger(models)
    for number, name in enumerate(TABLES):
        model = read_background_model(models / name)
        energy, dety, detx = model.axes
        members = [read_conditions(store, obs_id) for obs_id in table["OBS_ID"][table["GROUP_ID"] == number]]
        truth = sum(TRUTH.expected_counts(model.axes, item.altitude[0], item.livetime) for item in members)
        scale = model.rate.bin_volume * sum(item.livetime for item in members)
        error = model.error.quantity.to_value("s-1 TeV-1 sr-1")
        x, y = np.broadcast_arrays(detx.centers, dety.centers[:, None])
        inside = np.hypot(x, y) < 2.4
        used = energy.edges[:-1] >= THRESHOLD
        for part in (inside, *(inside & (x * sx > 0) & (y * sy > 0) for sx in (-1, 1) for sy in (-1, 1))):
            predicted, expected, sigma = (
                np.sum(cube[used][:, part]) for cube in (rate_of(model) * scale, truth, error * scale)
            )
            assert abs(predicted - expected) < 3 * sigma
            assert predicted / expected == pytest.approx(1.0, abs=0.1)
            assert sigma < 0.15 * expected


def test_low_statistics_leave_no_holes(tmp_path: Path) -> None:
    """With 47 and 128 events in the groups, rates go on as power laws to 80 TeV, in steps that are no spikes."""
    description = replace(TRUTH, trigger_rate=0.1)
    make_test_dataset(
        tmp_path / "data", n_obs=8, alt_range=(50, 85), description=description, threshold=THRESHOLD, seed=6
    )
    out = make(tmp_path / "data", tmp_path / "out", energy_edges=None, pixels=None, fov=None)
    counts = make(tmp_path / "data", tmp_path / "default", method="default", energy_edges=None, fov=None, pixels=None)
    for name in TABLES:
        model, other = (read_background_model(folder / name) for folder in (out, counts))
        assert 30 < model.counts.data.sum() < 2000
        assert (model.axes[0].edges[0], model.axes[0].edges[-1]) == pytest.approx((0.1, 80.0))
        assert model.axes[0].n_bins != model.axes[1].n_bins
        rate, error = rate_of(model), model.error.data
        assert (rate > 0).all()
        assert np.isfinite(rate).all()
        assert np.isfinite(error).all()
        logs = np.log(rate)
        assert np.abs(np.diff(logs, 2, axis=0)).max() < 1.0
        for axis in (1, 2):
            assert np.abs(np.diff(logs, axis=axis)).max() < 1.5
        # Beyond the last counts the field keeps its shape.
        last = np.flatnonzero(model.counts.data.sum(axis=(1, 2)))[-1]
        profile = logs[-1] - logs[-1].mean()
        np.testing.assert_allclose(profile, logs[-4] - logs[-4].mean(), atol=0.3)
        assert last < model.axes[0].n_bins - 4
        # What counts alone say of most of this cube is nothing.
        assert np.mean(rate_of(other) <= 1.001e-10) > 0.2


@pytest.mark.parametrize("model", ["3d", "2d"])
def test_group_of_one_observation(model: str, data: Path, tmp_path: Path) -> None:
    """It tells nothing of the scatter between observations: its counts are what is predicted."""
    groups = ObservationGroups([ObservationGroupAxis("OBS_ID", values=(2,))])
    summary = make_models(data, tmp_path / "out", settings=replace(SETTINGS, model=model), groups=groups)
    found = read_background_model(summary.models[0])
    used = found.axes[0].edges[:-1] >= THRESHOLD
    predicted = (rate_of(found) * found.rate.bin_volume * found.livetime.data)[used]
    assert predicted.sum() / found.counts.data[used].sum() == pytest.approx(1.0, abs=0.04)
    assert (found.error.data > 0).all()


def test_group_without_counts_is_empty_as_with_other_methods(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    empty = copy_store(data, tmp_path / "data")
    index = Table.read(empty / "obs-index.fits.gz")
    for obs_id in index["OBS_ID"][index["ALT_PNT"] < 65]:
        edit_events(event_file(empty, obs_id), _dim)
    out = make(empty, tmp_path / "out")
    assert "its model is empty" in caplog.text
    assert not read_background_model(out / TABLES[0]).counts.data.any()
    assert read_background_model(out / TABLES[1]).meta["METHOD"] == "smooth"


def _dim(hdus: fits.HDUList) -> None:
    hdus["EVENTS"].data["ENERGY"] *= 1e-3


def test_workers_do_not_matter(models: Path, data: Path, tmp_path: Path) -> None:
    assert contents(make(data, tmp_path / "two", workers=2)) == contents(models)


def test_groups_do_not_depend_on_each_other(models: Path, data: Path, tmp_path: Path) -> None:
    """So that a group can be kept while others are made again."""
    out = copy_store(models, tmp_path / "out")
    before = contents(out)
    for name in (TABLES[1], TABLES[1].replace("table", "image")):
        (out / name).unlink()
    make(data, out, resume=True)
    assert contents(out) == before
    for changes in ({"terms": ("-quadrupole",)}, {"method": "regression"}):
        with pytest.raises(OutputError, match="other settings or observations"):
            make(data, out, resume=True, **changes)


def test_every_backend_makes_the_same(data: Path, tmp_path: Path) -> None:
    """The device is not the CPU: whatever goes to the host unasked raises."""
    few = {"terms": ("spectrum", "radial"), "pixels": 6, "energy_edges": (0.2, 0.5, 1.5, 10.0)}
    folders = [make(data, tmp_path / name, backend=name, **few) for name in ("numpy", "array_api_strict")]
    for name in TABLES:
        one, other = (read_background_model(folder / name) for folder in folders)
        np.testing.assert_allclose(one.rate.data, other.rate.data, rtol=1e-6)
        np.testing.assert_allclose(one.error.data, other.error.data, rtol=1e-5)


def test_observations_count_where_they_are_above_their_threshold() -> None:
    """The rate times the livetime of the group is what the fit expects to be counted of its observations."""
    backend = get_backend("numpy")
    rng = np.random.default_rng(1)
    conditions = [
        replace(item, threshold=threshold, livetime=livetime)
        for item, threshold, livetime in zip(
            make_conditions(3, rng), (0.3, 0.6, 1.2), (1000.0, 1500.0, 700.0), strict=True
        )
    ]
    model = fit_regression(observe(Truth(), conditions, rng), AXES, backend, GROUP_TERMS)
    axes = (Axis.energy(0.15, 9.6, 6), *(Axis.field_of_view(name, 2.0, 4) for name in ("dety", "detx")))
    # Below 0.3 TeV none counts; edges at 0.3, 0.6 and 1.2 TeV.
    share = np.array([axes[0].edges[:-1] >= item.threshold * (1 - 1e-9) for item in conditions], dtype=float)
    times = np.array([item.livetime for item in conditions]) @ share
    shape = tuple(axis.n_bins for axis in axes)
    livetime = Cube(axes, np.broadcast_to(times[:, None, None], shape) + 0.0, "s")
    group = FilledGroup(Cube(axes, np.zeros(shape, dtype=np.int64)), livetime, livetime, share, [])
    single = np.stack([model.background(item, axes).rate.data for item in conditions])
    found = group_background(model, conditions, group, backend, SETTINGS)
    expected = np.einsum("oe,oeyx->eyx", np.array([[item.livetime] for item in conditions]) * share, single)
    np.testing.assert_allclose((found.rate.data * livetime.data)[1:], expected[1:], rtol=1e-12)
    # Where none counts, all do alike.
    weights = np.array([item.livetime for item in conditions])
    np.testing.assert_allclose(found.rate.data[0], np.average(single[:, 0], axis=0, weights=weights), rtol=1e-12)
    per_ontime = group_background(model, conditions, group, backend, replace(SETTINGS, rate_per="ontime"))
    ontime = np.array([item.ontime for item in conditions])
    np.testing.assert_allclose(per_ontime.rate.data[1:] * (ontime @ share)[1:, None, None], expected[1:], rtol=1e-12)


def test_terms_add_to_those_of_groups(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no NSBLEVEL"):
        make(data, tmp_path / "out", terms=("+nsb",))
    only = make(data, tmp_path / "only", terms=("spectrum",))
    for name in TABLES:
        rate = rate_of(read_background_model(only / name))
        np.testing.assert_allclose(rate, rate[:, :1, :1] * np.ones_like(rate), rtol=1e-9)


def test_cross_validation(data: Path) -> None:
    command = ["validate", "--cross-validate", "2", "--method", "smooth", "--catalog", "none", "--group-by", "ALT:0,90"]
    command += ["--energy-range", "0.3,5", "--bins-per-decade", "4", "--cell", "1", str(data)]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines() if line.strip().startswith("absolute")]
    assert float(rows[0][1]) > 0.5
