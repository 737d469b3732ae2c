"""Models as files have them: what they know, per livetime."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.table import Table

from gpucube.cubes.axis import Axis
from gpucube.cubes.background import FLOOR_2015, RATE_UNIT, BackgroundModel
from gpucube.cubes.fits import read_background_model
from gpucube.errors import DataError
from gpucube.files import open_fits
from gpucube.observations.mirrored import is_mirrored

__all__ = ["MIRRORED", "Members", "known_rate", "read_members", "read_rate"]

# Rounding in a file must not lift the floor above itself.
FLOOR = FLOOR_2015 * (1 + 1e-6)
CACHED_MODELS = 128
# Keyword of a background that is mirrored on purpose.
MIRRORED = "BKGMIRR"


class Members:
    """Observations that a model was made of.

    Parameters
    ----------
    obs_ids : sequence of int
        Their identifiers.
    livetimes, ontimes : sequence of float
        Their times in s.
    """

    def __init__(self, obs_ids: np.ndarray, livetimes: np.ndarray, ontimes: np.ndarray) -> None:
        self.obs_ids, self.livetimes, self.ontimes = obs_ids, livetimes, ontimes

    @property
    def dead_time_factor(self) -> float:
        """Sum of the livetimes over that of the ontimes."""
        return float(np.sum(self.livetimes) / np.sum(self.ontimes))


def read_members(path: Path) -> Members | None:
    """Read which observations a model was made of.

    Parameters
    ----------
    path : pathlib.Path
        Model file.

    Returns
    -------
    Members or None
        The observations; None if the file does not say.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    with open_fits(path) as hdus:
        if "OBSERVATIONS" not in hdus:
            return None
        table = Table(hdus["OBSERVATIONS"].data)
        used = np.char.strip(np.asarray(table["STATUS"], dtype=str)) == "used"
        columns = (np.asarray(table[name])[used] for name in ("OBS_ID", "LIVETIME", "ONTIME"))
        obs_ids, livetimes, ontimes = columns
    if not len(obs_ids):
        raise DataError("no observation was used for this model", path, "OBSERVATIONS", "STATUS")
    return Members(obs_ids.astype(np.int64), livetimes.astype(np.float64), ontimes.astype(np.float64))


@lru_cache(maxsize=CACHED_MODELS)
def read_rate(path: Path) -> BackgroundModel:
    """Read what a model file knows: its rate, NaN without exposure, 0 instead of the floor of 2015.

    Parameters
    ----------
    path : pathlib.Path
        Model file.

    Returns
    -------
    BackgroundModel
        Rate alone, in 1 / (s TeV sr); per livetime if the file says which observations the model was made of.

    Raises
    ------
    DataError
        The file is no background model.
    """
    return known_rate(read_background_model(path), path)


def known_rate(model: BackgroundModel, path: Path) -> BackgroundModel:
    """Give what a model knows: its rate, NaN without exposure, 0 instead of the floor of 2015.

    Parameters
    ----------
    model : BackgroundModel
        Model as `gpucube.cubes.fits.read_background_model` gives it.
    path : pathlib.Path
        File that it was read from.

    Returns
    -------
    BackgroundModel
        What `read_rate` gives.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    rate = model.rate.quantity.to_value(RATE_UNIT).astype(np.float64)
    if len(model.axes) == 3 and _is_mirrored(path):
        model, rate = _mirrored(model), rate[:, :, ::-1]
    rate = np.where(rate > FLOOR, rate, np.where(np.isnan(rate), np.nan, 0.0))
    if model.livetime is not None:
        rate = np.where(np.asarray(model.livetime.data) > 0, rate, np.nan)
    members = read_members(path)
    if model.rate_per == "ONTIME" and members is not None:
        rate, model = rate / members.dead_time_factor, replace(model, rate_per="LIVETIME")
    cube = model.rate.with_data(rate, RATE_UNIT)
    return replace(model, rate=cube, counts=None, livetime=None, error=None, floor=None)


def _is_mirrored(path: Path) -> bool:
    """Whether DETX of a background grows with right ascension: in files of one observation, and in some of attach."""
    with open_fits(path) as hdus:
        written_so = any(hdu.header.get(MIRRORED, False) for hdu in hdus)
        return written_so or ("EVENTS" in hdus and is_mirrored(hdus["EVENTS"].header))


def _mirrored(model: BackgroundModel) -> BackgroundModel:
    """Model on the axes of its mirror image, aligned with RADEC."""
    energy, dety, detx = model.axes
    axes = (energy, dety, Axis("detx", -detx.edges[::-1], detx.unit))
    return replace(model, rate=replace(model.rate, axes=axes), livetime=None, fov_align="RADEC")
