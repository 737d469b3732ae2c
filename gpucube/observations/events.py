"""One observation: its event list, livetime and energy threshold, read from FITS."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.io import fits

from gpucube.errors import DataError
from gpucube.fits_reader import open_tables
from gpucube.observations.gti import in_good_time, read_good_time
from gpucube.observations.hdus import (
    HduLocation,
    ObservationFiles,
    blame,
    column_name,
    find_hdu,
    read_column,
    read_time_column,
    require,
)
from gpucube.observations.headers import comment_unit, header_number, parse_unit
from gpucube.observations.pointing import FovRotation
from gpucube.observations.sky import SkyView, read_directions, read_target
from gpucube.observations.threshold import find_threshold
from gpucube.observations.track import EventSource

__all__ = ["Observation", "SkyView", "read_observation", "read_target", "read_times"]


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
    notes : tuple of str
        What was assumed where the file does not say it.
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
    notes: tuple[str, ...] = ()


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
    location = require(files.events, "EVENTS")
    # Damaged values may be signalling NaN, which warn when they are converted.
    with blame(location.path), open_tables(location.path) as hdus, np.errstate(invalid="ignore"):
        events = _find_events(hdus, location)
        livetime, ontime = read_times(events.header)
        energy = read_column(events, "ENERGY", u.TeV)
        time = read_time_column(events, "TIME") if column_name(events, "TIME") else None
        intervals = (
            read_good_time(files.gti, events.header, hdus, location.path) if files.gti and time is not None else None
        )
        found = read_directions(EventSource(files, hdus, events, time, intervals), align, with_sky)
        good = np.ones(len(energy), dtype=bool) if intervals is None or time is None else in_good_time(time, intervals)
        if found.sky is not None:  # an event from nowhere may come from a source
            good = good & np.isfinite(found.sky.ra) & np.isfinite(found.sky.dec)
        threshold, origin = find_threshold(files, hdus)
        _refuse_unless_any(good & (energy > 0) & np.isfinite(energy) & found.finite, events.name)
    return Observation(
        obs_id,
        livetime,
        ontime,
        threshold,
        energy,
        found.lon,
        found.lat,
        good,
        # What nobody needs is not sent from a worker to the main process.
        time if found.rotation else None,
        found.rotation,
        found.sky,
        found.notes + ((origin,) if origin else ()),
    )


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
