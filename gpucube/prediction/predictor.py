"""What every kind of background model can do: predict the background of an observation."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gpucube.cubes.background import BackgroundModel
from gpucube.observations.conditions import Conditions

__all__ = ["Predictor"]


class Predictor(ABC):
    """Background models from which that of any observation follows."""

    @abstractmethod
    def predict(self, conditions: Conditions) -> BackgroundModel:
        """Predict the background of an observation.

        Parameters
        ----------
        conditions : Conditions
            The observation.

        Returns
        -------
        BackgroundModel
            On the host, mean rate of each bin per livetime, whatever the models were stored as; NaN where nothing is
            known.

        Raises
        ------
        ObservationError
            The models say nothing about such an observation.
        """
