"""One observation: its event list, livetime and energy threshold, read from FITS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits

from gpucube.errors import DataError, ObservationError
from gpucube.files import open_fits
from gpucube.observations.headers import comment_unit, header_number, parse_unit, reference_time
from gpucube.observations.pointing import FovRotation, altaz_rotation, radec_rotation
from gpucube.observations.sites import observatory_location

__all__ = ["HduLocation", "Observation", "ObservationFiles", "read_observation", "read_threshold"]

# Real files give good time intervals in whole seconds: an event up to this much outside (s) is still of its run.
GTI_SLACK = 1.0
LOWEST_THRESHOLD = 1e-6  # TeV: Cherenkov light needs more

# A longer observation (s) is none: its times are wrong.
LONGEST = 86400.0


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
    """

    events: HduLocation | None
    effective_area: HduLocation | None
    gti: HduLocation | None = None


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


def read_observation(obs_id: int, files: ObservationFiles, align: str = "ALTAZ") -> Observation:
    """Read what is needed of an observation to fill a counts cube.

    Parameters
    ----------
    obs_id : int
        Observation identifier.
    files : ObservationFiles
        Where its parts are.
    align : {"ALTAZ", "RADEC"}
        Orientation of the field-of-view coordinates.

    Returns
    -------
    Observation
        The observation.

    Raises
    ------
    ObservationError
        The observation cannot be used; the message says which file, HDU, column and value is to blame.
    """
    location, area = _require(files.events, "EVENTS"), _require(files.effective_area, "AEFF")
    # Damaged values may be signalling NaN, which warn when they are converted.
    with _blame(location.path), open_fits(location.path) as hdus, np.errstate(invalid="ignore"):
        events = _find_events(hdus, location)
        livetime, ontime = _read_times(events.header)
        energy = _read_column(events, "ENERGY", u.TeV)
        time = _read_time(events)
        lon, lat, rotation = _read_directions(events, align, time)
        good = _in_good_time(events, time, files.gti, hdus, location.path)
        threshold = _threshold_in(hdus, area) if area.path == location.path else read_threshold(files)
        _refuse_unless_any(good & (energy > 0) & np.isfinite(energy) & np.isfinite(lon) & np.isfinite(lat), events.name)
    return Observation(
        obs_id, livetime, ontime, threshold, energy, lon, lat, good, None if rotation is None else time, rotation
    )


def read_threshold(files: ObservationFiles) -> float:
    """Energy threshold of an observation: LO_THRES in the header of its effective area.

    Parameters
    ----------
    files : ObservationFiles
        Where the parts of the observation are.

    Returns
    -------
    float
        Threshold in TeV.

    Raises
    ------
    ObservationError
        There is none, or its unit is not one of energy.
    """
    location = _require(files.effective_area, "AEFF")
    with _blame(location.path), open_fits(location.path) as hdus:
        return _threshold_in(hdus, location)


def _require(location: HduLocation | None, kind: str) -> HduLocation:
    if location is None:
        problem = f"the index names no {kind} HDU for this observation, or several"
        raise ObservationError(problem, remedy="correct the HDU index")
    return location


@contextmanager
def _blame(path: Path) -> Iterator[None]:
    """Turn a fault of a file into an error of this observation that names the file."""
    try:
        yield
    except DataError as error:
        raise ObservationError(error.problem, error.path or path, error.hdu, error.column, error.remedy) from error


def _find_hdu(hdus: fits.HDUList, location: HduLocation, kind: str) -> fits.BinTableHDU:
    """Table by its name in the index, else by its class or usual name."""
    wanted = (location.hdu or kind).upper()
    for hdu in hdus:
        kinds = {str(hdu.header.get("HDUCLAS1", "")).strip().upper()} if location.hdu is None else set()
        if wanted in {hdu.name.upper(), *kinds} and isinstance(hdu, fits.BinTableHDU):
            return hdu
    raise DataError(f"no table of this name or class; the file has {_names(hdus)}", hdu=wanted)


def _find_events(hdus: fits.HDUList, location: HduLocation) -> fits.BinTableHDU:
    events = _find_hdu(hdus, location, "EVENTS")
    if not len(events.data):
        raise DataError("no events", hdu=events.name)
    return events


def _names(hdus: fits.HDUList) -> str:
    return ", ".join(hdu.name or "(unnamed)" for hdu in hdus)


def _read_times(header: fits.Header) -> tuple[float, float]:
    """LIVETIME and ONTIME in s; where one is missing, by DEADC from the other."""
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


def _read_column(hdu: fits.BinTableHDU, name: str, unit: u.UnitBase) -> np.ndarray:
    """Column in a unit; float32 stays float32 where nothing is to be converted."""
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


