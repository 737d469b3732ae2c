"""Threshold rules against numerical integration, and livetime per bin."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from gpucube.arrays.backend import Backend, to_host
from gpucube.arrays.exposure import THRESHOLD_RULES, livetime_per_bin

EDGES = np.array([0.1, 0.2, 0.7, 1.0, 5.0, 80.0])
RULES = sorted(THRESHOLD_RULES)
# Anywhere, on an edge, and beside one.
THRESHOLDS = st.one_of(
    st.floats(0.0, 100.0),
    st.sampled_from(EDGES.tolist()),
    st.sampled_from(np.nextafter(EDGES, np.inf).tolist()),
    st.sampled_from((EDGES * (1 - 1e-9)).tolist()),
)


def spectrum(energy: float) -> float:
    return energy**-2.7


def share(backend: Backend, rule: str, thresholds: list[float]) -> np.ndarray:
    function = THRESHOLD_RULES[rule].share
    return to_host(function(backend.asarray(np.array(thresholds)), backend.asarray(EDGES)))


@settings(max_examples=30)
@given(threshold=THRESHOLDS)
def test_share_is_that_of_the_spectrum(backend: Backend, threshold: float) -> None:
    expected = [
        quad(spectrum, min(max(low, threshold), high), high)[0] / quad(spectrum, low, high)[0]
        for low, high in pairwise(EDGES)
    ]
    np.testing.assert_allclose(share(backend, "share", [threshold])[0], expected, rtol=1e-7, atol=1e-10)


@settings(max_examples=30)
@given(threshold=THRESHOLDS)
def test_edge_and_2015_round_the_share(backend: Backend, threshold: float) -> None:
    exact = share(backend, "share", [threshold])[0]
    np.testing.assert_array_equal(share(backend, "edge", [threshold])[0], exact == 1)
    np.testing.assert_array_equal(share(backend, "2015", [threshold])[0], exact > 0)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=30)
@given(thresholds=st.lists(THRESHOLDS, min_size=1, max_size=5).map(sorted))
def test_share_is_between_0_and_1_and_falls_with_the_threshold(
    backend: Backend, rule: str, thresholds: list[float]
) -> None:
    shares = share(backend, rule, thresholds)
    assert shares.shape == (len(thresholds), EDGES.size - 1)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert (np.diff(shares, axis=0) <= 0).all()
    assert (np.diff(shares, axis=1) >= 0).all()


@pytest.mark.parametrize("rule", RULES)
def test_no_threshold_and_threshold_above_all(backend: Backend, rule: str) -> None:
    shares = share(backend, rule, [0.0, 0.05, 0.1, 80.0, 100.0])
    assert (shares[:3] == 1).all()
    assert (shares[3:] == 0).all()


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=60)
@given(threshold=THRESHOLDS, energy=THRESHOLDS)
def test_events_are_filled_only_where_there_is_exposure(
    backend: Backend, rule: str, threshold: float, energy: float
) -> None:
    cut = to_host(THRESHOLD_RULES[rule].cut(backend.asarray(np.array([threshold])), backend.asarray(EDGES)))
    assert cut.shape == (1,)
    assert cut[0] >= threshold
    bins = np.histogram([energy] if energy >= cut[0] else [], EDGES)[0]
    assert (share(backend, rule, [threshold])[0][bins > 0] > 0).all()


@settings(max_examples=60)
@given(threshold=THRESHOLDS)
def test_cuts(backend: Backend, threshold: float) -> None:
    cuts = {
        rule: to_host(THRESHOLD_RULES[rule].cut(backend.asarray(np.array([threshold])), backend.asarray(EDGES)))[0]
        for rule in RULES
    }
    if threshold != EDGES[-1]:
        assert cuts["share"] == cuts["2015"] == threshold
    if threshold < EDGES[-2]:
        assert cuts["edge"] == EDGES[threshold <= EDGES][0]
    if threshold > EDGES[-1]:
        assert cuts["edge"] == np.inf


@pytest.mark.parametrize("rule", RULES)
def test_livetime_is_summed_over_observations(backend: Backend, rule: str) -> None:
    rng = np.random.default_rng(7)
    livetime, threshold = rng.uniform(100, 1700, 6), rng.uniform(0.05, 6, 6)
    edges = backend.asarray(EDGES)
    found = livetime_per_bin(backend.asarray(livetime), backend.asarray(threshold), edges, rule)
    expected = (livetime[:, None] * share(backend, rule, threshold.tolist())).sum(axis=0)
    np.testing.assert_allclose(to_host(found), expected, rtol=1e-14)
    assert to_host(found)[-1] == pytest.approx(livetime.sum(), rel=1e-14)


def test_2015_rule_gives_the_cut_bin_too_much(backend: Backend) -> None:
    """The example of the docs: a threshold in the middle of a bin."""
    shares = {rule: share(backend, rule, [0.4])[0].tolist() for rule in RULES}
    assert shares["edge"] == [0, 0, 1, 1, 1]
    assert shares["2015"] == [0, 1, 1, 1, 1]
    low, high, middle = 0.2**-1.7, 0.7**-1.7, 0.4**-1.7
    assert shares["share"] == pytest.approx([0, (middle - high) / (low - high), 1, 1, 1])


def test_default_rule_is_share(backend: Backend) -> None:
    livetime, threshold, edges = (backend.asarray(np.array(values)) for values in ([10.0], [0.4], EDGES))
    default, named = livetime_per_bin(livetime, threshold, edges), livetime_per_bin(livetime, threshold, edges, "share")
    np.testing.assert_array_equal(to_host(default), to_host(named))


def test_unknown_rule(backend: Backend) -> None:
    values = backend.asarray(np.ones(1))
    with pytest.raises(KeyError, match="half"):
        livetime_per_bin(values, values, backend.asarray(EDGES), "half")
