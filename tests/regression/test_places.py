"""Rates of rings: the mean over solid angle of what pixels show, and its error with all correlations."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from gpucube.arrays.backend import Backend, get_backend
from gpucube.cubes.axis import Axis
from gpucube.observations.conditions import Conditions
from gpucube.regression.fit import fit_regression
from gpucube.regression.model import RegressionModel
from gpucube.regression.places import places_of
from tests.regression.truth import AXES, Truth, make_conditions, observe

# Uneven, and the first not a disc
RINGS = Axis("offset", np.array([0.2, 0.5, 1.1, 1.4, 2.3]), "deg")
ENERGY = Axis.energy(0.3, 8.0, 3)
STRONG = {"gradient": 4.0, "gradient_constant": 6.0, "gradient_across": 4.0, "quadrupole": 4.0, "season": 0.0}


@pytest.fixture(scope="module")
def fitted() -> tuple[Conditions, RegressionModel]:
    """A field with strong gradients, whose rings are no places of one rate."""
    rng = np.random.default_rng(4)
    conditions = make_conditions(8, rng)
    model = fit_regression(observe(Truth(strength=STRONG), conditions, rng), AXES, get_backend("numpy"))
    return replace(conditions[0], altitude=np.array([50.0, 62.0]), azimuth=np.array([10.0, 30.0])), model


def ring_means(cube: np.ndarray, width: float) -> np.ndarray:
    """Mean over solid angle of fine pixels whose centres lie in each ring."""
    centers = Axis.field_of_view("dety", width, cube.shape[1]).centers
    y, x = np.deg2rad(np.meshgrid(centers, centers, indexing="ij"))
    offset = np.rad2deg(np.arccos(np.cos(x) * np.cos(y)))
    edges = RINGS.edges
    inside = [(offset >= low) & (offset < high) for low, high in pairwise(edges)]
    weights = np.array([np.cos(y) * ring for ring in inside])
    return np.einsum("eyx,ryx->er", cube, weights) / weights.sum(axis=(1, 2))


def test_ring_is_the_mean_of_fine_pixels(fitted: tuple[Conditions, RegressionModel]) -> None:
    conditions, model = fitted
    found = model.background(conditions, (ENERGY, RINGS)).rate.data
    fine = tuple(Axis.field_of_view(name, 2.4, 300) for name in ("dety", "detx"))
    cube = model.background(conditions, (ENERGY, *fine)).rate.data
    np.testing.assert_allclose(found, ring_means(cube, 2.4), rtol=2e-3)
    # The rates within a ring differ by far more than that: by a factor in the last.
    x, y = np.meshgrid(fine[1].centers, fine[0].centers)
    last = cube[1][(np.hypot(x, y) > 1.4) & (np.hypot(x, y) < 2.3)]
    assert last.max() > 2 * last.min()


def test_error_of_a_ring_is_that_of_its_mean(fitted: tuple[Conditions, RegressionModel]) -> None:
    """From derivatives with respect to all coefficients, one by one."""
    conditions, model = fitted
    conditions = replace(conditions, altitude=conditions.altitude[:1], azimuth=conditions.azimuth[:1])
    # In a narrow bin of energy the derivative is that at its middle.
    axes = (Axis.energy(0.9, 0.95, 1), RINGS)
    background = model.background(conditions, axes)
    step = 1e-4
    slopes = []
    for number in range(model.coefficients.size):
        moved = model.coefficients.copy()
        moved[number] += step
        other = replace(model, coefficients=moved).background(conditions, axes)
        slopes.append((other.rate.data - background.rate.data)[0] / step)
    gradient = np.array(slopes)
    expected = np.sqrt(np.sum(gradient * (model.covariance @ gradient), axis=0))
    np.testing.assert_allclose(background.error.data[0], expected, rtol=5e-3)
    # Places are correlated, but not fully: the mean is better known than its places on the mean.
    fine = tuple(Axis.field_of_view(name, 2.4, 60) for name in ("dety", "detx"))
    of_pixels = ring_means(model.background(conditions, (axes[0], *fine)).error.data, 2.4)
    assert (background.error.data < of_pixels).all()
    assert (background.error.data > 0.1 * of_pixels).all()


def test_places_of_rings() -> None:
    """They lie in their ring on the sphere, and average harmonics away that a fit has."""
    places = places_of((RINGS,))
    x, y = np.deg2rad(places.detx), np.deg2rad(places.dety)
    offset = np.rad2deg(np.arccos(np.cos(x) * np.cos(y))).reshape(places.weights.shape)
    assert (offset > RINGS.edges[:-1, None]).all()
    assert (offset < RINGS.edges[1:, None]).all()
    np.testing.assert_allclose(places.weights.sum(axis=1), 1.0)
    angle = np.arctan2(places.dety, places.detx).reshape(places.weights.shape)
    for order in range(1, 7):
        for wave in (np.cos, np.sin):
            np.testing.assert_allclose(np.sum(places.weights * wave(order * angle), axis=1), 0.0, atol=1e-3)


def test_places_of_pixels() -> None:
    dety, detx = Axis("dety", np.array([-2.0, -1.0, 1.0]), "deg"), Axis("detx", np.array([0.0, 1.0, 2.0, 5.0]), "deg")
    places = places_of((dety, detx))
    np.testing.assert_array_equal(places.detx, [0.5, 1.5, 3.5, 0.5, 1.5, 3.5])
    np.testing.assert_array_equal(places.dety, [-1.5, -1.5, -1.5, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(places.weights, np.ones((6, 1)))


def test_every_backend_has_the_same_rings(fitted: tuple[Conditions, RegressionModel], backend: Backend) -> None:
    conditions, model = fitted
    expected = model.background(conditions, (ENERGY, RINGS))
    found = model.background(conditions, (ENERGY, RINGS), backend)
    np.testing.assert_allclose(found.rate.data, expected.rate.data, rtol=1e-9)
    np.testing.assert_allclose(found.error.data, expected.error.data, rtol=1e-7)
