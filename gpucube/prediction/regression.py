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
    kind : {"3d", "2d"}
        Whether to predict rates in DETY and DETX, or in the offset from the pointing.
    """

    model: RegressionModel
    name: str = "regression"
    kind: str = "3d"

    @classmethod
    def open(cls, path: str | Path, kind: str | None = None) -> RegressionPredictor:
        """Open a file.

        Parameters
        ----------
        path : path-like
            File of a regression.
        kind : {"3d", "2d"}, optional
            What to predict; what `make_models` was asked for if not given.

        Returns
        -------
        RegressionPredictor
            The predictor.

        Raises
        ------
        DataError
            The file holds no regression.
        """
        model = read_regression_model(path)
        return cls(model, Path(path).name, kind or str(model.meta.get("MODEL", "3d")))

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
        axes = self.model.radial_axes if self.kind == "2d" else self.model.axes
        background = self.model.background(conditions, axes)
        return replace(background, meta=background.meta | {"BKGMODEL": self.name})
