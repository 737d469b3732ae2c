"""Find the faster version of a function for the library that an array belongs to.

`gpucube.arrays.native` is optional: without that package, or for a library of which it
knows nothing, the caller's portable version is what runs.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

import array_api_compat

__all__ = ["fastest"]

Function = TypeVar("Function", bound=Callable[..., Any])


def _native_functions() -> dict[tuple[str, str], str]:
    try:
        return import_module("gpucube.arrays.native").FUNCTIONS
    except ModuleNotFoundError:
        return {}


_NATIVE = _native_functions()


def fastest(portable: Function, xp: Any) -> Function:
    """Choose the version of a function to call on arrays of a library.

    Parameters
    ----------
    portable : function
        Version that works on every library.
    xp : module
        Array API namespace of the arrays.

    Returns
    -------
    function
        Native version with the same signature and the same answers, if there is one, else `portable`.
    """
    is_kind = {"numpy": array_api_compat.is_numpy_namespace, "cupy": array_api_compat.is_cupy_namespace}
    for (library, name), module in _NATIVE.items():
        if name == portable.__name__ and is_kind[library](xp):
            return getattr(import_module(module), name)
    return portable
