"""Bootstrap over the observations of a regression: what counts several times, and errors against those of the fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpucube.arrays.backend import Backend, get_backend, to_host
from gpucube.arrays.design import Design
from gpucube.arrays.penalties import Penalties
from gpucube.arrays.poisson_regression import Fit, fit_poisson, resampled_coefficients
from gpucube.regression.bootstrap import Cells, blocks_of_nights, bootstrap_covariance, number_of_blocks
from gpucube.regression.fit import fit_regression
from gpucube.regression.nights import likeness_in_time
from tests.regression.truth import AXES, Truth, make_conditions, observe

NUMPY = get_backend("numpy")
TERMS = ("spectrum", "turn_on", "zenith", "radial", "radial_energy", "gradient", "gradient_constant")
TRUTH = Truth(("turn_on", "zenith", "radial_energy", "gradient", "gradient_constant"), rate=60.0)
MJD = (1.0, 3.0, 40.0, 45.0, 200.0)


def small_fit(mjd: tuple[float, ...] | None = None) -> tuple[Cells, Fit]:
    """Five observations of a spectrum and a gradient in three pixels."""
    rng = np.random.default_rng(2)
    x, y = np.linspace(-1, 1, 4), np.array([-1.0, 0.2, 1.1])
    conditions = np.broadcast_to(np.stack([np.ones(4), x], axis=1), (5, 4, 2)) + 0.0
    conditions[:, :, 1] += rng.normal(size=5)[:, None]
    penalties = Penalties(np.eye(3), np.array([[0.0, 0.0, 1.0]]))
    design = Design(np.stack([np.ones(3), y], axis=1), np.array([0, 1, 0]), np.array([0, 0, 1]), penalties)
    exposure = rng.uniform(20, 60, (5, 4, 3))
    mean = exposure * np.exp(0.5 * conditions[:, :, 1:] + 0.3 * y + 0.2 * rng.normal(size=5)[:, None, None])
    cells = Cells(
        rng.poisson(mean).astype(float), exposure, conditions, design, NUMPY.asarray(likeness_in_time(mjd, 5))
    )
    return cells, fit_poisson(cells.counts, exposure, conditions, design, cells.likeness)


def newton(cells: Cells, fit: Fit, listed: np.ndarray, n_steps: int) -> np.ndarray:
    """Coefficients after steps of the dense regression with a row for each cell of the observations in this list."""
    design, n_q, n = cells.design, len(fit.coefficients), len(listed)
    products = cells.conditions[listed][:, :, None, design.k] * design.field[:, design.m]
    dummies = np.broadcast_to(np.eye(n)[:, None, None, :], (*products.shape[:3], n))
    matrix = np.concatenate([products, dummies], axis=-1).reshape(-1, n_q + n)
    # What copies share, they share fully; what each has of its own it does not.
    likeness = cells.likeness[:, listed[:, None], listed]
    likeness[0] = np.eye(n)
    penalty = np.zeros((n_q + n, n_q + n))
    penalty[2, 2] = fit.strengths[0]
    penalty[n_q:, n_q:] = np.linalg.inv(np.einsum("c,cij->ij", fit.variances, likeness))
    counts, exposure = cells.counts[listed].ravel(), cells.exposure[listed].ravel()
    values = np.concatenate([fit.coefficients, fit.effects[listed]])
    for _ in range(n_steps):
        mean = exposure * np.exp(matrix @ values)
        hessian = matrix.T @ (mean[:, None] * matrix) + penalty
        values = values + np.linalg.solve(hessian, matrix.T @ (counts - mean) - penalty @ values)
    return values[:n_q]


@pytest.mark.parametrize("mjd", [None, MJD])
def test_an_observation_that_is_drawn_twice_is_there_twice(mjd: tuple[float, ...] | None) -> None:
    """The same as one step to a list that names it twice, each with an effect of its own."""
    cells, fit = small_fit(mjd)
    draws = np.array([[2, 0, 1, 3, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 5]])
    found = resampled_coefficients(*list(vars(cells).values()), fit, draws.astype(float))
    lists = [np.repeat(np.arange(5), weights) for weights in draws]
    expected = [newton(cells, fit, listed, 1) for listed in lists]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    errors = np.sqrt(np.diag(fit.covariance))
    assert np.abs(found[0] - fit.coefficients).max() > 0.01
    np.testing.assert_allclose(found[1], fit.coefficients, atol=1e-3 * errors.min())
    # One step from the fit to all observations is enough.
    assert np.max(np.abs(found[0] - newton(cells, fit, lists[0], 30)) / errors) < 0.1


def test_every_backend_draws_the_same(backend: Backend) -> None:
    cells, fit = small_fit(MJD)
    blocks = np.array([0, 0, 1, 2, 3])
    expected = bootstrap_covariance(cells, fit, blocks, 3.5, 7, NUMPY)
    penalties = Penalties(
        backend.asarray(cells.design.penalties.vectors), backend.asarray(cells.design.penalties.values)
    )
    design = Design(*map(backend.asarray, (cells.design.field, cells.design.k, cells.design.m)), penalties)
    moved = Cells(*map(backend.asarray, (cells.counts, cells.exposure, cells.conditions)), design, None)
    moved = replace(moved, likeness=backend.asarray(cells.likeness))
    its_fit = Fit(**{name: backend.asarray(value) for name, value in vars(fit).items()})
    found = bootstrap_covariance(moved, its_fit, blocks, 3.5, 7, backend)
    np.testing.assert_allclose(to_host(found), expected, rtol=1e-7, atol=1e-12)


def errors_over_those_of_the_fit(seed: int, n_obs: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    observed = observe(TRUTH, make_conditions(n_obs, rng), rng)
    models = [fit_regression(observed, AXES, NUMPY, TERMS, bootstrap=n_samples) for n_samples in (0, 100)]
    np.testing.assert_array_equal(models[0].coefficients, models[1].coefficients)
    ratios = []
    for item in make_conditions(3, rng):
        fit, bootstrap = (model.background(item, AXES) for model in models)
        assert (fit.meta["ERRKIND"], bootstrap.meta["ERRKIND"]) == ("COVARIANCE", "BOOTSTRAP")
        assert bootstrap.meta["NBOOT"] == 100
        np.testing.assert_array_equal(fit.rate.data, bootstrap.rate.data)
        used = (AXES[0].edges[:-1] > item.threshold) & (AXES[0].edges[1:] < 8.0)
        ratios.append((bootstrap.error.data / fit.error.data)[used].ravel())
    return np.concatenate(ratios)


def test_errors_agree_with_those_of_the_fit() -> None:
    # Of 8 fits of 30 observations the median is 0.92 to 1.04, 0.98 on the mean: as n observations know a scatter to
    # 1 / sqrt(2 n) = 13 %.
    ratios = [errors_over_those_of_the_fit(seed, 24) for seed in range(3)]
    medians = np.array([np.median(ratio) for ratio in ratios])
    assert np.mean(medians) == pytest.approx(1.0, abs=0.12)
    assert np.abs(medians - 1).max() < 0.25
    assert all(np.quantile(np.abs(ratio - 1), 0.9) < 0.5 for ratio in ratios)


def test_nights_that_scatter_more_make_larger_errors() -> None:
    errors = []
    for scatter in (0.05, 0.3):
        rng = np.random.default_rng(3)
        conditions = make_conditions(24, rng)
        observed = observe(replace(TRUTH, scatter=scatter), conditions, rng)
        model = fit_regression(observed, AXES, NUMPY, ("spectrum", "radial"), bootstrap=60)
        background = model.background(conditions[0], AXES)
        errors.append(np.median((background.error.data / background.rate.data)[8:12]))
    assert errors[1] > 2 * errors[0]
    # The mean of 24 nights that scatter by 30 % is known to 6 %.
    assert errors[1] == pytest.approx(0.3 / np.sqrt(24), rel=0.4)


def test_what_is_drawn_together() -> None:
    np.testing.assert_array_equal(blocks_of_nights(None, 3), [0, 1, 2])
    # Weeks, whatever the order of the observations
    np.testing.assert_array_equal(blocks_of_nights([50.0, 1.0, 6.9, 7.0, 51.0], 5), [2, 0, 0, 1, 2])
    livetime = np.array([1.0, 1.0, 1.0, 3.0])
    assert number_of_blocks(np.array([0, 1, 2, 3]), livetime) == pytest.approx(36 / 12)
    assert number_of_blocks(np.array([0, 0, 0, 1]), livetime) == pytest.approx(2.0)


def test_one_week_has_no_bootstrap(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(5)
    conditions = [
        replace(item, covariates=item.covariates | {"MJD": 51000.0 + 0.1 * number})
        for number, item in enumerate(make_conditions(4, rng))
    ]
    observed = observe(TRUTH, conditions, rng)
    few = ("spectrum", "radial")
    model = fit_regression(observed, AXES, NUMPY, (*few, "nights"), bootstrap=10)
    assert "without bootstrap" in caplog.text
    assert model.background(conditions[0], AXES).meta["ERRKIND"] == "COVARIANCE"
    assert fit_regression(observed, AXES, NUMPY, few, bootstrap=10).meta["NBOOT"] == 10
