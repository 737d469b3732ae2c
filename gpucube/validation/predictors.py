"""Models as they are scored: those that observations came with, and any others as they would be attached."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import read_background_model
from gpucube.errors import DataError, ObservationError
from gpucube.files import open_fits
from gpucube.observations.conditions import Conditions
from gpucube.observations.hdus import blame, find_hdu, require
from gpucube.observations.mirrored import is_mirrored
from gpucube.observations.store import DataStore
from gpucube.prediction.centers import rates_at_centers
from gpucube.prediction.filling import fill_model
from gpucube.prediction.predictor import Predictor

__all__ = ["AsAttached", "AttachedModels", "BackgroundError", "mirrored"]


class BackgroundError(ObservationError):
    """An observation has no background of its own, or one that cannot be read: it is not that models know nothing."""


def mirrored(model: BackgroundModel) -> BackgroundModel:
    """The same model with DETX in the other direction.

    Parameters
    ----------
    model : BackgroundModel
        Model on the host.

    Returns
    -------
    BackgroundModel
        Mirrored model: rate only.
    """
    if len(model.axes) != 3:
        return model
    energy, dety, detx = model.axes
    turned = replace(detx, edges=-detx.edges[::-1])
    rate = replace(model.rate, axes=(energy, dety, turned), data=model.rate.data[:, :, ::-1])
    return replace(model, rate=rate, error=None, counts=None, livetime=None)


@dataclass(frozen=True, eq=False)
class AsAttached(Predictor):
    """Models as `gpucube attach` writes them: a rate everywhere, and that at the centres of bins.

    Attributes
    ----------
    predictor : Predictor
        Models with mean rates of bins, that may not know all cells.
    """

    predictor: Predictor

    def predict(self, conditions: Conditions) -> BackgroundModel:
        """Predict the background of an observation.

        Parameters
        ----------
        conditions : Conditions
            The observation.

        Returns
        -------
        BackgroundModel
            What is predicted, filled by `gpucube.prediction.filling.fill_model`; rates at the centres of bins.

        Raises
        ------
        ObservationError
            The models say nothing about such an observation.
        """
        try:
            return rates_at_centers(fill_model(self.predictor.predict(conditions))[0])
        except DataError as error:
            raise ObservationError(error.problem, error.path, error.hdu, error.column, error.remedy) from error


@dataclass(frozen=True, eq=False)
class AttachedModels(Predictor):
    """The models that observations came with, as the HDU index names them.

    Attributes
    ----------
    store : DataStore
        The observations.
    """

    store: DataStore

    def predict(self, conditions: Conditions) -> BackgroundModel:
        """Read the background of an observation.

        Parameters
        ----------
        conditions : Conditions
            The observation.

        Returns
        -------
        BackgroundModel
            Its model, per livetime, the right way round; Gammapy reads its rates as those at the centres of bins.

        Raises
        ------
        BackgroundError
            It has none, or it cannot be read.
        """
        try:
            model = self._read(conditions.obs_id)
        except ObservationError as error:
            raise BackgroundError(error.problem, error.path, error.hdu, error.column, error.remedy) from error
        if model.rate_per == "LIVETIME":
            return model
        rate = model.rate.with_data(model.rate.data / conditions.dead_time_factor)
        return replace(model, rate=rate, error=None, rate_per="LIVETIME")

    def _read(self, obs_id: int) -> BackgroundModel:
        location = require(self.store.files_of(obs_id).background, "BKG")
        with blame(location.path):
            model = read_background_model(location.path)
        return mirrored(model) if self._is_mirrored(obs_id) else model

    def _is_mirrored(self, obs_id: int) -> bool:
        location = require(self.store.files_of(obs_id).events, "EVENTS")
        with blame(location.path), open_fits(location.path) as hdus:
            return is_mirrored(find_hdu(hdus, location, "EVENTS").header)
