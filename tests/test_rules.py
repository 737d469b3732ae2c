"""Rules of the code that no linter knows, each tested on a snippet that breaks it.

A rule is a function from source text (or a module) to the list of what breaks it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gpucube"
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

# backend.py is the door to the array libraries, and native/ holds what is written for one of them.
PORTABLE = [
    name
    for name in FILES
    if name.startswith("arrays/") and name != "arrays/backend.py" and not name.startswith("arrays/native/")
]
# native/ is reached through the portable functions only; a leading underscore says the same.
PUBLIC = [
    name
    for name in FILES
    if not name.startswith("arrays/native/") and "/_" not in f"/{name.removesuffix('__init__.py')}"
]

# Where arrays leave their device: calls of to_host per file, and why. Fewer is better.
HOST_COPIES: dict[str, tuple[int, str]] = {
    "cubes/cube.py": (2, "the user asks for a cube on the host, or for a Quantity, which holds a NumPy array"),
    "cubes/fits.py": (1, "a cube is written to a file"),
    "pipeline/count.py": (3, "a worker sends what it counted to the main process"),
    "pipeline/fill.py": (1, "numbers of events of a group go to the ledger, once per group"),
    "regression/fit.py": (7, "which energies have counts, the scale of the rate, and the result: once per fit"),
    "regression/model.py": (2, "a background on the host is asked for"),
    "validation/scores.py": (2, "counts and deviances of all cells are reported, once per score"),
    "synthetic/events.py": (1, "events are written to a file"),
}

MAX_LINES = 400
ARRAY_LIBRARIES = {"numpy", "cupy", "torch", "scipy", "astropy"}
CREATION = {"arange", "asarray", "empty", "eye", "full", "linspace", "ones", "zeros"}
HOST_METHODS = {"cpu", "get", "item", "numpy", "to_device", "tolist"}


def source(name: str) -> str:
    return (PACKAGE / name).read_text(encoding="utf-8")


def imported_modules(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Absolute names of modules, also of those that are imported by a call with a literal name."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield node.lineno, module
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield node.lineno, module


def library_imports(text: str) -> list[str]:
    """Imports of an array library or of astropy."""
    found = imported_modules(ast.parse(text))
    return [f"line {line}: imports {name}" for line, name in found if name.partition(".")[0] in ARRAY_LIBRARIES]


def is_namespace(node: ast.AST) -> bool:
    match node:
        case ast.Name(id="xp") | ast.Attribute(attr="xp"):
            return True
    return False


def creations_without_device(text: str) -> list[str]:
    """Creation functions of the standard that are called, or handed on, without a device."""
    tree = ast.parse(text)
    with_device = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and any(keyword.arg == "device" for keyword in node.keywords)
    }
    return [
        f"line {node.lineno}: xp.{node.attr} without device="
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in CREATION
        and is_namespace(node.value)
        and id(node) not in with_device
    ]


def called_name(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def host_copies(text: str) -> int:
    """Number of calls of to_host."""
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return sum(called_name(call) == "to_host" for call in calls)


def hidden_host_copies(text: str) -> list[str]:
    """NumPy by name, methods that move an array, and Python numbers made of an array function's result."""
    found = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Name(id="np" | "numpy"):
                found.append(f"line {node.lineno}: {node.id}")
            case ast.Call(func=ast.Attribute(attr=method)) if method in HOST_METHODS:
                found.append(f"line {node.lineno}: .{method}()")
            case ast.Call(
                func=ast.Name(id="bool" | "float" | "int" as kind), args=[ast.Call(func=ast.Attribute(value=module))]
            ):
                if is_namespace(module):
                    found.append(f"line {node.lineno}: {kind}(xp...)")
    return found


def too_long(text: str) -> list[str]:
    """More lines than a module should have."""
    lines = text.count("\n")
    return [f"{lines} lines, at most {MAX_LINES}"] if lines > MAX_LINES else []


def bad_exports(module: ModuleType) -> list[str]:
    """Names in ``__all__`` that do not exist or are not documented."""
    if not hasattr(module, "__all__"):
        return ["no __all__"]
    return [f"{name}: {fault}" for name in module.__all__ if (fault := export_fault(module, name))]


def export_fault(module: ModuleType, name: str) -> str:
    if not hasattr(module, name):
        return "does not exist"
    value = getattr(module, name)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return ""  # a constant has no docstring of its own
    # A dataclass without a docstring is given its signature as one.
    text = value.__doc__ or ""
    return "has no docstring" if not text or text.startswith(f"{name}(") else ""


