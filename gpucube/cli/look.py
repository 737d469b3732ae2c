"""Commands that show what is there: data, models, array libraries."""

from __future__ import annotations

from dataclasses import astuple, fields
from pathlib import Path

import click

from gpucube.arrays.backend import backend_statuses
from gpucube.cli.app import USER_BACKENDS, cli, level_option, new_table, print_table
from gpucube.cubes.fits import read_background_model
from gpucube.errors import DataError
from gpucube.files import make_folder
from gpucube.inspection import ModelRow, describe_file, describe_folder
from gpucube.pipeline.output import model_tables
from gpucube.plots import plot_model
from gpucube.regression.model import is_regression_file

__all__ = ["backends", "info", "make_pictures", "plot"]


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@level_option
def info(path: Path) -> None:
    """Say what is in a data store, a folder of models, a background model, a regression or a ledger.

    \b
    Examples:
      gpucube info $GAMMAPY_DATA/hess-dl3-dr1
      gpucube info models
      gpucube info models/bg_cube_model_group21_table.fits.gz
      gpucube info models/bg_event_ledger.ecsv
    """
    found = describe_folder(path) if path.is_dir() else describe_file(path)
    table = new_table(str(path), "", "")
    table.show_header = False
    for name, value in found.facts.items():
        table.add_row(name, value)
    print_table(table)
    if found.models:
        models = new_table("models", *(field.name for field in fields(ModelRow)))
        for row in found.models:
            models.add_row(*astuple(row))
        print_table(models)


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

    MODEL is a file, or a folder of models, which are all drawn.

    \b
    Examples:
      gpucube plot models --out pictures
      gpucube plot models/bg_cube_model_group21_table.fits.gz --out pictures
    """
    for path in _models(model):
        for picture in make_pictures(path, out):
            click.echo(picture)


def _models(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = model_tables(path)
    if not found:
        raise DataError("no models (bg_cube_model_group*_table.fits.gz) in this folder", path)
    return [found[group_id] for group_id in sorted(found)]


@cli.command()
@level_option
def backends() -> None:
    """Say which array libraries and devices work here.

    \b
    Example:
      gpucube backends
    """
    table = new_table("backends", "backend", "works", "detail")
    for status in backend_statuses():
        if status.name in USER_BACKENDS:
            table.add_row(status.name, "yes" if status.works else "no", status.detail)
    print_table(table)


def make_pictures(path: Path, folder: Path) -> list[Path]:
    """Make all pictures of a model file."""
    if is_regression_file(path):
        remedy = "draw the models of groups beside it: bg_cube_model_group*_table.fits.gz"
        raise DataError("a regression is no single image", path, remedy=remedy)
    model = read_background_model(path)
    make_folder(folder)
    return plot_model(model, folder, path.name.partition(".fits")[0])
