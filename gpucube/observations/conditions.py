"""Under which conditions an observation was taken: what its background depends on."""

from __future__ import annotations

from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, SkyCoord
from astropy.io import fits
from numpy.typing import NDArray

from gpucube.errors import DataError
from gpucube.fits_reader import open_tables
from gpucube.observations.columns import column_values
from gpucube.observations.earth import bundled_earth_orientation
from gpucube.observations.events import read_target, read_times
from gpucube.observations.hdus import blame, find_hdu, require
from gpucube.observations.headers import header_number, reference_time
from gpucube.observations.sites import observatory_location
from gpucube.observations.store import DataStore
from gpucube.observations.threshold import read_threshold

__all__ = ["COVARIATES", "Conditions", "read_conditions"]

# Conditions that are one number per observation, by the name of their column or keyword.
COVARIATES = ("MUONEFF", "NSBLEVEL", "N_TELS", "TSTART")
DAY = 86400.0


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the background of an observation depends on.

    Attributes
    ----------
    obs_id : int
        Observation identifier.
    livetime, ontime : float
        Observation time with and without correction for dead time, in s.
    threshold : float
        Energy threshold in TeV.
    pointing : tuple of float
        Right ascension and declination in deg.
    altitude, azimuth : numpy.ndarray of float64, shape (n_times,)
        Pointing in deg in the middle of each of equal steps of time; one step is the mean of the run.
    target : tuple of float, optional
        Right ascension and declination in deg of what was observed, if the file says.
    covariates : dict of str to float
        Those of `COVARIATES` that are known, and the start in days as ``MJD``.
    """

    obs_id: int
    livetime: float
    ontime: float
    threshold: float
    pointing: tuple[float, float]
    altitude: NDArray[np.float64]
    azimuth: NDArray[np.float64]
    target: tuple[float, float] | None = None
    covariates: dict[str, float] = field(default_factory=dict)

    @property
    def dead_time_factor(self) -> float:
        """Livetime over ontime: what turns a rate per livetime into one per ontime."""
        return self.livetime / self.ontime


def read_conditions(store: DataStore, obs_id: int, time_step: float | None = None) -> Conditions:
    """Read the conditions of an observation from its header and its row of the observation table.

    Parameters
    ----------
    store : DataStore
        Observations.
    obs_id : int
        Observation identifier.
    time_step : float, optional
        Length in s of the steps, at most, at which the pointing in the sky is given; one for the run if not given.

    Returns
    -------
    Conditions
        The conditions; altitude and azimuth are those of the row or header where there is one step.

    Raises
    ------
    ObservationError
        They cannot be read.
    """
    files = store.files_of(obs_id)
    location = require(files.events, "EVENTS")
    with blame(location.path), open_tables(location.path) as hdus:
        header = find_hdu(hdus, location, "EVENTS").header
        livetime, ontime = read_times(header)
        row = _row(store, obs_id)
        pointing = _pointing(row, header)
        altitude, azimuth = _mean_pointing(row, header, pointing)
        if time_step is not None and ontime > time_step:
            altitude, azimuth = _track(header, pointing, int(np.ceil(ontime / time_step)))
        return Conditions(
            obs_id=obs_id,
            livetime=livetime,
            ontime=ontime,
            threshold=read_threshold(files),
            pointing=pointing,
            altitude=altitude,
            azimuth=azimuth,
            target=read_target(header),
            covariates=_covariates(row, header),
        )


def _row(store: DataStore, obs_id: int) -> dict[str, float]:
    """Numbers of the row of an observation."""
    table = store.table[np.asarray(store.table["OBS_ID"]) == obs_id][:1]
    units = dict.fromkeys(("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT"), "deg") | dict.fromkeys(COVARIATES, "")
    units["TSTART"] = "s"
    values = {
        name: float(column_values(table, name, unit)[0]) for name, unit in units.items() if name in table.colnames
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _pointing(row: dict[str, float], header: fits.Header) -> tuple[float, float]:
    """Pointing of the header, or of the table where that of the header is elsewhere."""
    ra, dec = (
        header_number(header, name) if name in header or name not in row else row[name]
        for name in ("RA_PNT", "DEC_PNT")
    )
    return ra, dec


def _covariates(row: dict[str, float], header: fits.Header) -> dict[str, float]:
    found = {}
    for name in COVARIATES:
        try:
            found[name] = row[name] if name in row else header_number(header, name)
        except DataError:
            continue  # what is not known, no model can ask for
    try:
        days = (header_number(header, name) for name in ("MJDREFI", "MJDREFF"))
        found["MJD"] = sum(days) + header_number(header, "TSTART") / DAY
    except DataError:
        pass
    return found


def _mean_pointing(
    row: dict[str, float], header: fits.Header, pointing: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    known = {name: row[name] for name in ("ALT_PNT", "AZ_PNT") if name in row}
    for name in ("ALT_PNT", "AZ_PNT"):
        if name not in known and name in header:
            known[name] = header_number(header, name)
    if len(known) < 2:
        return _track(header, pointing, 1)
    return np.array([known["ALT_PNT"]]), np.array([known["AZ_PNT"]])


def _track(
    header: fits.Header, pointing: tuple[float, float], n_times: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Altitude and azimuth in the middle of steps of time between TSTART and TSTOP."""
    start, stop = header_number(header, "TSTART"), header_number(header, "TSTOP")
    times = start + (np.arange(n_times) + 0.5) * (stop - start) / n_times
    horizon = AltAz(obstime=reference_time(header) + times * u.s, location=observatory_location(header))
    with bundled_earth_orientation():
        track = SkyCoord(*pointing, unit="deg").transform_to(horizon)
    return np.asarray(track.alt.deg), np.asarray(track.az.deg)
