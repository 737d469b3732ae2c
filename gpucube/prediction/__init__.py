"""The background of one observation, from models of whichever kind."""

from gpucube.prediction.predictor import Predictor

__all__ = ["Predictor"]