@pytest.mark.parametrize("name", PORTABLE)
def test_array_code_imports_no_library(name: str) -> None:
    assert library_imports(source(name)) == []


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("arrays/native/")])
def test_creation_calls_name_a_device(name: str) -> None:
    assert creations_without_device(source(name)) == []


def test_host_copies_are_the_known_ones() -> None:
    counts = {name: host_copies(source(name)) for name in FILES}
    assert {name: count for name, count in counts.items() if count} == {
        name: count for name, (count, _) in HOST_COPIES.items()
    }


def test_every_host_copy_has_a_reason() -> None:
    assert all(reason for _, reason in HOST_COPIES.values())


@pytest.mark.parametrize("name", PORTABLE)
def test_array_code_copies_nothing_to_the_host(name: str) -> None:
    assert hidden_host_copies(source(name)) == []


@pytest.mark.parametrize("name", FILES)
def test_module_length(name: str) -> None:
    assert too_long(source(name)) == []


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_exist_and_are_documented(name: str) -> None:
    dotted = f"gpucube/{name}".removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
    assert bad_exports(importlib.import_module(dotted)) == []


def test_the_rules_see_the_package() -> None:
    assert "arrays/histogram.py" in PORTABLE
    assert "arrays/histogram.py" in PUBLIC
    assert "arrays/backend.py" not in PORTABLE
    assert "__init__.py" in PUBLIC
    assert not any(name.startswith("arrays/native/") for name in PUBLIC)


@pytest.mark.parametrize(
    "text",
    [
        "import numpy as np",
        "import math, cupy.cuda",
        "from astropy.units import deg",
        "def f():\n    import torch",
        "import importlib\nimportlib.import_module('numpy')",
        "__import__('scipy.ndimage')",
    ],
)
def test_rule_reports_library_import(text: str) -> None:
    assert len(library_imports(text)) == 1


def test_rule_allows_other_imports() -> None:
    assert library_imports("import math\nfrom array_api_compat import numpy\nfrom . import numpy_like") == []


@pytest.mark.parametrize(
    "text",
    [
        "xp.zeros(3)",
        "xp.asarray(values, dtype=xp.float64)",
        "backend.xp.linspace(0, 1, 5)",
        "partial(xp.arange, 3)",
        "f(xp.ones(2), device=device)",
    ],
)
def test_rule_reports_creation_without_device(text: str) -> None:
    assert len(creations_without_device(text)) == 1


@pytest.mark.parametrize(
    "text", ["xp.zeros(3, device=device)", "xp.zeros_like(a)", "xp.sum(a)", "np.zeros(3)", "xp.asarray(a, device=d)"]
)
def test_rule_allows_creation_on_a_device(text: str) -> None:
    assert creations_without_device(text) == []


def test_rule_counts_host_copies() -> None:
    assert host_copies("def to_host(a): ...\nb = to_host(a)\nc = backend.to_host(to_host(a))\n") == 3


@pytest.mark.parametrize(
    "text",
    [
        "np.float64(1)",
        "numpy",
        "a.item()",
        "xp.sum(a).tolist()",
        "a.get()",
        "a.cpu()",
        "float(xp.max(a))",
        "bool(self.xp.any(a))",
    ],
)
def test_rule_reports_hidden_host_copy(text: str) -> None:
    assert len(hidden_host_copies(text)) == 1


def test_rule_allows_python_numbers() -> None:
    assert hidden_host_copies("float('1')\nint(n / 10)\nbool(len(a))\nfloat(math.sqrt(2))") == []


def test_rule_reports_long_module() -> None:
    assert too_long("x = 1\n" * (MAX_LINES + 1)) == [f"{MAX_LINES + 1} lines, at most {MAX_LINES}"]
    assert too_long("x = 1\n" * MAX_LINES) == []


def module_from(text: str) -> ModuleType:
    module = ModuleType("snippet")
    exec(compile(text, "snippet", "exec", dont_inherit=True), vars(module))
    return module


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x = 1", "no __all__"),
        ("__all__ = ['f']", "f: does not exist"),
        ("__all__ = ['f']\ndef f(): ...", "f: has no docstring"),
        ("from dataclasses import dataclass\n__all__ = ['C']\n@dataclass\nclass C:\n    x: int", "C: has no docstring"),
    ],
)
def test_rule_reports_bad_export(text: str, fault: str) -> None:
    assert bad_exports(module_from(text)) == [fault]


def test_rule_allows_documented_exports() -> None:
    text = "__all__ = ['N', 'f']\nN = 3\ndef f():\n    'Do it.'"
    assert bad_exports(module_from(text)) == []
