"""Open models of whichever kind."""

from __future__ import annotations

from pathlib import Path

from gpucube.errors import DataError
from gpucube.prediction.groups import GroupModels
from gpucube.prediction.predictor import Predictor
from gpucube.prediction.single import SingleModel
from gpucube.prediction.stored import read_rate

__all__ = ["open_predictor"]


def open_predictor(path: str | Path, interpolate: str = "none", leave_out_target: bool = False) -> Predictor:
    """Open a folder of models, or one model.

    Parameters
    ----------
    path : path-like
        Folder written by `make_models`, or a model file.
    interpolate : {"none", "linear", "log"}
        For a folder: how to go from group to group.
    leave_out_target : bool
        For a folder: whether to use no model of which an observation saw the same target.

    Returns
    -------
    Predictor
        What predicts the background of an observation.

    Raises
    ------
    DataError
        There is no such file or folder, or it has no models.
    """
    path = Path(path)
    if path.is_dir():
        return GroupModels.open(path, interpolate, leave_out_target)
    if not path.exists():
        raise DataError("no such file or folder", path, remedy="name a folder of models, or a model file")
    read_rate(path)
    return SingleModel(path)
