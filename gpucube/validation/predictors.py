"""Background models that are there already: a file for all observations, or the one that each came with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from astropy.io import fits

from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import read_background_model
from gpucube.errors import DataError
from gpucube.files import open_fits
from gpucube.observations.conditions import Conditions
from gpucube.observations.hdus import blame, find_hdu, require
from gpucube.observations.store import DataStore
from gpucube.pipeline.output import model_tables
from gpucube.prediction.predictor import Predictor

__all__ = ["AttachedModels", "OneModel", "mirrored", "open_models", "per_livetime"]

# Who wrote the H.E.S.S. test data of 2018, whose backgrounds have DETX growing with right ascension.
MIRRORED = {"CREATOR": "SASH FITS::EventListWriter", "HDUVERS": "0.2"}


def per_livetime(model: BackgroundModel, conditions: Conditions) -> BackgroundModel:
    """Rate per livetime of a model that may be per ontime.

    Parameters
    ----------
    model : BackgroundModel
        Model.
    conditions : Conditions
        The observation.

    Returns
    -------
    BackgroundModel
        The model, or one with another rate.
    """
    if model.rate_per == "LIVETIME":
        return model
    rate = model.rate.with_data(model.rate.data / conditions.dead_time_factor)
    return replace(model, rate=rate, error=None, rate_per="LIVETIME")


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
class OneModel(Predictor):
    """The same model for all observations.

    Attributes
    ----------
    model : BackgroundModel
        Model on the host.
    """

    model: BackgroundModel

    @classmethod
    def read(cls, path: str | Path) -> OneModel:
        """Read a model.

        Parameters
        ----------
        path : path-like
            Any file that `gpucube.cubes.fits.read_background_model` reads.

        Returns
        -------
        OneModel
            The model.
        """
        return cls(read_background_model(path))

    def predict(self, conditions: Conditions) -> BackgroundModel:
        """Predict the background of an observation.

        Parameters
        ----------
        conditions : Conditions
            The observation.

        Returns
        -------
        BackgroundModel
            The model, per livetime.
        """
        return per_livetime(self.model, conditions)


def open_models(path: str | Path) -> Predictor:
    """Open a file or a folder of models.

    Parameters
    ----------
    path : path-like
        Background model, or folder that make-models wrote.

    Returns
    -------
    Predictor
        The models, read whole.

    Raises
    ------
    DataError
        There is no model, or which of several predicts an observation is not known.
    """
    folder = Path(path)
    if not folder.is_dir():
        return OneModel.read(path)
    tables = model_tables(folder)
    if len(tables) != 1:
        raise DataError(f"{len(tables)} models", folder, remedy="give the file of one")
    return OneModel.read(*tables.values())


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
            Its model, per livetime, the right way round.

        Raises
        ------
        ObservationError
            It has none, or it cannot be read.
        """
        location = require(self.store.files_of(conditions.obs_id).background, "BKG")
        with blame(location.path):
            model = read_background_model(location.path)
        model = mirrored(model) if self._is_mirrored(conditions.obs_id) else model
        return per_livetime(model, conditions)

    def _is_mirrored(self, obs_id: int) -> bool:
        location = require(self.store.files_of(obs_id).events, "EVENTS")
        with blame(location.path), open_fits(location.path) as hdus:
            header: fits.Header = find_hdu(hdus, location, "EVENTS").header
            return all(str(header.get(key, "")).strip() == value for key, value in MIRRORED.items())
