"""What all commands share: messages, errors in one line, options, progress bars, tables."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from gpucube._version import __version__
from gpucube.arrays.backend import BACKENDS
from gpucube.errors import GpucubeError

__all__ = ["backend_option", "cli", "new_table", "print_table", "progress_bar"]

log = logging.getLogger("gpucube")

LEVELS = ("debug", "info", "warning", "error")
# Found by name, but for tests only: it is slow.
USER_BACKENDS = tuple(name for name in BACKENDS if name != "array_api_strict")


class EchoHandler(logging.Handler):
    """Write log messages to whatever standard error is at the moment, below a progress bar, too."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message.

        Parameters
        ----------
        record : logging.LogRecord
            The message.
        """
        click.echo(f"{record.levelname.lower()}: {self.format(record)}", err=True)


# Where each command is. Only the one that is called is imported: the others take a tenth of a second more.
MODULES = {
    "attach": "attach",
    "backends": "look",
    "compare": "compare",
    "demo": "demo",
    "info": "look",
    "make-models": "make_models",
    "make-test-dataset": "make_test_dataset",
    "plot": "look",
    "validate": "validate",
}
# What to do after Ctrl-C
GO_ON = {"make-models": "; with --resume instead of --overwrite, the same command goes on from the finished groups"}
# That of shells for SIGINT
INTERRUPTED_STATUS = 130


class Commands(click.Group):
    """Group of commands that turns errors into one line and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List all commands, imported or not.

        Parameters
        ----------
        ctx : click.Context
            Context of the call.

        Returns
        -------
        list of str
            Their names.
        """
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command.

        Parameters
        ----------
        ctx : click.Context
            Context of the call.
        cmd_name : str
            Its name.

        Returns
        -------
        click.Command or None
            The command; None if there is no such.
        """
        if cmd_name in MODULES:
            import_module(f"gpucube.cli.{MODULES[cmd_name]}")
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command.

        Parameters
        ----------
        ctx : click.Context
            Context of the call.

        Returns
        -------
        object
            What the command returns.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # Below the ^C of a terminal
            start = "\n" if sys.stderr.isatty() else ""
            click.echo(f"{start}gpucube: interrupted{GO_ON.get(ctx.invoked_subcommand or '', '')}", err=True)
            ctx.exit(INTERRUPTED_STATUS)
        except Exception as error:
            # Click's own errors and exits are for click.
            if isinstance(error, (click.ClickException, click.exceptions.Exit, click.Abort)):
                raise
            click.echo(f"gpucube: error: {_explain(error)}", err=True)
        ctx.exit(1)


def _explain(error: Exception) -> str:
    if isinstance(error, GpucubeError):
        return str(error)
    if isinstance(error, (OSError, MemoryError)):
        return f"{type(error).__name__}: {error}"
    log.debug("traceback", exc_info=error)
    return f"unexpected {type(error).__name__}: {error} (a bug: please report it with what -l debug prints)"


def _set_level(ctx: click.Context, parameter: click.Parameter, level: str) -> None:
    log.handlers[:] = [EchoHandler()]
    log.setLevel(level.upper())
    log.propagate = False


level_option = click.option(
    "-l",
    "--loglevel",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="info",
    show_default=True,
    callback=_set_level,
    expose_value=False,
    help="Which messages to print.",
)


def backend_option(default: str) -> Callable[[Any], Any]:
    """Make the option --backend."""
    choice = click.Choice(["auto", *USER_BACKENDS])
    return click.option("--backend", type=choice, default=default, show_default=True, help="Array library.")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="gpucube")
def cli() -> None:
    """Make background models for Cherenkov telescopes, on CPU or GPU.

    \b
    Examples:
      gpucube demo                                     everything in a minute, with pictures
      gpucube make-models DATA GADF models             models from your event lists
      gpucube info models/bg_cube_model_group21_table.fits.gz
    """


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error; what it yields is called with the number of things done and their total."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=None)

        def step(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield step


def new_table(title: str, *columns: str) -> Table:
    """Make an empty table to print."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print a table."""
    # Not on a terminal, lines are for a file or another program, which wants them whole.
    width = None if Console().is_terminal else 200
    Console(width=width, markup=False, highlight=False).print(table)
