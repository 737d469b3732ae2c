"""The regression as a predictor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gpucube.cubes.background import BackgroundModel
from gpucube.observations.conditions import Conditions
from gpucube.prediction.predictor import Predictor
from gpucube.regression.model import RegressionModel, read_regression_model

__all__ = ["RegressionPredictor"]


@dataclass(frozen=True, eq=False)
class RegressionPredictor(Predictor):
    """A regression, evaluated at the conditions of each observation.

    Attributes
    ----------
    model : RegressionModel
        The regression.
    name : str
        What to call it in headers.
    """

    model: RegressionModel
    name: str = "regression"

    @classmethod
    def open(cls, path: str | Path) -> RegressionPredictor:
        """Open a file.

        Parameters
        ----------
        path : path-like
            File of a regression.

        Returns
        -------
        RegressionPredictor
            The predictor.

        Raises
        ------
        DataError
            The file holds no regression.
        """
        return cls(read_regression_model(path), Path(path).name)

    def predict(self, conditions: Conditions) -> BackgroundModel:
        """Predict the background of an observation: the mean over its steps of time.

        Parameters
        ----------
        conditions : Conditions
            The observation.

        Returns
        -------
        BackgroundModel
            Rate per livetime on the axes of the regression.

        Raises
        ------
        ObservationError
            A term asks for a number that the observation does not have.
        """
        background = self.model.background(conditions)
        return replace(background, meta=background.meta | {"BKGMODEL": self.name})
