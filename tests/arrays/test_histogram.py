"""`histogramdd` and its portable version on every backend against `numpy.histogramdd` on float64 values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpucube
from gpucube.arrays import histogram
from gpucube.arrays.backend import Backend, to_host
from gpucube.arrays.histogram import bin_counts, histogramdd

Array = np.ndarray
Problem = tuple[tuple[Array, ...], tuple[Array, ...]]

UNEVEN = (np.array([0.1, 0.2, 1.0, 1.5]), np.array([-3.0, -1.0, 0.0, 0.25, 7.0]), np.array([-1.0, 2.0, 2.5]))


def oracle(coordinates: tuple[Array, ...], edges: tuple[Array, ...]) -> Array:
    sample = np.stack([values.astype(np.float64) for values in coordinates], axis=-1)
    with np.errstate(all="ignore"):  # it subtracts infinite edges
        return np.histogramdd(sample, bins=list(edges))[0].astype(np.int64)


def on_device(backend: Backend, values: tuple[Array, ...]) -> tuple[Any, ...]:
    return tuple(backend.asarray(one) for one in values)


def portable(coordinates: tuple[Any, ...], edges: tuple[Any, ...]) -> Any:
    return bin_counts(coordinates, edges)


def public(coordinates: tuple[Any, ...], edges: tuple[Any, ...]) -> Any:
    return gpucube.histogramdd(coordinates, edges)


@st.composite
def edges_of_axis(draw: st.DrawFn) -> Array:
    n = draw(st.integers(1, 7))
    match draw(st.sampled_from(["even", "log", "uneven", "infinite", "ulps"])):
        case "even":
            return np.linspace(-0.07, 0.07, n + 1)
        case "log":
            return np.geomspace(0.1, 80, n + 1)
        case "infinite":
            return np.concatenate([[-np.inf], np.arange(n), [np.inf]])
        case "ulps":
            return 16777216.0 + np.arange(n + 1) * np.spacing(16777216.0)
    return np.array(sorted(draw(st.sets(st.floats(-1e3, 1e3), min_size=2, max_size=8))))


@st.composite
def problems(draw: st.DrawFn, max_axes: int = 4) -> Problem:
    """Events, most of them on an edge or one ulp beside it, and edges."""
    edges = tuple(draw(st.lists(edges_of_axis(), min_size=1, max_size=max_axes)))
    n_events = draw(st.sampled_from([0, 1, 2, 60]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    coordinates = []
    for values in edges:
        dtype = draw(st.sampled_from([np.float32, np.float64]))
        at = values.astype(dtype)
        beside = [np.nextafter(at, dtype(sign * np.inf)) for sign in (-1, 1)]
        middle = 0.5 * (values[:-1] + values[1:])[np.isfinite(values[:-1] + values[1:])]
        special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30])
        pool = np.concatenate([at, *beside, middle.astype(dtype), middle.astype(dtype), special.astype(dtype)])
        coordinates.append(rng.choice(pool.astype(dtype), n_events))
    return tuple(coordinates), edges


def without_subnormals(values: Array) -> Array:
    """Zeros in place of values below the smallest normal one, as CuPy's own kernels take them."""
    return np.where(np.abs(values) < np.finfo(values.dtype).tiny, values.dtype.type(0), values)


@pytest.mark.parametrize("count", [portable, public])
@settings(max_examples=150)
@given(problem=problems())
def test_equals_numpy(backend: Backend, count: Callable[..., Any], problem: Problem) -> None:
    coordinates, edges = problem
    if count is portable and backend.name == "cupy":
        coordinates = tuple(v if v.dtype == np.float64 else without_subnormals(v) for v in coordinates)
    counts = count(on_device(backend, coordinates), on_device(backend, edges))
    np.testing.assert_array_equal(to_host(counts), oracle(coordinates, edges))
    assert counts.dtype == backend.xp.int64


