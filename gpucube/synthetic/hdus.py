"""FITS HDUs of synthetic observations, in the format GADF.

References
----------
.. [1] Gamma Astro Data Formats, https://gamma-astro-data-formats.readthedocs.io
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.time import Time

from gpucube.arrays.fov import fov_to_sky, interpolate_rotation
from gpucube.cubes.axis import Axis
from gpucube.cubes.fits import CREATOR
from gpucube.observations.events import Observation
from gpucube.observations.headers import reference_time
from gpucube.observations.pointing import FovRotation, altaz_rotation, radec_rotation
from gpucube.observations.sites import observatory_location
from gpucube.observations.table import ObservationTable

__all__ = [
    "effective_area_hdu",
    "events_hdu",
    "file_contents",
    "gti_hdu",
    "hdu_index",
    "observation_index",
    "sky_coordinates",
]

GADF_CARDS = {
    "HDUCLASS": "GADF",
    "HDUDOC": "https://github.com/open-gamma-ray-astro/gamma-astro-data-formats",
    "HDUVERS": "0.3",
}
CLOCK_CARDS = ("MJDREFI", "MJDREFF", "TIMEUNIT", "TIMESYS", "TIMEREF")
PLACE_CARDS = ("TELESCOP", "GEOLON", "GEOLAT", "ALTITUDE")

# HDU_TYPE and HDU_CLASS in the index; the HDU has the name of the type, in capitals.
INDEXED_HDUS = (("events", "events"), ("gti", "gti"), ("aeff", "aeff_2d"))

ENERGY_HIGH = 100.0  # TeV
AREA_MAX, AREA_ENERGY, AREA_WIDTH = 3e5, 0.3, 3.0  # m2, TeV, deg

Cards = dict[str, Any]


def file_contents(hdus: Iterable[fits.BinTableHDU]) -> fits.HDUList:
    """Contents of a file.

    Parameters
    ----------
    hdus : iterable of astropy.io.fits.BinTableHDU
        Tables.

    Returns
    -------
    astropy.io.fits.HDUList
        The tables after a primary HDU that names gpucube as CREATOR.
    """
    primary = fits.PrimaryHDU()
    primary.header["CREATOR"] = CREATOR
    return fits.HDUList([primary, *hdus])


def events_hdu(
    observation: Observation, pointing: Cards, clock: Cards, *, align: str = "ALTAZ", with_sky: bool = True
) -> fits.BinTableHDU:
    """Event list of an observation.

    Parameters
    ----------
    observation : Observation
        Events, with times.
    pointing : dict
        Row of the observation table.
    clock : dict
        Meta data of the observation table: reference time and location.
    align : {"ALTAZ", "RADEC"}
        Orientation of DETX and DETY.
    with_sky : bool
        Write EVENT_ID, TIME, RA and DEC before ENERGY, DETX and DETY.

    Returns
    -------
    astropy.io.fits.BinTableHDU
        HDU ``EVENTS``.
    """
    columns = []
    if with_sky:
        ra, dec = sky_coordinates(observation, pointing, clock, align)
        columns += [
            fits.Column("EVENT_ID", "K", array=np.arange(1, ra.size + 1)),
            fits.Column("TIME", "D", unit="s", array=observation.time),
            fits.Column("RA", "E", unit="deg", array=ra),
            fits.Column("DEC", "E", unit="deg", array=dec),
        ]
    columns += [
        fits.Column("ENERGY", "E", unit="TeV", array=observation.energy),
        fits.Column("DETX", "E", unit="deg", array=observation.lon),
        fits.Column("DETY", "E", unit="deg", array=observation.lat),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    hdu.header.update(GADF_CARDS | {"HDUCLAS1": "EVENTS"} | _events_cards(pointing, clock) | {"FOVALIGN": align})
    return hdu


def _events_cards(pointing: Cards, clock: Cards) -> Cards:
    start, stop = (reference_time(fits.Header(clock)) + pointing[key] * u.s for key in ("TSTART", "TSTOP"))
    from_row = ("OBS_ID", "TSTART", "TSTOP", "ONTIME", "LIVETIME", "DEADC", "OBJECT", "N_TELS", "MUONEFF")
    directions = ("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT")
    return {
        "CREATOR": CREATOR,
        "ORIGIN": "gpucube synthetic data",
        "INSTRUME": clock["TELESCOP"],
        "EV_CLASS": "synthetic",
        "OBS_MODE": "POINTING",
        "RADECSYS": "ICRS",
        "EQUINOX": 2000.0,
        "EUNIT": "TeV",
        "TELLIST": ",".join(str(i + 1) for i in range(pointing["N_TELS"])),
        **{key: clock[key] for key in CLOCK_CARDS + PLACE_CARDS},
        **{key: pointing[key] for key in from_row + directions},
        **_date_cards("OBS", start),
        **_date_cards("END", stop),
    }


def _date_cards(suffix: str, time: Time) -> Cards:
    date, _, clock = time.utc.isot.partition("T")
    return {f"DATE-{suffix}": date, f"TIME-{suffix}": clock}


def sky_coordinates(
    observation: Observation, pointing: Cards, clock: Cards, align: str = "ALTAZ"
) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension and declination of events, from DETX and DETY.

    Parameters
    ----------
    observation : Observation
        Events, with times.
    pointing : dict
        Row of the observation table.
    clock : dict
        Meta data of the observation table: reference time and location.
    align : {"ALTAZ", "RADEC"}
        Orientation of DETX and DETY.

    Returns
    -------
    ra, dec : numpy.ndarray of float64, shape (n_events,)
        ICRS coordinates in deg.
    """
    nodes = _fov_rotation(pointing, fits.Header(clock), align)
    rotation = interpolate_rotation(observation.time, nodes.times, nodes.matrices)
    lon, lat = (values.astype(np.float64) for values in (observation.lon, observation.lat))
    return fov_to_sky(lon, lat, rotation)


