"""Synthetic data sets: folders of event lists that a data store opens."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.time import Time

from gpucube.arrays.backend import Backend, get_backend
from gpucube.errors import OptionError, OutputError
from gpucube.files import fits_bytes, write_by_name
from gpucube.observations.events import Observation
from gpucube.observations.store import SCHEMES, hess_file, table_file
from gpucube.observations.table import ObservationTable
from gpucube.synthetic.events import make_test_eventlist
from gpucube.synthetic.hdus import (
    effective_area_hdu,
    events_hdu,
    file_contents,
    gti_hdu,
    hdu_index,
    observation_index,
)
from gpucube.synthetic.model import BackgroundDescription, describe
from gpucube.synthetic.observations import make_test_observation_table
from gpucube.workers import process_pool

__all__ = ["make_test_dataset"]

GADF_FOLDER = "data"
FITS_BLOCK = 2880
MARK = b"CREATOR = 'gpucube "

Hdus = dict[Path, list[fits.BinTableHDU]]


@dataclass(frozen=True)
class _Task:
    """What a worker needs to know to write one observation."""

    folder: Path
    scheme: str
    pointing: dict[str, Any]
    clock: dict[str, Any]
    description: BackgroundDescription
    threshold: float
    seed: int


def make_test_dataset(
    out: str | Path,
    scheme: str = "GADF",
    n_obs: int = 10,
    observatory: str = "HESS",
    *,
    az_range: tuple[float, float] = (0.0, 360.0),
    alt_range: tuple[float, float] = (45.0, 90.0),
    date_range: tuple[str | Time, str | Time] = ("2010-01-01", "2015-01-01"),
    n_tels_range: tuple[int, int] = (3, 4),
    sigma: float | None = None,
    spectral_index: float | None = None,
    trigger_rate: float | None = None,
    description: BackgroundDescription | None = None,
    threshold: float = 0.1,
    seed: int = 0,
    backend: Backend | None = None,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> ObservationTable:
    """Write a data set of synthetic observations.

    The files depend on the arguments up to `seed` only. The index comes last, so that a data set whose making
    was interrupted is not taken for a whole one.

    Parameters
    ----------
    out : path-like
        Folder to write to; made if it does not exist. Nothing in it is deleted, but for the index that is replaced.
    scheme : {"GADF", "HESS"}
        How files are named. ``GADF``: ``data/obs_000001.fits.gz`` with HDUs ``EVENTS``, ``GTI`` and ``AEFF``, and the
        two index files. ``HESS``: the naming of 2015, event lists without times and sky coordinates.
    n_obs : int
        Number of observations.
    observatory : str
        One of `gpucube.observations.sites.SITES`.
    az_range, alt_range : tuple of two float
        Azimuths and altitudes in deg, see `make_test_observation_table`.
    date_range : tuple of two str or astropy.time.Time
        First day, and the day after the last.
    n_tels_range : tuple of two int
        Smallest and largest number of telescopes.
    sigma, spectral_index, trigger_rate : float, optional
        Instead of those in `description`, see `BackgroundDescription`.
    description : BackgroundDescription, optional
        The background; default: that of 2015.
    threshold : float
        Energy threshold of all observations in TeV; events below it are there all the same.
    seed : int
        Seed of the random numbers.
    backend : Backend, optional
        Library and device that sample; default: NumPy.
    workers : int
        Number of processes. More than one open the library of `backend` by its name, each for itself.
    overwrite : bool
        Replace a data set of this scheme that gpucube has written.
    progress : callable, optional
        Called with the number of observations written and `n_obs` after each observation.

    Returns
    -------
    ObservationTable
        The observations, as in the index.

    Raises
    ------
    OptionError
        An argument makes no sense.
    OutputError
        The folder holds a data set and `overwrite` is off, a file to replace is not from gpucube, or the folder
        cannot be made.
    """
    folder, scheme = Path(out), str(scheme).upper()
    _check_options(scheme, threshold, workers)
    description = describe(description, sigma=sigma, spectral_index=spectral_index, trigger_rate=trigger_rate)
    table = make_test_observation_table(n_obs, observatory, az_range, alt_range, date_range, n_tels_range, seed)
    clock = dict(table.meta)
    tasks = [_Task(folder, scheme, row, clock, description, threshold, seed) for row in _rows(table)]
    _prepare_folder(folder, scheme, tasks, overwrite=overwrite)
    _write_observations(tasks, backend or get_backend("numpy"), workers, progress or (lambda done, total: None))
    for path, hdus in _index_files(folder, scheme, table).items():
        _write(path, hdus)
    return table


def _check_options(scheme: str, threshold: float, workers: int) -> None:
    if scheme not in SCHEMES:
        raise OptionError(f"unknown scheme {scheme!r}; choose from {', '.join(SCHEMES)}")
    if not (math.isfinite(threshold) and threshold >= 0):
        raise OptionError(f"threshold must not be negative, not {threshold} TeV")
    if workers < 1:
        raise OptionError(f"workers must be at least 1, not {workers}")


def _rows(table: ObservationTable) -> list[dict[str, Any]]:
    """Rows of plain Python values, which FITS headers and other processes understand."""
    columns = {name: table[name].tolist() for name in table.colnames}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _gadf_file(folder: Path, obs_id: int) -> Path:
    return folder / GADF_FOLDER / f"obs_{obs_id:06d}.fits.gz"


def _observation_paths(folder: Path, scheme: str, obs_id: int) -> list[Path]:
    if scheme == "GADF":
        return [_gadf_file(folder, obs_id)]
    return [hess_file(folder, obs_id, kind) for kind in ("events", "aeff_2d")]


def _index_paths(folder: Path, scheme: str) -> list[Path]:
    # The one by which a data store knows the scheme is the last.
    names = {"GADF": ["hdu-index.fits.gz", "obs-index.fits.gz"], "HESS": ["runinfo.fits"]}
    return [folder / name for name in names[scheme]]


def _prepare_folder(folder: Path, scheme: str, tasks: list[_Task], *, overwrite: bool) -> None:
    for name, known in SCHEMES.items():
        index = table_file(folder, known.index)
        if index is not None and not (overwrite and name == scheme and index in _index_paths(folder, scheme)):
            remedy = (
                "add --overwrite (in Python, overwrite=True) to replace it"
                if name == scheme and not overwrite
                else "choose another folder"
            )
            raise OutputError(f"{index}: there is a data set of scheme {name} already; {remedy}")
    paths = [path for task in tasks for path in _observation_paths(folder, scheme, task.pointing["OBS_ID"])]
    for path in paths + _index_paths(folder, scheme):
        if path.exists() and not _is_from_gpucube(path):
            raise OutputError(f"{path}: this file was not written by gpucube; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be made: {error}") from error
    # The old index must not point to new event lists.
    for path in _index_paths(folder, scheme):
        path.unlink(missing_ok=True)


def _is_from_gpucube(path: Path) -> bool:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return MARK in file.read(FITS_BLOCK)
    except (OSError, EOFError):
        return False


def _write_observations(
    tasks: list[_Task], backend: Backend, workers: int, progress: Callable[[int, int], object]
) -> None:
    if workers == 1:
        for done, task in enumerate(tasks, start=1):
            _write_observation(task, backend)
            progress(done, len(tasks))
        return
    with process_pool(min(workers, len(tasks))) as pool:
        futures = [pool.submit(_write_in_process, task, backend.name) for task in tasks]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            progress(done, len(tasks))


def _write_in_process(task: _Task, backend_name: str) -> None:
    _write_observation(task, get_backend(backend_name))


def _write_observation(task: _Task, backend: Backend) -> None:
    pointing = task.pointing
    observation = make_test_eventlist(
        pointing["OBS_ID"],
        pointing["ALT_PNT"],
        pointing["LIVETIME"],
        ontime=pointing["ONTIME"],
        tstart=pointing["TSTART"],
        threshold=task.threshold,
        description=task.description,
        seed=task.seed,
        backend=backend,
    )
    for path, hdus in _observation_files(task, observation).items():
        _write(path, hdus)


def _observation_files(task: _Task, observation: Observation) -> Hdus:
    paths = _observation_paths(task.folder, task.scheme, observation.obs_id)
    pointing, clock = task.pointing, task.clock
    area = effective_area_hdu(observation.obs_id, clock["TELESCOP"], task.threshold)
    events = events_hdu(observation, pointing, clock, align=task.description.align, with_sky=task.scheme == "GADF")
    if task.scheme == "GADF":
        return {paths[0]: [events, gti_hdu(pointing, clock), area]}
    return {paths[0]: [events], paths[1]: [area]}


def _index_files(folder: Path, scheme: str, table: ObservationTable) -> Hdus:
    paths = _index_paths(folder, scheme)
    if scheme == "HESS":
        return {paths[0]: [observation_index(table)]}
    files = {obs_id: (GADF_FOLDER, _gadf_file(folder, obs_id).name) for obs_id in table["OBS_ID"].tolist()}
    return {paths[0]: [hdu_index(files)], paths[1]: [observation_index(table)]}


def _write(path: Path, hdus: list[fits.BinTableHDU]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_by_name(path, fits_bytes(file_contents(hdus)))
