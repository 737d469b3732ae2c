"""What observations tell of others that are near in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from gpucube.arrays.backend import get_backend, to_host
from gpucube.arrays.random_effects import effect_covariance, effects_expected, seen_precision
from gpucube.errors import OptionError
from gpucube.observations.conditions import Conditions
from gpucube.regression.fit import fit_regression
from gpucube.regression.model import RegressionModel
from gpucube.regression.nights import SHARED_DAYS, Nights, likeness_in_time
from tests.regression.truth import AXES, Truth, make_conditions, mean_counts, observe

NUMPY = get_backend("numpy")
FEW = ("spectrum", "turn_on", "zenith", "radial", "muon_efficiency", "nights")


def on_nights(n_obs: int, rng: np.random.Generator, days: float = 300.0) -> list[Conditions]:
    mjd = 53000 + days * rng.uniform(size=n_obs)
    conditions = make_conditions(n_obs, rng)
    return [
        replace(item, covariates=item.covariates | {"MJD": time}) for item, time in zip(conditions, mjd, strict=True)
    ]


def effects_of(conditions: list[Conditions], own: float, shared: float, rng: np.random.Generator) -> np.ndarray:
    mjd = [item.covariates["MJD"] for item in conditions]
    alone, together = likeness_in_time(mjd, len(mjd))
    return rng.multivariate_normal(np.zeros(len(mjd)), own**2 * alone + shared**2 * together)


def seen_and_new(
    seed: int, own: float, shared: float, n_obs: int = 60, days: float = 150.0
) -> tuple[RegressionModel, list[Conditions], np.ndarray]:
    """A fit to three quarters of the observations, the other ones, and their effects."""
    rng = np.random.default_rng(seed)
    truth = Truth(("turn_on", "zenith", "muon_efficiency"), rate=60.0)
    conditions = on_nights(n_obs, rng, days)
    effects = effects_of(conditions, own, shared, rng)
    n = 3 * n_obs // 4
    model = fit_regression(observe(truth, conditions[:n], rng, effects=effects[:n]), AXES, NUMPY, FEW)
    return model, conditions[n:], effects[n:]


def log_ratio(model: RegressionModel, item: Conditions, effect: float) -> tuple[float, float, float]:
    """Logarithm of predicted over true rate near the middle of energies and field, its error, and the scatter left."""
    background = model.background(item, AXES)
    at = (12, 6, 6)
    truth = Truth(("turn_on", "zenith", "muon_efficiency"), rate=60.0, scatter=0.0)
    mean = mean_counts(truth, item)[at] / item.livetime / background.rate.bin_volume[at]
    rate, error = background.rate.data[at], background.error.data[at]
    scatter = background.meta["RUNSCAT"]
    return np.log(rate / mean) - 0.5 * scatter**2 - effect, error / rate, scatter


@given(
    st.lists(st.floats(0, 40), min_size=2, max_size=6, unique=True),
    st.floats(-10, 50),
    st.floats(0.01, 1.0),
    st.floats(0.01, 1.0),
)
def test_expectation_is_that_of_the_normal_distribution(
    mjd: list[float], time: float, own: float, shared: float
) -> None:
    """Weights and variance against the density of all effects together."""
    alone, together = likeness_in_time([*mjd, time], len(mjd) + 1)
    joint = own * alone + shared * together
    # The effect itself has a part of its own, which its neighbours do not know.
    weights, variance = effects_expected(np.asarray(own), np.asarray(shared), together[:-1, :-1], together[:-1, -1])
    effects = np.linspace(-1, 1, len(mjd)) * np.sqrt(own + shared)

    def log_density(value: float) -> float:
        return multivariate_normal(cov=joint).logpdf([*effects, value])

    middle = float(weights @ effects)
    width = float(np.sqrt(variance))
    top = log_density(middle)
    assert log_density(middle + width) - top == pytest.approx(-0.5, abs=1e-6)
    assert log_density(middle - width) - top == pytest.approx(-0.5, abs=1e-6)


def test_backends_expect_the_same(backend) -> None:
    alone, together = likeness_in_time([0.0, 1.0, 5.0, 30.0], 4)
    here = [backend.asarray(values) for values in (np.asarray(0.1), np.asarray(0.3), together[:3, :3], together[:3, 3])]
    weights, variance = (to_host(values) for values in effects_expected(*here))
    expected = effects_expected(np.asarray(0.1), np.asarray(0.3), together[:3, :3], together[:3, 3])
    np.testing.assert_allclose(weights, expected[0], rtol=1e-12)
    np.testing.assert_allclose(variance, expected[1], rtol=1e-12)
    both = backend.asarray(np.stack([alone, together]))
    information = np.array([1.0, 1e4, 1e-3, 0.0])
    found = seen_precision(effect_covariance(backend.asarray(np.array([0.1, 0.3])), both), backend.asarray(information))
    seen = np.diag(1 / information[:3])
    np.testing.assert_allclose(to_host(found)[3, :], 0)
    np.testing.assert_allclose(
        to_host(found)[:3, :3], np.linalg.inv((0.1 * alone + 0.3 * together)[:3, :3] + seen), rtol=1e-8, atol=1e-12
    )


def test_far_in_time_nothing_is_known() -> None:
    nights = Nights(np.arange(2), np.array([0.0, 3.0]), np.array([0.5, 0.4]), np.zeros(2), np.ones((2, 3)), 0.01, 0.04)
    for mjd in (None, 3 + 11 * SHARED_DAYS, float("nan")):
        night = nights.expected_at(mjd)
        assert night.effect == 0
        assert night.scatter == pytest.approx(np.sqrt(0.05))
        assert not night.slopes.any()
    near = nights.expected_at(1.0)
    assert 0.3 < near.effect < 0.5
    assert near.scatter < np.sqrt(0.05)


def test_variances_are_those_of_the_observations() -> None:
    for own, shared in ((0.05, 0.25), (0.25, 0.0)):
        found = [seen_and_new(seed, own, shared, n_obs=80)[0].nights for seed in range(3)]
        assert np.sqrt(np.mean([night.own for night in found])) == pytest.approx(own, abs=0.06)
        assert np.sqrt(np.mean([night.shared for night in found])) == pytest.approx(shared, abs=0.1)


def test_nights_near_in_time_tell_the_rate() -> None:
    """Errors hold, and are smaller than those of a prediction that does not know the time."""
    ratios, blind = [], []
    for seed in range(4):
        model, others, effects = seen_and_new(seed, own=0.05, shared=0.3)
        for item, effect in zip(others, effects, strict=True):
            ratio, error, scatter = log_ratio(model, item, effect)
            ratios.append((ratio, np.hypot(error, scatter)))
            covariates = {name: value for name, value in item.covariates.items() if name != "MJD"}
            blind.append(log_ratio(model, replace(item, covariates=covariates), effect)[0])
    difference, error = np.array(ratios).T
    assert np.sqrt(np.mean(difference**2)) < 0.7 * np.sqrt(np.mean(np.square(blind)))
    # 60 new observations, those of one fit not independent of each other
    assert np.std(difference / error) == pytest.approx(1.0, abs=0.3)
    assert abs(np.mean(difference / error)) < 0.5


def test_where_nights_have_nothing_in_common_nothing_is_lost() -> None:
    squares = []
    for seed in range(3):
        model, others, effects = seen_and_new(seed, own=0.2, shared=0.0)
        squares += [log_ratio(model, item, effect)[0] ** 2 for item, effect in zip(others, effects, strict=True)]
    assert np.sqrt(np.mean(squares)) < 0.2 * 1.25


def test_observations_without_time() -> None:
    rng = np.random.default_rng(0)
    conditions = on_nights(6, rng)
    conditions[2].covariates.pop("MJD")
    observed = observe(Truth(), conditions, rng)
    model = fit_regression(observed, AXES, NUMPY)
    assert "nights" not in {term.name for term in model.terms}
    assert model.nights.shared == 0
    with pytest.raises(OptionError, match="term nights: no MJD for observation 3"):
        fit_regression(observed, AXES, NUMPY, ("+nights",))
