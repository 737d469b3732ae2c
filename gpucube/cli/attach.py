"""The command that attaches models to observations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gpucube.attach.run import AttachSummary, attach_models
from gpucube.attach.settings import NORMALISATIONS, AttachSettings
from gpucube.cli.app import cli, level_option, progress_bar
from gpucube.cli.make_models import SKIPPED_STATUS
from gpucube.cli.masking import mask_from_options, masking_options
from gpucube.pipeline.settings import MODELS
from gpucube.prediction.groups import INTERPOLATIONS

__all__ = ["attach"]


class EnergyRange(click.ParamType[tuple[float, float]]):
    """Two energies in TeV, separated by a comma."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Turn text into two energies."""
        try:
            low, high = (float(text) for text in value.split(",")) if isinstance(value, str) else value
        except ValueError:
            self.fail(f"{value!r} is not two energies in TeV, such as 0.5,20", param, ctx)
        return low, high


@cli.command()
@click.argument("models", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--scheme",
    type=click.Choice(["auto", "GADF"], case_sensitive=False),
    metavar="[auto|GADF]",
    default="auto",
    show_default=True,
    help="How the files in DATA are named.",
)
@click.option(
    "--copy/--link",
    "copy",
    default=True,
    help="Copy the files of DATA with their new background, or write the backgrounds and an index alone.  "
    "[default: copy]",
)
@click.option(
    "--interpolate",
    type=click.Choice(INTERPOLATIONS),
    default="none",
    show_default=True,
    help="Between neighbouring groups, in the cosine of the zenith angle: the rate or its logarithm.",
)
@click.option("--time-step", type=float, metavar="SECONDS", help="Follow the zenith angle through the run.")
@click.option("--leave-out-target", is_flag=True, help="Use no model made from observations of the same target.")
@click.option(
    "--normalise",
    type=click.Choice(NORMALISATIONS),
    default="none",
    show_default=True,
    help="Fit to the counts outside the exclusion regions: the norm, or norm and tilt in energy.",
)
@click.option("--norm-range", type=EnergyRange(), metavar="EMIN,EMAX", help="Energies in TeV to fit in.")
@click.option(
    "--model",
    type=click.Choice(MODELS),
    help="Of a regression: in DETY and DETX, or in the offset.  [default: as make-models was asked for]",
)
@masking_options
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run in OUT.")
@click.option("--strict", is_flag=True, help="Stop at the first observation that cannot be used.")
@level_option
@click.pass_context
def attach(
    ctx: click.Context,
    /,
    models: Path,
    data: Path,
    out: Path,
    *,
    scheme: str,
    copy: bool,
    **options: Any,
) -> None:
    """Put the background that fits it into each observation of the folder DATA.

    MODELS is a folder that make-models has written, or one model file: ours or any GADF BKG_2D or BKG_3D. The folder
    OUT becomes a data store that Gammapy opens, with a ledger of what each observation got.

    \b
    Examples:
      gpucube attach models $GAMMAPY_DATA/hess-dl3-dr1 dl3
      gpucube attach models runs dl3 --interpolate log --time-step 300
      gpucube attach models runs dl3 --normalise tilt --norm-range 0.5,20 --mask-regions sources.reg
      gpucube attach models/bg_cube_model_group21_table.fits.gz runs dl3 --link

    Exit status: 0 done, 1 input or options are wrong, 2 usage, 3 done but observations were skipped.
    """
    nothing_to_fit = "without --normalise; add --normalise norm or tilt" if options["normalise"] == "none" else ""
    mask = mask_from_options(ctx, options, unless=nothing_to_fit)
    settings = AttachSettings(link=not copy, **options)
    with progress_bar("observations") as step:
        summary = attach_models(models, data, out, scheme, settings, mask, progress=step)
    print_summary(summary)
    if summary.n_skipped:
        ctx.exit(SKIPPED_STATUS)


def print_summary(summary: AttachSummary) -> None:
    """Print how many observations got a background, and from which models."""
    attached = [row for row in summary.rows if row.status == "attached"]
    n_filled = sum(row.n_cells_filled for row in attached)
    click.echo(
        f"{len(summary.rows)} observations: {len(attached)} attached, {summary.n_skipped} skipped; "
        f"{n_filled:,} cells without rate filled; data store: {summary.folder}"
    )
