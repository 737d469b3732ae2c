"""The Poisson regression against scikit-learn, against its own likelihood, and on data of known truth."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import gammaln

from gpucube.arrays.backend import get_backend, to_host
from gpucube.arrays.design import Design, log_rate, log_rate_variance
from gpucube.arrays.penalties import Penalties
from gpucube.arrays.poisson_regression import fit_poisson

N_OBS, N_ENERGY, N_PIXELS = 7, 5, 6


def problem(seed, scatter=0.3, n_obs=N_OBS, scale=40.0):
    """Counts of a model with three columns of conditions and two of the field, without exposure in a corner."""
    rng = np.random.default_rng(seed)
    conditions = rng.normal(size=(n_obs, N_ENERGY, 3))
    conditions[..., 0] = 1.0
    field = np.stack([np.ones(N_PIXELS), np.linspace(-1, 1, N_PIXELS)], axis=1)
    k, m = np.array([0, 1, 2, 0, 1]), np.array([0, 0, 0, 1, 1])
    truth = np.array([0.3, 0.2, -0.1, 0.4, 0.1])
    exposure = rng.uniform(0.5, 1.5, (n_obs, N_ENERGY, N_PIXELS)) * scale
    exposure[0, 0, :] = 0.0
    effects = scatter * rng.normal(size=n_obs)
    logs = np.einsum("oek,pm,km->oep", conditions, field, table_of(truth, k, m)) + effects[:, None, None]
    counts = rng.poisson(exposure * np.exp(logs)).astype(float)
    penalties = np.eye(5), np.array([[0.0, 1, 1, 0, 0], [0, 0, 0, 1, 1]])
    return counts, exposure, conditions, (field, k, m, penalties), truth, effects


def table_of(coefficients, k, m):
    table = np.zeros((3, 2))
    table[k, m] = coefficients
    return table


def on(backend, counts, exposure, conditions, parts):
    field, k, m, penalties = parts
    design = Design(
        backend.asarray(field),
        backend.asarray(k),
        backend.asarray(m),
        Penalties(*(backend.asarray(values) for values in penalties)),
    )
    return *(backend.asarray(values) for values in (counts, exposure, conditions)), design


def dense(conditions, parts, used):
    """Design matrix with a column for each coefficient and each observation."""
    field, k, m, _ = parts
    columns = conditions[:, :, None, k] * field[None, None, :, m]
    dummies = np.broadcast_to(np.eye(len(conditions))[:, None, None, :], (*columns.shape[:3], len(conditions)))
    return np.concatenate([columns, dummies], axis=-1)[used]


def test_coefficients_are_those_of_scikit_learn(backend):
    linear_model = pytest.importorskip("sklearn.linear_model")
    counts, exposure, conditions, parts, *_ = problem(1)
    fit = fit_poisson(*on(backend, counts, exposure, conditions, parts))
    used = exposure > 0
    strengths, effect_strength = to_host(fit.strengths), 1 / float(to_host(fit.variances)[0])
    # Its penalty is the same for all columns but the constant: scaled columns have other strengths.
    per_column = np.concatenate([[np.nan], np.repeat(strengths, 2), np.full(N_OBS, effect_strength)])
    matrix = dense(conditions, parts, used)[:, 1:] / np.sqrt(per_column[1:])
    weights = exposure[used]
    glm = linear_model.PoissonRegressor(alpha=1 / weights.sum(), tol=1e-10, max_iter=10_000, solver="newton-cholesky")
    glm.fit(matrix, counts[used] / weights, sample_weight=weights)
    expected = np.concatenate([[glm.intercept_], glm.coef_ / np.sqrt(per_column[1:])])
    found = np.concatenate([to_host(fit.coefficients), to_host(fit.effects)])
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert float(to_host(fit.change)) < 1e-4


@pytest.mark.parametrize("together", [False, True])
def test_strengths_maximise_the_restricted_likelihood(together):
    backend = get_backend("numpy")
    counts, exposure, conditions, parts, *_ = problem(2, n_obs=12)
    times = np.arange(12.0)
    likeness = np.stack([np.eye(12), np.exp(-np.abs(times[:, None] - times) / 3)])[: 1 + together]
    fit = fit_poisson(*on(backend, counts, exposure, conditions, parts), likeness)
    used = exposure > 0
    matrix, n, offset = dense(conditions, parts, used), counts[used], np.log(exposure[used])

    def minus_restricted(logs):
        """Laplace's approximation, Wood (2017), section 6.6."""
        penalty = np.zeros((17, 17))
        penalty[:5, :5] = np.diag(np.exp([-30.0, *np.repeat(logs[:2], 2)]))
        penalty[5:, 5:] = np.linalg.inv(np.sum(np.exp(logs[2:])[:, None, None] * likeness, axis=0))
        beta = np.zeros(matrix.shape[1])
        for _ in range(50):
            mean = np.exp(offset + matrix @ beta)
            hessian = matrix.T @ (mean[:, None] * matrix) + penalty
            beta = beta + np.linalg.solve(hessian, matrix.T @ (n - mean) - penalty @ beta)
        likelihood = np.sum(n * np.log(mean) - mean - gammaln(n + 1)) - 0.5 * beta @ penalty @ beta
        return -(likelihood + 0.5 * np.linalg.slogdet(penalty)[1] - 0.5 * np.linalg.slogdet(hessian)[1])

    found = np.log([*fit.strengths, *fit.variances])
    best = minimize(minus_restricted, found, method="Nelder-Mead", options={"fatol": 1e-6, "maxiter": 2000})
    assert minus_restricted(found) - best.fun < 0.02
    assert minus_restricted(found + 1.0) - best.fun > 0.1


