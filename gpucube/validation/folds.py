"""Cross-validation that leaves out whole targets: models are made from the others, and predict the one left out.

Observations of one target see the same stars and are often taken one after the other: a model made from one of them
knows more of the others than it can know of a new target.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from numpy.typing import NDArray

from gpucube.arrays.backend import Array
from gpucube.errors import OptionError
from gpucube.observations.adaptive import AdaptiveGroups
from gpucube.observations.conditions import Conditions
from gpucube.observations.groups import ObservationGroups
from gpucube.observations.store import DataStore
from gpucube.observations.wobble import linked_positions
from gpucube.pipeline.make_models import make_models
from gpucube.pipeline.settings import Settings
from gpucube.prediction.opening import open_predictor
from gpucube.prediction.predictor import Predictor
from gpucube.validation.cells import ObservedCells
from gpucube.validation.predict import predict_cells
from gpucube.validation.predictors import AsAttached

__all__ = ["TARGET_DISTANCE", "Fit", "cross_validate", "find_targets", "make_folds", "models_fit"]

log = logging.getLogger(__name__)

#: Pointings nearer to each other than this (deg) are of one target.
TARGET_DISTANCE = 3.0

#: Makes models from some of the observations of a store.
Fit = Callable[[DataStore, Sequence[int]], Predictor]


def find_targets(pointings: Sequence[tuple[float, float]]) -> NDArray[np.int64]:
    """Tell which observations are of one target.

    Parameters
    ----------
    pointings : sequence of tuple of float
        Right ascension and declination in deg of each observation.

    Returns
    -------
    numpy.ndarray of int64, shape (n_obs,)
        Number of the target. Pointings that are linked by steps of less than `TARGET_DISTANCE` have the same.
    """
    return linked_positions(np.array(pointings, dtype=np.float64).reshape(-1, 2), TARGET_DISTANCE)


def make_folds(conditions: Sequence[Conditions], n_folds: int) -> list[list[int]]:
    """Share targets out among folds of about the same livetime.

    Parameters
    ----------
    conditions : sequence of Conditions
        Observations.
    n_folds : int
        Number of folds.

    Returns
    -------
    list of list of int
        OBS_ID of each fold, in the order of `conditions`; that order itself changes nothing.

    Raises
    ------
    OptionError
        There are fewer targets than folds, or fewer than two folds.
    """
    targets = find_targets([c.pointing for c in conditions])
    members = [
        [c for c, number in zip(conditions, targets, strict=True) if number == t] for t in range(targets.max() + 1)
    ]
    if not 2 <= n_folds <= len(members):
        raise OptionError(
            f"{n_folds} folds of {len(members)} targets: there must be at least 2, at most one per target"
        )
    # The longest first: what comes last is short, and fills what is left.
    members.sort(key=lambda target: (-sum(c.livetime for c in target), min(c.obs_id for c in target)))
    livetimes = np.zeros(n_folds)
    fold_of: dict[int, int] = {}
    for target in members:
        fold = int(np.argmin(livetimes))
        livetimes[fold] += sum(c.livetime for c in target)
        fold_of |= {c.obs_id: fold for c in target}
    return [[c.obs_id for c in conditions if fold_of[c.obs_id] == fold] for fold in range(n_folds)]


def cross_validate(
    fit: Fit,
    store: DataStore,
    cells: ObservedCells,
    folds: Sequence[Sequence[int]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Array:
    """Predict each fold with models made from the others.

    Parameters
    ----------
    fit : function (DataStore, sequence of int) -> Predictor
        Makes models from the observations of these OBS_ID; see `predict_cells` for what it returns.
    store : DataStore
        Observations.
    cells : ObservedCells
        What was observed in each observation of all folds.
    folds : sequence of sequence of int
        OBS_ID of each fold.
    progress : function (done, total)
        Called after each fold.

    Returns
    -------
    array of float64, shape (n_obs, n_energy, n_dety, n_detx)
        Expected counts in the order of `cells`; NaN where nothing is predicted.
    """
    parts: dict[int, Array] = {}
    for number, left_out in enumerate(folds):
        training = [obs_id for fold in folds if fold is not left_out for obs_id in fold]
        log.debug("fold %d: %d observations left out, %d to make models of", number, len(left_out), len(training))
        predictor = fit(store, training)
        chosen = cells.select(left_out)
        expected = predict_cells(predictor, chosen)
        parts |= {obs_id: expected[index, ...] for index, obs_id in enumerate(chosen.obs_ids)}
        progress(number + 1, len(folds))
    return cells.backend.xp.stack([parts[obs_id] for obs_id in cells.obs_ids])


def models_fit(
    settings: Settings,
    folder: Path,
    groups: ObservationGroups | AdaptiveGroups | None = None,
    interpolate: str = "none",
) -> Fit:
    """Way to make models with `gpucube.pipeline.make_models`.

    Parameters
    ----------
    settings : Settings
        What to make, and how.
    folder : pathlib.Path
        Where models are kept: in a new folder each time. They are read when they are asked for.
    groups : ObservationGroups or AdaptiveGroups, optional
        Groups of observations; those of 2015 if not given.
    interpolate : {"none", "linear", "log"}
        How to go from group to group, see `gpucube.prediction.GroupModels`.

    Returns
    -------
    function (DataStore, sequence of int) -> Predictor
        Makes the models.
    """

    def fit(store: DataStore, obs_ids: Sequence[int]) -> Predictor:
        out = Path(mkdtemp(prefix="models-", dir=folder))
        make_models(store.select(obs_ids), out, settings=settings, groups=groups)
        return AsAttached(open_predictor(out, interpolate))

    return fit
