"""Fits to an observation's own counts, against SciPy and synthetic truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from gpucube.attach.normalise import counts_and_prediction, fit_norm, fit_tilt, normalised
from gpucube.attach.settings import AttachSettings
from gpucube.errors import ObservationError, OptionError
from gpucube.observations.regions import ExclusionRegions
from gpucube.observations.store import DataStore
from gpucube.pipeline.mask import Mask
from gpucube.pipeline.output import model_file
from gpucube.prediction.filling import fill_model
from gpucube.prediction.stored import read_rate

ENERGY = np.geomspace(0.2, 40, 9)


@given(st.floats(0.2, 5.0), st.floats(-1.0, 1.0), st.integers(0, 1000))
def test_the_maximum_of_the_likelihood_is_found(norm: float, tilt: float, seed: int) -> None:
    predicted = 300.0 * ENERGY**-1.7
    counts = np.random.default_rng(seed).poisson(norm * predicted * ENERGY**-tilt)

    def minus_log_likelihood(parameters: np.ndarray) -> float:
        expected = np.exp(parameters[0]) * predicted * ENERGY ** -parameters[1]
        return float(np.sum(expected - counts * np.log(expected)))

    found = fit_tilt(counts, predicted, ENERGY)
    best = minimize(minus_log_likelihood, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
    assert minus_log_likelihood(np.array([np.log(found[0]), found[1]])) <= best.fun + 1e-6
    assert fit_norm(counts, predicted, ENERGY) == (counts.sum() / predicted.sum(), 0.0)


def test_exact_numbers_come_back() -> None:
    predicted = 1e6 * ENERGY**-1.7
    assert fit_tilt(predicted * 1.3 * ENERGY**-0.2, predicted, ENERGY) == pytest.approx((1.3, 0.2))
    assert fit_tilt(np.array([0, 7]), np.array([1.0, 1.0]), np.array([1.0, 2.0]))[1] == pytest.approx(-5.0)


@pytest.fixture
def model(models: Path):
    return fill_model(read_rate(model_file(models, 0, "table")))[0]


def test_summed_over_its_observations_a_model_predicts_its_counts(store: Path, models: Path, model) -> None:
    data = DataStore.open(store)
    no_regions = Mask(ExclusionRegions.empty())
    parts = [counts_and_prediction(model, data.read(i, "ALTAZ", with_sky=True), no_regions) for i in range(1, 9)]
    counts, predicted = np.sum(parts, axis=0)
    assert np.allclose(predicted, counts, rtol=0.02)


def test_regions_are_left_out_of_both(store: Path, model) -> None:
    observation = DataStore.open(store).read(1, "ALTAZ", with_sky=True)
    pointing = observation.sky.pointing
    whole = counts_and_prediction(model, observation, Mask(ExclusionRegions.empty()))
    part = counts_and_prediction(model, observation, Mask(ExclusionRegions.around(*pointing, 2.0)))
    assert part[0].sum() < 0.9 * whole[0].sum()
    ratio = [counts.sum() / predicted.sum() for counts, predicted in (whole, part)]
    assert ratio[1] == pytest.approx(ratio[0], abs=4 / np.sqrt(part[0].sum()))


def test_the_norm_undoes_a_factor(store: Path, model) -> None:
    data, settings = DataStore.open(store), AttachSettings(normalise="norm")
    one, norm, tilt = normalised(model, data, 1, None, settings)
    twice = replace(model, rate=model.rate.with_data(model.rate.data * 2))
    other, half, _ = normalised(twice, data, 1, None, settings)
    assert (half, tilt) == (pytest.approx(norm / 2), 0.0)
    assert np.allclose(one.rate.data, other.rate.data)
    assert norm == pytest.approx(1.0, abs=0.3)


def test_the_range_chooses_bins(store: Path, model) -> None:
    data = DataStore.open(store)
    counts, predicted = counts_and_prediction(
        model, data.read(1, "ALTAZ", with_sky=True), Mask(ExclusionRegions.empty())
    )
    settings = AttachSettings(normalise="norm", norm_range=(0.4, 5.0))
    assert normalised(model, data, 1, None, settings)[1] == pytest.approx(counts[1:4].sum() / predicted[1:4].sum())
    with pytest.raises(ObservationError, match="no counts"):
        normalised(model, data, 1, None, AttachSettings(normalise="tilt", norm_range=(100.0, 200.0)))


def test_rings_are_normalised_too(store: Path, tmp_path: Path) -> None:
    from gpucube.pipeline import Settings, make_models
    from tests.attach.conftest import ONE_GROUP

    settings = Settings(backend="numpy", catalog="none", model="2d", fov=4.0, pixels=6, energy_edges=(0.5, 1, 5))
    make_models(store, tmp_path, settings=settings, groups=ONE_GROUP)
    rings = fill_model(read_rate(model_file(tmp_path, 0, "table")))[0]
    assert normalised(rings, DataStore.open(store), 1, None, AttachSettings(normalise="norm"))[1] == pytest.approx(
        1.0, abs=0.3
    )


@pytest.mark.parametrize(
    "options",
    [
        {"normalise": "both"},
        {"interpolate": "cubic"},
        {"time_step": 0.0},
        {"norm_range": (2.0, 1.0), "normalise": "norm"},
        {"norm_range": (1.0, 2.0)},
        {"workers": 0},
    ],
)
def test_settings_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        AttachSettings(**options)