def test_more_renewals_change_nothing():
    """One renewal in each of many steps, which is the method as it was published, ends where the quicker one does."""
    backend = get_backend("numpy")
    data = on(backend, *problem(2, n_obs=12)[:4])
    found, slow = fit_poisson(*data), fit_poisson(*data, steps=(1,) * 200)
    errors = np.sqrt(np.diag(slow.covariance))
    assert np.max(np.abs(found.coefficients - slow.coefficients) / errors) < 1e-3
    np.testing.assert_allclose(np.log(found.strengths), np.log(slow.strengths), atol=0.02)
    np.testing.assert_allclose(found.variances, slow.variances, rtol=1e-3)
    np.testing.assert_allclose(np.diag(found.covariance), np.diag(slow.covariance), rtol=1e-3)


@pytest.mark.parametrize("unseen", [(), (2,)])
def test_effects_are_those_of_the_dense_matrix(backend, unseen):
    """Error and slope of an effect, against the inverse of all second derivatives; one without exposure, too."""
    counts, exposure, conditions, parts, *_ = problem(3)
    counts[unseen, ...] = exposure[unseen, ...] = 0.0
    times = np.arange(float(N_OBS))
    likeness = np.stack([np.eye(N_OBS), np.exp(-np.abs(times[:, None] - times) / 2)])
    fit = fit_poisson(*on(backend, counts, exposure, conditions, parts), backend.asarray(likeness))
    used = exposure > 0
    matrix = dense(conditions, parts, used)
    mean = exposure[used] * np.exp(matrix @ np.concatenate([to_host(fit.coefficients), to_host(fit.effects)]))
    hessian = matrix.T @ (mean[:, None] * matrix)
    hessian[5:, 5:] += np.linalg.inv(np.sum(to_host(fit.variances)[:, None, None] * likeness, axis=0))
    given = np.linalg.inv(hessian[5:, 5:])
    np.testing.assert_allclose(to_host(fit.effect_errors), np.sqrt(np.diag(given)), rtol=1e-3)
    np.testing.assert_allclose(to_host(fit.effect_slopes), given @ hessian[5:, :5], rtol=1e-3, atol=1e-4)


def test_truth_lies_within_the_errors():
    backend = get_backend("numpy")
    pulls, effect_pulls = [], []
    for seed in range(40):
        counts, exposure, conditions, parts, truth, effects = problem(seed, n_obs=20, scale=15.0)
        fit = fit_poisson(*on(backend, counts, exposure, conditions, parts))
        pulls.append((fit.coefficients - truth) / np.sqrt(np.diag(fit.covariance)))
        effect_pulls.append(np.corrcoef(fit.effects, effects)[0, 1])
    assert np.abs(np.mean(pulls, axis=0)).max() < 4.5 / np.sqrt(40)
    assert 0.8 < np.std(pulls) < 1.15
    assert np.min(effect_pulls) > 0.7


def test_scatter_is_that_of_the_observations():
    backend = get_backend("numpy")
    found = []
    for seed in range(5):
        counts, exposure, conditions, parts, *_ = problem(seed, scatter=0.2, n_obs=200, scale=10.0)
        found.append(float(fit_poisson(*on(backend, counts, exposure, conditions, parts)).variances[0]) ** 0.5)
    assert np.mean(found) == pytest.approx(0.2, abs=0.015)


def test_every_backend_finds_the_same(backend):
    counts, exposure, conditions, parts, *_ = problem(3)
    expected = fit_poisson(*on(get_backend("numpy"), counts, exposure, conditions, parts))
    found = fit_poisson(*on(backend, counts, exposure, conditions, parts))
    for name in ("coefficients", "covariance", "effects", "freedom"):
        np.testing.assert_allclose(to_host(getattr(found, name)), getattr(expected, name), rtol=1e-6, atol=1e-9)


def test_blocks_of_observations_do_not_matter(monkeypatch):
    backend = get_backend("numpy")
    arguments = on(backend, *problem(4)[:4])
    expected = fit_poisson(*arguments)
    monkeypatch.setattr("gpucube.arrays.regression_sums.BLOCK", 1)
    np.testing.assert_allclose(fit_poisson(*arguments).coefficients, expected.coefficients, rtol=1e-9)


def test_variance_is_that_of_the_dense_matrix(backend):
    counts, exposure, conditions, parts, *_ = problem(5)
    *_, columns, design = on(backend, counts, exposure, conditions, parts)
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 5))
    covariance = root @ root.T
    found = to_host(log_rate_variance(backend.asarray(covariance), columns[1, ...], design))
    rows = dense(conditions, parts, np.ones(counts.shape, dtype=bool))[:, :5].reshape(*counts.shape, 5)[1]
    np.testing.assert_allclose(found, np.einsum("epi,ij,epj->ep", rows, covariance, rows), rtol=1e-10)
    coefficients = rng.normal(size=5)
    logs = to_host(log_rate(backend.asarray(coefficients), columns, design))
    np.testing.assert_allclose(logs[1], rows @ coefficients, rtol=1e-10)


def test_a_poor_start_does_not_run_away():
    counts, exposure, conditions, parts, *_ = problem(6)
    for factor in (1e-12, 1e-4, 1e4, 1e12):
        fit = fit_poisson(*on(get_backend("numpy"), counts, exposure * factor, conditions, parts))
        assert float(fit.change) < 1e-3
        assert fit.coefficients[0] == pytest.approx(0.3 - np.log(factor), abs=0.5)
