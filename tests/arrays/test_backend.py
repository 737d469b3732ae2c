"""Choice of a library and device, copies to and from it, and life without the native package."""

from __future__ import annotations

import logging
import sys

import array_api_compat
import numpy as np
import pytest

from gpucube.arrays import backend as backend_module
from gpucube.arrays import dispatch
from gpucube.arrays.backend import BACKENDS, Backend, backend_statuses, get_backend, to_host
from gpucube.arrays.histogram import histogramdd
from gpucube.arrays.random import random_bits
from gpucube.errors import BackendError

STATUSES = {status.name: status for status in backend_statuses()}
without_gpu = pytest.mark.skipif(STATUSES["cupy"].works, reason="a GPU answers here")


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3, 4)])
def test_round_trip(backend: Backend, shape: tuple[int, ...], dtype: str) -> None:
    values = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 7).astype(dtype)
    array = backend.asarray(values)
    found = to_host(array)
    assert tuple(array.shape) == shape
    assert array_api_compat.device(array) == backend.device
    assert isinstance(found, np.ndarray)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_several_arrays_at_once(backend: Backend) -> None:
    """Of different dtypes and byte orders, not contiguous, in one part or in several."""
    whole = [np.arange(6.0)[::2], np.arange(3, dtype=">i4"), np.ones((2, 3, 3)), np.zeros(0, dtype=bool)]
    columns = [(column,) for column in whole] + [(column[:1], column[1:]) for column in whole]
    for array, parts in zip(backend.upload(columns), columns, strict=True):
        assert array_api_compat.device(array) == backend.device
        assert to_host(array).dtype == parts[0].dtype.newbyteorder("=")
        np.testing.assert_array_equal(to_host(array), np.concatenate(parts))


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i8", ">i4", "<f8"])
def test_any_byte_order(backend: Backend, dtype: str) -> None:
    values = np.array([1, -2, 3], dtype=dtype)
    found = to_host(backend.asarray(values))
    assert found.dtype == values.dtype.newbyteorder("=")
    assert found.tolist() == [1, -2, 3]


def test_read_only_strided_and_backward(backend: Backend) -> None:
    values = np.arange(24.0).reshape(4, 6)
    values.flags.writeable = False
    for view in (values, values[:, ::2], values[::-1, ::-1], values.T):
        np.testing.assert_array_equal(to_host(backend.asarray(view)), view)


def test_numbers_and_lists(backend: Backend) -> None:
    assert to_host(backend.asarray(2.5)).shape == ()
    assert to_host(backend.asarray(2.5)) == 2.5
    assert to_host(backend.asarray([[1.0, 2.0]])).tolist() == [[1.0, 2.0]]


def test_dtype_of_the_result(backend: Backend) -> None:
    assert backend.asarray([1, 2], dtype=backend.xp.float32).dtype == backend.xp.float32


def test_it_is_a_copy(backend: Backend) -> None:
    values = np.zeros(3)
    array = backend.asarray(values)
    values[0] = 1
    assert to_host(array).tolist() == [0, 0, 0]


def test_description_names_the_device(backend: Backend) -> None:
    assert backend.name in BACKENDS
    assert " on " in backend.description
    assert STATUSES[backend.name].detail == backend.description


def test_statuses_are_complete() -> None:
    assert tuple(STATUSES) == BACKENDS
    assert STATUSES["numpy"].works
    assert all(status.detail for status in STATUSES.values())
    assert not any(status.detail.startswith("backend") for status in STATUSES.values())


@pytest.mark.parametrize("name", ["jax", "", "NumPy", "cuda"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(BackendError, match=r"unknown backend .*; choose from auto, numpy, cupy, torch"):
        get_backend(name)


@pytest.mark.parametrize(
    ("name", "module", "remedy"),
    [
        ("cupy", "cupy", r"pip install 'gpucube\[cuda12\]' or 'gpucube\[cuda13\]'"),
        ("torch", "torch", r"pip install 'gpucube\[torch\]'"),
        ("array_api_strict", "array_api_strict", "not installed"),
    ],
)
def test_library_not_installed(name: str, module: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendError, match=remedy) as error:
        get_backend(name)
    assert "\n" not in str(error.value)
    status = next(status for status in backend_statuses() if status.name == name)
    assert not status.works
    assert "not installed" in status.detail


@without_gpu
def test_cupy_without_a_gpu() -> None:
    with pytest.raises(BackendError, match=r"--backend numpy") as error:
        get_backend("cupy")
    assert "\n" not in str(error.value)


@without_gpu
def test_auto_falls_back_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="gpucube"):
        assert get_backend().name == "numpy"
    [message] = [record.getMessage() for record in caplog.records]
    assert message.startswith("backend auto: NumPy")
    # Why, in a few words: the first of those of the status.
    assert STATUSES["cupy"].detail[:15] in message


def test_auto_takes_the_gpu_that_answers(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    gpu = Backend("cupy", None, None, "CuPy 99 on a GPU")
    monkeypatch.setattr(backend_module, "_open_cupy", lambda: gpu)
    with caplog.at_level(logging.INFO, logger="gpucube"):
        assert get_backend("auto") is gpu
    assert [record.getMessage() for record in caplog.records] == ["backend auto: CuPy 99 on a GPU"]


def test_same_answers_without_the_native_package(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(11)
    edges = (np.geomspace(0.1, 80, 12), np.linspace(-4, 4, 8), np.linspace(-4, 4, 6))
    on_host = (rng.pareto(1.7, 4000) * 0.1 + 0.08, *rng.normal(0, 2, (2, 4000)))
    events = tuple(backend.asarray(values.astype(np.float32)) for values in on_host)

    def answers() -> tuple[np.ndarray, np.ndarray]:
        bits = random_bits(1001, (20150, 23523), xp=backend.xp, device=backend.device, start=3)
        return to_host(histogramdd(events, edges)), to_host(bits)

    with_native = answers()
    monkeypatch.setattr(dispatch, "_NATIVE", {})
    for found, expected in zip(answers(), with_native, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert with_native[0].sum() > 2000


def test_native_package_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpucube.arrays.native", None)
    assert dispatch._native_functions() == {}


def test_native_version_is_chosen_by_library_and_name() -> None:
    def bin_counts() -> None: ...

    def something_else() -> None: ...

    numpy_version = dispatch.fastest(bin_counts, get_backend("numpy").xp)
    assert numpy_version.__module__ == "gpucube.arrays.native.histogram_numpy"
    assert dispatch.fastest(something_else, get_backend("numpy").xp) is something_else
