"""Elementary functions: close to NumPy's everywhere, and the same bits on every backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from gpucube.arrays import elementary
from gpucube.arrays.backend import Backend, get_backend, to_host

N = 20_000


def cos_turns(turns: Any) -> Any:
    return elementary.cos_sin_turns(turns)[0]


def sin_turns(turns: Any) -> Any:
    return elementary.cos_sin_turns(turns)[1]


def draw(low: float, high: float) -> np.ndarray:
    return np.random.default_rng(20150).uniform(low, high, N)


SAMPLES: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "log": (elementary.log, np.exp2(draw(-1020, 1020))),
    "log near 1": (elementary.log, 1.0 + np.concatenate((draw(-1e-8, 1e-8), draw(-0.5, 1.0)))),
    "exp": (elementary.exp, np.concatenate((draw(-699.9, 699.9), draw(-1.0, 1.0)))),
    "exp_between": (elementary.exp_between, draw(-elementary.HALF_LN2, elementary.HALF_LN2)),
    "sqrt": (elementary.sqrt, np.concatenate((np.exp2(draw(-1020, 1020)), draw(0.0, 75.0)))),
    "log1p": (elementary.log1p, np.concatenate((draw(-1.0, 1.0), draw(-1e-12, 1e-12), draw(0.0, 1e300)))),
    "expm1": (elementary.expm1, np.concatenate((draw(-699.9, 699.9), draw(-1.0, 1.0), draw(-1e-12, 1e-12)))),
    "cos": (cos_turns, np.concatenate((draw(0.0, 1.0), 0.25 + draw(-1e-9, 1e-9)))),
    "sin": (sin_turns, np.concatenate((draw(0.0, 1.0), draw(0.0, 1e-12)))),
}


def ulps(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(actual - expected) / np.spacing(np.abs(expected))))


def apply(function: Callable[[Any], Any], values: Any, backend: Backend) -> np.ndarray:
    return to_host(function(backend.asarray(values, dtype=backend.xp.float64)))


@pytest.mark.parametrize("name", SAMPLES)
def test_same_bits_on_every_backend(backend: Backend, name: str) -> None:
    function, values = SAMPLES[name]
    actual = apply(function, values, backend)
    expected = apply(function, values, get_backend("numpy"))
    # As integers, so that zeros of different sign differ.
    np.testing.assert_array_equal(actual.view(np.int64), expected.view(np.int64))


@pytest.mark.parametrize(
    ("name", "oracle", "tolerance"),
    [
        ("log", np.log, 2),
        ("log near 1", np.log, 2),
        ("exp", np.exp, 2),
        ("exp_between", np.exp, 2),
        ("sqrt", np.sqrt, 1),
        ("log1p", np.log1p, 5),
        ("expm1", np.expm1, 5),
    ],
)
def test_sample_is_close_to_numpy(name: str, oracle: Callable[[Any], Any], tolerance: int) -> None:
    function, values = SAMPLES[name]
    assert ulps(function(values), oracle(values)) <= tolerance


def test_cosine_and_sine_are_close_to_numpy_between_the_axes() -> None:
    # Nearer to an axis NumPy's argument, 2 pi times the angle, is itself rounded.
    turns = draw(0.02, 0.23)
    cos, sin = elementary.cos_sin_turns(turns)
    np.testing.assert_allclose(cos, np.cos(math.tau * turns), rtol=2e-15)
    np.testing.assert_allclose(sin, np.sin(math.tau * turns), rtol=1e-15)


@given(turns=st.floats(0.0, 0.125, allow_subnormal=False))
def test_cosine_and_sine_in_the_first_eighth(turns: float) -> None:
    cos, sin = elementary.cos_sin_turns(np.asarray([turns]))
    assert ulps(cos, np.cos(math.tau * turns)) <= 2
    assert ulps(sin, np.sin(math.tau * turns)) <= 2


@given(steps=st.integers(0, 2**20 - 1))
def test_cosine_and_sine_turn_with_the_quarters(steps: int) -> None:
    angle = steps / 2**23  # below an eighth, where the nearest axis changes
    cos, sin = elementary.cos_sin_turns(np.asarray([angle, angle + 0.25, angle + 0.5, angle + 0.75]))
    assert cos.tolist() == [cos[0], -sin[0], -cos[0], sin[0]]
    assert sin.tolist() == [sin[0], cos[0], -sin[0], -cos[0]]


def test_cosine_and_sine_on_the_axes_are_exact(backend: Backend) -> None:
    turns = [0.0, 0.25, 0.5, 0.75, 1.0]
    assert apply(cos_turns, turns, backend).tolist() == [1.0, 0.0, -1.0, 0.0, 1.0]
    assert apply(sin_turns, turns, backend).tolist() == [0.0, 1.0, 0.0, -1.0, 0.0]


@given(x=st.floats(2.0**-1020, 2.0**1020))
def test_log_is_close_to_numpy(x: float) -> None:
    assert abs(elementary.log(np.asarray([x]))[0] - np.log(x)) <= 2 * np.spacing(abs(np.log(x)))


@given(x=st.just(0.0) | st.floats(2.0**-1020, 2.0**1020))
def test_sqrt_is_close_to_numpy(x: float) -> None:
    assert abs(elementary.sqrt(np.asarray([x]))[0] - np.sqrt(x)) <= np.spacing(np.sqrt(x))


@given(y=st.floats(-700, 700, exclude_min=True, exclude_max=True))
def test_exp_is_close_to_numpy(y: float) -> None:
    assert ulps(elementary.exp(np.asarray([y])), np.exp(y)) <= 2


def test_functions_of_simple_values_are_exact(backend: Backend) -> None:
    assert apply(elementary.log, [1.0, 2.0, 0.5], backend).tolist() == [0.0, math.log(2), -math.log(2)]
    assert apply(elementary.exp, [0.0], backend).tolist() == [1.0]
    squares = [0.0, 1.0, 2.25, 4.0, 9.0, 2.0**-1020, 2.0**1020]
    assert apply(elementary.sqrt, squares, backend).tolist() == [0.0, 1.0, 1.5, 2.0, 3.0, 2.0**-510, 2.0**510]


@pytest.mark.parametrize("function", [elementary.log1p, elementary.expm1])
def test_small_arguments_come_back(function: Callable[[Any], Any], backend: Backend) -> None:
    values = [0.0, 1e-17, -1e-17, 1e-300]
    assert apply(function, values, backend).tolist() == values


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3)])
@pytest.mark.parametrize("name", SAMPLES)
def test_shape_and_dtype_are_kept(backend: Backend, name: str, shape: tuple[int, ...]) -> None:
    values = backend.xp.full(shape, 0.3, dtype=backend.xp.float64, device=backend.device)
    result = SAMPLES[name][0](values)
    assert tuple(result.shape) == shape
    assert result.dtype == backend.xp.float64
