"""The command that makes models."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import click

from gpucube.arrays.exposure import THRESHOLD_RULES
from gpucube.arrays.rate import METHODS
from gpucube.cli.app import backend_option, cli, level_option, new_table, print_table, progress_bar
from gpucube.cli.grouping import grouping_options, groups_from_options
from gpucube.cli.masking import catalog_option, refuse_without_mask, region_options
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import ALIGNMENTS
from gpucube.cubes.fits import read_background_model
from gpucube.errors import OptionError
from gpucube.observations.store import SCHEMES
from gpucube.pipeline.ledger import FATES
from gpucube.pipeline.make_models import Summary, make_models
from gpucube.pipeline.settings import FITTED, MODELS, MOST_BINS, RATE_PER, Settings
from gpucube.regression.terms import terms_named

__all__ = ["make_models_command", "print_summary"]

log = logging.getLogger(__name__)

SKIPPED_STATUS = 3
METHOD_HELP = (
    "default and mayer2015: recipes of 2015, for thousands of observations; regression: one fit to all, which a few "
    "dozen are enough for; smooth: a fit to each group.  [default: default]"
)


class EnergyEdges(click.ParamType[tuple[float, ...]]):
    """Edges in TeV, separated by commas."""

    name = "edges"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Turn text into edges."""
        try:
            return tuple(float(text) for text in value.split(",")) if isinstance(value, str) else tuple(value)
        except ValueError:
            self.fail(f"{value!r} is no list of numbers such as 0.1,1,10,100", param, ctx)


class EnergyBins(EnergyEdges):
    """Logarithmic bins: lowest and highest edge in TeV, and their number."""

    name = "bins"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Turn text into edges."""
        numbers = super().convert(value, param, ctx)
        if not self._make_sense(numbers):
            problem = f"is not a lowest and a highest energy in TeV and a number up to {MOST_BINS}"
            self.fail(f"{value!r} {problem}, such as 0.1,100,24", param, ctx)
        return tuple(Axis.energy(numbers[0], numbers[1], int(numbers[2])).edges.tolist())

    @staticmethod
    def _make_sense(numbers: tuple[float, ...]) -> bool:
        if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
            return False
        low, high, number = numbers
        return 0 < low < high and 1 <= number <= MOST_BINS and number == int(number)


class TermNames(click.ParamType[tuple[str, ...]]):
    """Names of terms of a regression, separated by commas."""

    name = "terms"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Turn text into names."""
        names = tuple(text.strip() for text in value.split(",") if text.strip()) if isinstance(value, str) else value
        try:
            terms_named(names)
        except OptionError as error:
            self.fail(str(error), param, ctx)
        return tuple(names)


