"""Where the parts of an observation are, and how columns are read from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits

from gpucube.errors import DataError, ObservationError
from gpucube.observations.headers import comment_unit, parse_unit

__all__ = ["HduLocation", "ObservationFiles", "blame", "find_hdu", "read_column", "require"]


@dataclass(frozen=True)
class HduLocation:
    """An HDU in a file.

    Attributes
    ----------
    path : pathlib.Path
        The file, compressed or not.
    hdu : str, optional
        Name of the HDU; without it, the HDU is found by its class.
    """

    path: Path
    hdu: str | None = None


@dataclass(frozen=True)
class ObservationFiles:
    """Where the parts of an observation are.

    Attributes
    ----------
    events, effective_area, gti : HduLocation, optional
        Event list, effective area (which holds the energy threshold), good time intervals.
    pointing, background : HduLocation, optional
        Pointing table, and the background that the observation came with; None where the index names none.
    """

    events: HduLocation | None
    effective_area: HduLocation | None
    gti: HduLocation | None = None
    pointing: HduLocation | None = None
    background: HduLocation | None = None


def require(location: HduLocation | None, kind: str) -> HduLocation:
    """Get the location of an HDU that an observation must have.

    Parameters
    ----------
    location : HduLocation, optional
        What the index says.
    kind : str
        What is looked for, for the message.

    Returns
    -------
    HduLocation
        The location.

    Raises
    ------
    ObservationError
        There is none.
    """
    if location is None:
        problem = f"the index names no {kind} HDU for this observation, or several"
        raise ObservationError(problem, remedy="correct the HDU index")
    return location


@contextmanager
def blame(path: Path) -> Iterator[None]:
    """Turn a fault of a file into an error of this observation that names the file, in a ``with`` statement.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    ObservationError
        A `DataError` was raised.
    """
    try:
        yield
    except DataError as error:
        raise ObservationError(error.problem, error.path or path, error.hdu, error.column, error.remedy) from error


def find_hdu(hdus: fits.HDUList, location: HduLocation, kind: str) -> fits.BinTableHDU:
    """Find a table by its name in the index, else by its class or usual name.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        Open file.
    location : HduLocation
        What the index says.
    kind : str
        HDUCLAS1 or usual name, such as ``EVENTS``.

    Returns
    -------
    astropy.io.fits.BinTableHDU
        The table.

    Raises
    ------
    DataError
        There is none.
    """
    wanted = (location.hdu or kind).upper()
    for hdu in hdus:
        kinds = {str(hdu.header.get("HDUCLAS1", "")).strip().upper()} if location.hdu is None else set()
        if wanted in {hdu.name.upper(), *kinds} and isinstance(hdu, fits.BinTableHDU):
            return hdu
    raise DataError(f"no table of this name or class; the file has {_names(hdus)}", hdu=wanted)


def _names(hdus: fits.HDUList) -> str:
    return ", ".join(hdu.name or "(unnamed)" for hdu in hdus)


def read_column(hdu: fits.BinTableHDU, name: str, unit: u.UnitBase) -> np.ndarray:
    """Read a column in a unit; float32 stays float32 where nothing is to be converted.

    Parameters
    ----------
    hdu : astropy.io.fits.BinTableHDU
        Table with n rows.
    name : str
        Column.
    unit : astropy.units.Unit
        Unit of the result, also of a column that has none; for ENERGY the keyword EUNIT may stand for it.

    Returns
    -------
    numpy.ndarray of float32 or float64, shape (n,)
        Values.

    Raises
    ------
    DataError
        The column is missing, has no numbers, or not in such a unit.
    """
    if name not in hdu.columns.names:
        raise DataError(f"column is missing; the table has {', '.join(hdu.columns.names)}", hdu=hdu.name, column=name)
    values = np.asarray(hdu.data[name])
    if values.dtype.kind not in "fiu" or values.ndim != 1:
        raise DataError(f"values are {values.dtype}, not one number per event", hdu=hdu.name, column=name)
    dtype = np.float32 if values.dtype.itemsize <= 4 and values.dtype.kind == "f" else np.float64
    factor = _column_unit(hdu, name, unit).to(unit)
    return values.astype(dtype) if factor == 1 else values.astype(np.float64) * factor


def _column_unit(hdu: fits.BinTableHDU, name: str, expected: u.UnitBase) -> u.UnitBase:
    number = hdu.columns.names.index(name) + 1
    text = hdu.columns[name].unit or comment_unit(hdu.header.comments[f"TTYPE{number}"])
    if name == "ENERGY":
        text = text or hdu.header.get("EUNIT")
        if not text:
            raise DataError("no unit", hdu=hdu.name, column=name, remedy=f"set TUNIT{number} or EUNIT")
    return parse_unit(str(text), expected, hdu=hdu.name, column=name) if text else expected