def _fov_rotation(pointing: Cards, header: fits.Header, align: str) -> FovRotation:
    ra, dec, start, stop = (pointing[key] for key in ("RA_PNT", "DEC_PNT", "TSTART", "TSTOP"))
    if align == "RADEC":
        return radec_rotation(ra, dec)
    return altaz_rotation(ra, dec, reference_time(header), start, stop, observatory_location(header))


def gti_hdu(pointing: Cards, clock: Cards) -> fits.BinTableHDU:
    """Good time intervals: the whole observation.

    Parameters
    ----------
    pointing : dict
        Row of the observation table.
    clock : dict
        Meta data of the observation table: reference time.

    Returns
    -------
    astropy.io.fits.BinTableHDU
        HDU ``GTI``.
    """
    ends = {"START": pointing["TSTART"], "STOP": pointing["TSTOP"]}
    columns = [fits.Column(name, "D", unit="s", array=np.array([value])) for name, value in ends.items()]
    hdu = fits.BinTableHDU.from_columns(columns, name="GTI")
    hdu.header.update(GADF_CARDS | {"HDUCLAS1": "GTI"} | {key: clock[key] for key in CLOCK_CARDS})
    hdu.header.update({key: pointing[key] for key in ("OBS_ID", "TSTART", "TSTOP")})
    return hdu


def effective_area_hdu(obs_id: int, telescope: str, threshold: float) -> fits.BinTableHDU:
    """Effective area, smooth and plausible but of no telescope, and the energy threshold.

    Parameters
    ----------
    obs_id : int
        Observation identifier.
    telescope : str
        Name of the observatory.
    threshold : float
        Energy threshold in TeV.

    Returns
    -------
    astropy.io.fits.BinTableHDU
        HDU ``AEFF`` of class ``AEFF_2D``.
    """
    energy, offset = Axis.energy(0.01, ENERGY_HIGH, 48), np.linspace(0.0, 6.0, 7)
    middle = 0.5 * (offset[1:] + offset[:-1])
    area = np.exp(-0.5 * (middle / AREA_WIDTH) ** 2)[:, None] * AREA_MAX / (1 + (AREA_ENERGY / energy.centers) ** 3)
    columns = []
    for name, edges, unit in (("ENERG", energy.edges, "TeV"), ("THETA", offset, "deg")):
        for end, values in (("LO", edges[:-1]), ("HI", edges[1:])):
            columns.append(fits.Column(f"{name}_{end}", f"{values.size}E", unit=unit, array=values[None]))
    dim = f"({area.shape[1]},{area.shape[0]})"
    columns.append(fits.Column("EFFAREA", f"{area.size}E", unit="m2", dim=dim, array=area[None]))
    hdu = fits.BinTableHDU.from_columns(columns, name="AEFF")
    classes = {"HDUCLAS1": "RESPONSE", "HDUCLAS2": "EFF_AREA", "HDUCLAS3": "FULL-ENCLOSURE", "HDUCLAS4": "AEFF_2D"}
    hdu.header.update(GADF_CARDS | classes | {"OBS_ID": obs_id, "TELESCOP": telescope, "INSTRUME": telescope})
    hdu.header["CREF5"] = "(ENERG_LO:ENERG_HI,THETA_LO:THETA_HI)"
    hdu.header["LO_THRES"] = (threshold, "[TeV]")
    hdu.header["HI_THRES"] = (ENERGY_HIGH, "[TeV]")
    return hdu


def observation_index(table: ObservationTable) -> fits.BinTableHDU:
    """Observation index.

    Parameters
    ----------
    table : ObservationTable
        Observations.

    Returns
    -------
    astropy.io.fits.BinTableHDU
        HDU ``OBS_INDEX``.
    """
    hdu = table.to_hdu("OBS_INDEX")
    hdu.header.update(GADF_CARDS | {"HDUCLAS1": "INDEX", "HDUCLAS2": "OBS"})
    return hdu


def hdu_index(files: dict[int, tuple[str, str]]) -> fits.BinTableHDU:
    """HDU index of a data set with one file per observation.

    Parameters
    ----------
    files : dict of int to tuple of two str
        Folder and file name of each observation, by OBS_ID.

    Returns
    -------
    astropy.io.fits.BinTableHDU
        HDU ``HDU_INDEX``.
    """
    rows = [
        (obs_id, kind, hdu_class, folder, name, kind.upper())
        for obs_id, (folder, name) in files.items()
        for kind, hdu_class in INDEXED_HDUS
    ]
    names = ("OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME")
    columns = [fits.Column("OBS_ID", "K", array=np.array([row[0] for row in rows]))]
    for i, name in enumerate(names[1:], start=1):
        texts = np.array([row[i] for row in rows])
        columns.append(fits.Column(name, f"{texts.dtype.itemsize // 4}A", array=texts))
    hdu = fits.BinTableHDU.from_columns(columns, name="HDU_INDEX")
    hdu.header.update(GADF_CARDS | {"HDUCLAS1": "INDEX", "HDUCLAS2": "HDU"})
    return hdu
