"""Command line."""

from __future__ import annotations

from gpucube.cli.app import cli

__all__ = ["cli", "main"]


def main() -> None:
    """Run the command line; it ends with `SystemExit`."""
    cli(prog_name="gpucube")
