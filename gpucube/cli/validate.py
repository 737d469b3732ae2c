"""The command that scores models on observations."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from gpucube.arrays.backend import get_backend
from gpucube.arrays.rate import METHODS
from gpucube.cli.app import backend_option, cli, level_option, progress_bar
from gpucube.cli.grouping import grouping_options, groups_from_options
from gpucube.cli.make_models import SKIPPED_STATUS, EnergyBins, TermNames
from gpucube.cli.masking import refuse_without_mask
from gpucube.cli.numbers import print_astropy_table
from gpucube.cli.unused import refuse_unused
from gpucube.cubes.background import ALIGNMENTS
from gpucube.errors import OptionError
from gpucube.files import make_folder
from gpucube.observations.group_by import groups_by
from gpucube.observations.groups import ObservationGroups
from gpucube.observations.store import SCHEMES, DataStore
from gpucube.pipeline.select import unusable_rows
from gpucube.pipeline.settings import FITTED, MODELS, REGRESSION, Settings
from gpucube.plots import require_matplotlib
from gpucube.prediction.groups import INTERPOLATIONS
from gpucube.prediction.opening import open_predictor
from gpucube.report.validation import validation_notes, validation_tables, write_validation
from gpucube.validation.cells import read_cells
from gpucube.validation.folds import models_fit
from gpucube.validation.grid import ScoreGrid
from gpucube.validation.predictors import AsAttached, AttachedModels
from gpucube.validation.tables import worst
from gpucube.validation.validate import (
    Validation,
    choose_observations,
    training_observations,
    validate,
    validate_by_folds,
)

__all__ = ["validate_command"]

WORST = 5
# What models are made like
OF_MODELS = (
    "method",
    "terms",
    "threshold",
    "align",
    "energy_bins",
    "model",
    "fov",
    "pixels",
    "group_by",
    "min_livetime",
    "min_observations",
    "per_wobble",
    "groups_file",
)


class Range(click.ParamType[tuple[float, float]]):
    """Two numbers with a comma between them."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Turn text into two numbers."""
        if not isinstance(value, str):
            return value
        try:
            low, high = (float(text) for text in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not two numbers such as 0.25,20", param, ctx)
        return low, high


@cli.command("validate")
@click.argument("paths", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="[MODEL] DATA")
@click.option("--attached", is_flag=True, help="Score the backgrounds that the HDU index of DATA names; no MODEL.")
@click.option(
    "--cross-validate",
    "n_folds",
    type=int,
    metavar="K",
    help="Make models K times, each without a K-th of the targets, and score them there; no MODEL.",
)
@click.option(
    "--method",
    type=click.Choice([*METHODS, *FITTED]),
    default="default",
    show_default=True,
    help="With --cross-validate: how models are made, see make-models.",
)
@click.option(
    "--terms",
    type=TermNames(),
    metavar="NAME,...",
    help="With --cross-validate: terms of a regression, see make-models.",
)
@click.option(
    "--threshold",
    type=click.Choice(["share", "edge", "2015"]),
    default="share",
    show_default=True,
    help="With --cross-validate: see make-models.",
)
@click.option(
    "--align",
    type=click.Choice(ALIGNMENTS, case_sensitive=False),
    metavar="[ALTAZ|RADEC]",
    default="ALTAZ",
    show_default=True,
    help="With --cross-validate: orientation.",
)
@click.option(
    "--energy-bins", type=EnergyBins(), metavar="MIN,MAX,N", help="With --cross-validate: energy bins of the models."
)
@click.option(
    "--model",
    type=click.Choice(MODELS),
    default="3d",
    show_default=True,
    help="With --cross-validate: in DETY and DETX, or in the offset.",
)
@click.option("--fov", type=float, metavar="DEG", help="With --cross-validate: largest DETX and DETY of the models.")
@click.option("--pixels", type=int, metavar="N", help="With --cross-validate: bins of the models in DETX and DETY.")
@click.option(
    "--interpolate",
    type=click.Choice(INTERPOLATIONS),
    default="none",
    show_default=True,
    help="Between groups of neighbouring zenith angles.",
)
@grouping_options
@click.option(
    "--scheme",
    type=click.Choice([*SCHEMES, "auto"], case_sensitive=False),
    metavar="[HESS|GADF|auto]",
    default="auto",
    show_default=True,
    help="How files of DATA are named.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="AXIS",
    help="Score only observations in this range or with this value, such as 'TARGET_NAME=Off data' or ALT:45,90.",
)
@click.option(
    "--catalog",
    default="builtin",
    show_default=True,
    metavar="FILE|builtin|none",
    help="Observations near one of these sources are left out.",
)
@click.option("--mask", is_flag=True, help="Cut the sources out instead.")
@click.option(
    "--mask-radius", type=float, default=0.4, show_default=True, metavar="DEG", help="To cut out around a point source."
)
@click.option("--mask-regions", type=click.Path(path_type=Path), metavar="FILE", help="More regions to cut out.")
@click.option(
    "--energy-range", type=Range(), default="0.25,20", show_default=True, metavar="LOW,HIGH", help="Energies in TeV."
)
@click.option("--max-offset", type=float, default=2.0, show_default=True, metavar="DEG", help="Largest offset.")
@click.option(
    "--cell", type=float, default=0.5, show_default=True, metavar="DEG", help="Width of a cell in DETY and DETX."
)
@click.option("--bins-per-decade", type=click.IntRange(1), default=6, show_default=True, help="Energy bins of cells.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for tables, pictures and a page.")
@backend_option("numpy")
@level_option
@click.pass_context
def validate_command(ctx: click.Context, /, paths: tuple[Path, ...], **options: Any) -> None:
    """Score background models on observations.

    Counts of the observations in DATA are compared with those that the MODEL (a file or a folder) predicts, in cells of
    observation, energy and field of view. Skill is 0 for a flat field of view and 1 for a perfect model.

    \b
    Examples:
      gpucube validate models/bg_cube_model_group0_table.fits.gz DATA --energy-range 0.25,20 --max-offset 2
      gpucube validate --attached $GAMMAPY_DATA/hess-dl3-dr1 --out report
      gpucube validate --cross-validate 5 --method mayer2015 --group-by ALT:0,45,60,90 DATA
      gpucube validate --cross-validate 5 --method regression --terms +dead_time DATA
      gpucube validate models DATA --catalog none --only 'TARGET_NAME=Off data'

    Exit status: 0 done, 1 input or options are wrong, 2 usage, 3 done but observations were skipped.
    """
    if options["out"] is not None:
        require_matplotlib()
        make_folder(options["out"])
    model, data = _model_and_data(paths, options["attached"], options["n_folds"])
    _refuse_unused(ctx)
    groups = groups_from_options(options)
    store = DataStore.open(data, options["scheme"])
    settings = _settings(options)
    refuse_without_mask(ctx, settings)
    obs_ids, mask = choose_observations(store, settings, _only(options["only"]))
    grid = ScoreGrid.make(options["energy_range"], options["max_offset"], options["bins_per_decade"], options["cell"])
    backend = get_backend(options["backend"])
    if options["n_folds"]:
        with progress_bar("observations") as step:
            cells = read_cells(store, obs_ids, grid, settings.align, backend, mask, step)
        with TemporaryDirectory(prefix="gpucube-") as folder, progress_bar("folds") as step:
            fit = models_fit(settings, Path(folder), groups, options["interpolate"])
            result = validate_by_folds(options["method"], fit, store, cells, options["n_folds"], step)
    else:
        predictor = (
            AttachedModels(store) if model is None else AsAttached(open_predictor(model, options["interpolate"]))
        )
        training = None if model is None else training_observations(model)
        name = str(model or "backgrounds of the files")
        with progress_bar("observations") as step:
            result = validate(name, predictor, store, obs_ids, grid, backend, mask, training, step)
    print_validation(result)
    if options["out"] is not None:
        for path in write_validation(result, options["out"]):
            click.echo(path)
    if result.scores.cells.skipped or unusable_rows(store):
        ctx.exit(SKIPPED_STATUS)


def _model_and_data(paths: tuple[Path, ...], attached: bool, n_folds: int | None) -> tuple[Path | None, Path]:
    if attached and n_folds:
        raise click.UsageError("give either --attached or --cross-validate")
    if attached or n_folds:
        if len(paths) != 1:
            raise click.UsageError("with --attached or --cross-validate, give DATA only")
        return None, paths[0]
    if len(paths) != 2:
        raise click.UsageError("give MODEL and DATA, or DATA with --attached or --cross-validate K")
    return paths


def _refuse_unused(ctx: click.Context) -> None:
    if not ctx.params["n_folds"]:
        refuse_unused(ctx, OF_MODELS, "without --cross-validate K: they are for models that are made here")
    if ctx.params["attached"]:
        refuse_unused(ctx, ("interpolate",), "with --attached: each observation has a model of its own")
    if ctx.params["n_folds"] and ctx.params["method"] == REGRESSION:
        refuse_unused(ctx, ("interpolate",), "with --method regression: it has one model for all zenith angles")


def _settings(options: dict[str, Any]) -> Settings:
    names = (
        "method",
        "terms",
        "threshold",
        "align",
        "model",
        "fov",
        "pixels",
        "catalog",
        "backend",
        "mask",
        "mask_radius",
        "mask_regions",
    )
    return Settings(energy_edges=options["energy_bins"], **{name: options[name] for name in names})


def _only(texts: tuple[str, ...]) -> ObservationGroups | None:
    if not texts:
        return None
    try:
        groups = groups_by(texts)
    except OptionError as error:
        raise OptionError(str(error).replace("--group-by", "--only", 1)) from error
    if not isinstance(groups, ObservationGroups):
        raise OptionError("--only takes edges or values of a column")
    return groups


def print_validation(result: Validation) -> None:
    """Print scores, and where the models are wrong."""
    tables = validation_tables(result)
    print_astropy_table(f"scores of {result.name}", tables["scores"])
    for note in validation_notes(result):
        click.echo(note, err=note.startswith("warning"))
    for name in ("energy", "offset", "quadrant"):
        print_astropy_table(f"by {name}", tables[name])
    observations = worst(tables["observations"], "EXCESS_ABSOLUTE", WORST)
    print_astropy_table("observations that are predicted worst", observations)
    print_astropy_table("cells that are predicted worst", worst(tables["cells"], "PULL", WORST))
