"""Poisson deviance and its mean, against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import xlogy
from scipy.stats import binom, poisson

from gpucube.arrays.backend import to_host
from gpucube.arrays.deviance import (
    LARGEST_SUMMED,
    expected_deviance,
    expected_deviance_of_share,
    poisson_deviance,
)

MEANS = np.concatenate([[0.0], np.geomspace(1e-9, 3e3, 40), [LARGEST_SUMMED, np.nextafter(LARGEST_SUMMED, 99)]])


def by_scipy(n, mu):
    return 2 * (xlogy(n, n) - xlogy(n, np.where(n > 0, mu, 1.0)) - (n - mu))


def test_deviance(backend):
    counts, expected = np.array([[0], [1], [7], [400]]), np.array([0.25, 1.0, 7.0, 390.5, 1e-3])
    found = poisson_deviance(backend.asarray(counts), backend.asarray(expected))
    np.testing.assert_allclose(to_host(found), by_scipy(counts, expected), rtol=1e-12, atol=1e-12)


def test_where_nothing_is_possible(backend):
    found = poisson_deviance(backend.asarray([0, 3]), backend.asarray([0.0, 0.0]))
    assert to_host(found).tolist() == [0.0, np.inf]


@given(st.integers(0, 10**9), st.floats(1e-12, 1e9))
def test_never_negative_and_zero_only_where_equal(n, mu):
    assert poisson_deviance(np.array([n]), np.array([mu]))[0] >= 0
    assert poisson_deviance(np.array([n]), np.array([float(n)]))[0] == 0
    if abs(n - mu) > 1e-3 * max(n, mu):
        assert poisson_deviance(np.array([n]), np.array([mu]))[0] > 0


def test_mean_for_poisson_numbers(backend):
    k = np.arange(20_000)
    wanted = [np.sum(poisson.pmf(k, mu) * by_scipy(k, mu)) if mu else 0.0 for mu in MEANS]
    found = to_host(expected_deviance(backend.asarray(MEANS)))
    np.testing.assert_allclose(found, wanted, rtol=3e-5, atol=1e-14)
    assert found[-3] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("total", [0, 1, 2, 17, 900, 20_000])
def test_mean_for_binomial_numbers(total, backend):
    shares = np.array([0.0, 1e-7, 1e-3, 0.0311, 0.25, 0.5, 0.97, 1.0])
    k = np.arange(total + 1)
    wanted = [np.sum(binom.pmf(k, total, p) * 2 * xlogy(k, k / (total * p or 1.0))) for p in shares]
    found = expected_deviance_of_share(backend.asarray([total]), backend.asarray(shares))
    np.testing.assert_allclose(to_host(found), wanted, rtol=3e-4, atol=2e-10)


def test_mean_over_totals_is_that_without_them():
    """Sum over cells given the total, averaged over totals, plus that of the total: the chain of the senses."""
    expected = np.array([0.02, 0.3, 1.5, 4.0])
    total = np.arange(60)
    share = expected / expected.sum()
    given_total = expected_deviance_of_share(total[:, None], share).sum(axis=1)
    mean = np.sum(poisson.pmf(total, expected.sum()) * given_total)
    whole = expected_deviance(np.array([expected.sum()]))[0]
    assert mean + whole == pytest.approx(expected_deviance(expected).sum(), rel=1e-9)
