"""Rates: what is NaN, what is 0, and where the two methods agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucube.arrays.backend import Backend, to_host
from gpucube.arrays.rate import METHODS, background_rate

SHAPE = (4, 5, 7)


def arrays(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts, a livetime that differs between images only, and bin volumes."""
    rng = np.random.default_rng(seed)
    livetime = np.broadcast_to(rng.uniform(10, 1e5, (SHAPE[0], 1, 1)), SHAPE).copy()
    return rng.poisson(2.0, SHAPE).astype(float), livetime, rng.uniform(1e-6, 1e-3, SHAPE)


def on_device(backend: Backend, values: tuple[np.ndarray, ...]) -> tuple[object, ...]:
    return tuple(backend.asarray(one) for one in values)


def test_counts_over_livetime_and_volume(backend: Backend) -> None:
    counts, livetime, volume = arrays(1)
    rate = to_host(background_rate(*on_device(backend, (counts, livetime, volume))))
    np.testing.assert_allclose(rate, counts / livetime / volume, rtol=1e-14)


def test_unit_volume(backend: Backend) -> None:
    counts, livetime, _ = arrays(2)
    rate = to_host(background_rate(*on_device(backend, (counts, livetime)), 1.0))
    np.testing.assert_array_equal(rate, counts / livetime)


def test_livetime_may_be_one_per_image(backend: Backend) -> None:
    counts, livetime, volume = arrays(3)
    rate = background_rate(*on_device(backend, (counts, livetime[:, :1, :1], volume)))
    np.testing.assert_allclose(to_host(rate), counts / livetime / volume, rtol=1e-14)


def test_no_exposure_is_nan_and_no_counts_is_0(backend: Backend) -> None:
    counts, livetime, volume = arrays(4)
    counts[1, 2, 3] = 0
    counts[0], livetime[0] = 0, 0
    livetime[2, 1, 4] = 0
    rate = to_host(background_rate(*on_device(backend, (counts, livetime, volume))))
    np.testing.assert_array_equal(np.isnan(rate), livetime == 0)
    assert rate[1, 2, 3] == 0
    assert ((rate > 0) == ((counts > 0) & (livetime > 0))).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), passes=st.integers(0, 5))
def test_methods_agree_where_livetime_is_constant(backend: Backend, seed: int, passes: int) -> None:
    """They are the same then: to smooth is linear, and the volume is divided out last in both."""
    counts, livetime, volume = arrays(seed)
    device = on_device(backend, (counts, livetime, volume))
    rates = [to_host(method(*device, passes)[0]) for method in METHODS.values()]
    np.testing.assert_allclose(rates[0], rates[1], rtol=1e-12)
    assert len(rates) == 2


def test_methods_differ_where_livetime_varies(backend: Backend) -> None:
    counts, livetime, volume = arrays(6)
    livetime[:, :, 0] *= 0.1
    default, michi = (to_host(METHODS[m](*on_device(backend, (counts, livetime, volume)), 3)[0]) for m in METHODS)
    assert np.abs(default / michi - 1).max() > 0.1


@pytest.mark.parametrize("method", sorted(METHODS))
def test_counts_come_back(backend: Backend, method: str) -> None:
    """Rate times exposure has the counts of each image, where the livetime is constant over it."""
    counts, livetime, volume = arrays(7)
    rate = to_host(METHODS[method](*on_device(backend, (counts, livetime, volume)), 4)[0])
    np.testing.assert_allclose((rate * livetime * volume).sum(axis=(1, 2)), counts.sum(axis=(1, 2)), rtol=1e-12)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_image_without_exposure_is_nan_and_spoils_no_other(backend: Backend, method: str) -> None:
    counts, livetime, volume = arrays(8)
    counts[0], livetime[0], counts[3] = 0, 0, 0
    rate = to_host(METHODS[method](*on_device(backend, (counts, livetime, volume)), 3)[0])
    assert np.isnan(rate[0]).all()
    assert (rate[3] == 0).all()
    assert np.isfinite(rate[1:3]).all()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_rate_right_up_to_the_edge_of_a_region(backend: Backend, method: str) -> None:
    """A constant rate comes back where the exposure varies, and inside, where there is none at all."""
    _, livetime, volume = arrays(9)
    volume[:] = 1e-3
    livetime[:, 1:3, 2:5] *= 0.3
    livetime[:, 2, 3] = 0
    counts = 0.7 * livetime * volume
    rate = to_host(METHODS[method](*on_device(backend, (counts, livetime, volume)), 3)[0])
    np.testing.assert_allclose(rate, 0.7, rtol=1e-12)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_error_is_the_scatter_of_the_rate(backend: Backend, method: str) -> None:
    rng = np.random.default_rng(10)
    mean = rng.uniform(5, 50, (1, 6, 7))
    _, livetime, volume = (array[:1, :1, :1] * np.ones(mean.shape) for array in arrays(11))
    livetime *= rng.uniform(0.2, 1, mean.shape)
    trials = rng.poisson(mean, (4000, *mean.shape)).astype(float)[:, 0]
    # Each trial is an energy image of one cube.
    shape = (len(trials), *mean.shape[1:])
    cubes = on_device(backend, (trials, np.broadcast_to(livetime, shape).copy(), np.broadcast_to(volume, shape).copy()))
    rates = to_host(METHODS[method](*cubes, 2)[0])
    error = to_host(METHODS[method](*on_device(backend, (mean, livetime, volume)), 2)[1])
    np.testing.assert_allclose(rates.std(axis=0), error[0], rtol=0.06)


def test_error_without_smoothing(backend: Backend) -> None:
    counts, livetime, volume = arrays(12)
    error = to_host(METHODS["default"](*on_device(backend, (counts, livetime, volume)), 0)[1])
    np.testing.assert_allclose(error, np.sqrt(counts) / livetime / volume, rtol=1e-14)
