"""Open models of whichever kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpucube.errors import DataError, OptionError
from gpucube.prediction.groups import GroupModels
from gpucube.prediction.predictor import Predictor
from gpucube.prediction.regression import RegressionPredictor
from gpucube.prediction.single import SingleModel
from gpucube.prediction.stored import read_rate
from gpucube.regression.model import REGRESSION_FILE, is_regression_file

__all__ = ["open_predictor"]


def open_predictor(
    path: str | Path, interpolate: str = "none", leave_out_target: bool = False, kind: str | None = None
) -> Predictor:
    """Open a folder of models, or one model.

    Parameters
    ----------
    path : path-like
        Folder written by `make_models`, of which a regression counts if there is one, or a model file.
    interpolate : {"none", "linear", "log"}
        For a folder of models of groups: how to go from group to group.
    leave_out_target : bool
        For a folder of models of groups: whether to use no model of which an observation saw the same target.
    kind : {"3d", "2d"}, optional
        For a regression: what to predict; what `make_models` was asked for if not given.

    Returns
    -------
    Predictor
        What predicts the background of an observation.

    Raises
    ------
    DataError
        There is no such file or folder, or it has no models.
    OptionError
        `kind` is given, but there is no regression; or `interpolate` or `leave_out_target`, but there are no groups.
    """
    path = Path(path)
    regression = path / REGRESSION_FILE
    # A damaged one is an error: the models of groups beside it must not serve in its place without a word.
    if regression.exists() or is_regression_file(path):
        _refuse_choice(path, "a regression", interpolate, leave_out_target)
        return RegressionPredictor.open(regression if regression.exists() else path, kind)
    if kind is not None:
        raise OptionError(f"{path} is no regression: its models are 2d or 3d as they were made; leave out --model")
    if path.is_dir():
        return GroupModels.open(path, interpolate, leave_out_target)
    if not path.exists():
        raise DataError("no such file or folder", path, remedy="name a folder of models, or a model file")
    if not (np.nan_to_num(read_rate(path).rate.data) > 0).any():
        raise DataError("the model has no positive rate", path, column="BKG", remedy="make it of more observations")
    _refuse_choice(path, "one model", interpolate, leave_out_target)
    return SingleModel(path)


def _refuse_choice(path: Path, what: str, interpolate: str, leave_out_target: bool) -> None:
    """Refuse what chooses among models where there is one for all observations."""
    given = ["--interpolate"] * (interpolate != "none") + ["--leave-out-target"] * leave_out_target
    if given:
        raise OptionError(
            f"{' and '.join(given)} {'has' if len(given) == 1 else 'have'} no effect: {path} is {what} for all "
            f"observations; leave {'it' if len(given) == 1 else 'them'} out, or name a folder of models of groups"
        )
