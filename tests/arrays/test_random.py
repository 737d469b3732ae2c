"""Random numbers: NumPy's Philox is the oracle, and no result depends on the backend or on chunks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given, settings

from gpucube.arrays.backend import Backend, get_backend, to_host
from gpucube.arrays.dispatch import fastest
from gpucube.arrays.random import philox_words, powerlaw, random_bits, standard_normal, uniform

KEY = (20150, 23523)
KEYS = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
LENGTHS = st.integers(0, 40)
# The counter has 256 bits and each block four words; carries happen at multiples of 2^34, 2^66, ...
STARTS = st.integers(0, 50) | st.integers(0, 2**258) | st.integers(2**66 - 50, 2**66 + 50)

DISTRIBUTIONS: dict[str, Callable[..., Any]] = {
    "random_bits": random_bits,
    "uniform": uniform,
    "standard_normal": standard_normal,
    "powerlaw": partial(powerlaw, index=2.7, low=0.1, high=80.0),
    "powerlaw 1": partial(powerlaw, index=1.0, low=0.1, high=80.0),
    "powerlaw -1.5": partial(powerlaw, index=-1.5, low=1e-3, high=2.0),
}


def numpy_words(n: int, key: tuple[int, int], start: int) -> np.ndarray:
    generator = np.random.Philox(key=np.asarray(key, dtype=np.uint64), counter=start // 4 % 2**256)
    return generator.random_raw(start % 4 + n)[start % 4 :].view(np.int64)


def on_host(function: Callable[..., Any], backend: Backend, n: int, **arguments: Any) -> np.ndarray:
    key = arguments.pop("key", KEY)
    return to_host(function(n, key, xp=backend.xp, device=backend.device, **arguments))


def bits(values: np.ndarray) -> list[int]:
    """For comparisons that tell zeros of different sign apart."""
    return values.view(np.int64).tolist()


@pytest.mark.parametrize("function", [philox_words, random_bits], ids=["portable", "dispatched"])
@settings(max_examples=40)
@given(n=LENGTHS, key=KEYS, start=STARTS)
@example(n=9, key=(2**64 - 1, 2**64 - 1), start=2**66 - 7)
@example(n=9, key=(0, 0), start=2**258 - 6)
def test_words_are_those_of_numpy(
    function: Callable[..., Any], backend: Backend, n: int, key: tuple[int, int], start: int
) -> None:
    assert on_host(function, backend, n, key=key, start=start).tolist() == numpy_words(n, key, start).tolist()


@pytest.mark.parametrize("function", [philox_words, random_bits], ids=["portable", "dispatched"])
def test_long_stream_is_that_of_numpy(function: Callable[..., Any], backend: Backend) -> None:
    np.testing.assert_array_equal(on_host(function, backend, 20_001, start=3), numpy_words(20_001, KEY, 3))


def test_numpy_takes_its_own_generator() -> None:
    xp = get_backend("numpy").xp
    assert fastest(random_bits, xp).__module__ == "gpucube.arrays.native.philox_numpy"


@settings(max_examples=20)
@given(n=LENGTHS, key=KEYS)
def test_uniform_is_that_of_numpy(backend: Backend, n: int, key: tuple[int, int]) -> None:
    generator = np.random.Generator(np.random.Philox(key=np.asarray(key, dtype=np.uint64)))
    assert on_host(uniform, backend, n, key=key).tolist() == generator.random(n).tolist()


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_same_bits_on_every_backend(backend: Backend, name: str) -> None:
    function = DISTRIBUTIONS[name]
    actual = on_host(function, backend, 10_001, start=5)
    expected = on_host(function, get_backend("numpy"), 10_001, start=5)
    np.testing.assert_array_equal(actual.view(np.int64), expected.view(np.int64))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@settings(max_examples=15)
@given(n=LENGTHS, start=st.integers(0, 50), key=KEYS)
def test_chunk_is_a_slice_of_the_stream(name: str, backend: Backend, n: int, start: int, key: tuple[int, int]) -> None:
    function = DISTRIBUTIONS[name]
    chunk = on_host(function, backend, n, key=key, start=start)
    whole = on_host(function, backend, start + n, key=key)
    assert bits(chunk) == bits(whole[start:])


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("n", [0, 1, 6])
def test_shape_and_dtype(backend: Backend, name: str, n: int) -> None:
    result = DISTRIBUTIONS[name](n, KEY, xp=backend.xp, device=backend.device)
    assert tuple(result.shape) == (n,)
    assert result.dtype == (backend.xp.int64 if name == "random_bits" else backend.xp.float64)


def test_normal_values_are_the_box_muller_transform_of_their_words() -> None:
    words = (numpy_words(2000, KEY, 0).view(np.uint64) >> 11) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log(1 - words[::2])), 2 * np.pi * words[1::2]
    values = on_host(standard_normal, get_backend("numpy"), 2000)
    np.testing.assert_allclose(values[::2], radius * np.cos(angle), rtol=0, atol=1e-14)
    np.testing.assert_allclose(values[1::2], radius * np.sin(angle), rtol=0, atol=1e-14)


def test_normal_values_are_normal() -> None:
    values = on_host(standard_normal, get_backend("numpy"), 200_000)
    assert scipy.stats.kstest(values, "norm").pvalue > 0.01
    moments = [np.mean(values**power) for power in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.05)


def test_the_two_normal_values_of_a_pair_are_independent() -> None:
    values = on_host(standard_normal, get_backend("numpy"), 200_000)
    assert abs(np.corrcoef(values[::2], values[1::2])[0, 1]) < 0.01
    assert abs(np.corrcoef(values[::2] ** 2, values[1::2] ** 2)[0, 1]) < 0.01


def test_uniform_values_are_uniform() -> None:
    values = on_host(uniform, get_backend("numpy"), 200_000)
    assert scipy.stats.kstest(values, "uniform").pvalue > 0.01


@pytest.mark.parametrize("other", [(KEY[0] + 1, KEY[1]), (KEY[0], KEY[1] + 1), KEY[::-1]])
def test_streams_of_different_keys_are_independent(other: tuple[int, int]) -> None:
    one = on_host(uniform, get_backend("numpy"), 100_000)
    two = on_host(uniform, get_backend("numpy"), 100_000, key=other)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.01


@pytest.mark.parametrize("index", [-1.5, 0.0, 0.5, 1.5, 2.7, 4.0])
def test_powerlaw_inverts_the_cumulative_distribution(index: float) -> None:
    low, high = 0.1, 80.0
    u = on_host(uniform, get_backend("numpy"), 5000, start=3)
    energies = on_host(powerlaw, get_backend("numpy"), 5000, start=3, index=index, low=low, high=high)
    g = 1 - index
    np.testing.assert_allclose(energies, (low**g + u * (high**g - low**g)) ** (1 / g), rtol=1e-9)


@pytest.mark.parametrize("index", [1.0, 1.0 - 2**-53, 1.0 + 2**-52, 1.0 + 1e-13])
def test_powerlaw_of_index_near_1_is_log_uniform(index: float) -> None:
    u = on_host(uniform, get_backend("numpy"), 5000)
    energies = on_host(powerlaw, get_backend("numpy"), 5000, index=index, low=0.1, high=80.0)
    np.testing.assert_allclose(energies, 0.1 * 800**u, rtol=1e-11)


def test_powerlaw_follows_its_spectrum() -> None:
    energies = on_host(powerlaw, get_backend("numpy"), 200_000, index=2.7, low=0.5, high=50.0)
    cumulative = scipy.stats.pareto(1.7, scale=0.5).cdf
    assert scipy.stats.kstest(energies, lambda e: cumulative(e) / cumulative(50.0)).pvalue > 0.01


@settings(max_examples=40)
@given(
    index=st.floats(-6, 6),
    low=st.floats(1e-30, 1e30),
    ratio=st.floats(1 + 1e-12, 1e30),
    key=KEYS,
)
def test_powerlaw_stays_within_its_ends(
    backend: Backend, index: float, low: float, ratio: float, key: tuple[int, int]
) -> None:
    energies = on_host(powerlaw, backend, 50, key=key, index=index, low=low, high=low * ratio)
    assert np.all((energies >= low) & (energies <= low * ratio))


@pytest.mark.parametrize(
    ("n", "key", "start"),
    [
        (-1, KEY, 0),
        (3, KEY, -1),
        (3, KEY, -2),
        (3, (-1, 0), 0),
        (3, (0, 2**64), 0),
        (3, (1,), 0),
        (3, (1, 2, 3), 0),
    ],
)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_arguments_out_of_range_are_refused(name: str, n: int, key: Any, start: int) -> None:
    with pytest.raises(ValueError, match="must"):
        on_host(DISTRIBUTIONS[name], get_backend("numpy"), n, key=key, start=start)


@pytest.mark.parametrize(
    ("index", "low", "high"),
    [
        (2.0, 1.0, 1.0),
        (2.0, 2.0, 1.0),
        (2.0, 0.0, 1.0),
        (2.0, -1.0, 1.0),
        (2.0, np.nan, 1.0),
        (2.0, 1.0, np.inf),
        (np.nan, 1.0, 2.0),
        (np.inf, 1.0, 2.0),
    ],
)
def test_impossible_spectra_are_refused(index: float, low: float, high: float) -> None:
    with pytest.raises(ValueError, match="need 0 < low < high"):
        on_host(powerlaw, get_backend("numpy"), 3, index=index, low=low, high=high)


@pytest.mark.parametrize(("index", "low", "high"), [(2.0, 1e-300, 1e300), (200.0, 1e-3, 1e3)])
def test_extreme_spectra_are_refused(index: float, low: float, high: float) -> None:
    with pytest.raises(ValueError, match="too large"):
        on_host(powerlaw, get_backend("numpy"), 3, index=index, low=low, high=high)
