"""The command line in tests: run it, and see that it refused."""

from __future__ import annotations

from click.testing import CliRunner, Result

from gpucube.cli import cli

__all__ = ["assert_refused", "run"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def assert_refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert "unexpected" not in result.output
    last = result.output.strip().splitlines()[-1]
    assert last.startswith("gpucube: error: ")
    assert all(word in last for word in words), last
