"""Scores of the truth, and of what is not the truth."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from gpucube.arrays.backend import get_backend, to_host
from gpucube.arrays.skill import flat_prediction
from gpucube.cubes.axis import Axis
from gpucube.cubes.cube import Cube
from gpucube.errors import GpucubeError, ObservationError, OptionError
from gpucube.observations.conditions import read_conditions
from gpucube.prediction.predictor import Predictor
from gpucube.validation.cells import read_cells
from gpucube.validation.grid import ScoreGrid
from gpucube.validation.predict import expected_counts, predict_cells
from gpucube.validation.predictors import AsAttached
from gpucube.validation.scores import score_cells
from gpucube.validation.tables import by_cell, by_energy, by_observation, by_offset, by_quadrant, score_table, worst
from tests.validation.truth import AXES, TRUTH, Truth, make_known_store

NUMPY = get_backend("numpy")
GRID = ScoreGrid.make((0.2, 20.0), 1.8, 5, 0.6)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return make_known_store(tmp_path_factory.mktemp("known") / "data")


@pytest.fixture(scope="module")
def ids(known):
    return np.asarray(known.table["OBS_ID"]).tolist()


@pytest.fixture(scope="module")
def cells(known, ids):
    return read_cells(known, ids, GRID, "ALTAZ", NUMPY)


@pytest.fixture(scope="module")
def scores(cells):
    return score_cells(cells, predict_cells(Truth(), cells))


def test_counts_are_those_of_numpy(known, ids, cells):
    edges = [axis.edges for axis in GRID.axes]
    observation = known.read(ids[3])
    above = observation.energy >= observation.threshold
    sample = np.stack([observation.energy, observation.lat, observation.lon], axis=1)[above]
    wanted = np.histogramdd(sample, edges)[0] * GRID.inside
    np.testing.assert_array_equal(cells.counts[3], wanted)
    assert wanted.sum() > 200


def test_prediction_is_the_integral_of_the_truth(cells):
    found = predict_cells(Truth(), cells)
    for number, conditions in enumerate(cells.conditions):
        altitude = float(conditions.altitude.mean())
        exact = TRUTH.expected_counts(GRID.axes, altitude, conditions.livetime, conditions.threshold) * GRID.inside
        np.testing.assert_allclose(found[number], exact, rtol=0.006)


def test_mean_rates_of_wide_bins_predict_the_truth(cells):
    """Mean rates read as if they were those at the centres of bins are 5 % too many counts."""
    coarse = Truth(axes=(Axis.energy(0.1, 100.0, 9), *AXES[1:]))
    exact = sum(
        TRUTH.expected_counts(GRID.axes, float(c.altitude.mean()), c.livetime, c.threshold) * GRID.inside
        for c in cells.conditions
    ).sum(axis=(1, 2))
    found, unread = (to_host(predict_cells(m, cells)).sum(axis=(0, 2, 3)) for m in (AsAttached(coarse), coarse))
    np.testing.assert_allclose(found, exact, rtol=0.02)
    assert found.sum() == pytest.approx(exact.sum(), rel=0.005)
    assert unread.sum() > 1.04 * exact.sum()


def test_truth_has_all_the_skill(scores):
    for sense, score in scores.senses.items():
        assert abs(score.skill - 1) < 4 * score.error, sense
        assert score.error < 0.25, sense
        assert (score.flat.sum() - score.perfect.sum()) > 100, sense
    assert scores.n_predicted / scores.n_observed == pytest.approx(1, abs=0.03)
    assert scores.n_unknown == 0


class Changed(Predictor):
    """The truth with its rate changed."""

    def __init__(self, change):
        self.change = change

    def predict(self, conditions):
        model = Truth().predict(conditions)
        return replace(model, rate=model.rate.with_data(self.change(model.rate.data)))


def test_what_is_wrong_costs_skill(cells, scores):
    def skills(change):
        found = score_cells(cells, predict_cells(Changed(change), cells)).senses.values()
        return np.array([score.skill for score in found])

    own = np.array([score.skill for score in scores.senses.values()])
    twice, mirrored = skills(lambda rate: 2 * rate), skills(lambda rate: rate[:, :, ::-1])
    assert twice[0] < own[0] - 1
    np.testing.assert_allclose(twice[1:], own[1:], rtol=1e-9)
    assert (mirrored < own - 0.1).all()
    assert mirrored[2] < own[2] - 0.5
    assert skills(lambda rate: np.flip(rate, 1))[2] < own[2] - 0.2


def test_flat_field_has_no_skill(cells):
    flat = score_cells(cells, flat_prediction(cells.counts, cells.exposure))
    assert [abs(score.skill) < 1e-9 for score in flat.senses.values()] == [True] * 3


def test_radial_model(known, ids):
    """A model in rings predicts what the same model on a grid does."""
    conditions = read_conditions(known, ids[0])
    rings = Axis.offset(4.0, 40)
    spectrum = AXES[0].centers ** -2.7
    rate = np.outer(spectrum, np.exp(-0.5 * (rings.centers / 1.5) ** 2))
    dety, detx = Axis.field_of_view("dety", 3, 61), Axis.field_of_view("detx", 3, 59)
    offset = np.hypot(dety.centers[:, None], detx.centers)
    grid_rate = spectrum[:, None, None] * np.exp(-0.5 * (offset / 1.5) ** 2)
    model = Truth().predict(conditions)
    angle = read_cells(known, ids[:1], GRID, "ALTAZ", NUMPY).solid_angle[0]
    radial, image = (
        expected_counts(replace(model, rate=Cube(axes, values, model.rate.unit)), GRID, conditions, angle, NUMPY)
        for axes, values in (((AXES[0], rings), rate), ((AXES[0], dety, detx), grid_rate))
    )
    np.testing.assert_allclose(radial, image, rtol=0.01)


def test_every_backend_gives_the_same(known, ids, backend):
    cells = read_cells(known, ids[:3], GRID, "ALTAZ", backend)
    found = score_cells(cells, predict_cells(Truth(), cells))
    here = read_cells(known, ids[:3], GRID, "ALTAZ", NUMPY)
    wanted = score_cells(here, predict_cells(Truth(), here))
    np.testing.assert_allclose(found.expected, wanted.expected, rtol=1e-10)
    for sense, score in found.senses.items():
        np.testing.assert_allclose(score.model, wanted.senses[sense].model, rtol=1e-9)
        np.testing.assert_allclose(score.perfect, wanted.senses[sense].perfect, rtol=1e-9)


class Nothing(Predictor):
    def predict(self, conditions):
        raise ObservationError("no model for it")


class Half(Predictor):
    """Knows half of the observations, and in these not all energies."""

    def predict(self, conditions):
        if conditions.obs_id % 2:
            raise ObservationError("no model for it")
        return Truth(axes=(Axis.energy(0.1, 5.0, 40), *AXES[1:])).predict(conditions)


def test_what_is_not_predicted_is_not_scored(cells, scores):
    found = score_cells(cells, predict_cells(Half(), cells))
    assert found.n_unknown + found.n_observed == scores.n_observed
    assert found.n_unknown > 0.4 * scores.n_observed
    with pytest.raises(GpucubeError, match="nothing to score"):
        score_cells(cells, predict_cells(Nothing(), cells))


def test_other_alignment_is_refused(known, ids):
    cells = read_cells(known, ids[:1], GRID, "RADEC", NUMPY)
    with pytest.raises(OptionError, match="ALTAZ"):
        predict_cells(Truth(), cells)


def test_tables_hold_all_counts(scores):
    for table in (by_energy(scores), by_offset(scores), by_quadrant(scores), by_observation(scores), by_cell(scores)):
        assert table["OBSERVED"].sum() == scores.n_observed
        assert table["PREDICTED"].sum() == pytest.approx(scores.n_predicted)
        full = table["OBSERVED"] > 0
        np.testing.assert_allclose((table["RATIO"] * table["OBSERVED"])[full], table["PREDICTED"][full])
    assert np.nanmax(np.abs(by_energy(scores)["PULL"])) < 4
    quadrants = by_quadrant(scores)
    assert quadrants["QUADRANT"][np.argmax(quadrants["OBSERVED"])] == "DETX >= 0, DETY < 0"


def test_table_of_scores(scores):
    table = score_table(scores)
    absolute = scores.senses["absolute"]
    assert table["MODEL"][0] == absolute.model.sum()
    assert table["SKILL"].tolist() == [score.skill for score in scores.senses.values()]


def test_worst_rows():
    table = Table({"ID": [1, 2, 3, 4], "PULL": [0.5, np.nan, -3.0, 2.0]})
    assert worst(table, "PULL", 3)["ID"].tolist() == [3, 4, 1]


@pytest.mark.parametrize(
    "arguments",
    [((2.0, 1.0),), ((0.0, 1.0),), ((1.0, 2.0), 0.0), ((1.0, 2.0), 2.0, 0), ((1.0, 2.0), 2.0, 5, 9.0)],
)
def test_impossible_cells(arguments):
    with pytest.raises(OptionError):
        ScoreGrid.make(*arguments)


def test_solid_angle_of_cells(cells):
    angle = to_host(cells.open_angle)[0]
    dety, detx = (np.deg2rad(axis.edges) for axis in GRID.axes[1:])
    np.testing.assert_allclose(angle, np.outer(np.diff(np.sin(dety)), np.diff(detx)) * GRID.inside, rtol=1e-5)
