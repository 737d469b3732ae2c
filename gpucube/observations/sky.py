"""Directions of events: in the field of view as the file has them, or on the sky with the rotation to apply."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from gpucube.errors import DataError
from gpucube.observations.gti import Intervals
from gpucube.observations.hdus import column_name, read_column
from gpucube.observations.headers import header_number, header_text
from gpucube.observations.pointing import (
    FovRotation,
    Track,
    altaz_rotation_along,
    radec_rotation,
    radec_rotation_along,
)
from gpucube.observations.sites import observatory_location, site_note
from gpucube.observations.track import EventSource, local_reference, read_track, time_span

__all__ = ["MOVES", "Directions", "SkyView", "read_directions", "read_target"]

MOVES = (
    "the pointing moves, but the catalogue was compared with its position in the index only: cut sources out instead"
)


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
        Right ascension and declination in deg; of a pointing that moves, in the middle of the observation.
    target : tuple of float, optional
        The same of what was observed, if the file says.
    drift : float
        How far in deg the pointing goes away from `pointing`; 0 if it is tracked.
    """

    ra: np.ndarray
    dec: np.ndarray
    rotation: FovRotation
    intervals: Intervals
    pointing: tuple[float, float]
    target: tuple[float, float] | None
    drift: float = 0.0


@dataclass(frozen=True, eq=False)
class Directions:
    """Where the events of an observation come from.

    Attributes
    ----------
    lon, lat : numpy.ndarray, shape (n_events,)
        DETX and DETY in deg; with a `rotation`, RA and DEC in deg.
    rotation : FovRotation, optional
        Rotation that takes them to DETX and DETY.
    sky : SkyView, optional
        The same on the sky, if it was read.
    notes : tuple of str
        What was assumed where the file does not say it.
    """

    lon: np.ndarray
    lat: np.ndarray
    rotation: FovRotation | None = None
    sky: SkyView | None = None
    notes: tuple[str, ...] = ()

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Which events have a direction, shape (n_events,)."""
        return np.isfinite(self.lon) & np.isfinite(self.lat)


def read_directions(source: EventSource, align: str, with_sky: bool) -> Directions:
    """Read DETX and DETY if the file has them in an alignment, else RA, DEC and the rotation to apply.

    Parameters
    ----------
    source : EventSource
        Event list.
    align : {"ALTAZ", "RADEC"}
        Orientation of the field-of-view coordinates.
    with_sky : bool
        Whether to read what exclusion regions need, also where the file has field-of-view coordinates.

    Returns
    -------
    Directions
        The directions.

    Raises
    ------
    DataError
        The file has neither, or lacks what the rotation needs.
    """
    events = source.events
    stored = _stored_coordinates(events, align)
    if stored is not None and not with_sky:
        return Directions(*stored, notes=(MOVES,) if header_text(events.header, "OBS_MODE") == "DRIFT" else ())
    _require_directions(events, align, is_stored=stored is not None)
    sky, notes = _read_sky(source, align)
    notes += (MOVES,) if sky.drift and not with_sky else ()
    if stored is not None:
        return Directions(*stored, None, sky, notes)
    return Directions(sky.ra, sky.dec, sky.rotation, sky if with_sky else None, notes)


def _require_directions(events: fits.BinTableHDU, align: str, *, is_stored: bool) -> None:
    if column_name(events, "RA") and column_name(events, "DEC"):
        return
    lacking = f"no DETX and DETY aligned with {align}, and no RA and DEC to compute them from"
    lacking = "exclusion regions need RA and DEC" if is_stored else lacking
    has_other = not is_stored and column_name(events, "DETX") and column_name(events, "DETY")
    raise DataError(
        f"{lacking}; the table has {', '.join(events.columns.names)}",
        hdu=events.name,
        column="RA, DEC" if is_stored else "DETX, DETY",
        remedy="choose the other --align" if has_other else None,
    )


def _stored_coordinates(events: fits.BinTableHDU, align: str) -> tuple[np.ndarray, np.ndarray] | None:
    """DETX and DETY if the file has them in this alignment."""
    has_both = column_name(events, "DETX") and column_name(events, "DETY")
    if not has_both or (header_text(events.header, "FOVALIGN") or "ALTAZ") != align:
        return None
    lon, lat = read_column(events, "DETX", u.deg), read_column(events, "DETY", u.deg)
    if not (np.isfinite(lon) & np.isfinite(lat)).any():
        raise DataError("no event has finite field-of-view coordinates", hdu=events.name, column="DETX, DETY")
    return lon, lat


def _read_sky(source: EventSource, align: str) -> tuple[SkyView, tuple[str, ...]]:
    events, header = source.events, source.events.header
    ra, dec = (read_column(events, name, u.deg).astype(np.float64, copy=False) for name in ("RA", "DEC"))
    track, note = read_track(source)
    needs_location = align == "ALTAZ" or track.moves
    rotation = _rotation(source, align, track) if needs_location else radec_rotation(track.ra[0], track.dec[0])
    whole = rotation.times[[0, -1]][None, :]
    exposed = whole if source.intervals is None or not len(source.intervals) else source.intervals
    pointing, drift = _center(track, rotation)
    notes = tuple(filter(None, (note, site_note(header) if needs_location else None)))
    return SkyView(ra, dec, rotation, exposed, pointing, read_target(header), drift), notes


def _rotation(source: EventSource, align: str, track: Track) -> FovRotation:
    start, stop = time_span(source, whole=track.moves)
    if align == "RADEC":
        return radec_rotation_along(track, start, stop)
    header = source.events.header
    location = observatory_location(header)
    return altaz_rotation_along(track, local_reference(header, start), start, stop, location)


def _center(track: Track, rotation: FovRotation) -> tuple[tuple[float, float], float]:
    """Pointing in the middle of the observation, and how far it goes away from there, in deg."""
    if not track.moves:
        return (float(track.ra[0]), float(track.dec[0])), 0.0
    pointing = track.at(rotation.times)
    center = pointing[len(pointing) // 2]
    return (float(center.ra.deg), float(center.dec.deg)), float(pointing.separation(center).deg.max())


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
