"""Choose an array library and a device, and move arrays between host and device.

This is the only module of the portable array layer that names array libraries, and
`to_host` is the only door through which an array leaves its device.
"""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from gpucube.errors import BackendError

__all__ = ["BACKENDS", "Array", "Backend", "BackendStatus", "backend_statuses", "get_backend", "to_host"]

log = logging.getLogger(__name__)

# Array libraries share a standard, not a base class.
Array = Any


@dataclass(frozen=True)
class Backend:
    """An array library and the device on which it makes arrays.

    Attributes
    ----------
    name : str
        One of `BACKENDS`.
    xp : module
        Array API namespace of the library.
    device : object
        Device of the library, as its creation functions take it.
    description : str
        Library version and device in words.
    """

    name: str
    xp: Any
    device: Any
    description: str

    def asarray(self, values: Any, dtype: Any = None) -> Array:
        """Copy host values to an array on this backend's device.

        Parameters
        ----------
        values : array-like
            NumPy array or (nested) sequence of numbers; any byte order.
        dtype : dtype, optional
            Data type of the result, from `xp`.

        Returns
        -------
        array
            Array of this library on this device.
        """
        values = np.asarray(values)
        native_order = np.asarray(values, dtype=values.dtype.newbyteorder("="), order="C")
        return self.xp.asarray(native_order, dtype=dtype, device=self.device, copy=True)

    def upload(self, columns: Sequence[Sequence[np.ndarray]]) -> list[Array]:
        """Copy several host arrays to this backend's device, on a GPU with CuPy in one transfer.

        Parameters
        ----------
        columns : sequence of sequence of numpy.ndarray
            Parts of each array, of any byte order, which are joined along their first axis: events are copied once.

        Returns
        -------
        list of array
            Arrays of this library on this device, of the same dtypes; not to be written to, because with NumPy they
            are those of the host.
        """
        if array_api_compat.is_cupy_namespace(self.xp):
            return _in_one_transfer(columns)
        places, _ = packed_layout(columns)
        parts_and_dtypes = [(parts, place.dtype) for parts, place in zip(columns, places, strict=True)]
        if array_api_compat.is_numpy_namespace(self.xp):
            return [_joined(parts, dtype) for parts, dtype in parts_and_dtypes]
        joined = (np.concatenate(parts, dtype=dtype) for parts, dtype in parts_and_dtypes)
        return [self.xp.asarray(values, device=self.device) for values in joined]


def _joined(parts: Sequence[np.ndarray], dtype: np.dtype) -> np.ndarray:
    """Arrays one after the other; a single one is copied only if it has to be."""
    return np.asarray(parts[0], dtype=dtype, order="C") if len(parts) == 1 else np.concatenate(parts, dtype=dtype)


def _in_one_transfer(columns: Sequence[Sequence[np.ndarray]]) -> list[Array]:
    """Copy arrays by way of page-locked memory: that is as fast as the bus, where pageable memory is half as fast."""
    cupy, cupyx = importlib.import_module("cupy"), importlib.import_module("cupyx")
    places, n_bytes = packed_layout(columns)
    # From a pool with sizes that are powers of two, so that hardly any block has to wait for pages to be locked.
    staging = cupyx.empty_pinned((n_bytes,), dtype=np.uint8)
    pack(columns, places, staging)
    on_device = cupy.empty((n_bytes,), dtype=np.uint8)
    on_device.set(staging)
    # The staging memory is used again as soon as this function returns.
    cupy.cuda.get_current_stream().synchronize()
    return unpack(on_device, places)


# Arrays begin at multiples of this, as CUDA allocates them.
ALIGNMENT = 256


