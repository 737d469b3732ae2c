"""The command that puts two sets of models side by side."""

from __future__ import annotations

from pathlib import Path

import click

from gpucube.cli.app import cli, level_option, progress_bar
from gpucube.cli.numbers import print_astropy_table
from gpucube.files import make_folder
from gpucube.plots import require_matplotlib
from gpucube.report.comparison import write_comparison
from gpucube.validation.compare import compare_sets, comparison_table

__all__ = ["compare"]


@cli.command()
@click.argument("first", type=click.Path(path_type=Path), metavar="A")
@click.argument("second", type=click.Path(path_type=Path), metavar="B")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the table, pictures and a page.")
@level_option
def compare(first: Path, second: Path, out: Path | None) -> None:
    """Compare two sets of models: rates, their ratio, and pulls where the files have errors.

    A and B are folders of models or files. Groups of the same number are compared; a file is compared with all models
    of a folder. Where the bins of B differ from those of A, its rate is averaged over the bins of A.

    \b
    Examples:
      gpucube compare models-default models-mayer2015 --out comparison
      gpucube compare true.fits.gz models/bg_cube_model_group0_table.fits.gz
    """
    if out is not None:
        require_matplotlib()
        make_folder(out)
    with progress_bar("groups") as step:
        comparisons, notes = compare_sets(first, second, step)
    if any(comparison.is_resampled for comparison in comparisons):
        notes.append("the bins of the second models differ: their rates were averaged over those of the first")
    print_astropy_table(f"first: {first}, second: {second}", comparison_table(comparisons))
    for note in notes:
        click.echo(note)
    if out is not None:
        with progress_bar("pictures of groups") as step:
            paths = write_comparison(comparisons, (str(first), str(second)), out, notes, step)
        for path in paths:
            click.echo(path)
