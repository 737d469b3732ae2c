"""The program on the page about the library runs as it stands there, on every backend."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpucube.arrays.backend import Backend

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "library.md"


def test_library_page(backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    assert program.count('get_backend("auto")') == 1
    monkeypatch.chdir(tmp_path)
    exec(compile(program.replace('"auto"', f'"{backend.name}"'), PAGE.name, "exec"), {})
    assert (tmp_path / "model.fits.gz").is_file()
    assert list((tmp_path / "models").glob("bg_cube_model_group*_table.fits.gz"))
