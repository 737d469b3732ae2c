"""Deviances in the three senses: independent sums, invariances, and closure on random counts."""

import numpy as np
import pytest
from scipy.special import xlogy

from gpucube.arrays.backend import to_host
from gpucube.arrays.skill import SENSES, deviances, flat_prediction, perfect_deviances

SHAPE = (12, 5, 6, 7)


def truth(rng):
    """Expected counts with a spectrum, a hump off the centre, and thresholds; some cells are very sparse."""
    y, x = np.linspace(-1, 1, SHAPE[2])[:, None], np.linspace(-1, 1, SHAPE[3])
    hump = np.exp(-((y - 0.2) ** 2) - (x + 0.3) ** 2)
    spectrum = np.array([8.0, 3.0, 1.0, 0.2, 0.03])[:, None, None]
    level = rng.uniform(1.0, 3.0, SHAPE[0])[:, None, None, None]
    expected = level * spectrum * hump
    expected[3:6, 0] = 0.0
    exposure = np.broadcast_to(np.where(expected > 0, level / level.mean(), 0.0), SHAPE).copy()
    return expected, exposure


def skills(counts, expected, exposure, backend):
    arrays = [backend.asarray(values) for values in (counts, expected, exposure)]
    flat = deviances(arrays[0], flat_prediction(arrays[0], arrays[2]))
    model, perfect = deviances(*arrays[:2]), perfect_deviances(*arrays[:2])
    model, flat, perfect = (to_host(values).sum(axis=1) for values in (model, flat, perfect))
    return (flat - model) / (flat - perfect)


def test_deviances_are_those_of_a_direct_sum(backend):
    rng = np.random.default_rng(1)
    expected, _ = truth(rng)
    counts = rng.poisson(expected * 1.3).astype(float)
    found = to_host(deviances(backend.asarray(counts), backend.asarray(expected)))
    for row, axes in zip(found, ((), (1, 2, 3), (2, 3)), strict=True):
        scale = counts.sum(axis=axes, keepdims=True) / np.maximum(expected.sum(axis=axes, keepdims=True), 1e-300)
        mu = expected * (scale if axes else 1.0)
        cells = 2 * (xlogy(counts, counts) - xlogy(counts, np.where(counts > 0, mu, 1.0)) - counts + mu)
        np.testing.assert_allclose(row, cells.sum(axis=(1, 2, 3)), rtol=1e-10)


def test_truth_scores_one_and_flat_zero(backend):
    rng = np.random.default_rng(2)
    expected, exposure = truth(rng)
    draws = np.array([skills(rng.poisson(expected).astype(float), expected, exposure, backend) for _ in range(20)])
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - 1) < 4 * error).all()
    assert (error < 0.02).all()
    counts = rng.poisson(expected).astype(float)
    flat = to_host(flat_prediction(backend.asarray(counts), backend.asarray(exposure)))
    np.testing.assert_allclose(skills(counts, flat, exposure, backend), 0, atol=1e-12)


def test_scaling_changes_only_what_it_should():
    rng = np.random.default_rng(3)
    expected, exposure = truth(rng)
    counts = rng.poisson(expected).astype(float)
    numpy = _NumPy()
    own = skills(counts, expected, exposure, numpy)
    per_observation = skills(counts, expected * rng.uniform(0.5, 2, (12, 1, 1, 1)), exposure, numpy)
    per_energy = skills(counts, expected * rng.uniform(0.5, 2, (12, 5, 1, 1)), exposure, numpy)
    assert dict(zip(SENSES, np.isclose(own, per_observation, rtol=1e-9), strict=True)) == {
        "absolute": False,
        "shape": True,
        "shape_per_energy": True,
    }
    assert np.isclose(own, per_energy, rtol=1e-9).tolist() == [False, False, True]


def test_worse_models_score_less():
    rng = np.random.default_rng(4)
    expected, exposure = truth(rng)
    counts = rng.poisson(expected * 30).astype(float)
    scores = [skills(counts, (expected * 30) ** power, exposure, _NumPy())[2] for power in (1.0, 0.7, 0.3)]
    assert scores[0] == pytest.approx(1, abs=0.03)
    assert scores[0] > scores[1] > scores[2] > 0
    mirrored = skills(counts, expected[..., ::-1] * 30, exposure, _NumPy())
    assert mirrored[2] < 0.9 * scores[0]


def test_flat_keeps_counts_of_each_energy(backend):
    rng = np.random.default_rng(5)
    expected, exposure = truth(rng)
    counts = rng.poisson(expected).astype(float)
    flat = to_host(flat_prediction(backend.asarray(counts), backend.asarray(exposure)))
    np.testing.assert_allclose(flat.sum(axis=(0, 2, 3)), counts.sum(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(np.ptp(flat / np.where(exposure > 0, exposure, np.inf), axis=(2, 3)), 0, atol=1e-12)


class _NumPy:
    @staticmethod
    def asarray(values):
        return np.asarray(values)