@settings(max_examples=40)
@given(problem=problems(max_axes=3), seed=st.integers(0, 2**32))
def test_counts_do_not_depend_on_order_and_add(backend: Backend, problem: Problem, seed: int) -> None:
    coordinates, edges = problem
    n_events = coordinates[0].size
    rng = np.random.default_rng(seed)
    order, split = rng.permutation(n_events), int(rng.integers(n_events + 1))

    def count(events: Any) -> Array:
        return to_host(histogramdd(on_device(backend, tuple(values[events] for values in coordinates)), edges))

    whole = count(slice(None))
    np.testing.assert_array_equal(count(order), whole)
    np.testing.assert_array_equal(count(slice(0, split)) + count(slice(split, None)), whole)


@settings(max_examples=40)
@given(problem=problems())
def test_every_event_is_inside_or_outside(backend: Backend, problem: Problem) -> None:
    coordinates, edges = problem
    inside = np.ones(coordinates[0].size, dtype=bool)
    for values, axis in zip(coordinates, edges, strict=True):
        inside &= (values.astype(np.float64) >= axis[0]) & (values.astype(np.float64) <= axis[-1])
    counts = to_host(histogramdd(on_device(backend, coordinates), edges))
    assert counts.sum() + np.count_nonzero(~inside) == coordinates[0].size


@pytest.mark.parametrize("block", [1, 7, 29, 30, 31])
def test_blocks(backend: Backend, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram, "BLOCK", block)
    rng = np.random.default_rng(3)
    coordinates = tuple(rng.uniform(axis[0] - 0.1, axis[-1] + 0.1, 30) for axis in UNEVEN)
    counts = bin_counts(on_device(backend, coordinates), on_device(backend, UNEVEN))
    np.testing.assert_array_equal(to_host(counts), oracle(coordinates, UNEVEN))


@pytest.mark.parametrize("edge", range(4))
def test_edge_rules(backend: Backend, edge: int) -> None:
    """Left-closed, the last bin closed on both sides: written out, not left to an oracle."""
    edges = [0.0, 1.0, 2.0, 4.0]
    value = edges[edge]
    events = np.array([np.nextafter(value, -9), value, np.nextafter(value, 9)])
    counts = to_host(histogramdd((backend.asarray(events),), (edges,))).tolist()
    assert counts == {0: [2, 0, 0], 1: [1, 2, 0], 2: [0, 1, 2], 3: [0, 0, 2]}[edge]


