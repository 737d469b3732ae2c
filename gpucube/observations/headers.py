"""Numbers and units from FITS headers as real files write them."""

from __future__ import annotations

import math
import re
from functools import lru_cache

import astropy.units as u
from astropy.io import fits
from astropy.time import Time

from gpucube.errors import DataError
from gpucube.observations.columns import unit_from
from gpucube.observations.earth import bundled_earth_orientation

__all__ = ["clock_shift", "comment_unit", "header_number", "header_text", "parse_unit", "reference_time", "time_unit"]

# Names of time scales in the FITS standard (table 30) that astropy does not know. GPS time is not one of them: it needs
# a shift.
SCALE_NAMES = {"tdt": "tt", "et": "tt", "iat": "tai", "ut": "ut1", "gmt": "utc"}
# The scale "local" cannot be converted to any other.
SCALES = frozenset(Time.SCALES) - {"local"}
# Where the clocks are the same, their difference (s) is 0 but for rounding, which must not move anything.
SAME_CLOCK = 1e-3
# Keywords that give a reference time, and the format of their number.
REFERENCES = {"MJDREF": "mjd", "JDREF": "jd"}


def header_text(header: fits.Header, key: str) -> str:
    """Text in a header.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header.
    key : str
        Keyword.

    Returns
    -------
    str
        Its value in capitals without blanks around it; empty if there is none.
    """
    value = header.get(key)
    return "" if value is None else str(value).strip().upper()


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
        unit = unit_from(text)
    except ValueError as error:
        raise DataError(f"unit {text!r} is not known", hdu=hdu, column=column) from error
    if not _is_convertible(unit, like):
        raise DataError(f"unit {text!r} cannot be converted to {like}", hdu=hdu, column=column)
    return unit


# All observations have the same few units.
@lru_cache(maxsize=256)
def _is_convertible(unit: u.UnitBase, like: u.UnitBase) -> bool:
    # Logarithmic units call themselves equivalent, but no factor converts them.
    return isinstance(unit, u.UnitBase) and unit.is_equivalent(like)


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
    """Reference time of TIME columns, in the scale TIMESYS.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of an ``EVENTS``, ``GTI`` or ``POINTING`` HDU with MJDREFI and MJDREFF, or MJDREF, or the like with JD,
        or DATEREF [1]_.

    Returns
    -------
    astropy.time.Time
        Reference time; TT where the header names no scale.

    Raises
    ------
    DataError
        The header has no reference time, or names an unknown scale.

    References
    ----------
    .. [1] Rots et al. (2015), Representations of time coordinates in FITS, A&A 574, A36.
    """
    name = header_text(header, "TIMESYS").lower() if "TIMESYS" in header else "tt"
    scale = SCALE_NAMES.get(name, name)
    if scale not in SCALES:
        remedy = "set TIMESYS to TT, UTC, TAI or TDB"
        raise DataError(
            f"{header['TIMESYS']!r} is no time scale", hdu=header.get("EXTNAME"), column="TIMESYS", remedy=remedy
        )
    try:
        return _time(*_reference(header, scale))
    except ValueError as error:
        raise DataError(f"no time of the calendar: {error}", hdu=header.get("EXTNAME"), column="MJDREFI") from error


def _reference(header: fits.Header, scale: str) -> tuple[float | str, float | None, str, str]:
    """Arguments of the reference time: value, its small part, format and scale."""
    for key, form in REFERENCES.items():
        if f"{key}I" in header:
            fraction = header_number(header, f"{key}F") if f"{key}F" in header else 0.0
            return header_number(header, f"{key}I"), fraction, form, scale
        if key in header:
            return header_number(header, key), None, form, scale
    if "DATEREF" in header:
        return header_text(header, "DATEREF"), None, "isot", scale
    return header_number(header, "MJDREF"), None, "mjd", scale


# All observations of an observatory have the same reference time, and a Time takes longer to make than to read events.
@lru_cache(maxsize=64)
def _time(value: float | str, fraction: float | None, form: str, scale: str) -> Time:
    return Time(value, fraction, format=form, scale=scale)


def _has_reference(header: fits.Header) -> bool:
    return "DATEREF" in header or any(key in header or f"{key}I" in header for key in REFERENCES)


def clock_shift(header: fits.Header, events_header: fits.Header) -> float:
    """Time to add to the times of a table to have them on the clock of the events.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the table; without a reference time of its own, its clock is that of the events.
    events_header : astropy.io.fits.Header
        Header of the ``EVENTS`` HDU.

    Returns
    -------
    float
        Difference of the reference times in s.

    Raises
    ------
    DataError
        A reference time makes no sense.
    """
    if not (_has_reference(header) and _has_reference(events_header)):
        return 0.0
    mine, theirs = reference_time(header), reference_time(events_header)
    if mine is theirs:
        return 0.0
    with bundled_earth_orientation():
        shift = float((mine - theirs).sec)
    return shift if abs(shift) >= SAME_CLOCK else 0.0


def time_unit(header: fits.Header) -> u.UnitBase:
    """Unit of times in a table whose columns have none: TIMEUNIT, else s.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the table.

    Returns
    -------
    astropy.units.Unit
        The unit.

    Raises
    ------
    DataError
        TIMEUNIT is no unit of time.
    """
    text = str(header.get("TIMEUNIT") or "").strip() or "s"
    return parse_unit(text, u.s, hdu=header.get("EXTNAME"), column="TIMEUNIT")
