"""How good background models are: scores on observations, and models side by side."""

from gpucube.validation.folds import Fit, cross_validate, make_folds, models_fit
from gpucube.validation.grid import ScoreGrid
from gpucube.validation.predictors import AsAttached, AttachedModels
from gpucube.validation.scores import Score, Scores, score_cells
from gpucube.validation.validate import Validation, choose_observations, validate, validate_by_folds

__all__ = [
    "AsAttached",
    "AttachedModels",
    "Fit",
    "Score",
    "ScoreGrid",
    "Scores",
    "Validation",
    "choose_observations",
    "cross_validate",
    "make_folds",
    "models_fit",
    "score_cells",
    "validate",
    "validate_by_folds",
]
