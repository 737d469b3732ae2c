"""Smoothing against `scipy.ndimage.convolve`, pass by pass."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpucube.arrays import smoothing
from gpucube.arrays.backend import Backend, to_host
from gpucube.arrays.smoothing import K5A, smooth_images, smooth_variance, smoothing_passes

SHAPES = [(2, 7, 9), (3, 5, 4), (2, 1, 6), (1, 6, 1), (2, 2, 3), (4, 1, 1), (1, 2, 2), (2, 3, 12)]


def smooth(backend: Backend, cube: np.ndarray, passes: int) -> np.ndarray:
    return to_host(smooth_images(backend.asarray(cube), passes))


def oracle(cube: np.ndarray, passes: int) -> np.ndarray:
    kernel = np.array(K5A) / np.sum(K5A)
    images = []
    for image in cube:
        smoothed = image
        for _ in range(passes):
            smoothed = scipy.ndimage.convolve(smoothed, kernel, mode="reflect")
        total = smoothed.sum()
        images.append(smoothed * (image.sum() / total) if total else smoothed)
    return np.array(images)


def random_cube(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(0.5, shape) * np.geomspace(1, 1e6, shape[0])[:, None, None]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("passes", [0, 1, 2, 3, 4, 5])
def test_equals_scipy(backend: Backend, shape: tuple[int, int, int], passes: int) -> None:
    cube = random_cube(shape) + 0.01
    np.testing.assert_allclose(smooth(backend, cube, passes), oracle(cube, passes), rtol=1e-13, atol=1e-13)


def test_kernel_is_symmetric() -> None:
    kernel = np.array(K5A)
    assert kernel.sum() == 25
    assert (kernel == kernel.T).all()
    assert (kernel == kernel[::-1]).all()


def test_one_count_becomes_the_kernel(backend: Backend) -> None:
    cube = np.zeros((1, 7, 9))
    cube[0, 3, 4] = 25
    expected = np.zeros((7, 9))
    expected[1:6, 2:7] = K5A
    np.testing.assert_allclose(smooth(backend, cube, 1)[0], expected, rtol=1e-14)


@settings(max_examples=40)
@given(
    cube=hnp.arrays(np.int64, hnp.array_shapes(min_dims=3, max_dims=3, max_side=9), elements=st.integers(0, 10**6)),
    passes=st.integers(0, 5),
)
def test_sum_of_each_image_is_kept(backend: Backend, cube: np.ndarray, passes: int) -> None:
    smoothed = smooth(backend, cube.astype(np.float64), passes)
    np.testing.assert_allclose(smoothed.sum(axis=(1, 2)), cube.sum(axis=(1, 2)), rtol=1e-12)
    assert (smoothed >= 0).all()


def test_empty_image_stays_empty(backend: Backend) -> None:
    cube = random_cube((3, 6, 8))
    cube[1] = 0
    smoothed = smooth(backend, cube, 5)
    assert (smoothed[1] == 0).all()
    assert (smoothed[[0, 2]] > 0).any()


@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_image_without_values_stays_so_and_spoils_no_other(backend: Backend, missing: float) -> None:
    cube = random_cube((3, 6, 8))
    expected = smooth(backend, cube, 3)
    cube[1] = missing
    with np.errstate(invalid="ignore"):
        smoothed = smooth(backend, cube, 3)
    assert np.isnan(smoothed[1]).all()
    np.testing.assert_array_equal(smoothed[[0, 2]], expected[[0, 2]])


def test_nan_makes_no_warning(backend: Backend) -> None:
    cube = np.full((2, 4, 5), np.nan)
    assert np.isnan(smooth(backend, cube, 3)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_transposed_cube_gives_transposed_result(backend: Backend, shape: tuple[int, int, int]) -> None:
    cube = random_cube(shape, seed=2)
    turned = smooth(backend, np.swapaxes(cube, 1, 2), 4)
    np.testing.assert_allclose(np.swapaxes(turned, 1, 2), smooth(backend, cube, 4), rtol=1e-12)


@pytest.mark.parametrize("axis", [1, 2])
def test_mirrored_cube_gives_mirrored_result(backend: Backend, axis: int) -> None:
    cube = random_cube((2, 6, 9), seed=4)
    mirrored = smooth(backend, np.flip(cube, axis), 3)
    np.testing.assert_allclose(np.flip(mirrored, axis), smooth(backend, cube, 3), rtol=1e-12)


def test_flat_image_stays_flat(backend: Backend) -> None:
    np.testing.assert_allclose(smooth(backend, np.full((2, 5, 3), 7.0), 5), 7.0, rtol=1e-14)


def test_input_is_not_changed(backend: Backend) -> None:
    cube = random_cube((2, 5, 6))
    on_device = backend.asarray(cube)
    smooth_images(on_device, 3)
    np.testing.assert_array_equal(to_host(on_device), cube)


@pytest.mark.parametrize(
    ("n_counts", "passes"),
    [(0, 5), (99_999, 5), (100_000, 4), (999_999, 4), (1_000_000, 3), (10**9, 3)],
)
def test_number_of_passes(n_counts: int, passes: int) -> None:
    assert smoothing_passes(n_counts) == passes


@pytest.mark.parametrize("shape", [*SHAPES, (2, 13, 14)])
@pytest.mark.parametrize("passes", [0, 1, 3])
def test_variance_is_that_of_independent_pixels(backend: Backend, shape: tuple[int, int, int], passes: int) -> None:
    """Against the matrix of the whole operation, built column by column by SciPy."""
    n_pixels = shape[1] * shape[2]
    points = np.eye(n_pixels).reshape(n_pixels, *shape[1:])
    matrix = oracle(points, passes).reshape(n_pixels, n_pixels)
    variance = random_cube(shape, 3)
    found = to_host(smooth_variance(backend.asarray(variance), passes))
    expected = variance.reshape(shape[0], n_pixels) @ matrix**2
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-12)


@pytest.mark.parametrize("most_weights", [1, 500])
def test_variance_does_not_depend_on_how_many_rows_are_taken_at_once(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, most_weights: int
) -> None:
    variance = backend.asarray(random_cube((3, 11, 8), 5))
    expected = to_host(smooth_variance(variance, 2))
    for name in ("MOST_WEIGHTS", "MOST_ON_DEVICE"):
        monkeypatch.setattr(smoothing, name, most_weights)
    np.testing.assert_allclose(to_host(smooth_variance(variance, 2)), expected, rtol=1e-13)