class Place(NamedTuple):
    """Where an array is in a buffer.

    Attributes
    ----------
    start : int
        Its first byte.
    shape : tuple of int
        Its shape.
    dtype : numpy.dtype
        Its dtype, in the byte order of this machine.
    """

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def packed_layout(columns: Sequence[Sequence[np.ndarray]]) -> tuple[list[Place], int]:
    """Where arrays are in one buffer, and its size.

    Parameters
    ----------
    columns : sequence of sequence of numpy.ndarray
        Parts of each array, at least one.

    Returns
    -------
    places : list of Place
        Where each is.
    n_bytes : int
        Size of the buffer.
    """
    places, start = [], 0
    for parts in columns:
        shape = (sum(map(len, parts)), *parts[0].shape[1:])
        place = Place(start, shape, np.result_type(*(part.dtype for part in parts)).newbyteorder("="))
        places.append(place)
        start += -(-math.prod(shape) * place.dtype.itemsize // ALIGNMENT) * ALIGNMENT
    return places, start


def pack(columns: Sequence[Sequence[np.ndarray]], places: Sequence[Place], buffer: np.ndarray) -> None:
    """Write arrays to a buffer.

    Parameters
    ----------
    columns : sequence of sequence of numpy.ndarray
        Parts of each array.
    places : sequence of Place
        Where to write them.
    buffer : numpy.ndarray of uint8
        Buffer.
    """
    for parts, array in zip(columns, unpack(buffer, places), strict=True):
        np.concatenate(parts, out=array)


def unpack(buffer: Array, places: Sequence[Place]) -> list[Array]:
    """Find arrays in a buffer.

    Parameters
    ----------
    buffer : array of uint8
        Buffer, of NumPy or CuPy.
    places : sequence of Place
        Where they are.

    Returns
    -------
    list of array
        Views of the buffer.
    """
    ends = (place.start + math.prod(place.shape) * place.dtype.itemsize for place in places)
    return [
        buffer[place.start : end].view(place.dtype).reshape(place.shape)
        for place, end in zip(places, ends, strict=True)
    ]


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend works here.

    Attributes
    ----------
    name : str
        One of `BACKENDS`.
    works : bool
        Whether it can be used.
    detail : str
        Library version and device in words, or why it cannot be used.
    """

    name: str
    works: bool
    detail: str


def _open_numpy() -> Backend:
    xp = importlib.import_module("array_api_compat.numpy")
    return Backend("numpy", xp, "cpu", f"NumPy {np.__version__} on the CPU")


def _open_cupy() -> Backend:
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise BackendError(
            "backend cupy: CuPy is not installed",
            "pip install 'gpucube[cuda12]' or 'gpucube[cuda13]' to match your CUDA driver, or use --backend numpy",
        ) from error
    try:
        cupy.zeros(1).sum()
        device = cupy.cuda.Device()
        gpu = cupy.cuda.runtime.getDeviceProperties(device.id)["name"].decode()
    except Exception as error:  # CuPy raises errors of several libraries: runtime, driver, compiler
        raise BackendError(
            f"backend cupy: no usable CUDA GPU ({error})", "check nvidia-smi and the driver, or use --backend numpy"
        ) from error
    xp = importlib.import_module("array_api_compat.cupy")
    return Backend("cupy", xp, device, f"CuPy {cupy.__version__} on {gpu}")


def _open_torch() -> Backend:
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise BackendError("backend torch: PyTorch is not installed", "pip install 'gpucube[torch]'") from error
    xp = importlib.import_module("array_api_compat.torch")
    where = "cuda" if torch.cuda.is_available() else "cpu"
    gpu = torch.cuda.get_device_name(0) if where == "cuda" else "the CPU"
    return Backend("torch", xp, torch.device(where), f"PyTorch {torch.__version__} on {gpu}")


def _open_strict() -> Backend:
    try:
        xp = importlib.import_module("array_api_strict")
    except ImportError as error:
        raise BackendError("backend array_api_strict: not installed", "it serves tests only") from error
    # Not the CPU device: an implicit host copy of an array on this one raises, as on a GPU.
    return Backend("array_api_strict", xp, xp.Device("device1"), f"array_api_strict {xp.__version__} on device1")


_OPENERS: dict[str, Callable[[], Backend]] = {
    "numpy": _open_numpy,
    "cupy": _open_cupy,
    "torch": _open_torch,
    "array_api_strict": _open_strict,
}
BACKENDS = tuple(_OPENERS)


def get_backend(name: str = "auto") -> Backend:
    """Open an array library on its best device.

    Parameters
    ----------
    name : {"auto", "numpy", "cupy", "torch", "array_api_strict"}
        ``auto`` takes CuPy where a GPU answers, else NumPy, and logs which.

    Returns
    -------
    Backend
        Library and device.

    Raises
    ------
    BackendError
        The library is not installed, its device does not answer, or the name is unknown.
    """
    if name == "auto":
        return _open_best()
    if name not in _OPENERS:
        raise BackendError(f"unknown backend {name!r}; choose from auto, {', '.join(BACKENDS)}")
    return _OPENERS[name]()


def _open_best() -> Backend:
    try:
        backend = _open_cupy()
    except BackendError as error:
        reason = error.problem.removeprefix("backend cupy: ").partition(" (")[0]
        log.info("backend auto: NumPy (%s; see gpucube backends)", reason)
        return _open_numpy()
    log.info("backend auto: %s", backend.description)
    return backend


def backend_statuses() -> list[BackendStatus]:
    """Try every backend.

    Returns
    -------
    list of BackendStatus
        One entry per name in `BACKENDS`, in that order.
    """
    statuses = []
    for name in BACKENDS:
        try:
            statuses.append(BackendStatus(name, True, get_backend(name).description))
        except BackendError as error:
            statuses.append(BackendStatus(name, False, str(error).removeprefix(f"backend {name}: ")))
    return statuses


def to_host(array: Array) -> np.ndarray:
    """Copy an array of any library from its device to a NumPy array.

    Parameters
    ----------
    array : array
        Array of any Array API library, on any device.

    Returns
    -------
    numpy.ndarray
        Same shape and values; shares memory with `array` where that already is on the host.
    """
    if array_api_compat.is_cupy_array(array):
        return array.get()
    if array_api_compat.is_torch_array(array):
        return array.detach().cpu().numpy()
    if isinstance(array, (np.ndarray, np.generic)):  # NumPy's arrays without axes are no arrays
        return np.asarray(array)
    xp = array_api_compat.array_namespace(array)
    return np.asarray(array_api_compat.to_device(array, xp.Device("CPU_DEVICE")))
