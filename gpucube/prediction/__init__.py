"""The background of one observation, from models of whichever kind."""

from gpucube.prediction.filling import fill_model
from gpucube.prediction.groups import GroupModels
from gpucube.prediction.opening import open_predictor
from gpucube.prediction.predictor import Predictor
from gpucube.prediction.single import SingleModel

__all__ = ["GroupModels", "Predictor", "SingleModel", "fill_model", "open_predictor"]