def test_float32_value_is_compared_as_float64(backend: Backend) -> None:
    # float32(0.1) is above 0.1, float32(0.7) below 0.7.
    events = backend.asarray(np.array([0.1, 0.7], dtype=np.float32))
    assert to_host(histogramdd((events,), ([0.0, 0.1, 0.7, 1.0],))).tolist() == [0, 2, 0]


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "uint8", "float16"])
def test_other_real_dtypes(backend: Backend, dtype: str) -> None:
    if not hasattr(backend.xp, dtype):
        pytest.skip(f"{backend.name} has no {dtype}")
    values = np.array([0, 1, 2, 3, 4, 5, 100]).astype(dtype)
    counts = to_host(histogramdd((backend.asarray(values),), ([1, 2, 5],)))
    assert counts.tolist() == [1, 4]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_short_integers_are_counted_in_float32(backend: Backend, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of observations as an axis must not make float64 of the whole event list."""
    counted: list[Any] = []

    def spy(coordinates: Any, edges: Any) -> Any:
        counted.extend(values.dtype for values in coordinates)
        return bin_counts(coordinates, edges)

    monkeypatch.setattr(histogram, "fastest", lambda *_: spy)
    values = np.array([0, 1, 1, np.iinfo(dtype).max]).astype(dtype)
    edges = [-0.5, 0.5, float(np.iinfo(dtype).max) - 0.5, float(np.iinfo(dtype).max) + 0.5]
    assert to_host(histogramdd((backend.asarray(values),), (edges,))).tolist() == [1, 2, 1]
    assert counted == [backend.xp.float32]


def test_large_integers_are_exact_to_float64(backend: Backend) -> None:
    values = np.array([2**53 - 1, 2**53, 2**53 + 2])
    counts = to_host(histogramdd((backend.asarray(values),), ([2.0**53, 2.0**53 + 2],)))
    assert counts.tolist() == [2]


@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_no_events(backend: Backend, n_axes: int) -> None:
    none = backend.asarray(np.empty(0, dtype=np.float32))
    counts = histogramdd((none,) * n_axes, UNEVEN[:n_axes])
    assert tuple(counts.shape) == tuple(axis.size - 1 for axis in UNEVEN[:n_axes])
    assert not to_host(counts).any()


def test_result_is_of_the_library_and_on_the_device_of_the_input(backend: Backend) -> None:
    events = tuple(backend.asarray(np.full(5, 0.3)) for _ in UNEVEN)
    counts = histogramdd(events, UNEVEN)
    assert array_api_compat.array_namespace(counts) is array_api_compat.array_namespace(events[0])
    assert array_api_compat.device(counts) == array_api_compat.device(events[0])
    assert tuple(counts.shape) == (3, 4, 2)


def test_edges_of_any_kind_give_the_same(backend: Backend) -> None:
    rng = np.random.default_rng(1)
    events = on_device(backend, tuple(rng.uniform(axis[0], axis[-1], 50) for axis in UNEVEN))
    expected = to_host(histogramdd(events, UNEVEN))
    assert expected.sum() == 50
    for edges in ([axis.tolist() for axis in UNEVEN], [tuple(axis) for axis in UNEVEN], on_device(backend, UNEVEN)):
        np.testing.assert_array_equal(to_host(histogramdd(list(events), edges)), expected)


def test_input_is_not_changed(backend: Backend) -> None:
    events = np.array([3.0, 1.0, np.nan, 2.0])
    on_backend = backend.asarray(events)
    histogramdd((on_backend,), ([0.0, 2.0, 4.0],))
    np.testing.assert_array_equal(to_host(on_backend), events)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([[0.0, 1.0]], "need one sequence of edges per axis"),
        ([[0.0, 1.0], [1.0, 0.0]], "edges of axis 1 must increase"),
        ([[0.0, 0.0], [0.0, 1.0]], "edges of axis 0 must increase"),
        ([[0.0, 1.0], [0.0, math.nan]], "edges of axis 1 must increase"),
        ([[0.0], [0.0, 1.0]], "at least two values"),
        ([[], [0.0, 1.0]], "at least two values"),
    ],
)
def test_wrong_edges(backend: Backend, edges: list[list[float]], message: str) -> None:
    values = backend.asarray(np.zeros(3))
    with pytest.raises(ValueError, match=message):
        histogramdd((values, values), edges)


def test_edges_on_the_device_with_a_wrong_shape(backend: Backend) -> None:
    edges = backend.asarray(np.zeros((2, 2)))
    with pytest.raises((ValueError, TypeError), match=r"1-D|float|scalar"):
        histogramdd((backend.asarray(np.zeros(3)),), (edges,))


def test_wrong_coordinates(backend: Backend) -> None:
    edges = ([0.0, 1.0],)
    with pytest.raises(ValueError, match="need one sequence of edges per axis"):
        histogramdd((), ())
    with pytest.raises(ValueError, match="must be 1-D, not 2-D"):
        histogramdd((backend.asarray(np.zeros((3, 2))),), edges)
    with pytest.raises(ValueError, match=r"differ in length: \[3, 4\]"):
        histogramdd((backend.asarray(np.zeros(3)), backend.asarray(np.zeros(4))), edges * 2)
    with pytest.raises(TypeError, match="not real numbers"):
        histogramdd((backend.asarray(np.zeros(3, dtype=complex)),), edges)
    with pytest.raises(TypeError):
        histogramdd(([1.0, 2.0],), edges)
