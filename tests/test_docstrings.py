"""Docstrings of all public names, checked by numpydoc with the settings of pyproject.toml.

The objects are checked, not the source as in ``numpydoc lint``, which takes properties for functions and does not
see the parameters of a dataclass. That raised errors are documented is checked by ruff (DOC501).
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

docscrape = pytest.importorskip("numpydoc.docscrape")
validation = pytest.importorskip("numpydoc.validate")

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["numpydoc_validation"]


def is_public(name: str) -> bool:
    # native/ has the docstrings of the portable functions, and those of cli/ are the text of --help.
    parts = name.split(".")
    return not any(part.startswith("_") or part in ("native", "cli") for part in parts)


def modules() -> list[str]:
    paths = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / "gpucube").rglob("*.py"))
    names = (".".join(path.parts).removesuffix(".__init__") for path in paths)
    return sorted(filter(is_public, names))


def public_objects(module_name: str) -> Iterator[str]:
    """The functions and classes that a module defines and exports, and the members of these classes."""
    module = importlib.import_module(module_name)
    for name in getattr(module, "__all__", []):
        value = getattr(module, name)
        if has_docstring(value) and value.__module__ == module_name:
            yield f"{module_name}.{name}"
            members = vars(value).items() if inspect.isclass(value) else ()
            yield from (f"{module_name}.{name}.{key}" for key, m in members if key[0] != "_" and has_docstring(m))


def has_docstring(value: object) -> bool:
    return inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, property)


def undocumented_fields(kind: type) -> list[str]:
    """Fields of a dataclass that stand neither under Parameters nor under Attributes."""
    doc = docscrape.ClassDoc(kind)
    entries = [name for section in ("Parameters", "Attributes") for name, _, _ in doc[section]]
    documented = {name.strip() for entry in entries for name in entry.split(",")}
    return [field.name for field in dataclasses.fields(kind) if field.init and field.name not in documented]


def faults(dotted: str) -> list[str]:
    skipped = set(SETTINGS["checks"]) - {"all"}
    found = [f"{code} {text}" for code, text in validation.validate(dotted)["errors"] if code not in skipped]
    module, _, name = dotted.rpartition(".")
    kind = getattr(importlib.import_module(module), name, None) if module in MODULES else None
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        # The fields may be documented as attributes instead of parameters: numpydoc asks for parameters.
        found = [fault for fault in found if not fault.startswith(("PR01", "PR02"))]
        found += [f"field {name} is not documented" for name in undocumented_fields(kind)]
    elif inspect.isclass(kind) and "__init__" not in vars(kind):
        found = [fault for fault in found if not fault.startswith("PR01")]  # documented where __init__ is
    return found


MODULES = modules()


@pytest.mark.parametrize("module", MODULES)
def test_docstrings(module: str) -> None:
    found = {name: faults(name) for name in public_objects(module)}
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_public_objects_are_found() -> None:
    assert "gpucube.arrays.histogram.histogramdd" in public_objects("gpucube.arrays.histogram")
    assert "gpucube.arrays.backend.Backend.asarray" in public_objects("gpucube.arrays.backend")


def badly_documented(a: int) -> int:
    """Has no sections."""
    return a


def test_faults_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpucube.errors.badly_documented", badly_documented, raising=False)
    assert [fault[:4] for fault in faults("gpucube.errors.badly_documented")] == ["PR01", "RT01"]


def test_undocumented_fields_are_reported() -> None:
    @dataclasses.dataclass
    class Point:
        """Point of a plane.

        Attributes
        ----------
        x : float
            Abscissa.
        """

        x: float
        y: float

    assert undocumented_fields(Point) == ["y"]
