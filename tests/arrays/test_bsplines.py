"""B-splines against SciPy, and what their penalty leaves free."""

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from gpucube.arrays.backend import to_host
from gpucube.arrays.bsplines import DEGREE, bspline_basis, difference_penalty


def scipy_basis(x, low, high, n):
    spacing = (high - low) / (n - DEGREE)
    knots = low + spacing * np.arange(-DEGREE, n + 1)
    return BSpline.design_matrix(x, knots, DEGREE).toarray()


@given(hnp.arrays(np.float64, (2, 7), elements=st.floats(-3, 5)), st.integers(4, 12))
def test_inside_they_are_those_of_scipy(backend, x, n):
    found = to_host(bspline_basis(backend.asarray(x), -3.0, 5.0, n))
    expected = scipy_basis(np.clip(x.ravel(), -3.0, np.nextafter(5.0, 0)), -3.0, 5.0, n).reshape(2, 7, n)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(hnp.arrays(np.float64, 9, elements=st.floats(-20, 20)), st.integers(4, 9))
def test_equal_steps_are_a_straight_line_everywhere(backend, x, n):
    basis = to_host(bspline_basis(backend.asarray(x), -1.0, 2.0, n))
    centers = -1.0 + 3.0 / (n - DEGREE) * (np.arange(n) - (DEGREE - 1) / 2)
    np.testing.assert_allclose(basis.sum(axis=-1), 1.0, atol=1e-9)
    np.testing.assert_allclose(basis @ centers, x, atol=1e-7)


def test_beyond_the_ends_they_go_on_along_the_tangent(backend):
    x = np.array([-2.0, -1.5, -1.0, -1.0 + 1e-7])
    left, middle, edge, inside = to_host(bspline_basis(backend.asarray(x), -1.0, 2.0, 7))
    np.testing.assert_allclose(edge - middle, middle - left, atol=1e-12)
    np.testing.assert_allclose(2 * (edge - middle), (inside - edge) / 1e-7, atol=1e-5)


@given(st.integers(3, 8), st.integers(0, 2), st.integers(0, 2**31))
def test_the_penalty_is_the_sum_of_squares_of_differences(backend, n, order, seed):
    values = np.random.default_rng(seed).normal(size=n)
    matrix = to_host(difference_penalty(n, order, xp=backend.xp, device=backend.device))
    np.testing.assert_allclose(values @ matrix @ values, np.sum(np.diff(values, order) ** 2), rtol=1e-10)
    polynomial = np.polyval(np.arange(1, order + 1), np.arange(n))
    assert abs(polynomial @ matrix @ polynomial) < 1e-6
