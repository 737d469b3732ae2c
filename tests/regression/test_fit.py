"""The regression on observations of known truth."""

import numpy as np
import pytest

from gpucube.arrays.backend import get_backend, to_host
from gpucube.errors import ObservationError, OptionError
from gpucube.regression.fit import ObservationCounts, fit_regression, regression_axes
from tests.regression.truth import AXES, CORNERS, EFFECTS, Truth, make_conditions, mean_counts, observe, pulls

NUMPY = get_backend("numpy")
# Effects that 16 observations would hardly show
STRONGER = {"radial_zenith": 3.0, "radial_turn_on": 3.0, "gradient_across": 1.5}


@pytest.fixture(scope="module")
def all_pulls():
    return np.concatenate([pulls(seed, masked=seed % 2 == 1) for seed in range(6)])


def test_truth_lies_in_the_error_band(all_pulls):
    # Cells of one fit are not independent: six fits are worth a few dozen pulls; benchmarks.closure makes many.
    assert abs(np.mean(all_pulls)) < 0.45
    assert np.std(all_pulls) == pytest.approx(1.0, abs=0.25)
    assert np.mean(np.abs(all_pulls) < 1) == pytest.approx(0.683, abs=0.1)


@pytest.mark.parametrize("effect", EFFECTS)
def test_each_term_does_its_work(effect):
    """With the term the model of a background with this effect alone is nearer to the truth than without."""
    rng = np.random.default_rng(7)
    truth = Truth((effect,), rate=100.0, scatter=0.02, strength=STRONGER)
    conditions, others = make_conditions(16, rng), make_conditions(4, rng)
    observed = observe(truth, conditions, rng)
    distances = []
    for terms in (("+dead_time", "+season"), ("+dead_time", "+season", *(f"-{name}" for name in without(effect)))):
        model = fit_regression(observed, AXES, NUMPY, terms)
        distances.append(sum(distance(truth, model, item) for item in others))
    assert distances[0] < 0.7 * distances[1]


def without(effect):
    """Terms that could do the work of each other."""
    families = (
        ("zenith", "zenith_squared", "radial_zenith", "radial_zenith_energy"),
        ("gradient", "gradient_energy", "gradient_offset", "gradient_constant"),
        ("gradient_across", "gradient_across_energy", "gradient_offset", "gradient_constant"),
        ("gradient_constant", "gradient_offset", "gradient", "gradient_across", "gradient_energy"),
        ("quadrupole", "quadrupole_energy"),
        ("radial_zenith", "radial_zenith_energy"),
        ("radial_energy", "radial_energy_cubed", "radial_turn_on", "radial_zenith_energy"),
        ("radial_turn_on", "radial_energy", "radial_energy_cubed"),
    )
    return next((family for family in families if family[0] == effect), (effect,))


def distance(truth, model, conditions):
    """Kullback-Leibler distance of the predicted from the true counts."""
    mean = mean_counts(truth, conditions)
    background = model.background(conditions, AXES)
    used = (AXES[0].edges[:-1] > conditions.threshold) & (AXES[0].edges[1:] < 10.0)
    predicted = background.rate.data * background.rate.bin_volume * conditions.livetime
    a, b = mean[used][:, ~CORNERS], predicted[used][:, ~CORNERS]
    return np.sum(b - a + a * np.log(a / b))


def test_every_backend_fits_the_same(backend):
    rng = np.random.default_rng(3)
    conditions = make_conditions(5, rng)
    truth = Truth()
    fractions = [None, *(rng.uniform(0, 1, CORNERS.shape) for _ in conditions[1:])]
    observed = observe(truth, conditions, rng, open_fractions=fractions)
    expected = fit_regression(observed, AXES, NUMPY)
    moved = [
        ObservationCounts(
            item.conditions,
            backend.asarray(item.counts),
            None if item.open_fraction is None else backend.asarray(item.open_fraction),
        )
        for item in observed
    ]
    found = fit_regression(moved, AXES, backend)
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=1e-5, atol=1e-7)
    one, other = (model.background(conditions[0]).rate.data for model in (found, expected))
    np.testing.assert_allclose(one, other, rtol=1e-6)
    again = expected.background(conditions[0], backend=backend)
    np.testing.assert_allclose(to_host(again.rate.data), other, rtol=1e-9)


def test_beyond_the_counts_the_rate_goes_on_without_holes():
    rng = np.random.default_rng(5)
    observed = observe(Truth(rate=3.0), make_conditions(8, rng), rng)
    model = fit_regression(observed, AXES, NUMPY)
    wide = (regression_axes()[0], *AXES[1:])
    rate = model.background(make_conditions(1, rng)[0], wide).rate.data
    assert np.isfinite(rate).all()
    assert (rate > 0).all()
    logs = np.log(rate)
    assert np.abs(np.diff(logs, 2, axis=0)).max() < 1.0
    assert np.abs(np.diff(logs, axis=1)).max() < 3.0


def test_the_order_of_observations_does_not_matter():
    rng = np.random.default_rng(6)
    conditions = make_conditions(6, rng)
    observed = observe(Truth(), conditions, rng)
    one, other = (fit_regression(items, AXES, NUMPY) for items in (observed, observed[::-1]))
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(one.nights.effects, other.nights.effects[::-1], atol=1e-6)


def test_what_is_missing_is_said():
    rng = np.random.default_rng(8)
    conditions = make_conditions(3, rng)
    observed = observe(Truth(), conditions, rng)
    with pytest.raises(OptionError, match="no NSBLEVEL for observation 1"):
        fit_regression(observed, AXES, NUMPY, ("+nsb",))
    model = fit_regression(observed, AXES, NUMPY)
    conditions[0].covariates.pop("MUONEFF")
    with pytest.raises(ObservationError, match="no MUONEFF"):
        model.background(conditions[0])
    # A default term that is not possible is left out.
    left_out = fit_regression(observed, AXES, NUMPY)
    assert {term.name for term in model.terms} - {term.name for term in left_out.terms} == {"muon_efficiency"}
    empty = [ObservationCounts(item.conditions, item.counts * 0) for item in observed]
    with pytest.raises(OptionError, match="no event above a threshold"):
        fit_regression(empty, AXES, NUMPY)
