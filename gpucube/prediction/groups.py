"""Models of groups of observations: that of an observation's own group, or one between neighbours in zenith angle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from numpy.typing import NDArray

from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.errors import DataError, ObservationError, OptionError
from gpucube.observations.columns import column_values
from gpucube.observations.conditions import Conditions
from gpucube.observations.groups import ObservationGroups
from gpucube.observations.table import ObservationTable
from gpucube.prediction.predictor import Predictor
from gpucube.prediction.regrid import regrid
from gpucube.prediction.stored import read_members, read_rate

__all__ = ["INTERPOLATIONS", "GroupModel", "GroupModels"]

INTERPOLATIONS = ("none", "linear", "log")
MODEL_FILE = re.compile(r"bg_cube_model_group(\d+)_table\.fits(?:\.gz)?")
ZENITH_AXES = ("ALT", "ALT_PNT", "ZEN", "ZEN_PNT", "ZENITH")
# Observations that point nearer to each other than this (deg) see the same target.
SAME_TARGET = 3.0
# A weight below this is the rounding error of a zenith angle.
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class GroupModel:
    """Model of a group, and what it was made of.

    Attributes
    ----------
    path : pathlib.Path
        Table file.
    cos_zenith : float
        Mean cosine of the zenith angle of its observations, weighted by livetime.
    ra, dec : numpy.ndarray of float64, shape (n_obs,)
        Where they pointed, in deg.
    """

    path: Path
    cos_zenith: float
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]

    def saw(self, lon: float, lat: float) -> bool:
        """Tell whether one of its observations pointed to a target.

        Parameters
        ----------
        lon, lat : float
            Position of the target in deg.

        Returns
        -------
        bool
            Whether one pointed within 3 deg of it.
        """
        pointings = SkyCoord(self.ra, self.dec, unit="deg")
        return bool((pointings.separation(SkyCoord(lon, lat, unit="deg")) < SAME_TARGET * u.deg).any())


Parts = tuple[tuple[int, float], ...]


@dataclass(frozen=True, eq=False)
class GroupModels(Predictor):
    """Models in a folder written by `make_models`.

    Attributes
    ----------
    folder : pathlib.Path
        The folder.
    groups : ObservationGroups
        Its groups.
    models : dict of int to GroupModel
        Models by GROUP_ID.
    interpolate : {"none", "linear", "log"}
        Whether to take the model of the group, or to interpolate the rate or its logarithm in the cosine of the
        zenith angle between neighbouring groups.
    leave_out_target : bool
        Whether to use no model of which an observation saw the same target.
    """

    folder: Path
    groups: ObservationGroups
    models: dict[int, GroupModel]
    interpolate: str = "none"
    leave_out_target: bool = False

    @classmethod
    def open(cls, folder: str | Path, interpolate: str = "none", leave_out_target: bool = False) -> GroupModels:
        """Open a folder.

        Parameters
        ----------
        folder : path-like
            Folder written by `make_models`.
        interpolate : {"none", "linear", "log"}
            How to go from group to group.
        leave_out_target : bool
            Whether to use no model of which an observation saw the same target.

        Returns
        -------
        GroupModels
            The models; their files are read when they are asked for.

        Raises
        ------
        OptionError
            There is no such interpolation.
        DataError
            The folder has no models, or its tables are missing or damaged.
        """
        folder = Path(folder)
        if interpolate not in INTERPOLATIONS:
            raise OptionError(f"interpolate is {interpolate!r}; choose from {', '.join(INTERPOLATIONS)}")
        found = {int(m[1]): path for path in sorted(folder.iterdir()) if (m := MODEL_FILE.fullmatch(path.name))}
        if not found:
            remedy = "name a folder that gpucube make-models has written, or a model file"
            raise DataError("no models (bg_cube_model_group*_table.fits.gz) in this folder", folder, remedy=remedy)
        groups = ObservationGroups.read(folder / "bg_observation_groups.ecsv")
        table = ObservationTable.read(folder / "bg_observation_table_grouped.fits.gz")
        models = {group_id: _describe(path, group_id, table) for group_id, path in found.items()}
        return cls(folder, groups, models, interpolate, leave_out_target)

    def predict(self, conditions: Conditions) -> BackgroundModel:
        """Predict the background of an observation: the mean over its steps of time.

        Parameters
        ----------
        conditions : Conditions
            The observation.

        Returns
        -------
        BackgroundModel
            Rate per livetime on the axes of the model that counts most.

        Raises
        ------
        ObservationError
            The observation belongs to no group, or there is no model for it.
        """
        steps, missing = self._steps(conditions)
        main = max(dict.fromkeys(group for step in steps for group, _ in step), key=lambda g: _weight(steps, g))
        model = read_rate(self.models[main].path)
        rates = {step: self._mix(step, model) for step in dict.fromkeys(steps)}
        total = _mean([rates[step].data for step in steps], np.ones(len(steps)))
        parts = ((group, _weight(steps, group)) for group in sorted({g for step in steps for g, _ in step}))
        text = " + ".join(f"{weight:.3g} group {group}" if weight < 1 else f"group {group}" for group, weight in parts)
        if missing:
            text += " instead of " + " and ".join(f"group {group}" for group in missing)
        return replace(model, rate=model.rate.with_data(total), meta=model.meta | {"BKGMODEL": text})

    def _steps(self, conditions: Conditions) -> tuple[list[Parts], list[int]]:
        """Groups and their weights in each step of time, and the own groups that have no part in theirs."""
        table = _as_table(conditions)
        try:
            ids, reasons = self.groups.group_ids(table), self.groups.reasons(table)
        except DataError as error:
            raise ObservationError(f"cannot be grouped: {error}", self.folder) from error
        usable = self._usable(conditions)
        cos_zenith = np.sin(np.deg2rad(conditions.altitude))
        steps = []
        for group_id, reason, position in zip(ids.tolist(), reasons, cos_zenith.tolist(), strict=True):
            if group_id < 0:
                raise ObservationError(f"belongs to no group of the models: {reason}", self.folder)
            steps.append(self._parts(group_id, position, usable))
        # Where groups are interpolated, which of them serve does not depend on the own one.
        missing = set(ids.tolist()) - usable if self.interpolate == "none" else set()
        return steps, sorted(missing)

    def _usable(self, conditions: Conditions) -> set[int]:
        if not self.leave_out_target:
            return set(self.models)
        target = conditions.target or conditions.pointing
        return {group_id for group_id, model in self.models.items() if not model.saw(*target)}

    def _parts(self, group_id: int, cos_zenith: float, usable: set[int]) -> Parts:
        if group_id in usable and self.interpolate == "none":
            return ((group_id, 1.0),)
        family = sorted(self._family(group_id) & usable, key=lambda group: self.models[group].cos_zenith)
        if not family or (self.interpolate == "none" and not self.leave_out_target):
            raise ObservationError(self._why_none(group_id), self.folder)
        positions = np.array([self.models[group].cos_zenith for group in family])
        if self.interpolate == "none":
            return ((family[int(np.argmin(np.abs(positions - cos_zenith)))], 1.0),)
        return _neighbours(family, positions, cos_zenith)

    def _why_none(self, group_id: int) -> str:
        what = f"group {group_id} ({self.groups.describe(group_id)})"
        if self.leave_out_target:
            return f"no model without observations of the same target for {what}"
        return f"no model of {what}" + (" or of its neighbours in zenith angle" if self.interpolate != "none" else "")

    def _family(self, group_id: int) -> set[int]:
        """Groups with models that differ in the zenith angle alone."""
        shape = self.groups.shape
        names = [axis.name.upper() for axis in self.groups.axes]
        other = [number for number, name in enumerate(names) if name not in ZENITH_AXES]
        own = np.unravel_index(group_id, shape)
        return {
            group for group in self.models if all(np.unravel_index(group, shape)[axis] == own[axis] for axis in other)
        }

    def _mix(self, parts: Parts, like: BackgroundModel) -> Cube:
        models = [read_rate(self.models[group].path) for group, _ in parts]
        for model in models:
            if len(model.axes) != len(like.axes) or model.fov_align != like.fov_align:
                raise DataError("models of different kind or alignment", self.folder, remedy="make them anew")
        rates = [regrid(model.rate, like.axes).data for model in models]
        weights = np.array([weight for _, weight in parts])
        linear = _mean(rates, weights)
        if self.interpolate != "log":
            return like.rate.with_data(linear)
        positive = np.all([rate > 0 for rate in rates], axis=0)
        logarithms = [np.log(np.where(positive, rate, 1.0)) for rate in rates]
        return like.rate.with_data(np.where(positive, np.exp(_mean(logarithms, weights)), linear))


def _describe(path: Path, group_id: int, table: ObservationTable) -> GroupModel:
    members = read_members(path)
    used = np.asarray(table["GROUP_ID"]) == group_id
    if members is not None:
        used &= np.isin(np.asarray(table["OBS_ID"]), members.obs_ids)
    rows = table[used]
    if not len(rows):
        raise DataError("its observations are not in bg_observation_table_grouped.fits.gz", path)
    names = ("RA_PNT", "DEC_PNT", "ALT_PNT")
    ra, dec, altitude = (column_values(rows, name, "deg") for name in names)
    livetime = column_values(rows, "LIVETIME", "s") if "LIVETIME" in rows.colnames else np.ones(len(rows))
    good = np.isfinite(altitude) & np.isfinite(livetime)
    return GroupModel(path, float(np.average(np.sin(np.deg2rad(altitude[good])), weights=livetime[good])), ra, dec)


def _as_table(conditions: Conditions) -> Table:
    """Conditions as an observation table, one row per step of time."""
    ra, dec = conditions.pointing
    numbers = conditions.covariates | {"OBS_ID": conditions.obs_id, "LIVETIME": conditions.livetime}
    table = Table({name: np.full(len(conditions.altitude), value) for name, value in numbers.items()})
    table["ALT_PNT"], table["AZ_PNT"] = conditions.altitude * u.deg, conditions.azimuth * u.deg
    table["RA_PNT"], table["DEC_PNT"] = (np.full(len(table), value) * u.deg for value in (ra, dec))
    return table


def _neighbours(family: list[int], positions: NDArray[np.float64], position: float) -> Parts:
    """The groups on both sides of a position and their weights; beyond the ends the nearest."""
    above = int(np.searchsorted(positions, position))
    if above == 0 or above == len(family):
        return ((family[min(above, len(family) - 1)], 1.0),)
    low, high = positions[above - 1], positions[above]
    weight = float((position - low) / (high - low))
    if not ROUNDING < weight < 1 - ROUNDING:
        return ((family[above - (weight < 0.5)], 1.0),)
    return ((family[above - 1], 1.0 - weight), (family[above], weight))


def _weight(steps: list[Parts], group: int) -> float:
    return sum(weight for step in steps for other, weight in step if other == group) / len(steps)


def _mean(arrays: Sequence[NDArray[np.float64]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean of what is not NaN."""
    known = [np.where(np.isfinite(array), weight, 0.0) for array, weight in zip(arrays, weights, strict=True)]
    total = np.sum(known, axis=0)
    weighted = sum(np.where(np.isfinite(array), array, 0.0) * part for array, part in zip(arrays, known, strict=True))
    return np.where(total > 0, weighted / np.where(total > 0, total, 1.0), np.nan)
