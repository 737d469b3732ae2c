"""Command line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from gpucube._version import __version__
from gpucube.arrays.backend import BACKENDS, backend_statuses, get_backend
from gpucube.arrays.exposure import THRESHOLD_RULES
from gpucube.arrays.rate import METHODS
from gpucube.cubes.background import ALIGNMENTS
from gpucube.cubes.fits import read_background_model
from gpucube.errors import GpucubeError
from gpucube.inspection import describe_folder, describe_model
from gpucube.observations.store import SCHEMES
from gpucube.pipeline.make_models import Summary, make_models
from gpucube.pipeline.settings import RATE_PER, Settings
from gpucube.plots import plot_model, require_matplotlib
from gpucube.synthetic.dataset import make_test_dataset

__all__ = ["cli", "main"]

log = logging.getLogger("gpucube")

SKIPPED_STATUS = 3
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


class Commands(click.Group):
    """Group of commands that turns errors into one line and an exit status."""

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


@cli.command("make-models")
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("scheme", type=click.Choice([*SCHEMES, "auto"], case_sensitive=False), metavar="HESS|GADF|auto")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--test", is_flag=True, help="Quick look: at most 100 observations, 4 groups, 5 sources.")
@click.option("--method", type=click.Choice(list(METHODS)), help="Recipe.  [default: default]")
@click.option("--a-la-michi", "michi", is_flag=True, help="The same as --method mayer2015.")
@click.option(
    "--catalog",
    default="builtin",
    show_default=True,
    metavar="FILE|builtin|none",
    help="Sources; observations near one are left out.",
)
@click.option(
    "--backend", type=click.Choice(["auto", *USER_BACKENDS]), default="auto", show_default=True, help="Array library."
)
@click.option(
    "--align",
    type=click.Choice(ALIGNMENTS, case_sensitive=False),
    metavar="[ALTAZ|RADEC]",
    default="ALTAZ",
    show_default=True,
    help="Orientation of DETX and DETY.",
)
@click.option(
    "--threshold",
    type=click.Choice(list(THRESHOLD_RULES)),
    default="share",
    show_default=True,
    help="Livetime of the energy bin that a threshold cuts: its share, none, or all (as in 2015).",
)
@click.option(
    "--rate-per",
    type=click.Choice(RATE_PER),
    default="livetime",
    show_default=True,
    help="Time that rates are per; Gammapy takes them as per ontime.",
)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that read files.")
@click.option("--overwrite", is_flag=True, help="Replace the models of an earlier run in OUT.")
@click.option("--resume", is_flag=True, help="Go on from the finished groups of an interrupted run in OUT.")
@click.option("--strict", is_flag=True, help="Stop at the first observation that cannot be used.")
@level_option
@click.pass_context
def make_models_command(
    ctx: click.Context, /, data: Path, scheme: str, out: Path, *, michi: bool, **options: Any
) -> None:
    """Make a background model for each group of observations in the folder DATA.

    SCHEME says how its files are named: HESS (runinfo.fits, 2015), GADF (obs-index.fits.gz and
    hdu-index.fits.gz), or auto. Models go to the folder OUT, with a ledger of all events.

    \b
    Examples:
      gpucube make-models $GAMMAPY_DATA/hess-dl3-dr1 GADF models
      gpucube make-models runs HESS models --a-la-michi --backend cupy
      gpucube make-models runs auto models --catalog none --align RADEC --workers 8

    Exit status: 0 done, 1 input or options are wrong, 2 usage, 3 done but observations were skipped.
    """
    if michi and options["method"] not in (None, "mayer2015"):
        raise click.UsageError(f"--a-la-michi is --method mayer2015, not {options['method']}")
    options["method"] = "mayer2015" if michi else options["method"] or "default"
    settings = Settings(**options)
    with _progress_bar("observations") as step:
        summary = make_models(data, out, scheme, settings, progress=step)
    _print_summary(summary)
    if summary.n_skipped:
        ctx.exit(SKIPPED_STATUS)


@cli.command("make-test-dataset")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--scheme",
    type=click.Choice(list(SCHEMES), case_sensitive=False),
    metavar="[GADF|HESS]",
    default="GADF",
    show_default=True,
)
@click.option("--n-obs", type=click.IntRange(1), default=10, show_default=True, help="Number of observations.")
@click.option("--observatory", default="HESS", show_default=True, help="Where the telescopes stand.")
@click.option("--alt-range", type=float, nargs=2, default=(45.0, 90.0), show_default=True, help="Altitudes in deg.")
@click.option("--az-range", type=float, nargs=2, default=(0.0, 360.0), show_default=True, help="Azimuths in deg.")
@click.option(
    "--date-range", type=str, nargs=2, default=("2010-01-01", "2015-01-01"), show_default=True, help="First, last date."
)
@click.option("--n-tels-range", type=int, nargs=2, default=(3, 4), show_default=True, help="Numbers of telescopes.")
@click.option("--sigma", type=float, default=5.0, show_default=True, help="Width of the field of view in deg.")
@click.option("--spectral-index", type=float, default=2.7, show_default=True, help="Of the background.")
@click.option("--threshold", type=float, default=0.1, show_default=True, help="Energy threshold in TeV.")
@click.option("--trigger-rate", type=float, default=300.0, show_default=True, help="Events per second at the zenith.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same files.")
@click.option(
    "--backend", type=click.Choice(["auto", *USER_BACKENDS]), default="numpy", show_default=True, help="Array library."
)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--overwrite", is_flag=True, help="Replace a data set in OUT.")
@level_option
def make_test_dataset_command(out: Path, **options: Any) -> None:
    """Make a synthetic data set in the folder OUT.

    \b
    Examples:
      gpucube make-test-dataset data
      gpucube make-test-dataset data --scheme HESS --n-obs 100 --seed 7 --workers 2
    """
    options["backend"] = get_backend(options["backend"])
    with _progress_bar("observations") as step:
        make_test_dataset(out, progress=step, **options)
    click.echo(f"wrote {options['n_obs']} observations to {out}; try: gpucube make-models {out} auto models")


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@level_option
def info(path: Path) -> None:
    """Say what is in a data store or a folder of models, or in a background model (a FITS file).

    \b
    Examples:
      gpucube info $GAMMAPY_DATA/hess-dl3-dr1
      gpucube info models/bg_cube_model_group21_table.fits.gz
    """
    facts = describe_folder(path) if path.is_dir() else describe_model(read_background_model(path))
    table = _table(str(path), "", "")
    table.show_header = False
    for name, value in facts.items():
        table.add_row(name, value)
    _print(table)


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default="this folder",
    help="Folder for the pictures; those of the same model are replaced.",
)
@level_option
def plot(model: Path, out: Path) -> None:
    """Make pictures of a background model: an image for each energy bin, and spectra.

    \b
    Example:
      gpucube plot models/bg_cube_model_group21_table.fits.gz --out pictures
    """
    for picture in _plot(model, out):
        click.echo(picture)


@cli.command()
@level_option
def backends() -> None:
    """Say which array libraries and devices work here.

    \b
    Example:
      gpucube backends
    """
    table = _table("backends", "backend", "works", "detail")
    for status in backend_statuses():
        if status.name in USER_BACKENDS:
            table.add_row(status.name, "yes" if status.works else "no", status.detail)
    _print(table)


@cli.command()
@click.argument("out", type=click.Path(path_type=Path), default=Path("demo"))
@click.option(
    "--backend", type=click.Choice(["auto", *USER_BACKENDS]), default="auto", show_default=True, help="Array library."
)
@level_option
def demo(out: Path, backend: str) -> None:
    """Make a synthetic data set, background models from it and pictures of them, in the folder OUT.

    \b
    Examples:
      gpucube demo
      gpucube demo first-look --backend numpy
    """
    require_matplotlib()
    data, models, pictures = out / "data", out / "models", out / "pictures"
    with _progress_bar("synthetic observations") as step:
        make_test_dataset(data, n_obs=12, trigger_rate=60.0, overwrite=True, progress=step)
    click.echo(f"synthetic data set: {data}")
    settings = Settings(test=True, catalog="none", backend=backend, overwrite=True)
    with _progress_bar("observations") as step:
        summary = make_models(data, models, settings=settings, progress=step)
    _print_summary(summary)
    for path in summary.models.values():
        for picture in _plot(path, pictures):
            click.echo(f"picture: {picture}")


def main() -> None:
    """Run the command line; it ends with `SystemExit`."""
    cli(prog_name="gpucube")


def _plot(path: Path, folder: Path) -> list[Path]:
    model = read_background_model(path)
    folder.mkdir(parents=True, exist_ok=True)
    return plot_model(model, folder, path.name.partition(".fits")[0])


@contextmanager
def _progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=None)

        def step(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield step


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(table: Table) -> None:
    # Not on a terminal, lines are for a file or another program, which wants them whole.
    width = None if Console().is_terminal else 200
    Console(width=width, markup=False, highlight=False).print(table)


def _print_summary(summary: Summary) -> None:
    table = _table(f"background models in {summary.folder}", "group", "contains", "observations", "counts", "model")
    for group_id, path in summary.models.items():
        used = [row for row in summary.rows if row.group_id == group_id and row.status == "used"]
        n_counts = sum(row.n_filled for row in used)
        contains = summary.groups.describe(group_id)
        table.add_row(str(group_id), contains, str(len(used)), f"{n_counts:,}", path.name)
    _print(table)
    statuses = [row.status for row in summary.rows]
    numbers = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    n_read, n_filled = sum(row.n_read for row in summary.rows), sum(row.n_filled for row in summary.rows)
    click.echo(f"{len(statuses)} observations: {numbers}; {n_read:,} events read, {n_filled:,} filled")
