"""The command that makes a synthetic data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gpucube.arrays.backend import get_backend
from gpucube.cli.app import backend_option, cli, level_option, progress_bar
from gpucube.observations.store import SCHEMES
from gpucube.synthetic.dataset import make_test_dataset

__all__ = ["make_test_dataset_command"]


@cli.command("make-test-dataset")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--scheme",
    type=click.Choice(list(SCHEMES), case_sensitive=False),
    metavar="[GADF|HESS]",
    default="GADF",
    show_default=True,
    help="How files are named: as make-models reads them.",
)
@click.option("--n-obs", type=click.IntRange(1), default=10, show_default=True, help="Number of observations.")
@click.option("--observatory", default="HESS", show_default=True, help="Where the telescopes stand.")
@click.option(
    "--alt-range",
    type=float,
    nargs=2,
    default=(45.0, 90.0),
    show_default=True,
    help="Altitudes in deg, two numbers: lowest, highest.",
)
@click.option(
    "--az-range", type=float, nargs=2, default=(0.0, 360.0), show_default=True, help="Azimuths in deg, two numbers."
)
@click.option(
    "--date-range",
    type=str,
    nargs=2,
    default=("2010-01-01", "2015-01-01"),
    show_default=True,
    help="Two dates: first, last.",
)
@click.option(
    "--n-tels-range",
    type=int,
    nargs=2,
    default=(3, 4),
    show_default=True,
    help="Numbers of telescopes, two: least, most.",
)
@click.option("--sigma", type=float, default=5.0, show_default=True, help="Width of the field of view in deg.")
@click.option("--spectral-index", type=float, default=2.7, show_default=True, help="Of the background.")
@click.option("--threshold", type=float, default=0.1, show_default=True, help="Energy threshold in TeV.")
@click.option("--trigger-rate", type=float, default=300.0, show_default=True, help="Events per second at the zenith.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same files.")
@backend_option("numpy")
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
    with progress_bar("observations") as step:
        make_test_dataset(out, progress=step, **options)
    click.echo(f"wrote {options['n_obs']} observations to {out}; try: gpucube make-models {out} auto models")
