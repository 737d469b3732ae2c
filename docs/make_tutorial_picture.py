"""Run the tutorial in an empty folder and keep its picture as tutorial.png: python docs/make_tutorial_picture.py."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

from gpucube.cli import cli
from gpucube.observations.earth import bundled_earth_orientation

DOCS = Path(__file__).parent
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_tutorial(folder: Path) -> dict[str, Any]:
    """Run all blocks of the tutorial in a folder, in their order; return the variables of the Python blocks."""
    variables: dict[str, Any] = {}
    with contextlib.chdir(folder):
        for language, text in BLOCK.findall((DOCS / "tutorial.md").read_text(encoding="utf-8")):
            if language == "sh":
                run_commands(text)
            else:
                # Without a download the result is the same on every day.
                with bundled_earth_orientation():
                    exec(compile(text, "tutorial.md", "exec"), variables)
    return variables


def run_commands(text: str) -> None:
    """Run lines that begin with gpucube; one that fails raises."""
    for line in text.splitlines():
        program, *arguments = shlex.split(line)
        if program != "gpucube":
            raise ValueError(f"the tutorial runs {program!r}")
        cli.main(arguments, standalone_mode=False)


if __name__ == "__main__":
    matplotlib.use("Agg")
    with tempfile.TemporaryDirectory() as folder:
        run_tutorial(Path(folder))
        shutil.copy(Path(folder) / "background.png", DOCS / "tutorial.png")
