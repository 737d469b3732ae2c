"""What becomes of the files of a data store: which are copied and which gets the background, and their new index."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from gpucube.cubes.fits import CREATOR
from gpucube.errors import DataError, ObservationError, OutputError
from gpucube.observations.columns import column_texts, column_values, read_tables
from gpucube.observations.store import table_file

__all__ = ["IndexRow", "Target", "copy_destinations", "index_hdu", "linked", "read_rows", "target_of"]

COLUMNS = ("HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME")
NEW_HDU = "BKG"


@dataclass(frozen=True)
class IndexRow:
    """A row of an HDU index.

    Attributes
    ----------
    obs_id : int
        Observation identifier.
    hdu_type, hdu_class : str
        What the HDU is, as GADF has it.
    file_dir, file_name, hdu_name : str
        Where it is, relative to the folder of the index.
    """

    obs_id: int
    hdu_type: str
    hdu_class: str
    file_dir: str
    file_name: str
    hdu_name: str

    @property
    def file(self) -> str:
        """File, relative to the folder of the index."""
        return os.path.normpath(os.path.join(self.file_dir, self.file_name))

    def in_file(self, file: str) -> IndexRow:
        """Get a row of the same HDU in another file.

        Parameters
        ----------
        file : str
            File, relative to the folder of the index.

        Returns
        -------
        IndexRow
            The row.
        """
        folder, name = os.path.split(file)
        return replace(self, file_dir=folder, file_name=name)

    @property
    def is_background(self) -> bool:
        """Whether it is a background."""
        return self.hdu_type.lower() == "bkg"


@dataclass(frozen=True)
class Target:
    """Where the background of an observation goes.

    Attributes
    ----------
    file : str
        File in the old store that gets it.
    old : tuple of str
        Names of the HDUs that it replaces there.
    name : str
        Name of the new HDU.
    """

    file: str
    old: tuple[str, ...] = ()
    name: str = NEW_HDU


def read_rows(folder: Path) -> dict[int, list[IndexRow]]:
    """Read the HDU index of a data store.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the store, which has been opened before.

    Returns
    -------
    dict of int to list of IndexRow
        Rows by OBS_ID.

    Raises
    ------
    DataError
        The index is missing or damaged.
    """
    path = table_file(folder, "hdu-index")
    if path is None:
        raise DataError("no such file", folder / "hdu-index.fits.gz", remedy="a GADF data store needs its HDU index")
    table = read_tables(path)[0]
    blank = [""] * len(table)
    texts = (column_texts(table[name]) if name in table.colnames else blank for name in COLUMNS)
    found: dict[int, list[IndexRow]] = {}
    is_integer = np.asarray(table["OBS_ID"]).dtype.kind in "iu"
    obs_ids = np.asarray(table["OBS_ID"]) if is_integer else column_values(table, "OBS_ID", "", path)
    for obs_id, *values in zip(obs_ids.tolist(), *texts, strict=True):
        row = IndexRow(int(obs_id), *values)
        found.setdefault(row.obs_id, []).append(row)
    return found


def target_of(rows: Iterable[IndexRow], users: Counter[str]) -> Target:
    """Choose the file of an observation that gets its background.

    Parameters
    ----------
    rows : iterable of IndexRow
        Rows of the observation.
    users : Counter of str
        Number of observations that use each file.

    Returns
    -------
    Target
        The file of the old background if it is this observation's alone, else that of the events.

    Raises
    ------
    ObservationError
        Other observations use all of these files.
    """
    rows = list(rows)
    for row in rows:
        if row.is_background and users[row.file] == 1:
            old = tuple(r.hdu_name.upper() for r in rows if r.is_background and r.file == row.file)
            return Target(row.file, old, row.hdu_name or NEW_HDU)
    events = next((row.file for row in rows if row.hdu_type.lower() == "events"), None)
    if events is None or users[events] > 1:
        problem = "the index names no events" if events is None else f"{events} holds several observations"
        raise ObservationError(f"{problem}: no file for its background", remedy="write new files with --link")
    return Target(events)


def copy_destinations(rows: dict[int, list[IndexRow]]) -> dict[str, str]:
    """Choose where files are copied to.

    Parameters
    ----------
    rows : dict of int to list of IndexRow
        HDU index.

    Returns
    -------
    dict of str to str
        New file, relative to the new folder, of each old one; the same but for leading ``..`` and ``/``.

    Raises
    ------
    OutputError
        Two files would have the same name.
    """
    files = dict.fromkeys(row.file for its_rows in rows.values() for row in its_rows)
    new = {file: os.path.join(*[part for part in Path(file).parts if part not in ("..", "/")]) for file in files}
    twice = [file for file, number in Counter(new.values()).items() if number > 1]
    if twice:
        raise OutputError(f"several files of the data store would be copied to {twice[0]}; write new files with --link")
    return new


def linked(row: IndexRow, data: Path, out: Path) -> IndexRow:
    """Get a row of the same HDU for an index in another folder.

    Parameters
    ----------
    row : IndexRow
        Row of the index in `data`.
    data, out : pathlib.Path
        Folders of the old and of the new index.

    Returns
    -------
    IndexRow
        The row, with a relative path.
    """
    # Through links, ".." leads elsewhere than it seems.
    return row.in_file(os.path.relpath((data / row.file).resolve(), out.resolve()))


def index_hdu(rows: list[IndexRow]) -> fits.HDUList:
    """Make the file of an HDU index.

    Parameters
    ----------
    rows : list of IndexRow
        Its rows.

    Returns
    -------
    astropy.io.fits.HDUList
        The file.
    """
    names = ("OBS_ID", *COLUMNS)
    fields = ("obs_id", "hdu_type", "hdu_class", "file_dir", "file_name", "hdu_name")
    columns = [np.array([getattr(row, field) for row in rows]) for field in fields]
    hdu = fits.table_to_hdu(Table(columns, names=names))
    hdu.name = "HDU_INDEX"
    cards = {"HDUCLASS": "GADF", "HDUVERS": "0.3", "HDUCLAS1": "INDEX", "HDUCLAS2": "HDU", "CREATOR": CREATOR}
    hdu.header.update(cards)
    return fits.HDUList([fits.PrimaryHDU(), hdu])
