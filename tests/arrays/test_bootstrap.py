"""Bootstrap errors against loops in NumPy, and against what Poisson counts must give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpucube.arrays.bootstrap as bootstrap_module
from gpucube.arrays.backend import Backend, get_backend, to_host
from gpucube.arrays.bootstrap import bootstrap_error, effective_number, resampling_weights
from gpucube.arrays.rate import METHODS, RATES

SHAPE = (3, 5, 7)
KEY = (11, 4)


def weights_of(n_samples: int, n_obs: int, backend: Backend, key: tuple[int, int] = KEY) -> object:
    return resampling_weights(n_samples, n_obs, key, xp=backend.xp, device=backend.device)


@pytest.fixture
def data() -> dict[str, np.ndarray]:
    """Six observations with thresholds and regions; the last energy is seen by one of them only."""
    rng = np.random.default_rng(3)
    time = rng.uniform(500, 2000, (6, SHAPE[0])) * rng.uniform(0.2, 1.0, (6, SHAPE[0]))
    time[1:, 2] = 0.0
    time[:2, 1] = 0.0
    fraction = rng.uniform(0.2, 1.0, (6, *SHAPE[1:]))
    fraction[:, 2, 3] = 0.0
    mean = 0.01 * time[:, :, None, None] * fraction[:, None, :, :]
    return {
        "counts": rng.poisson(mean),
        "time": time,
        "open_fraction": fraction,
        "volume": rng.uniform(1e-6, 1e-3, SHAPE),
    }


def by_loops(data: dict[str, np.ndarray], draws: np.ndarray, method: str, passes: int) -> np.ndarray:
    """Draw, add up, make the rate, and take the standard deviation: one sample after the other."""
    rates = []
    for drawn in draws:
        counts = sum(data["counts"][i] for i in drawn).astype(float)
        exposure = sum(data["time"][i][:, None, None] * data["open_fraction"][i] for i in drawn)
        rates.append(METHODS[method](counts, exposure, data["volume"], passes)[0])
    seen = data["time"] * data["open_fraction"].mean(axis=(1, 2))[:, None]
    number = seen.sum(axis=0) ** 2 / (seen**2).sum(axis=0)
    factor = np.where(number > 1.5, number / np.where(number > 1.5, number - 1, 1), np.nan)
    with np.errstate(invalid="ignore"):
        return np.nanstd(rates, axis=0, ddof=1) * np.sqrt(factor)[:, None, None]


@pytest.mark.filterwarnings("ignore:Degrees of freedom")
@pytest.mark.parametrize("method", sorted(METHODS))
def test_is_that_of_a_loop_over_samples(backend: Backend, method: str, data: dict[str, np.ndarray]) -> None:
    n_samples, n_obs = 40, len(data["time"])
    draws = np.floor(np.random.Generator(np.random.Philox(key=KEY)).random((n_samples, n_obs)) * n_obs).astype(int)
    expected = by_loops(data, draws, method, passes=2)
    device = [backend.asarray(values) for values in data.values()]
    found = to_host(bootstrap_error(*device, weights_of(n_samples, n_obs, backend), RATES[method], 2))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert np.isnan(found[2]).all()
    assert (found[:2] > 0).all()


@settings(max_examples=20)
@given(n_samples=st.integers(1, 30), n_obs=st.integers(1, 20), seed=st.integers(0, 2**63))
def test_each_sample_has_as_many_observations(backend: Backend, n_samples: int, n_obs: int, seed: int) -> None:
    found = to_host(weights_of(n_samples, n_obs, backend, (seed, 2)))
    assert found.shape == (n_samples, n_obs)
    assert (found.sum(axis=1) == n_obs).all()
    np.testing.assert_array_equal(found, to_host(weights_of(n_samples, n_obs, get_backend("numpy"), (seed, 2))))
    # Further samples leave the first ones as they are.
    np.testing.assert_array_equal(to_host(weights_of(n_samples + 3, n_obs, backend, (seed, 2)))[:n_samples], found)


def test_size_of_the_chunks_does_not_matter(data: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    backend = get_backend("numpy")
    arguments = *data.values(), weights_of(17, 6, backend), RATES["default"], 1
    whole = bootstrap_error(*arguments)
    monkeypatch.setattr(bootstrap_module, "LARGEST_ARRAY", 5 * SHAPE[1] * SHAPE[2] + 1)
    np.testing.assert_allclose(bootstrap_error(*arguments), whole, rtol=1e-12)


def test_no_regions_is_a_fraction_of_one(backend: Backend, data: dict[str, np.ndarray]) -> None:
    weights = weights_of(20, 6, backend)
    counts, time, _, volume = (backend.asarray(values) for values in data.values())
    errors = [
        to_host(bootstrap_error(counts, time, backend.asarray(fraction), volume, weights, RATES["default"], 3))
        for fraction in (np.ones((6, 1, 1)), np.ones((6, *SHAPE[1:])))
    ]
    np.testing.assert_allclose(errors[0], errors[1], rtol=1e-9)


def test_effective_number(backend: Backend) -> None:
    exposure = backend.asarray(np.array([[3.0, 1.0, 0.0], [3.0, 0.0, 0.0], [3.0, 0.0, 0.0]]))
    np.testing.assert_allclose(to_host(effective_number(exposure)), [3.0, 1.0, 0.0])


def errors_over_trials(n_obs: int, scatter: float, passes: int, n_trials: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Mean variance by the bootstrap and by Poisson, of observations whose rates scatter."""
    rng, backend = np.random.default_rng(8), get_backend("numpy")
    time = rng.uniform(0.5, 1.5, (n_obs, 1))
    ones = np.ones((n_obs, 1, 1))
    volume = np.ones((1, 6, 7))
    sums = np.zeros((2, 1, 6, 7))
    for trial in range(n_trials):
        rate = 20.0 * np.exp(scatter * rng.normal(size=(n_obs, 1, 1, 1)))
        counts = rng.poisson(rate * time[:, :, None, None] * np.ones((n_obs, 1, 6, 7)))
        weights = weights_of(200, n_obs, backend, (5, trial))
        error = bootstrap_error(counts, time, ones, volume, weights, RATES["default"], passes)
        exposure = np.broadcast_to(time.sum(), volume.shape).copy()
        poisson = METHODS["default"](counts.sum(axis=0).astype(float), exposure, volume, passes)[1]
        sums += np.stack([error, poisson]) ** 2 / n_trials
    return sums[0], sums[1]