def _read_time(events: fits.BinTableHDU) -> np.ndarray | None:
    return _read_column(events, "TIME", u.s).astype(np.float64) if "TIME" in events.columns.names else None


def _read_directions(
    events: fits.BinTableHDU, align: str, time: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, FovRotation | None]:
    """DETX and DETY if the file has them in this alignment, else RA, DEC and the rotation to apply."""
    names, header = events.columns.names, events.header
    stored_align = str(header.get("FOVALIGN", "ALTAZ")).strip().upper()
    if {"DETX", "DETY"} <= set(names) and stored_align == align:
        lon, lat = _read_column(events, "DETX", u.deg), _read_column(events, "DETY", u.deg)
        if not (np.isfinite(lon) & np.isfinite(lat)).any():
            raise DataError("no event has finite field-of-view coordinates", hdu=events.name, column="DETX, DETY")
        return lon, lat, None
    if not {"RA", "DEC"} <= set(names):
        raise DataError(
            f"no DETX and DETY aligned with {align}, and no RA and DEC to compute them from; "
            f"the table has {', '.join(names)}",
            hdu=events.name,
            column="DETX, DETY",
            remedy="choose the other --align" if {"DETX", "DETY"} <= set(names) else None,
        )
    lon, lat = (_read_column(events, name, u.deg).astype(np.float64) for name in ("RA", "DEC"))
    return lon, lat, _read_rotation(events, align, time)


def _read_rotation(events: fits.BinTableHDU, align: str, time: np.ndarray | None) -> FovRotation:
    ra, dec = header_number(events.header, "RA_PNT"), header_number(events.header, "DEC_PNT")
    if abs(dec) > 90:
        raise DataError(f"{dec} deg is no declination", hdu=events.name, column="DEC_PNT")
    if align == "RADEC":
        return radec_rotation(ra, dec)
    if time is None:
        raise DataError("column is missing, but ALTAZ coordinates need it", hdu=events.name, column="TIME")
    finite = time[np.isfinite(time)]
    if not finite.size:
        raise DataError("no finite value", hdu=events.name, column="TIME")
    if np.ptp(finite) > LONGEST:
        raise DataError(f"from {finite.min()} to {finite.max()} s is more than a day", hdu=events.name, column="TIME")
    location = observatory_location(events.header)
    return altaz_rotation(ra, dec, reference_time(events.header), finite.min(), finite.max(), location)


def _in_good_time(
    events: fits.BinTableHDU,
    time: np.ndarray | None,
    location: HduLocation | None,
    hdus: fits.HDUList,
    events_path: Path,
) -> np.ndarray:
    if time is None or location is None:
        return np.ones(len(events.data), dtype=bool)
    if location.path == events_path:
        return _inside_intervals(time, events.header, _find_hdu(hdus, location, "GTI"))
    with _blame(location.path), open_fits(location.path) as others:
        return _inside_intervals(time, events.header, _find_hdu(others, location, "GTI"))


def _inside_intervals(time: np.ndarray, events_header: fits.Header, gti: fits.BinTableHDU) -> np.ndarray:
    start, stop = (_read_column(gti, name, u.s).astype(np.float64) for name in ("START", "STOP"))
    if {"MJDREFI", "MJDREF"} & set(gti.header) and {"MJDREFI", "MJDREF"} & set(events_header):
        # Where the clocks are the same the difference is 0 but for rounding, which must not move edges.
        shift = (reference_time(gti.header) - reference_time(events_header)).sec
        start, stop = (start, stop) if abs(shift) < 1e-3 else (start + shift, stop + shift)
    if not start.size:
        return np.zeros(time.shape, dtype=bool)
    order = np.argsort(start)
    latest = np.maximum.accumulate(stop[order])
    index = np.searchsorted(start[order] - GTI_SLACK, time, side="right") - 1
    return (index >= 0) & (time <= latest[np.maximum(index, 0)] + GTI_SLACK)


def _threshold_in(hdus: fits.HDUList, location: HduLocation) -> float:
    candidates = [_find_hdu(hdus, location, "AEFF")] if location.hdu else list(hdus)
    header = next((hdu.header for hdu in candidates if "LO_THRES" in hdu.header), None)
    if header is None:
        remedy = "add LO_THRES to the effective area"
        raise DataError("no energy threshold", hdu=location.hdu, column="LO_THRES", remedy=remedy)
    text = comment_unit(header.comments["LO_THRES"]) or "TeV"
    unit = parse_unit(text, u.TeV, hdu=header.get("EXTNAME"), column="LO_THRES")
    value = header_number(header, "LO_THRES") * unit.to(u.TeV)
    if value < 0 or 0 < value < LOWEST_THRESHOLD:
        raise DataError(f"{value:g} TeV is no energy threshold", hdu=header.get("EXTNAME"), column="LO_THRES")
    return float(value)
