"""Threshold rules against numerical integration, and livetime per bin."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq

from gpucube.arrays.backend import Backend, to_host
from gpucube.arrays.exposure import INDEX_RANGE, SPECTRAL_INDEX, THRESHOLD_RULES, exposure_cube, spectral_index

EDGES = np.array([0.1, 0.2, 0.7, 1.0, 5.0, 80.0])
RULES = sorted(THRESHOLD_RULES)
# Anywhere, on an edge, and beside one.
THRESHOLDS = st.one_of(
    st.floats(0.0, 100.0),
    st.sampled_from(EDGES.tolist()),
    st.sampled_from(np.nextafter(EDGES, np.inf).tolist()),
    st.sampled_from((EDGES * (1 - 1e-9)).tolist()),
)


def share(backend: Backend, rule: str, thresholds: list[float], index: float = 2.7) -> np.ndarray:
    function = THRESHOLD_RULES[rule].share
    indices = np.full(EDGES.size - 1, index)
    return to_host(function(*(backend.asarray(values) for values in (np.array(thresholds), EDGES, indices))))


@settings(max_examples=30)
@given(threshold=THRESHOLDS, index=st.floats(*INDEX_RANGE) | st.sampled_from([1.0, 1.0 + 1e-8, 2.7]))
def test_share_is_that_of_the_spectrum(backend: Backend, threshold: float, index: float) -> None:
    def spectrum(energy: float) -> float:
        return energy**-index

    expected = [
        quad(spectrum, min(max(low, threshold), high), high)[0] / quad(spectrum, low, high)[0]
        for low, high in pairwise(EDGES)
    ]
    np.testing.assert_allclose(share(backend, "share", [threshold], index)[0], expected, rtol=2e-6, atol=1e-10)


@settings(max_examples=30)
@given(threshold=THRESHOLDS)
def test_edge_and_2015_round_the_share(backend: Backend, threshold: float) -> None:
    exact = share(backend, "share", [threshold])[0]
    np.testing.assert_array_equal(share(backend, "edge", [threshold])[0], threshold <= EDGES[:-1])
    np.testing.assert_array_equal(share(backend, "2015", [threshold])[0], exact > 0)
    # One ulp above an edge the share is 1 but for rounding.
    assert (exact[threshold <= EDGES[:-1]] == 1).all()
    assert (exact[threshold > EDGES[:-1] * (1 + 1e-12)] < 1).all()


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


@pytest.mark.parametrize("n_axes", [1, 2])
def test_exposure_is_summed_over_observations(backend: Backend, n_axes: int) -> None:
    rng = np.random.default_rng(7)
    field = (4, 3)[:n_axes]
    time, shares = rng.uniform(100, 1700, 6), rng.uniform(0, 1, (6, 5))
    fractions = [None if i % 2 else rng.uniform(0, 1, field) for i in range(6)]
    on_device = [None if f is None else backend.asarray(f) for f in fractions]
    found = to_host(exposure_cube(backend.asarray(time), backend.asarray(shares), on_device, n_axes))
    expected = sum(
        np.multiply.outer(t * s, np.ones(field) if f is None else f)
        for t, s, f in zip(time, shares, fractions, strict=True)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_exposure_without_regions_is_one_number_per_energy(backend: Backend) -> None:
    time, shares = backend.asarray([10.0, 20.0]), backend.asarray([[1.0, 0.0], [0.5, 1.0]])
    found = exposure_cube(time, shares, [None, None])
    assert found.shape == (2, 1, 1)
    np.testing.assert_array_equal(to_host(found)[:, 0, 0], [20.0, 20.0])


LOG_EDGES = np.geomspace(0.1, 100, 13)


def power_law_counts(index: float, thresholds: np.ndarray, time: np.ndarray, total: float = 1e9) -> np.ndarray:
    def integral(low: np.ndarray) -> np.ndarray:
        return (low ** (1 - index) - LOG_EDGES[1:] ** (1 - index)) / (index - 1)

    low = np.clip(thresholds[:, None], LOG_EDGES[:-1], LOG_EDGES[1:])
    counts = (time[:, None] * integral(low)).sum(axis=0)
    return np.rint(total * counts / counts.sum()).astype(np.int64)


@settings(max_examples=30)
@given(
    index=st.floats(1.05, 4.5),
    thresholds=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=4),
    seed=st.integers(0, 2**16),
)
def test_index_is_that_of_the_counts(backend: Backend, index: float, thresholds: list[float], seed: int) -> None:
    """Also in bins that thresholds cut, and for observations of different length."""
    time = np.random.default_rng(seed).uniform(100, 2000, len(thresholds))
    counts = power_law_counts(index, np.array(thresholds), time)
    arrays = (backend.asarray(values) for values in (counts, time, np.array(thresholds), LOG_EDGES))
    found = to_host(spectral_index(*arrays))
    starts = np.minimum(np.arange(12), 9)
    windows = np.array([counts[i : i + 3] for i in starts])
    reliable = (windows.min(axis=1) > 1e5) & (starts >= np.searchsorted(LOG_EDGES, min(thresholds)) - 1)
    np.testing.assert_allclose(found[reliable], index, atol=0.02)
    few = windows.sum(axis=1) < 30
    assert (found[few] == SPECTRAL_INDEX).all()


def mean_bin(index: float, thresholds: np.ndarray, time: np.ndarray, edges: np.ndarray) -> float:
    """Of the events of a power law above each threshold."""
    low = np.clip(thresholds[:, None], edges[:-1], edges[1:])
    exponent = 1 - index
    events = time @ (np.log(edges[1:] / low) if exponent == 0 else (edges[1:] ** exponent - low**exponent) / exponent)
    return float(events @ [0, 1, 2] / events.sum())


@settings(max_examples=30)
@given(
    counts=st.lists(st.integers(0, 10**6), min_size=3, max_size=3).filter(lambda n: sum(n) >= 30 and min(n[1:]) > 0),
    thresholds=st.lists(st.floats(0.05, 0.6), min_size=1, max_size=4),
    widths=st.lists(st.floats(1.05, 5.0), min_size=3, max_size=3),
)
@example(counts=[10, 10, 10], thresholds=[0.125], widths=[2.0, 2.0, 2.0])
def test_index_has_the_mean_bin_of_the_counts(
    backend: Backend, counts: list[int], thresholds: list[float], widths: list[float]
) -> None:
    """Against the search of SciPy, for a single window of uneven bins, of which thresholds cut the first two."""
    edges, cuts = 0.2 * np.cumprod([1.0, *widths]), np.clip(thresholds, 0.05, 0.2 * widths[0] * widths[1] * 0.99)
    time = np.linspace(100.0, 1700.0, len(cuts))
    wanted = np.array(counts) @ [0, 1, 2] / sum(counts)
    ends = [mean_bin(index, cuts, time, edges) - wanted for index in INDEX_RANGE]
    if ends[0] > 0 > ends[1]:
        expected = brentq(lambda index: mean_bin(index, cuts, time, edges) - wanted, *INDEX_RANGE, xtol=1e-12)
    else:
        expected = INDEX_RANGE[0] if ends[0] <= 0 else INDEX_RANGE[1]
    values = (np.array(counts), time, cuts, edges)
    found = to_host(spectral_index(*(backend.asarray(v) for v in values)))
    # An exponent of 0 is taken as 1e-6.
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_index_of_a_single_bin_cannot_be_measured(backend: Backend) -> None:
    """Only the last bin lies above the threshold, in part: any index fits the counts."""
    values = (np.array([0, 0, 500]), np.array([10.0]), np.array([0.8]), np.array([0.1, 0.3, 0.7, 1.0]))
    found = to_host(spectral_index(*(backend.asarray(v) for v in values)))
    assert found.tolist() == [SPECTRAL_INDEX] * 3


def test_index_is_bounded(backend: Backend) -> None:
    """Counts that rise or fall off a cliff."""
    counts = np.zeros((2, 12), dtype=np.int64)
    counts[0, 4], counts[1, 6] = 1000, 1000
    for row in counts:
        values = (row, np.array([10.0]), np.array([0.1]), LOG_EDGES)
        found = to_host(spectral_index(*(backend.asarray(v) for v in values)))
        assert ((found >= INDEX_RANGE[0]) & (found <= INDEX_RANGE[1])).all()


def test_index_needs_three_bins(backend: Backend) -> None:
    values = (np.array([500, 100]), np.array([10.0]), np.array([0.1]), np.array([0.1, 1.0, 10.0]))
    found = to_host(spectral_index(*(backend.asarray(v) for v in values)))
    assert found.tolist() == [SPECTRAL_INDEX] * 2


def test_index_without_observations(backend: Backend) -> None:
    """None of a group could be used."""
    values = (np.zeros(12, dtype=np.int64), np.zeros(0), np.zeros(0), LOG_EDGES)
    found = to_host(spectral_index(*(backend.asarray(v) for v in values)))
    assert found.tolist() == [SPECTRAL_INDEX] * 12


def test_2015_rule_gives_the_cut_bin_too_much(backend: Backend) -> None:
    """The example of the docs: a threshold in the middle of a bin."""
    shares = {rule: share(backend, rule, [0.4])[0].tolist() for rule in RULES}
    assert shares["edge"] == [0, 0, 1, 1, 1]
    assert shares["2015"] == [0, 1, 1, 1, 1]
    low, high, middle = 0.2**-1.7, 0.7**-1.7, 0.4**-1.7
    assert shares["share"] == pytest.approx([0, (middle - high) / (low - high), 1, 1, 1])
