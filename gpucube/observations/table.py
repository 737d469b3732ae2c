"""Observation tables: one row per observation, with the column names of GADF.

`ObservationTable.read` takes the index files of GADF and the ``runinfo.fits`` of 2015 alike: it
renames the old spellings, converts pointings to deg and times to s, and leaves all other
columns as they are. The ``select_*`` functions return a new table with some of the rows, in
the same order and with the same ``meta``. A value that is not a number (NaN, masked) lies in
no selection, and in no inverted one either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import ConvertError, SkyCoord
from astropy.io import fits
from astropy.table import Column, Table
from numpy.typing import NDArray

from gpucube.errors import DataError, OptionError
from gpucube.fits_writer import hdu_bytes
from gpucube.observations.columns import column_unit, column_values, read_tables
from gpucube.observations.plain_tables import plain_hdu

__all__ = [
    "ObservationTable",
    "is_longitude",
    "select_linspace",
    "select_range",
    "select_sky_circle",
    "wrap_longitude",
]

#: GADF name: its unit and its spellings (capitals; any case is accepted), the best first.
_COLUMNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "OBS_ID": ("", ("OBS_ID", "OBSID", "RUN_ID", "RUN")),
    "RA_PNT": ("deg", ("RA_PNT", "RA")),
    "DEC_PNT": ("deg", ("DEC_PNT", "DEC")),
    "ALT_PNT": ("deg", ("ALT_PNT", "ALT")),
    "AZ_PNT": ("deg", ("AZ_PNT", "AZ")),
    "ZEN_PNT": ("deg", ("ZEN_PNT", "ZEN", "ZENITH")),
    "ONTIME": ("s", ("ONTIME", "TIME_OBSERVATION")),
    "LIVETIME": ("s", ("LIVETIME", "TIME_LIVE")),
}
_REQUIRED = ("OBS_ID", "RA_PNT", "DEC_PNT")

_LONGITUDES = {stem + suffix for stem in ("AZ", "RA", "GLON", "LON") for suffix in ("", "_PNT", "_OBJ")}


class ObservationTable(Table):
    """Table of observations: an `astropy.table.Table` with the column names of GADF.

    Columns: OBS_ID (integers), RA_PNT, DEC_PNT, ALT_PNT, AZ_PNT (deg), ONTIME, LIVETIME (s), and
    any others.
    """

    @classmethod
    def read(cls, path: str | Path) -> ObservationTable:
        """Read a table of observations from any FITS, ECSV, VOTable or CSV file.

        Parameters
        ----------
        path : path-like
            File, compressed or not; of several tables the first with observation numbers counts.

        Returns
        -------
        ObservationTable
            The rows of the file, in its order. Columns of 2015 (RA, DEC, ALT, AZ) and any
            mixture of capitals are renamed; angles are in deg and times in s (a column without unit is
            taken to be so already), as float64, masked values as NaN; ALT_PNT is made from
            the zenith angle where it is missing. Other columns are untouched.

        Raises
        ------
        DataError
            If the file cannot be read, or lacks observation numbers or pointings. Missing ALT_PNT and AZ_PNT
            are no error here.
        """
        tables = read_tables(path, cls)
        table = next((t for t in tables if _spelling(t, "OBS_ID")), tables[0])
        for name in _REQUIRED:
            if _spelling(table, name) is None:
                accepted = ", ".join(_COLUMNS[name][1])
                remedy = f"name it {accepted} in any case; columns found: {', '.join(table.colnames)}"
                raise DataError("column is missing", path, column=name, remedy=remedy)
        return _with_gadf_columns(table if isinstance(table, cls) else cls(table, copy=False), path)

    @property
    def pointing(self) -> SkyCoord:
        """Pointing positions, shape (n_obs,), ICRS; NaN where RA_PNT or DEC_PNT are no position."""
        lon, lat = column_values(self, "RA_PNT", "deg"), column_values(self, "DEC_PNT", "deg")
        good = np.isfinite(lon) & (np.abs(lat) <= 90)
        return SkyCoord(np.where(good, lon, np.nan), np.where(good, lat, np.nan), unit="deg", frame="icrs")

    def to_hdu(self, name: str = "OBS_INDEX") -> fits.BinTableHDU:
        """Convert to a FITS table HDU, without dates or anything else that changes from run to run.

        Parameters
        ----------
        name : str
            EXTNAME of the HDU.

        Returns
        -------
        astropy.io.fits.BinTableHDU
            The table; ``meta`` becomes header cards.
        """
        hdu = fits.table_to_hdu(self)
        hdu.name = name
        return hdu

    def to_bytes(self, name: str = "OBS_INDEX") -> bytes:
        """Convert to the bytes of that HDU.

        Parameters
        ----------
        name : str
            EXTNAME of the HDU.

        Returns
        -------
        bytes
            What astropy would write of it.
        """
        return plain_hdu(self, name) or hdu_bytes(self.to_hdu(name))


def _with_gadf_columns(table: ObservationTable, path: str | Path) -> ObservationTable:
    for name, (unit, _) in _COLUMNS.items():
        spelling = _spelling(table, name)
        # The zenith angle is not one of our columns: it only stands in for the altitude.
        if spelling is None or name == "ZEN_PNT":
            continue
        values = column_values(table, spelling, unit, path) if unit else _whole_numbers(table, spelling, path)
        description = table[spelling].description
        table.replace_column(spelling, Column(values, name=spelling, unit=unit or None, description=description))
        table.rename_column(spelling, name)
    zenith = _spelling(table, "ZEN_PNT")
    if zenith and "ALT_PNT" not in table.colnames:
        table["ALT_PNT"] = Column(90 - column_values(table, zenith, "deg", path), unit="deg")
    return table


def _spelling(table: Table, name: str) -> str | None:
    found = {column.upper(): column for column in reversed(table.colnames)}
    return next((found[s] for s in _COLUMNS[name][1] if s in found), None)


def _whole_numbers(table: Table, name: str, path: str | Path) -> NDArray[np.int64]:
    column = table[name]
    if column.dtype.kind in "iu" and not np.ma.getmaskarray(column).any():
        return np.asarray(column, dtype=np.int64)
    values = column_values(table, name, "", path)
    bad = np.flatnonzero(~np.isfinite(values) | (values != np.round(values)))
    if bad.size:
        problem = f"row {bad[0]} has no whole number but {column[bad[0]]}"
        raise DataError(problem, path, column=name, remedy="give every observation a number")
    return values.astype(np.int64)


def is_longitude(name: str) -> bool:
    """Say whether a column holds angles that go round: AZ, RA, GLON, LON, or these with _PNT or _OBJ.

    Parameters
    ----------
    name : str
        Name of the column, in any case.

    Returns
    -------
    bool
        True if so.
    """
    return name.upper() in _LONGITUDES


def wrap_longitude(values: NDArray[np.float64], start: float, period: float = 360.0) -> NDArray[np.float64]:
    """Shift angles by whole turns into one turn.

    Parameters
    ----------
    values : numpy.ndarray
        Angles, any shape, in the unit of `start` and `period`.
    start, period : float
        First angle of the turn and its size.

    Returns
    -------
    numpy.ndarray
        Angles in [start, start + period); those that lay there are unchanged to the last bit. An angle less than
        a rounding error below `start` may come out as start + period. NaN stays NaN, infinities become NaN.
    """
    with np.errstate(invalid="ignore"):
        wrapped = values - period * np.floor((values - start) / period)
    # The difference rounds, so that a value just below start + period may have gone one turn too far.
    return np.where(wrapped < start, wrapped + period, wrapped)


def select_linspace(table: ObservationTable, n: int) -> ObservationTable:
    """Select observations spread evenly over the table.

    Parameters
    ----------
    table : ObservationTable
        Observations.
    n : int
        How many to keep: the first, the last and others at even steps between them (the first alone for 1).

    Returns
    -------
    ObservationTable
        `n` observations in their order, or all where there are no more.

    Raises
    ------
    OptionError
        If `n` is less than 1.
    """
    if n < 1:
        raise OptionError(f"cannot select {n} observations: give at least 1")
    if n >= len(table):
        return table.copy()
    # In whole numbers, so that no row comes twice by rounding.
    return table[np.arange(n) * (len(table) - 1) // max(n - 1, 1)]


def select_sky_circle(
    table: ObservationTable,
    lon: u.Quantity | float | str,
    lat: u.Quantity | float | str,
    radius: u.Quantity | float | str,
    frame: str = "icrs",
    inverted: bool = False,
) -> ObservationTable:
    """Select observations that point into a circle on the sky.

    Parameters
    ----------
    table : ObservationTable
        Observations.
    lon, lat, radius : astropy.units.Quantity, float (deg) or str
        Centre and radius of the circle; its rim belongs to it.
    frame : str
        Celestial frame of the centre, such as "icrs" or "galactic".
    inverted : bool
        Select the observations outside the circle. NaN pointings are not selected either way.

    Returns
    -------
    ObservationTable
        The observations selected, in their order.

    Raises
    ------
    OptionError
        If the circle makes no sense.
    """
    try:
        centre = SkyCoord(_number(lon, "deg") * u.deg, _number(lat, "deg") * u.deg, frame=frame).icrs
    except (ConvertError, ValueError) as error:
        raise OptionError(f"({lon}, {lat}) in frame {frame!r} is no position on the sky: {error}") from error
    separation = table.pointing.separation(centre).deg
    inside = separation <= _number(radius, "deg")
    return table[(inside != inverted) & np.isfinite(separation)]


def select_range(
    table: ObservationTable,
    column: str,
    low: u.Quantity | float | str,
    high: u.Quantity | float | str,
    inverted: bool = False,
    wrap: bool | None = None,
) -> ObservationTable:
    """Select observations by a range of values in one column.

    Parameters
    ----------
    table : ObservationTable
        Observations.
    column : str
        Column of numbers.
    low, high : astropy.units.Quantity, float (in the unit of the column) or str
        Range; both ends belong to it, so that ``low == high`` selects one value.
    inverted : bool
        Select the observations outside the range. NaN and masked values are not selected either way.
    wrap : bool, optional
        Whether the values are angles that go round, so that -90 to 90 deg and 270 to 90 deg are the same range.
        Default: azimuths and longitudes are (see `is_longitude`), other columns are not.

    Returns
    -------
    ObservationTable
        The observations selected, in their order.

    Raises
    ------
    OptionError
        If the range makes no sense.
    DataError
        If the table has no such column, or it does not hold numbers.
    """
    wrap = is_longitude(column) if wrap is None else wrap
    values, unit = _values_and_unit(table, column, "deg" if wrap else "")
    first, last = _number(low, unit), _number(high, unit)
    if wrap:
        period = _number(360 * u.deg, unit)
        values = wrap_longitude(values, first, period)
        last = last if last >= first else float(wrap_longitude(np.array(last), first, period))
    if last < first:
        raise OptionError(f"the range {low} to {high} of {column} is empty: give the lower end first")
    inside = (first <= values) & (values <= last)
    return table[(inside != inverted) & ~np.isnan(values)]


def _values_and_unit(table: Table, name: str, default: str) -> tuple[NDArray[np.float64], u.UnitBase]:
    try:
        unit = column_unit(table[name], default) if name in table.colnames else u.Unit(default)
    except ValueError as error:
        raise DataError(str(error), column=name, remedy="give the column a unit that astropy knows") from error
    return column_values(table, name, unit), unit


def _number(value: Any, unit: str | u.UnitBase) -> float:
    try:
        number = float(u.Quantity(value, unit).value)
    except (TypeError, ValueError, u.UnitConversionError) as error:
        raise OptionError(f"{value!r} is no value in {str(unit) or 'a column without unit'}: {error}") from error
    if np.isnan(number):
        raise OptionError(f"{value!r} is not a number")
    return number
