"""One observation: its background, made and written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from gpucube.attach.dl3 import file_bytes, join, signed, split, with_background
from gpucube.attach.ledger import AttachRow
from gpucube.attach.normalise import normalised
from gpucube.attach.orient import as_mirrored
from gpucube.attach.plan import Target
from gpucube.attach.settings import AttachSettings
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import CREATOR, GADF_CLASS, background_hdu
from gpucube.errors import DataError, ObservationError
from gpucube.files import fits_bytes, open_fits, write_by_name
from gpucube.observations.conditions import Conditions, read_conditions
from gpucube.observations.hdus import blame, find_hdu, require
from gpucube.observations.mirrored import is_mirrored
from gpucube.observations.store import DataStore
from gpucube.pipeline.mask import Mask
from gpucube.prediction.centers import rates_at_centers
from gpucube.prediction.filling import fill_model
from gpucube.prediction.predictor import Predictor

__all__ = ["Attached", "Task", "attach_one"]


@dataclass(frozen=True, eq=False)
class Task:
    """What a worker needs to know about an observation.

    Attributes
    ----------
    store : DataStore
        Store of this observation.
    obs_id : int
        Observation.
    predictor : Predictor
        Models.
    settings : AttachSettings
        What to do.
    mask : Mask, optional
        What to leave out of its counts.
    target : Target, optional
        Old file that gets the background; None if a new one is made for it.
    copies : tuple of (pathlib.Path, pathlib.Path)
        Files of this observation alone, and where they are copied to.
    new_file : pathlib.Path
        File that holds the background afterwards.
    """

    store: DataStore
    obs_id: int
    predictor: Predictor
    settings: AttachSettings
    mask: Mask | None
    target: Target | None
    copies: tuple[tuple[Path, Path], ...]
    new_file: Path


@dataclass(frozen=True)
class Attached:
    """What became of an observation.

    Attributes
    ----------
    row : AttachRow
        For the ledger.
    hdu_class : str
        GADF class of its background, in small letters.
    error : ObservationError, optional
        Why it was skipped.
    """

    row: AttachRow
    hdu_class: str = ""
    error: ObservationError | None = None


def attach_one(task: Task) -> Attached:
    """Predict the background of an observation and write it.

    Parameters
    ----------
    task : Task
        The observation.

    Returns
    -------
    Attached
        What was done. An error is a value here: it has to come back from other processes in its turn.
    """
    try:
        model, row = _background(task)
        _write(task, _hdu(model, task, row))
        return Attached(row, GADF_CLASS[tuple(axis.name for axis in model.axes)].lower())
    except DataError as error:
        problem = ObservationError(error.problem, error.path, error.hdu, error.column, error.remedy)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # Whatever a damaged file makes a library raise, it must not cost the other observations.
        problem = ObservationError(f"cannot be used: {type(error).__name__}: {error}", task.store.path)
    return Attached(AttachRow(task.obs_id, "skipped"), error=problem)


def _background(task: Task) -> tuple[BackgroundModel, AttachRow]:
    """Rate per ontime of an observation, as Gammapy is to read it."""
    settings = task.settings
    conditions = read_conditions(task.store, task.obs_id, settings.time_step)
    predicted = task.predictor.predict(conditions)
    model, n_filled = fill_model(predicted)
    share = _filled_share(model, np.asarray(predicted.rate.data))
    norm, tilt = 1.0, 0.0
    if settings.normalise != "none":
        model, norm, tilt = normalised(model, task.store, task.obs_id, task.mask, settings)
    model = _per_ontime(rates_at_centers(model), conditions)
    if settings.link and len(model.axes) == 3 and _is_mirrored(task):
        model = as_mirrored(model, task.store, task.obs_id)
    text = str(model.meta.get("BKGMODEL", ""))
    return model, AttachRow(task.obs_id, "attached", "", text, n_filled, share, norm, tilt)


def _filled_share(model: BackgroundModel, predicted: np.ndarray) -> float:
    """Share of filled cells in the counts of those energies at which the models know something."""
    counts = model.rate.data * model.rate.bin_volume
    field = tuple(range(1, predicted.ndim))
    known = np.isfinite(predicted).any(axis=field, keepdims=True)
    return float(np.sum(counts, where=known & ~(predicted > 0)) / np.sum(counts, where=known & (counts > 0)))


def _per_ontime(model: BackgroundModel, conditions: Conditions) -> BackgroundModel:
    rate = model.rate.with_data(model.rate.data * conditions.dead_time_factor)
    return replace(model, rate=rate, rate_per="ONTIME")


def _is_mirrored(task: Task) -> bool:
    location = require(task.store.files_of(task.obs_id).events, "EVENTS")
    with blame(location.path), open_fits(location.path) as hdus:
        return is_mirrored(find_hdu(hdus, location, "EVENTS").header)


def _hdu(model: BackgroundModel, task: Task, row: AttachRow) -> fits.BinTableHDU:
    hdu = background_hdu(model)
    hdu.name = task.target.name if task.target else "BKG"
    hdu.header["OBS_ID"] = (row.obs_id, "observation that this background is for")
    hdu.header["CREATOR"] = CREATOR
    hdu.header["NFILLED"] = (row.n_cells_filled, "cells in which the models have no rate")
    hdu.header["BKGNORM"] = (row.norm, "rate was multiplied by BKGNORM * E^-BKGTILT")
    hdu.header["BKGTILT"] = (row.tilt, "with E in TeV")
    return hdu


def _write(task: Task, background: fits.BinTableHDU) -> None:
    if task.target is None:
        content = fits_bytes(fits.HDUList([fits.PrimaryHDU(), background]))
        _write_file(task.new_file, content)
    events = require(task.store.files_of(task.obs_id).events, "EVENTS")
    for old, new in task.copies:
        content = file_bytes(old)
        if old.samefile(events.path):
            content = _signed_events(content, old, events.hdu)
        if task.target is not None and new == task.new_file:
            content = join(with_background(split(content, old), background, task.target.old))
        _write_file(new, content)


def _signed_events(content: bytes, path: Path, name: str | None) -> bytes:
    wanted = (name or "EVENTS").upper()
    return join([signed(hdu) if hdu.name == wanted else hdu for hdu in split(content, path)])


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_by_name(path, content)
