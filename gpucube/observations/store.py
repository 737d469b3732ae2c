"""Data stores: folders of event lists in one of two naming schemes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.table import Table

from gpucube.errors import DataError, ObservationError, OptionError
from gpucube.observations.columns import column_texts, column_values, read_tables
from gpucube.observations.events import Observation, read_observation
from gpucube.observations.hdus import HduLocation, ObservationFiles
from gpucube.observations.table import ObservationTable
from gpucube.observations.threshold import is_threshold, read_threshold

__all__ = ["SCHEMES", "DataStore", "hess_file", "table_file"]

log = logging.getLogger(__name__)

# HDU_TYPE in the HDU index, in the order of the fields of `ObservationFiles`.
HDU_TYPES = ("events", "aeff", "gti", "pointing", "bkg")


def hess_file(folder: Path, obs_id: int, kind: str) -> Path:
    """Path of a file in the 2015 naming scheme.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the data store.
    obs_id : int
        Observation identifier.
    kind : {"events", "aeff_2d"}
        Which file.

    Returns
    -------
    pathlib.Path
        For example ``run000000-000199/run000001/hess_events_000001.fits.gz``.
    """
    first = obs_id - obs_id % 200
    name = f"hess_{kind}_{obs_id:06d}.fits.gz"
    return folder / f"run{first:06d}-{first + 199:06d}" / f"run{obs_id:06d}" / name


def table_file(folder: Path, stem: str) -> Path | None:
    """Table file of this name in a folder, compressed or not.

    Parameters
    ----------
    folder : pathlib.Path
        Folder.
    stem : str
        Name without ``.fits`` or ``.fits.gz``.

    Returns
    -------
    pathlib.Path or None
        The file, None if there is none.
    """
    return next((path for end in (".fits.gz", ".fits") if (path := folder / f"{stem}{end}").is_file()), None)


def _compressed_or_not(path: Path) -> Path:
    plain = path.with_suffix("") if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
    return plain if plain.is_file() and not path.is_file() else path


def _hess_files(folder: Path, table: ObservationTable) -> dict[int, ObservationFiles]:
    def locate(obs_id: int, kind: str) -> HduLocation:
        return HduLocation(_compressed_or_not(hess_file(folder, obs_id, kind)))

    return {i: ObservationFiles(locate(i, "events"), locate(i, "aeff_2d")) for i in _obs_ids(table)}


def _gadf_files(folder: Path, table: ObservationTable) -> dict[int, ObservationFiles]:
    path = table_file(folder, "hdu-index")
    if path is None:
        raise DataError("no such file", folder / "hdu-index.fits.gz", remedy="a GADF data store needs its HDU index")
    index = _read_hdu_index(path)
    base = folder / str(index.meta.get("BASE_DIR", "")).strip()
    found: dict[float, dict[str, HduLocation | None]] = {}
    texts = [column_texts(index[name]) for name in ("HDU_TYPE", "FILE_DIR", "FILE_NAME", "HDU_NAME")]
    is_integer = np.asarray(index["OBS_ID"]).dtype.kind in "iu"
    numbers = (np.asarray(index["OBS_ID"]) if is_integer else column_values(index, "OBS_ID", "", path)).tolist()
    # Several HDUs are in a file: look at the disk once.
    path_of = lru_cache(lambda directory, name: _compressed_or_not(base.joinpath(directory, name)))
    for obs_id, kind, directory, name, hdu in zip(numbers, *texts, strict=True):
        location = HduLocation(path_of(directory, name), hdu or None)
        parts_of_one = found.setdefault(obs_id, {})
        known = parts_of_one.get(kind.lower(), location)
        # Two answers are none: which of them is right cannot be told.
        parts_of_one[kind.lower()] = location if known is location or known == location else None
    files = {}
    for obs_id, safe_energy in zip(_obs_ids(table), _safe_energies(table, folder), strict=True):
        events, area, gti, pointing, background = (found.get(obs_id, {}).get(kind) for kind in HDU_TYPES)
        files[obs_id] = ObservationFiles(events, area, gti, pointing, background, safe_energy)
    return files


def _read_hdu_index(path: Path) -> Table:
    """HDU index whose columns have the names of GADF; those that may be missing are empty."""
    tables = read_tables(path)
    index = next((table for table in tables if "HDU_TYPE" in map(str.upper, table.colnames)), tables[0])
    for name in index.colnames:
        if name.upper() not in index.colnames:
            index.rename_column(name, name.upper())
    missing = {"OBS_ID", "HDU_TYPE", "FILE_NAME"} - set(index.colnames)
    if missing:
        raise DataError(f"columns are missing: {', '.join(sorted(missing))}", path)
    for name in {"FILE_DIR", "HDU_NAME"} - set(index.colnames):
        index[name] = [""] * len(index)
    return index


def _safe_energies(table: ObservationTable, folder: Path) -> list[float | None]:
    """Safe energies in TeV; None where the observation index gives none."""
    name = next((name for name in table.colnames if name.upper() == "SAFE_ENERGY_LO"), None)
    if name is None:
        return [None] * len(table)
    values = column_values(table, name, "TeV", table_file(folder, "obs-index"))
    bad = [value for value in values.tolist() if not is_threshold(value) and not np.isnan(value)]
    if bad:
        log.warning("%s: SAFE_ENERGY_LO of %d observations is ignored, the first is %g TeV", folder, len(bad), bad[0])
    return [value if is_threshold(value) else None for value in values.tolist()]


def _obs_ids(table: ObservationTable) -> list[int]:
    return [int(i) for i in np.asarray(table["OBS_ID"])]


@dataclass(frozen=True)
class _Scheme:
    index: str
    locate: Callable[[Path, ObservationTable], dict[int, ObservationFiles]]


SCHEMES = {"HESS": _Scheme("runinfo", _hess_files), "GADF": _Scheme("obs-index", _gadf_files)}


@dataclass(frozen=True, eq=False, repr=False)
class DataStore:
    """Observations in a folder.

    Attributes
    ----------
    path : pathlib.Path
        The folder.
    scheme : {"HESS", "GADF"}
        How its files are named.
    table : ObservationTable
        One row per observation, in the order of the index.
    files : dict of int to ObservationFiles
        Where the parts of each observation are, by OBS_ID.
    """

    path: Path
    scheme: str
    table: ObservationTable
    files: dict[int, ObservationFiles]

    def __repr__(self) -> str:
        return f"<DataStore: {len(self.table)} observations, scheme {self.scheme}, in {self.path}>"

    @classmethod
    def open(cls, path: str | Path, scheme: str = "auto") -> DataStore:
        """Open a data store.

        Parameters
        ----------
        path : path-like
            Folder with ``obs-index.fits[.gz]`` and ``hdu-index.fits[.gz]`` (GADF) or ``runinfo.fits[.gz]`` (HESS).
        scheme : {"auto", "HESS", "GADF"}
            Naming scheme; ``auto`` detects it by the index file.

        Returns
        -------
        DataStore
            The store; event lists are read when they are asked for.

        Raises
        ------
        DataError
            The folder or its index is missing or damaged.
        OptionError
            There is no such scheme.
        """
        folder = Path(path)
        if folder.is_file():
            raise DataError(
                "a data store is a folder, but this is a file", folder, remedy=f"name its folder: {folder.parent}"
            )
        if not folder.is_dir():
            raise DataError("no such folder", folder)
        name = _detect_scheme(folder) if scheme == "auto" else scheme.upper()
        if name not in SCHEMES:
            raise OptionError(f"unknown scheme {scheme!r}; choose from auto, {', '.join(SCHEMES)}")
        index = table_file(folder, SCHEMES[name].index)
        if index is None:
            raise DataError(f"no {SCHEMES[name].index}.fits[.gz]: not a data store of scheme {name}", folder)
        table = ObservationTable.read(index)
        return cls(folder, name, table, SCHEMES[name].locate(folder, table))

    def read(self, obs_id: int, align: str = "ALTAZ", with_sky: bool = False) -> Observation:
        """Read an observation.

        Parameters
        ----------
        obs_id : int
            Observation identifier.
        align : {"ALTAZ", "RADEC"}
            Orientation of the field-of-view coordinates.
        with_sky : bool
            Whether to read what exclusion regions need.

        Returns
        -------
        Observation
            The observation.

        Raises
        ------
        ObservationError
            It cannot be used, see `gpucube.observations.events.read_observation`.
        """
        return read_observation(obs_id, self.files_of(obs_id), align, with_sky)

    def threshold(self, obs_id: int) -> float:
        """Energy threshold of an observation.

        Parameters
        ----------
        obs_id : int
            Observation identifier.

        Returns
        -------
        float
            Threshold in TeV.

        Raises
        ------
        ObservationError
            It has none.
        """
        return read_threshold(self.files_of(obs_id))

    def sizes(self, obs_id: int) -> tuple[int, ...]:
        """Sizes of the files of an observation.

        Parameters
        ----------
        obs_id : int
            Observation identifier.

        Returns
        -------
        tuple of int
            Bytes of the event list, of the effective area, and of the pointing table if the index names one; -1 for a
            file that is missing.
        """
        files = self.files_of(obs_id)
        locations = (files.events, files.effective_area, files.pointing)
        paths = [location.path for location in locations if location is not None]
        # Often one file
        size = {path: path.stat().st_size if path.is_file() else -1 for path in set(paths)}
        return tuple(size[path] for path in paths)

    def select(self, obs_ids: Collection[int]) -> DataStore:
        """Only some of the observations.

        Parameters
        ----------
        obs_ids : collection of int
            Their identifiers.

        Returns
        -------
        DataStore
            Store whose table has the rows of these, in its own order.

        Raises
        ------
        ObservationError
            One of them is not there.
        """
        wanted = set(obs_ids)
        for obs_id in wanted:
            self.files_of(obs_id)
        return replace(self, table=self.table[np.isin(self.table["OBS_ID"], list(wanted))])

    def files_of(self, obs_id: int) -> ObservationFiles:
        """Where the parts of an observation are.

        Parameters
        ----------
        obs_id : int
            Observation identifier.

        Returns
        -------
        ObservationFiles
            Its files and HDUs.

        Raises
        ------
        ObservationError
            There is no such observation.
        """
        if obs_id not in self.files:
            raise ObservationError(f"OBS_ID {obs_id} is not in the index", self.path)
        return self.files[obs_id]


def _detect_scheme(folder: Path) -> str:
    found = [name for name, scheme in SCHEMES.items() if table_file(folder, scheme.index)]
    if len(found) == 1:
        return found[0]
    indices = " or ".join(f"{scheme.index}.fits[.gz] ({name})" for name, scheme in SCHEMES.items())
    problem = "the index files of several schemes" if found else "no index file"
    raise DataError(f"{problem}: expected {indices}", folder, remedy="name the scheme" if found else None)
