"""One observation: its event list, livetime and energy threshold, read from FITS."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.io import fits

from gpucube.errors import DataError
from gpucube.files import open_fits
from gpucube.observations.gti import Intervals, in_good_time, read_good_time
from gpucube.observations.hdus import HduLocation, ObservationFiles, blame, find_hdu, read_column, require
from gpucube.observations.headers import comment_unit, header_number, parse_unit, reference_time
from gpucube.observations.pointing import FovRotation, altaz_rotation, radec_rotation
from gpucube.observations.sites import observatory_location
from gpucube.observations.threshold import read_threshold, threshold_in

__all__ = ["Observation", "SkyView", "read_observation", "read_target", "read_times"]

# A longer observation (s) is none: its times are wrong.
LONGEST = 86400.0


@dataclass(frozen=True, eq=False)
class SkyView:
    """What part of the sky an observation sees, and where each event comes from.

    Attributes
    ----------
    ra, dec : numpy.ndarray of float64, shape (n_events,)
        Event directions (ICRS) in deg.
    rotation : FovRotation
        Rotation from the sky to the field of view.
    intervals : numpy.ndarray of float64, shape (m, 2)
        Starts and stops of the good time, on the clock of `rotation`.
    pointing : tuple of float
        Right ascension and declination in deg.
    target : tuple of float, optional
        The same of what was observed, if the file says.
    """

    ra: np.ndarray
    dec: np.ndarray
    rotation: FovRotation
    intervals: Intervals
    pointing: tuple[float, float]
    target: tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class Observation:
    """Events of one observation, on the host.

    Attributes
    ----------
    obs_id : int
        Observation identifier.
    livetime, ontime : float
        Observation time with and without correction for dead time, in s.
    threshold : float
        Energy threshold in TeV.
    energy : numpy.ndarray, shape (n_events,)
        Energies in TeV, float32 or float64 as in the file.
    lon, lat : numpy.ndarray, shape (n_events,)
        DETX and DETY in deg; with a `rotation`, RA and DEC in deg.
    good : numpy.ndarray of bool, shape (n_events,)
        Whether an event is in a good time interval.
    time : numpy.ndarray of float64, shape (n_events,), optional
        Event times in s; given with a `rotation`.
    rotation : FovRotation, optional
        Rotation that takes `lon` and `lat` to DETX and DETY.
    sky : SkyView, optional
        Where all this is on the sky, if it was asked for.
    """

    obs_id: int
    livetime: float
    ontime: float
    threshold: float
    energy: np.ndarray
    lon: np.ndarray
    lat: np.ndarray
    good: np.ndarray
    time: np.ndarray | None = None
    rotation: FovRotation | None = None
    sky: SkyView | None = None


def read_observation(obs_id: int, files: ObservationFiles, align: str = "ALTAZ", with_sky: bool = False) -> Observation:
    """Read what is needed of an observation to fill a counts cube.

    Parameters
    ----------
    obs_id : int
        Observation identifier.
    files : ObservationFiles
        Where its parts are.
    align : {"ALTAZ", "RADEC"}
        Orientation of the field-of-view coordinates.
    with_sky : bool
        Whether to read what exclusion regions need, also where the file has field-of-view coordinates.

    Returns
    -------
    Observation
        The observation.

    Raises
    ------
    ObservationError
        The observation cannot be used; the message says which file, HDU, column and value is to blame.
    """
    location, area = require(files.events, "EVENTS"), require(files.effective_area, "AEFF")
    # Damaged values may be signalling NaN, which warn when they are converted.
    with blame(location.path), open_fits(location.path) as hdus, np.errstate(invalid="ignore"):
        events = _find_events(hdus, location)
        livetime, ontime = read_times(events.header)
        energy = read_column(events, "ENERGY", u.TeV)
        time = _read_time(events)
        intervals = (
            read_good_time(files.gti, events.header, hdus, location.path) if files.gti and time is not None else None
        )
        lon, lat, rotation, sky = _read_directions(events, align, time, intervals, with_sky)
        good = np.ones(len(energy), dtype=bool) if intervals is None or time is None else in_good_time(time, intervals)
        if sky is not None:  # an event from nowhere may come from a source
            good = good & np.isfinite(sky.ra) & np.isfinite(sky.dec)
        threshold = threshold_in(hdus, area) if area.path == location.path else read_threshold(files)
        _refuse_unless_any(good & (energy > 0) & np.isfinite(energy) & np.isfinite(lon) & np.isfinite(lat), events.name)
    # What nobody needs is not sent from a worker to the main process.
    times = time if rotation else None
    return Observation(obs_id, livetime, ontime, threshold, energy, lon, lat, good, times, rotation, sky)


def _find_events(hdus: fits.HDUList, location: HduLocation) -> fits.BinTableHDU:
    events = find_hdu(hdus, location, "EVENTS")
    if not len(events.data):
        raise DataError("no events", hdu=events.name)
    return events


def read_times(header: fits.Header) -> tuple[float, float]:
    """Read LIVETIME and ONTIME; where one is missing, it comes by DEADC from the other.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of an ``EVENTS`` HDU.

    Returns
    -------
    livetime, ontime : float
        Times in s.

    Raises
    ------
    DataError
        They are missing, not positive, or the livetime is longer than the ontime.
    """
    times = {key: _seconds(header, key) for key in ("LIVETIME", "ONTIME") if key in header}
    if len(times) < 2:
        times["DEADC"] = header_number(header, "DEADC")
    for key, value in times.items():
        if value <= 0:
            raise DataError(f"{value:g} is not positive", hdu=header.get("EXTNAME"), column=key)
    livetime = times["LIVETIME"] if "LIVETIME" in times else _seconds(header, "ONTIME") * times["DEADC"]
    ontime = times["ONTIME"] if "ONTIME" in times else livetime / times["DEADC"]
    if livetime > ontime * (1 + 1e-6):
        raise DataError(
            f"{livetime:g} s is longer than the ontime, {ontime:g} s", hdu=header.get("EXTNAME"), column="LIVETIME"
        )
    return livetime, ontime


def _refuse_unless_any(valid: np.ndarray, hdu: str) -> None:
    if not valid.any():
        problem = "no event has a positive energy, finite coordinates and a time inside the good time intervals"
        raise DataError(problem, hdu=hdu)


def _seconds(header: fits.Header, key: str) -> float:
    unit = (comment_unit(header.comments[key]) if key in header else None) or "s"
    return header_number(header, key) * parse_unit(unit, u.s, hdu=header.get("EXTNAME"), column=key).to(u.s)


def _read_time(events: fits.BinTableHDU) -> np.ndarray | None:
    return read_column(events, "TIME", u.s).astype(np.float64) if "TIME" in events.columns.names else None


def _stored_coordinates(events: fits.BinTableHDU, align: str) -> tuple[np.ndarray, np.ndarray] | None:
    """DETX and DETY if the file has them in this alignment."""
    names = events.columns.names
    stored_align = str(events.header.get("FOVALIGN", "ALTAZ")).strip().upper()
    if not {"DETX", "DETY"} <= set(names) or stored_align != align:
        return None
    lon, lat = read_column(events, "DETX", u.deg), read_column(events, "DETY", u.deg)
    if not (np.isfinite(lon) & np.isfinite(lat)).any():
        raise DataError("no event has finite field-of-view coordinates", hdu=events.name, column="DETX, DETY")
    return lon, lat


def _read_directions(
    events: fits.BinTableHDU, align: str, time: np.ndarray | None, intervals: Intervals | None, with_sky: bool
) -> tuple[np.ndarray, np.ndarray, FovRotation | None, SkyView | None]:
    """DETX and DETY if the file has them in this alignment, else RA, DEC and the rotation to apply."""
    stored = _stored_coordinates(events, align)
    if stored is not None and not with_sky:
        return *stored, None, None
    names = events.columns.names
    if not {"RA", "DEC"} <= set(names):
        lacking = "exclusion regions need RA and DEC"
        if stored is None:
            lacking = f"no DETX and DETY aligned with {align}, and no RA and DEC to compute them from"
        other_align = stored is None and {"DETX", "DETY"} <= set(names)
        raise DataError(
            f"{lacking}; the table has {', '.join(names)}",
            hdu=events.name,
            column="RA, DEC" if stored else "DETX, DETY",
            remedy="choose the other --align" if other_align else None,
        )
    sky = _read_sky(events, align, time, intervals)
    return (sky.ra, sky.dec, sky.rotation, sky) if stored is None else (*stored, None, sky)


def _read_sky(events: fits.BinTableHDU, align: str, time: np.ndarray | None, intervals: Intervals | None) -> SkyView:
    ra, dec = (read_column(events, name, u.deg).astype(np.float64) for name in ("RA", "DEC"))
    pointing = header_number(events.header, "RA_PNT"), header_number(events.header, "DEC_PNT")
    if abs(pointing[1]) > 90:
        raise DataError(f"{pointing[1]} deg is no declination", hdu=events.name, column="DEC_PNT")
    rotation = _read_rotation(events, align, time, pointing)
    whole = rotation.times[[0, -1]][None, :]
    exposed = whole if intervals is None or not len(intervals) else intervals
    return SkyView(ra, dec, rotation, exposed, pointing, read_target(events.header))


def read_target(header: fits.Header) -> tuple[float, float] | None:
    """Read the position of the target; that a survey has none is no fault of an observation.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of an ``EVENTS`` HDU.

    Returns
    -------
    tuple of float or None
        RA_OBJ and DEC_OBJ in deg, None if there is no such position.
    """
    try:
        target = header_number(header, "RA_OBJ"), header_number(header, "DEC_OBJ")
    except DataError:
        return None
    return target if abs(target[1]) <= 90 else None


def _read_rotation(
    events: fits.BinTableHDU, align: str, time: np.ndarray | None, pointing: tuple[float, float]
) -> FovRotation:
    if align == "RADEC":
        return radec_rotation(*pointing)
    if time is None:
        raise DataError("column is missing, but ALTAZ coordinates need it", hdu=events.name, column="TIME")
    finite = time[np.isfinite(time)]
    if not finite.size:
        raise DataError("no finite value", hdu=events.name, column="TIME")
    if np.ptp(finite) > LONGEST:
        raise DataError(f"from {finite.min()} to {finite.max()} s is more than a day", hdu=events.name, column="TIME")
    location = observatory_location(events.header)
    return altaz_rotation(*pointing, reference_time(events.header), finite.min(), finite.max(), location)
