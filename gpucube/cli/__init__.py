"""Command line."""

from __future__ import annotations

# A command is there as soon as its module is imported.
from gpucube.cli import attach, demo, look, make_models, make_test_dataset
from gpucube.cli.app import cli

__all__ = ["attach", "cli", "demo", "look", "main", "make_models", "make_test_dataset"]


def main() -> None:
    """Run the command line; it ends with `SystemExit`."""
    cli(prog_name="gpucube")
