"""One model for all observations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gpucube.cubes.background import BackgroundModel
from gpucube.observations.conditions import Conditions
from gpucube.prediction.predictor import Predictor
from gpucube.prediction.stored import read_rate

__all__ = ["SingleModel"]


@dataclass(frozen=True)
class SingleModel(Predictor):
    """A model file that serves for all observations, by gpucube or any GADF ``BKG_2D`` or ``BKG_3D``.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    """

    path: Path

    def predict(self, conditions: Conditions) -> BackgroundModel:
        """Give the model of the file.

        Parameters
        ----------
        conditions : Conditions
            The observation.

        Returns
        -------
        BackgroundModel
            Rate per livetime; a rate per ontime of unknown observations is taken as one of this observation.

        Raises
        ------
        DataError
            The file is no background model.
        """
        model = read_rate(self.path)
        if model.rate_per == "ONTIME":
            rate = model.rate.with_data(model.rate.data / conditions.dead_time_factor)
            model = replace(model, rate=rate, rate_per="LIVETIME")
        return replace(model, meta=model.meta | {"BKGMODEL": self.path.name})
