"""Penalties between their common eigenvectors, against the matrices themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucube.arrays.backend import get_backend, to_host
from gpucube.arrays.penalties import (
    RIDGE,
    STRENGTHS,
    Penalties,
    covariance_of_strengths,
    penalty_matrix,
    renewed_strengths,
)
from gpucube.regression.features import Scales, make_design
from gpucube.regression.terms import TERMS

N = 6
logs = st.lists(st.floats(-2, 2), min_size=3, max_size=3)


def penalties_on(backend, seed):
    """Three penalties of six coefficients, of which one has none; the matrices of the penalties."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(N, N)))[0]
    values = rng.uniform(0.5, 2.0, (3, N)) * np.array([[0, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]])
    matrices = np.einsum("iq,pq,jq->pij", vectors, values, vectors)
    return Penalties(backend.asarray(vectors), backend.asarray(values)), matrices


def covariance_with(rng, penalty):
    root = rng.normal(size=(N, N))
    return np.linalg.inv(root @ root.T + penalty)


@given(logs, st.integers(0, 50))
def test_strengths_are_renewed_as_by_the_matrices(logs, seed):
    backend, rng = get_backend("numpy"), np.random.default_rng(seed)
    penalties, matrices = penalties_on(backend, seed)
    strengths, coefficients = np.exp(logs), rng.normal(size=N)
    total = np.einsum("p,pij->ij", strengths, matrices)
    np.testing.assert_allclose(penalty_matrix(penalties, strengths), total + RIDGE * np.eye(N), atol=1e-10)
    covariance = covariance_with(rng, total)
    inverse = np.linalg.pinv(total, rcond=1e-10)
    wanted = np.array([np.trace(inverse @ matrix) - np.trace(covariance @ matrix) for matrix in matrices])
    spent = np.array([coefficients @ matrix @ coefficients for matrix in matrices])
    expected = np.clip(strengths * np.clip(wanted / spent, 1 / 8, 8), *STRENGTHS)
    found = renewed_strengths(penalties, strengths, coefficients, covariance)
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_backends_renew_alike(backend):
    strengths, rng = np.array([0.3, 2.0, 10.0]), np.random.default_rng(1)
    coefficients, covariance = rng.normal(size=N), covariance_with(rng, np.eye(N))
    here = [strengths, coefficients, covariance]
    on_device = [backend.asarray(values) for values in here]
    for function in (renewed_strengths, covariance_of_strengths):
        expected = function(penalties_on(get_backend("numpy"), 3)[0], *here)
        np.testing.assert_allclose(
            to_host(function(penalties_on(backend, 3)[0], *on_device)), expected, rtol=1e-9, atol=1e-12
        )


@given(logs, st.integers(0, 50))
def test_what_unknown_strengths_add_is_that_of_their_likelihood(logs, seed):
    """Second derivatives of the restricted likelihood of a normal distribution by differences."""
    rng = np.random.default_rng(seed)
    penalties, matrices = penalties_on(get_backend("numpy"), seed)
    root = rng.normal(size=(N, N))
    information, target = root @ root.T, 2 * rng.normal(size=N)

    def fitted(logs):
        total = np.einsum("p,pij->ij", np.exp(logs), matrices)
        covariance = np.linalg.inv(information + total)
        return total, covariance, covariance @ information @ target

    def minus_restricted(logs):
        total, covariance, best = fitted(logs)
        values = np.linalg.eigvalsh(total)
        misfit = (best - target) @ information @ (best - target) + best @ total @ best
        return 0.5 * (misfit - np.sum(np.log(values[values > 1e-9])) - np.linalg.slogdet(covariance)[1])

    logs, step = np.array(logs), 1e-3
    unit = step * np.eye(3)
    slopes = np.stack([(fitted(logs + e)[2] - fitted(logs - e)[2]) / (2 * step) for e in unit], axis=1)
    second = np.array(
        [
            [
                sum(a * b * minus_restricted(logs + a * e + b * f) for a in (1, -1) for b in (1, -1)) / (4 * step**2)
                for f in unit
            ]
            for e in unit
        ]
    )
    first = np.array([(minus_restricted(logs + e) - minus_restricted(logs - e)) / (2 * step) for e in unit])
    # At the best strengths the first derivatives are 0; elsewhere they are what is left out.
    values, directions = np.linalg.eigh(second - np.diag(first))
    spread = slopes @ directions
    expected = (spread / (np.clip(values, 0, None) + 1 / 9)) @ spread.T
    _, covariance, best = fitted(logs)
    found = covariance_of_strengths(penalties, np.exp(logs), best, covariance)
    np.testing.assert_allclose(found, expected, atol=1e-3 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("name", [name for name, term in TERMS.items() if term.conditions])
def test_eigenvectors_are_those_of_every_term(name):
    """Orthonormal vectors, and curvatures that leave straight lines free."""
    scales = Scales(0.1, 50.0, 2.5, {})
    design = make_design(np.linspace(-1, 1, 5), np.zeros(5), [TERMS[name]], scales, get_backend("numpy"))
    vectors, values = design.penalties.vectors, design.penalties.values
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(vectors.shape[0]), atol=1e-12)
    assert values.shape[1] == vectors.shape[0]
    assert (values >= 0).all()
    if name == "spectrum":
        line = np.arange(float(scales.n_energy))
        assert line @ penalty_matrix(design.penalties, np.ones(1)) @ line == pytest.approx(
            RIDGE * line @ line, rel=1e-6
        )
