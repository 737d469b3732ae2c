"""Choose observations, predict and score them: what `gpucube validate` does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.table import Table

from gpucube.arrays.backend import Backend, get_backend
from gpucube.errors import DataError, GpucubeError
from gpucube.files import open_fits
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.observations.store import DataStore
from gpucube.pipeline.mask import Mask
from gpucube.pipeline.output import LEDGER
from gpucube.pipeline.select import open_mask, select_observations
from gpucube.pipeline.settings import Settings
from gpucube.prediction.predictor import Predictor
from gpucube.validation.cells import ObservedCells, read_cells
from gpucube.validation.folds import Fit, cross_validate, make_folds
from gpucube.validation.grid import ScoreGrid
from gpucube.validation.predict import predict_usable_cells, predicted_alignment
from gpucube.validation.scores import Scores, score_cells

__all__ = ["Validation", "choose_observations", "training_observations", "validate", "validate_by_folds"]

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

# Of which a message tells
MOST_REASONS = 4
EVERYTHING = ObservationGroups([ObservationGroupAxis("ALT", edges=(-90, 90), unit="deg")])


def _silent(done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, eq=False)
class Validation:
    """Scores, and what they are scores of.

    Attributes
    ----------
    name : str
        What was scored.
    scores : Scores
        The scores.
    training : set of int, optional
        Observations that the models were made from, if that is known.
    folds : list of list of int
        OBS_ID of each fold, where models were made for each.
    """

    name: str
    scores: Scores
    training: set[int] | None = None
    folds: list[list[int]] = field(default_factory=list)

    @property
    def seen(self) -> list[int]:
        """Scored observations that the models were made from."""
        return [obs_id for obs_id in self.scores.cells.obs_ids if obs_id in (self.training or set())]


def choose_observations(
    store: DataStore, settings: Settings, only: ObservationGroups | None = None
) -> tuple[list[int], Mask | None]:
    """Choose what to score: observations that models could be made from.

    Parameters
    ----------
    store : DataStore
        Observations.
    settings : Settings
        Of these, `catalog`, `strict` and those of the mask.
    only : ObservationGroups, optional
        Only observations that are in one of these groups.

    Returns
    -------
    obs_ids : list of int
        The observations.
    mask : Mask or None
        What is to be left out of them.

    Raises
    ------
    GpucubeError
        There are none.
    """
    rows = select_observations(store, settings, only or EVERYTHING).rows
    chosen = [row.obs_id for row in rows if row.status == "used"]
    reasons = [row.status for row in rows if row.status != "used"]
    log.info("%d of %d observations are scored", len(chosen), len(rows))
    if not chosen:
        _refuse_only(store, only)
        counts = ", ".join(f"{reasons.count(reason)} {reason}" for reason in sorted(set(reasons)))
        raise GpucubeError(f"{store.path}: no observation to score: {counts}; choose another catalog, or a mask")
    return chosen, open_mask(settings)


def _refuse_only(store: DataStore, only: ObservationGroups | None) -> None:
    """Say so if nothing is left whatever the catalogue."""
    outside = only.reasons(store.table) if only else [""]
    if all(outside):
        reasons = list(dict.fromkeys(outside))
        some = "; ".join(reasons[:MOST_REASONS]) + "; ..." * (len(reasons) > MOST_REASONS)
        raise GpucubeError(f"{store.path}: --only leaves none of {len(outside)} observations: {some}")


def validate(
    name: str,
    predictor: Predictor,
    store: DataStore,
    obs_ids: Sequence[int],
    grid: ScoreGrid | None = None,
    backend: Backend | None = None,
    mask: Mask | None = None,
    training: set[int] | None = None,
    progress: Progress = _silent,
) -> Validation:
    """Score models on observations.

    Parameters
    ----------
    name : str
        What is scored.
    predictor : Predictor
        The models.
    store : DataStore
        Observations.
    obs_ids : sequence of int
        Which of them.
    grid : ScoreGrid, optional
        Cells in which counts are compared.
    backend : Backend, optional
        Where to compute; NumPy if not given.
    mask : Mask, optional
        What to leave out of observations.
    training : set of int, optional
        Observations that the models were made from, if that is known.
    progress : function (done, total)
        Called after each observation.

    Returns
    -------
    Validation
        The scores, without observations that cannot be read, or whose own background cannot.
    """
    align = predicted_alignment(predictor, store, obs_ids)
    backend = backend or get_backend("numpy")
    cells = read_cells(store, obs_ids, grid or ScoreGrid.make(), align, backend, mask, progress)
    return Validation(name, score_cells(*predict_usable_cells(predictor, cells)), training)


def validate_by_folds(
    name: str, fit: Fit, store: DataStore, cells: ObservedCells, n_folds: int, progress: Progress = _silent
) -> Validation:
    """Score a way to make models on targets that the models were not made from.

    Parameters
    ----------
    name : str
        What is scored.
    fit : function (DataStore, sequence of int) -> Predictor
        Makes models, see `gpucube.validation.folds.Fit`.
    store : DataStore
        Observations.
    cells : ObservedCells
        What was observed.
    n_folds : int
        Number of folds.
    progress : function (done, total)
        Called after each fold.

    Returns
    -------
    Validation
        The scores.
    """
    folds = make_folds(cells.conditions, n_folds)
    return Validation(name, score_cells(cells, cross_validate(fit, store, cells, folds, progress)), None, folds)


def training_observations(path: Path) -> set[int] | None:
    """Find out from which observations models were made.

    Parameters
    ----------
    path : pathlib.Path
        Folder of models, or file of a model.

    Returns
    -------
    set of int or None
        OBS_ID of those that were used, None if neither a ledger nor the file says.
    """
    try:
        if path.is_dir():
            table = Table.read(path / LEDGER, format="ascii.ecsv")
        else:
            with open_fits(path) as hdus:
                if "OBSERVATIONS" not in hdus:
                    return None
                table = Table(hdus["OBSERVATIONS"].data)
        used = np.char.strip(np.asarray(table["STATUS"]).astype(str)) == "used"
        return set(np.asarray(table["OBS_ID"])[used].tolist())
    except (DataError, OSError, KeyError):
        return None