@cli.command("make-models")
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("scheme", type=click.Choice([*SCHEMES, "auto"], case_sensitive=False), metavar="HESS|GADF|auto")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--test", is_flag=True, help="Quick look: at most 100 observations, 4 groups, 5 sources.")
@click.option("--method", type=click.Choice([*METHODS, *FITTED]), help=METHOD_HELP)
@click.option(
    "--terms",
    type=TermNames(),
    metavar="NAME,...",
    help="Terms of a regression; +NAME adds one to the default terms, -NAME takes one away.",
)
@click.option("--a-la-michi", "michi", is_flag=True, help="The same as --method mayer2015.")
@catalog_option("Sources; observations near one are left out.")
@grouping_options
@backend_option("auto")
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
@click.option(
    "--model", type=click.Choice(MODELS), default="3d", show_default=True, help="In DETY and DETX, or in the offset."
)
@click.option(
    "--energy-bins",
    type=EnergyBins(),
    metavar="MIN,MAX,N",
    help="Logarithmic energy bins, in TeV.  [default: 0.1 to 80, by observations; regression: ten per decade where "
    "there are counts; smooth: ten per decade]",
)
@click.option("--energy-edges", type=EnergyEdges(), metavar="E1,E2,...", help="Energy edges in TeV, instead.")
@click.option(
    "--fov", type=float, metavar="DEG", help="Largest DETX, DETY or offset.  [default: 4.01; regression, smooth: 3]"
)
@click.option(
    "--pixels",
    type=int,
    metavar="N",
    help="Bins along DETX and DETY, or rings.  [default: by observations; regression, smooth: 0.2 deg wide]",
)
@click.option(
    "--bootstrap",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Errors from N samples of the observations of each group, instead of Poisson errors.",
)
@click.option("--mask", is_flag=True, help="Cut sources out of observations instead of leaving those near one out.")
@region_options
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that read and count.")
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers read and count instead.")
@click.option("--overwrite", is_flag=True, help="Replace the models of an earlier run in OUT.")
@click.option("--resume", is_flag=True, help="Go on from the finished groups of an interrupted run in OUT.")
@click.option("--strict", is_flag=True, help="Stop at the first observation that cannot be used.")
@level_option
@click.pass_context
def make_models_command(
    ctx: click.Context,
    /,
    data: Path,
    scheme: str,
    out: Path,
    *,
    michi: bool,
    energy_bins: tuple[float, ...] | None,
    **options: Any,
) -> None:
    """Make a background model for each group of observations in the folder DATA.

    SCHEME says how its files are named: HESS (runinfo.fits, 2015), GADF (obs-index.fits.gz and
    hdu-index.fits.gz), or auto. Models go to the folder OUT, with a ledger of all events.

    \b
    Examples:
      gpucube make-models $GAMMAPY_DATA/hess-dl3-dr1 GADF models
      gpucube make-models runs GADF models --group-by zenith --min-livetime 5 --group-by east-west
      gpucube make-models runs HESS models --a-la-michi --backend cupy
      gpucube make-models runs auto models --catalog none --align RADEC --workers 8
      gpucube make-models runs auto models --mask --mask-radius 0.3 --mask-regions sources.reg
      gpucube make-models runs auto models --catalog none --bootstrap 200
      gpucube make-models runs auto models --method regression --catalog none --mask
      gpucube make-models runs GADF models --scheduler tcp://node1:8786
      gpucube make-models runs auto models --model 2d --energy-bins 0.1,100,24 --fov 3 --pixels 15

    Exit status: 0 done, 1 input or options are wrong, 2 usage, 3 done but observations were skipped.
    """
    if michi and options["method"] not in (None, "mayer2015"):
        raise click.UsageError(f"--a-la-michi is --method mayer2015, not {options['method']}")
    if energy_bins and options["energy_edges"]:
        raise click.UsageError("give either --energy-bins or --energy-edges")
    options["energy_edges"] = energy_bins or options["energy_edges"]
    options["method"] = "mayer2015" if michi else options["method"] or "default"
    groups = groups_from_options(options)
    settings = Settings(**options)
    refuse_without_mask(ctx, settings)
    with progress_bar("observations") as step:
        summary = make_models(data, out, scheme, settings, groups, progress=step)
    print_summary(summary)
    if summary.n_skipped:
        ctx.exit(SKIPPED_STATUS)


def print_summary(summary: Summary) -> None:
    """Print the models of a run, and what became of its observations."""
    table = new_table(f"background models in {summary.folder}", "group", "contains", "observations", "counts", "model")
    for group_id, path in summary.models.items():
        used = [row for row in summary.rows if row.group_id == group_id and row.status == "used"]
        n_counts = sum(row.n_filled for row in used)
        contains = summary.groups.describe(group_id)
        table.add_row(str(group_id), contains, str(len(used)), f"{n_counts:,}", path.name)
    print_table(table)
    statuses = [row.status for row in summary.rows]
    numbers = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    n_read, n_filled = sum(row.n_read for row in summary.rows), sum(row.n_filled for row in summary.rows)
    click.echo(
        f"{len(statuses)} observations: {numbers}; {n_read:,} events read, {n_filled:,} filled{_not_filled(summary)}"
    )
    if n_read and not n_filled:
        _warn_of_nothing(summary, n_read)


def _warn_of_nothing(summary: Summary, n_read: int) -> None:
    """Say last of all that the models are of no use, and in which bins nothing lies: a unit may be wrong."""
    axes = [read_background_model(path).axes for path in summary.models.values()]
    edges = [edge for energy, *_ in axes for edge in energy.edges_in("TeV")]
    widest = max(field[-1].edges_in("deg")[-1] for _, *field in axes)
    log.warning(
        "nothing was filled: none of %s events lies in the energy bins from %g to %g TeV and the field of view of %g "
        "deg; the models are of no use",
        f"{n_read:,}",
        min(edges),
        max(edges),
        widest,
    )


def _not_filled(summary: Summary) -> str:
    """What became of the events that are in no model."""
    fates = {words: column.lower() for column, words in FATES.items() if column != "N_FILLED"}
    numbers = {words: sum(getattr(row, name) for row in summary.rows) for words, name in fates.items()}
    return "".join(f", {number:,} {words}" for words, number in numbers.items() if number)
