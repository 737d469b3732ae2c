"""Where the parts of an observation are, and how columns are read from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits

from gpucube.errors import DataError, ObservationError
from gpucube.observations.headers import comment_unit, header_text, parse_unit, time_unit

__all__ = [
    "HduLocation",
    "ObservationFiles",
    "blame",
    "column_name",
    "find_hdu",
    "read_column",
    "read_time_column",
    "require",
]

# Usual names of the tables of an observation, the best first.
HDU_NAMES = {
    "EVENTS": ("EVENTS",),
    "GTI": ("GTI",),
    "AEFF": ("AEFF", "EFFECTIVE AREA", "AEFF_2D"),
    "POINTING": ("POINTING",),
}


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
    safe_energy : float, optional
        Lower end of the safe energy range in TeV, if the observation index gives one.
    """

    events: HduLocation | None
    effective_area: HduLocation | None
    gti: HduLocation | None = None
    pointing: HduLocation | None = None
    background: HduLocation | None = None
    safe_energy: float | None = None


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
        remedy = "correct the HDU index"
        raise ObservationError(problem, remedy=f"{remedy}, or run gpucube attach" if kind == "BKG" else remedy)
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
        One of `HDU_NAMES`, such as ``EVENTS``.

    Returns
    -------
    astropy.io.fits.BinTableHDU
        The table. Without a name in the index, one with a usual name is taken before others of its class.

    Raises
    ------
    DataError
        There is none, or there are several and none of them has a usual name.
    """
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    names = (location.hdu.upper(),) if location.hdu else HDU_NAMES[kind]
    for name in names:
        for hdu in tables:
            if hdu.name.upper() == name:
                return hdu
    of_class = [] if location.hdu else [hdu for hdu in tables if _is_of_class(hdu.header, kind)]
    if len(of_class) == 1:
        return of_class[0]
    if of_class:
        problem = f"several tables of class {kind}: {_names(of_class)}"
        raise DataError(problem, remedy="say in HDU_NAME of the HDU index which one to take")
    raise DataError(f"no table of this name or class; the file has {_names(hdus)}", hdu=names[0])


def _is_of_class(header: fits.Header, kind: str) -> bool:
    if kind == "AEFF":
        return header_text(header, "HDUCLAS4") == "AEFF_2D"
    return header_text(header, "HDUCLAS1") == kind


def _names(hdus: Iterable[fits.hdu.base.ExtensionHDU]) -> str:
    return ", ".join(hdu.name or "(unnamed)" for hdu in hdus)


def column_name(hdu: fits.BinTableHDU, name: str) -> str | None:
    """Name of a column as the table spells it.

    Parameters
    ----------
    hdu : astropy.io.fits.BinTableHDU
        Table.
    name : str
        Name in capitals.

    Returns
    -------
    str or None
        Its spelling, capitals first; None if there is no such column.
    """
    names = hdu.columns.names
    return name if name in names else next((found for found in names if found.upper() == name), None)


def read_column(hdu: fits.BinTableHDU, name: str, unit: u.UnitBase) -> np.ndarray:
    """Read a column in a unit; float32 stays float32 where nothing is to be converted.

    Parameters
    ----------
    hdu : astropy.io.fits.BinTableHDU
        Table with n rows.
    name : str
        Column in capitals; the table may spell it in any case.
    unit : astropy.units.Unit
        Unit of the result, also of a column that has none; for ENERGY the keyword EUNIT may stand for it.

    Returns
    -------
    numpy.ndarray of float32 or float64, shape (n,)
        Values; NaN where an integer column has its value for undefined ones (TNULL).

    Raises
    ------
    DataError
        The column is missing, has no numbers, or not in such a unit.
    """
    spelling = column_name(hdu, name)
    if spelling is None:
        raise DataError(f"column is missing; the table has {', '.join(hdu.columns.names)}", hdu=hdu.name, column=name)
    values = _numbers(hdu, spelling, name)
    dtype = np.float32 if values.dtype.itemsize <= 4 and values.dtype.kind == "f" else np.float64
    factor = _column_unit(hdu, spelling, name, unit).to(unit)
    return values.astype(dtype) if factor == 1 else values.astype(np.float64) * factor


def read_time_column(hdu: fits.BinTableHDU, name: str) -> np.ndarray:
    """Read a column of times, which are in TIMEUNIT if the column says no unit.

    Parameters
    ----------
    hdu : astropy.io.fits.BinTableHDU
        Table with n rows.
    name : str
        Column in capitals.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
        Times in s after the reference time of the table.

    Raises
    ------
    DataError
        The column is missing, has no numbers, or no unit of time.
    """
    unit = time_unit(hdu.header)
    values, factor = read_column(hdu, name, unit).astype(np.float64, copy=False), unit.to(u.s)
    return values if factor == 1 else values * factor


def _numbers(hdu: fits.BinTableHDU, spelling: str, name: str) -> np.ndarray:
    column = hdu.columns[spelling]
    for key, scale in (("TSCAL", column.bscale), ("TZERO", column.bzero)):
        if isinstance(scale, str) and scale:
            raise DataError(f"{key} is {scale!r}, which is no number", hdu=hdu.name, column=name)
    values = np.asarray(hdu.data[spelling])
    # Some writers give each cell the shape (1,).
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.dtype.kind not in "fiu" or values.ndim != 1:
        raise DataError(f"values are {values.dtype}, not one number per event", hdu=hdu.name, column=name)
    if column.null is None:
        return values
    undefined = column.null * _or(column.bscale, 1) + _or(column.bzero, 0)
    return np.where(values == undefined, np.nan, values)


def _or(value: float | str | None, default: float) -> float:
    """Value of a card that astropy gives as empty text where it is missing."""
    return default if value in (None, "") else float(value)


def _column_unit(hdu: fits.BinTableHDU, spelling: str, name: str, expected: u.UnitBase) -> u.UnitBase:
    number = hdu.columns.names.index(spelling) + 1
    text = hdu.columns[spelling].unit or comment_unit(hdu.header.comments[f"TTYPE{number}"])
    if name == "ENERGY":
        text = text or hdu.header.get("EUNIT")
        if not text:
            raise DataError("no unit", hdu=hdu.name, column=name, remedy=f"set TUNIT{number} or EUNIT")
    return parse_unit(str(text), expected, hdu=hdu.name, column=name) if text else expected