@pytest.mark.parametrize("n_obs", [4, 25])
@pytest.mark.parametrize("passes", [0, 3])
def test_is_the_poisson_error_where_only_counts_scatter(n_obs: int, passes: int) -> None:
    bootstrap, poisson = errors_over_trials(n_obs, scatter=0.0, passes=passes)
    # 40 trials know a variance from n_obs observations to sqrt(2 / 40 / (n_obs - 1)) in each pixel.
    noise = np.sqrt(2 / 40 / (n_obs - 1))
    ratio = bootstrap / poisson
    assert ratio.mean() == pytest.approx(1.0, abs=noise)
    assert np.abs(ratio - 1).max() < 4.5 * noise


def test_holds_the_scatter_between_observations_that_poisson_misses() -> None:
    scatter, n_obs = 0.3, 25
    bootstrap, poisson = errors_over_trials(n_obs, scatter, passes=3)
    # Variance of the mean of log-normal rates, added to that of the counts.
    mean = 20.0 * np.exp(scatter**2 / 2)
    exposure = np.random.default_rng(8).uniform(0.5, 1.5, n_obs)
    number = exposure.sum() ** 2 / (exposure**2).sum()
    added = mean**2 * np.expm1(scatter**2) / number
    np.testing.assert_allclose(bootstrap, poisson + added, rtol=0.2)
    assert (bootstrap > 10 * poisson).all()


def test_every_method_has_a_rate_alone() -> None:
    assert list(RATES) == list(METHODS)
