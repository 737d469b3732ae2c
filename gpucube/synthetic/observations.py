"""Tables of synthetic observations."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time

from gpucube.errors import OptionError
from gpucube.observations.earth import bundled_earth_orientation
from gpucube.observations.sites import SITES
from gpucube.observations.table import ObservationTable
from gpucube.synthetic.streams import Stream, host_generator, random_key

__all__ = ["make_test_observation_table"]

ONTIME, LIVETIME = 1800.0, 1500.0  # s
REFERENCE = Time(55197, format="mjd", scale="tt")  # 2010-01-01
# Observations lie in the 5.5 hours after 22:00 UTC.
NIGHT_START, NIGHT_LENGTH = 22 * 3600.0, 5.5 * 3600.0
DAY = 86400.0
MUON_EFFICIENCY = (0.6, 1.0)

Range = tuple[float, float]


def make_test_observation_table(
    n_obs: int = 10,
    observatory: str = "HESS",
    az_range: Range = (0.0, 360.0),
    alt_range: Range = (45.0, 90.0),
    date_range: tuple[str | Time, str | Time] = ("2010-01-01", "2015-01-01"),
    n_tels_range: tuple[int, int] = (3, 4),
    seed: int = 0,
) -> ObservationTable:
    """Make a table of synthetic observations.

    Parameters
    ----------
    n_obs : int
        Number of observations.
    observatory : str
        One of `gpucube.observations.sites.SITES`.
    az_range, alt_range : tuple of two float
        Azimuths and altitudes in deg; pointings are uniform on this part of the sphere.
    date_range : tuple of two str or astropy.time.Time
        First day, and the day after the last; observations are between 22:00 and 3:30 UTC.
    n_tels_range : tuple of two int
        Smallest and largest number of telescopes.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    ObservationTable
        One row per observation, with OBS_ID from 1. A row depends on seed and OBS_ID only, not on `n_obs`. Columns:
        OBS_ID, RA_PNT, DEC_PNT (at mid time), ALT_PNT, AZ_PNT, ZEN_PNT (deg), ONTIME, LIVETIME (s), DEADC, TSTART,
        TSTOP (s after the reference time in ``meta``), N_TELS, MUONEFF, OBJECT.

    Raises
    ------
    OptionError
        An argument makes no sense.
    """
    if n_obs < 1:
        raise OptionError(f"n_obs must be at least 1, not {n_obs}")
    site = _site_name(observatory)
    _check_range("az_range", az_range, -360.0, 360.0)
    _check_range("alt_range", alt_range, 0.0, 90.0)
    _check_range("n_tels_range", n_tels_range, 1, 1000)
    nights = _nights(date_range)
    obs_ids = np.arange(1, n_obs + 1)
    # One column of random numbers for each quantity
    draws = np.stack([host_generator(random_key(seed, i), Stream.POINTING).random(6) for i in obs_ids.tolist()])
    az, alt = _directions(draws[:, 0], draws[:, 1], az_range, alt_range)
    start = _start_times(draws[:, 2], draws[:, 3], nights)
    return _assemble(site, obs_ids, az, alt, start, _n_tels(draws[:, 4], n_tels_range), draws[:, 5])


def _site_name(observatory: str) -> str:
    name = str(observatory).upper()
    if name not in SITES:
        raise OptionError(f"unknown observatory {observatory!r}; choose from {', '.join(SITES)}")
    return name


def _check_range(name: str, values: Any, lowest: float, highest: float) -> None:
    try:
        first, last = values
        good = lowest <= first <= last <= highest
    except (TypeError, ValueError):
        good = False
    if not good:
        raise OptionError(f"{name} must be two numbers, increasing, from {lowest:g} to {highest:g}, not {values}")


def _nights(date_range: Any) -> tuple[int, int]:
    """First day (MJD) and number of nights."""
    try:
        first, last = (Time(date, scale="utc") for date in date_range)
    except (TypeError, ValueError) as error:
        raise OptionError(f"date_range must be two dates such as '2010-01-01', not {date_range}") from error
    day = int(np.floor(first.mjd))
    n_nights = int(np.floor(last.mjd)) - day
    if n_nights < 1:
        raise OptionError(f"date_range must be at least one day long: {date_range}")
    return day, n_nights


def _directions(u_az: np.ndarray, u_alt: np.ndarray, az_range: Range, alt_range: Range) -> tuple[Any, Any]:
    """Azimuth and altitude in deg, uniform on the sphere."""
    low, high = np.sin(np.deg2rad(alt_range))
    alt = np.rad2deg(np.arcsin(low + u_alt * (high - low)))
    az = az_range[0] + u_az * (az_range[1] - az_range[0])
    return az % 360.0, np.clip(alt, *alt_range)


def _start_times(u_day: np.ndarray, u_time: np.ndarray, nights: tuple[int, int]) -> Time:
    """Start of the observations, on whole seconds UTC."""
    day = nights[0] + np.floor(u_day * nights[1])
    second = np.floor(NIGHT_START + u_time * (NIGHT_LENGTH - ONTIME))
    return Time(day, second / DAY, format="mjd", scale="utc")


def _n_tels(u_tels: np.ndarray, n_tels_range: tuple[int, int]) -> np.ndarray:
    low, high = n_tels_range
    return low + np.floor(u_tels * (high - low + 1)).astype(np.int64)


def _assemble(
    site: str, obs_ids: np.ndarray, az: np.ndarray, alt: np.ndarray, start: Time, n_tels: np.ndarray, u_muon: np.ndarray
) -> ObservationTable:
    lon, lat, height = SITES[site]
    location = EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, height * u.m)
    pointing = _sky_positions(az, alt, start + 0.5 * ONTIME * u.s, location)
    # Milliseconds, so that a time survives its way through text
    tstart = np.round((start.tt - REFERENCE).to_value("s"), 3)
    n = obs_ids.size
    table = ObservationTable({"OBS_ID": obs_ids})
    for name, values in (("RA", pointing.ra.deg), ("DEC", pointing.dec.deg), ("ALT", alt), ("AZ", az)):
        table[f"{name}_PNT"] = values * u.deg
    table["ZEN_PNT"] = (90.0 - alt) * u.deg
    for name, seconds in (("ONTIME", ONTIME), ("LIVETIME", LIVETIME)):
        table[name] = np.full(n, seconds) * u.s
    table["DEADC"] = np.full(n, LIVETIME / ONTIME)
    table["TSTART"], table["TSTOP"] = tstart * u.s, (tstart + ONTIME) * u.s
    table["N_TELS"] = n_tels
    table["MUONEFF"] = MUON_EFFICIENCY[0] + u_muon * (MUON_EFFICIENCY[1] - MUON_EFFICIENCY[0])
    table["OBJECT"] = np.full(n, "synthetic")
    table.meta.update(_clock_and_place(site))
    return table


def _sky_positions(az: np.ndarray, alt: np.ndarray, time: Time, location: EarthLocation) -> SkyCoord:
    horizon = AltAz(az=az * u.deg, alt=alt * u.deg, obstime=time, location=location)
    with bundled_earth_orientation():
        return SkyCoord(horizon).icrs


def _clock_and_place(site: str) -> dict[str, Any]:
    """Header cards that say what the times and the horizon refer to."""
    lon, lat, height = SITES[site]
    return {
        "MJDREFI": int(REFERENCE.mjd),
        "MJDREFF": 0.0,
        "TIMEUNIT": "s",
        "TIMESYS": "TT",
        "TIMEREF": "LOCAL",
        "TELESCOP": site,
        "GEOLON": lon,
        "GEOLAT": lat,
        "ALTITUDE": height,
    }
