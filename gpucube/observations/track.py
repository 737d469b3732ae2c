"""Where an observation points, as its files say: by header or pointing table, or at rest while the sky drifts by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import angular_separation
from astropy.io import fits
from astropy.time import Time
from numpy.typing import NDArray

from gpucube.errors import DataError
from gpucube.fits_reader import open_tables
from gpucube.observations.gti import Intervals
from gpucube.observations.hdus import (
    ObservationFiles,
    blame,
    column_name,
    find_hdu,
    read_column,
    read_time_column,
)
from gpucube.observations.headers import clock_shift, header_number, header_text, reference_time
from gpucube.observations.pointing import Track
from gpucube.observations.sites import observatory_location

__all__ = ["FROM_TABLE", "EventSource", "local_reference", "read_track", "time_span"]

FROM_TABLE = "no pointing in the header: that of the pointing table taken"

# OBS_MODE of observations whose pointing does not stay where the header says.
MOVING_MODES = {"SLEW", "RASTER", "SCAN"}
# Steps (s) in which a drifting field is followed: chords of its path are right to 0.2 arcsec.
DRIFT_STEP = 30.0
# Telescopes that track a position stay this near to it (deg).
JITTER = 0.01
# A pointing table may start and end this much (s) after and before the events.
TABLE_SLACK = 60.0
# A longer observation (s) is none: its times are wrong.
LONGEST = 86400.0
# Nor are there observations before 1950 or after 2100 (MJD).
FIRST_DAY, LAST_DAY = 33282.0, 88069.0
# Times that were corrected to these places are up to 500 s off those at the telescope, in which the sky turns by 2 deg.
FAR_FROM_EARTH = ("SOLARSYSTEM", "BARYCENT", "HELIOCENT")


@dataclass(frozen=True, eq=False)
class EventSource:
    """An event list in an open file, and what goes with it.

    Attributes
    ----------
    files : ObservationFiles
        Where the parts of the observation are.
    hdus : astropy.io.fits.HDUList
        Open file of the events.
    events : astropy.io.fits.BinTableHDU
        The event list.
    time : numpy.ndarray of float64, shape (n_events,), optional
        Event times in s after the reference time.
    intervals : numpy.ndarray of float64, shape (m, 2), optional
        Good time intervals on the same clock.
    """

    files: ObservationFiles
    hdus: fits.HDUList
    events: fits.BinTableHDU
    time: np.ndarray | None
    intervals: Intervals | None


def read_track(source: EventSource) -> tuple[Track, str | None]:
    """Read where an observation points.

    Parameters
    ----------
    source : EventSource
        Event list and what goes with it. A pointing table that the index does not name is looked for in its file.

    Returns
    -------
    track : Track
        The pointing.
    note : str or None
        What was assumed, if the header does not give it.

    Raises
    ------
    DataError
        There is no pointing, or one that makes no sense.
    """
    header = source.events.header
    mode = header_text(header, "OBS_MODE")
    if mode == "DRIFT" and {"ALT_PNT", "AZ_PNT"} <= set(header):
        return _drift(source), None
    with _pointing_table(source.files, source.hdus) as table:
        in_header = "RA_PNT" in header and "DEC_PNT" in header and mode != "DRIFT"
        if table is not None and not (in_header and mode not in MOVING_MODES):
            return _from_table(table, source), FROM_TABLE
    if mode == "DRIFT":
        problem = "keyword is missing, and there is no pointing table, but the observation is a drift scan"
        raise DataError(problem, hdu=header.get("EXTNAME"), column="ALT_PNT, AZ_PNT", remedy="add the keywords")
    return Track.fixed(*_position(header)), None


def time_span(source: EventSource, whole: bool = False) -> tuple[float, float]:
    """First and last time of an observation.

    Parameters
    ----------
    source : EventSource
        Event list.
    whole : bool
        Whether to go to the ends of the good time, too.

    Returns
    -------
    start, stop : float
        Times in s after the reference time.

    Raises
    ------
    DataError
        There are no times, or they cannot be those of one observation.
    """
    name, time = source.events.name, source.time
    if time is None:
        problem = "column is missing, but the orientation of the field of view needs it"
        raise DataError(problem, hdu=name, column="TIME")
    times = time[np.isfinite(time)]
    if not times.size:
        raise DataError("no finite value", hdu=name, column="TIME")
    start, stop = float(times.min()), float(times.max())
    if stop - start > LONGEST:
        raise DataError(f"from {start} to {stop} s is more than a day", hdu=name, column="TIME")
    if not whole or source.intervals is None or not len(source.intervals):
        return start, stop
    first, last = float(source.intervals[0, 0]), float(source.intervals[-1, 1])
    return max(min(start, first), start - LONGEST), min(max(stop, last), stop + LONGEST)


def local_reference(header: fits.Header, start: float) -> Time:
    """Reference time of times at the telescope.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the ``EVENTS`` HDU.
    start : float
        Time of the first event in s after it.

    Returns
    -------
    astropy.time.Time
        Reference time.

    Raises
    ------
    DataError
        The times are not at the telescope, or of another age.
    """
    place = next((header_text(header, key) for key in ("TREFPOS", "TIMEREF") if header_text(header, key)), "")
    if place.startswith(FAR_FROM_EARTH):
        problem = f"times are those at {place}, but the orientation of the field of view needs those at the telescope"
        raise DataError(problem, hdu=header.get("EXTNAME"), column="TIMEREF", remedy="undo the correction")
    reference = reference_time(header)
    day = reference.mjd + start / 86400.0
    if not FIRST_DAY < day < LAST_DAY:
        problem = f"the first event is of MJD {day:.1f}, which is no time of a Cherenkov telescope"
        remedy = "are TIMEUNIT or TUNIT of TIME, and MJDREFI right?"
        raise DataError(problem, hdu=header.get("EXTNAME"), column="TIME", remedy=remedy)
    return reference


def _position(header: fits.Header) -> tuple[float, float]:
    ra, dec = header_number(header, "RA_PNT"), header_number(header, "DEC_PNT")
    if abs(dec) > 90:
        raise DataError(f"{dec} deg is no declination", hdu=header.get("EXTNAME"), column="DEC_PNT")
    if abs(ra) > 360:
        raise DataError(f"{ra} deg is no right ascension", hdu=header.get("EXTNAME"), column="RA_PNT")
    return ra, dec


def _drift(source: EventSource) -> Track:
    header = source.events.header
    alt, az = header_number(header, "ALT_PNT"), header_number(header, "AZ_PNT")
    if abs(alt) > 90:
        raise DataError(f"{alt:g} deg is no altitude", hdu=header.get("EXTNAME"), column="ALT_PNT")
    if abs(az) > 360:
        raise DataError(f"{az:g} deg is no azimuth", hdu=header.get("EXTNAME"), column="AZ_PNT")
    start, stop = time_span(source, whole=True)
    times = np.linspace(start, max(stop, start + 1.0), 2 + int((stop - start) / DRIFT_STEP))
    return Track.from_horizon(times, alt, az, local_reference(header, start), observatory_location(header))


@contextmanager
def _pointing_table(files: ObservationFiles, hdus: fits.HDUList) -> Iterator[fits.BinTableHDU | None]:
    """The pointing table that the index names, or the one in the file of the events."""
    location, events = files.pointing, files.events
    if location is None:
        yield next((hdu for hdu in hdus if hdu.name == "POINTING" and isinstance(hdu, fits.BinTableHDU)), None)
    elif events is not None and location.path == events.path:
        yield find_hdu(hdus, location, "POINTING")
    else:
        with blame(location.path), open_tables(location.path) as others:
            yield find_hdu(others, location, "POINTING")


def _from_table(table: fits.BinTableHDU, source: EventSource) -> Track:
    header = source.events.header
    times = read_time_column(table, "TIME") + clock_shift(table.header, header)
    on_sky = column_name(table, "RA_PNT") is not None and column_name(table, "DEC_PNT") is not None
    names = ("RA_PNT", "DEC_PNT") if on_sky else ("AZ_PNT", "ALT_PNT")
    lon, lat = (read_column(table, name, u.deg).astype(np.float64) for name in names)
    good = np.isfinite(times) & (np.abs(lon) <= 360) & (np.abs(lat) <= 90)
    # Sorted, and each time only once.
    moments, first = np.unique(times[good], return_index=True)
    if not moments.size:
        raise DataError("no row has a time and a position", hdu=table.name, column=", ".join(names))
    rows = _during(moments, *time_span(source), table.name)
    moments, lon, lat = moments[rows], lon[good][first][rows], lat[good][first][rows]
    if not on_sky:
        reference = local_reference(header, float(moments[0]))
        track = Track.from_horizon(moments, lat, lon, reference, observatory_location(header))
        return track if track.moves else Track.fixed(track.ra[0], track.dec[0])
    return _tracked(lon, lat) or Track(moments, lon, lat)


def _during(moments: NDArray[np.float64], start: float, stop: float, hdu: str) -> slice:
    """Rows of the observation and one more at either end: tables may be of the whole night."""
    if moments.size == 1:
        return slice(None)
    if moments[0] > start + TABLE_SLACK or moments[-1] < stop - TABLE_SLACK:
        problem = f"{moments[0]:.1f} to {moments[-1]:.1f} s do not cover the events, {start:.1f} to {stop:.1f} s"
        raise DataError(problem, hdu=hdu, column="TIME", remedy="is MJDREFI of one of the two tables wrong?")
    before = max(int(np.searchsorted(moments, start, side="right")) - 1, 0)
    return slice(before, int(np.searchsorted(moments, stop)) + 1)


def _tracked(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> Track | None:
    """One position, if that is what all rows have but for the jitter of the drives."""
    lon, lat = np.deg2rad(ra), np.deg2rad(dec)
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    mean = np.arctan2(y.mean(), x.mean()), np.arctan2(z.mean(), np.hypot(x.mean(), y.mean()))
    if np.rad2deg(angular_separation(*mean, lon, lat)).max() > JITTER:
        return None
    return Track.fixed(float(np.rad2deg(mean[0]) % 360), float(np.rad2deg(mean[1])))
