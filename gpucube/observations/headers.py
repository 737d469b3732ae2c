"""Numbers and units from FITS headers as real files write them."""

from __future__ import annotations

import math
import re

import astropy.units as u
from astropy.io import fits
from astropy.time import Time

from gpucube.errors import DataError

__all__ = ["comment_unit", "header_number", "parse_unit", "reference_time"]


def header_number(header: fits.Header, key: str) -> float:
    """Finite number in a header, also where it is stored as a string.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header.
    key : str
        Keyword.

    Returns
    -------
    float
        Its value.

    Raises
    ------
    DataError
        The keyword is missing, or its value is no finite number.
    """
    if key not in header:
        raise DataError("keyword is missing", hdu=header.get("EXTNAME"), column=key)
    try:
        value = float(header[key])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{header[key]!r} is no finite number", hdu=header.get("EXTNAME"), column=key)
    return value


def parse_unit(text: str, like: u.UnitBase, *, hdu: str | None = None, column: str | None = None) -> u.UnitBase:
    """Unit from a string, checked for its dimension.

    Parameters
    ----------
    text : str
        Unit as files spell it.
    like : astropy.units.Unit
        Unit that it must be convertible to.
    hdu, column : str, optional
        Where it stands, for the error.

    Returns
    -------
    astropy.units.Unit
        The unit.

    Raises
    ------
    DataError
        It is no unit, or one of something else.
    """
    try:
        unit = u.Unit(text.strip())
    except ValueError as error:
        raise DataError(f"unit {text!r} is not known", hdu=hdu, column=column) from error
    if not unit.is_equivalent(like):
        raise DataError(f"unit {text!r} cannot be converted to {like}", hdu=hdu, column=column)
    return unit


def comment_unit(comment: str) -> str | None:
    """Unit in square brackets in the comment of a header card, as in ``/ [TeV]``.

    Parameters
    ----------
    comment : str
        Comment of the card.

    Returns
    -------
    str or None
        The unit, None if the comment has none.
    """
    match = re.search(r"\[\s*([^\]]+?)\s*\]", comment)
    return match.group(1) if match else None


def reference_time(header: fits.Header) -> Time:
    """Reference time of TIME columns: MJDREFI + MJDREFF (or MJDREF) in the scale TIMESYS.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of an ``EVENTS`` or ``GTI`` HDU.

    Returns
    -------
    astropy.time.Time
        Reference time; TT where the header names no scale.

    Raises
    ------
    DataError
        The header has no reference time, or names an unknown scale.
    """
    scale = str(header.get("TIMESYS", "TT")).strip().lower()
    # The scale "local" cannot be converted to any other.
    if scale not in set(Time.SCALES) - {"local"}:
        raise DataError(f"{header['TIMESYS']!r} is no time scale", hdu=header.get("EXTNAME"), column="TIMESYS")
    if "MJDREFI" in header:
        fraction = header_number(header, "MJDREFF") if "MJDREFF" in header else 0.0
        return Time(header_number(header, "MJDREFI"), fraction, format="mjd", scale=scale)
    return Time(header_number(header, "MJDREF"), format="mjd", scale=scale)
