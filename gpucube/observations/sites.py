"""Where the telescopes stand."""

from __future__ import annotations

import re
from functools import lru_cache

import astropy.units as u
from astropy.coordinates import EarthLocation
from astropy.io import fits

from gpucube.errors import DataError
from gpucube.observations.headers import header_number, header_text

__all__ = ["SITES", "observatory_location", "site_note"]

# Longitude and latitude in deg (WGS84), height in m: from the observatories' own pages.
SITES = {
    "HESS": (16.500222, -23.271778, 1835.0),
    "MAGIC": (-17.890000, 28.761944, 2200.0),
    "FACT": (-17.891167, 28.761944, 2200.0),
    "LST": (-17.892022, 28.762164, 2147.0),
    "VERITAS": (-110.952158, 31.675058, 1268.0),
    "CTAO-NORTH": (-17.892022, 28.762164, 2147.0),
    "CTAO-SOUTH": (-70.316345, -24.683429, 2150.0),
}


# How headers spell them: what the text begins with, in capitals and without anything but letters and digits.
SPELLINGS = {
    "HESS": "HESS",
    "MAGIC": "MAGIC",
    "VERITAS": "VERITAS",
    "FACT(?![A-Z])|FACTCOLLABORATION|FIRSTGAPD": "FACT",
    "LST(?![A-Z])|LST[1-4]|CTAO?LST|CTAO?NLST": "LST",
    "CTAO?(N(?![A-Z])|NORTH|LAPALMA)": "CTAO-NORTH",
    "CTAO?(S(?![A-Z])|SOUTH|PARANAL)": "CTAO-SOUTH",
}
# Altitudes of land (m).
LOWEST, HIGHEST = -500.0, 9000.0
# Keywords to look at, in this order. Two together because "CTA" stands at two sites: INSTRUME says which.
NAME_KEYS = (("TELESCOP",), ("TELESCOP", "INSTRUME"), ("OBSERVATORY",), ("OBSERVAT",), ("INSTRUME",), ("ORIGIN",))


def observatory_location(header: fits.Header) -> EarthLocation:
    """Location of the observatory: from GEOLON, GEOLAT, ALTITUDE, else by its name from `SITES`.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of an ``EVENTS`` HDU; numbers stored as strings are tolerated. The name is that in TELESCOP, with
        INSTRUME where TELESCOP does not say which site, else in OBSERVATORY, INSTRUME or ORIGIN, in any usual spelling.

    Returns
    -------
    astropy.coordinates.EarthLocation
        Location on the WGS84 ellipsoid.

    Raises
    ------
    DataError
        The header gives no location and names no known telescope.
    """
    if not _has_location(header):
        lon, lat, height = SITES[_site(header)]
        return _location(lon, lat, height)
    lon, lat = header_number(header, "GEOLON"), header_number(header, "GEOLAT")
    if abs(lat) > 90 or abs(lon) > 360:
        problem = f"no place on Earth: longitude {lon:g}, latitude {lat:g} deg"
        raise DataError(problem, hdu=header.get("EXTNAME"), column="GEOLON, GEOLAT")
    # GADF's pointing table has another name for the altitude than its event list.
    key = next((key for key in ("ALTITUDE", "GEOALT") if key in header), None)
    height = header_number(header, key) if key else 0.0
    if not LOWEST <= height <= HIGHEST:
        raise DataError(f"no place on Earth: altitude {height:g} m", hdu=header.get("EXTNAME"), column=key)
    return _location(lon, lat, height)


# Most data sets are of one observatory.
@lru_cache(maxsize=64)
def _location(lon: float, lat: float, height: float) -> EarthLocation:
    return EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, height * u.m)


def site_note(header: fits.Header) -> str | None:
    """Say what was assumed of the location, if anything was.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header for which there is an `observatory_location`.

    Returns
    -------
    str or None
        A remark for the user; None if the header gives the location.
    """
    return None if _has_location(header) else f"no GEOLON and GEOLAT: the known location of {_site(header)} taken"


def _has_location(header: fits.Header) -> bool:
    keys = "GEOLON", "GEOLAT"
    # Zeros fill what a writer does not know: in the Gulf of Guinea there is no telescope.
    return all(key in header for key in keys) and any(header_number(header, key) for key in keys)


def _site(header: fits.Header) -> str:
    for keys in NAME_KEYS:
        text = re.sub("[^A-Z0-9]", "", "".join(header_text(header, key) for key in keys))
        site = next((site for pattern, site in SPELLINGS.items() if re.match(pattern, text)), None)
        if site:
            return site
    raise DataError(
        f"no GEOLON and GEOLAT, and TELESCOP is {header.get('TELESCOP')!r}; known are {', '.join(SITES)}",
        hdu=header.get("EXTNAME"),
        column="GEOLON",
        remedy="add GEOLON, GEOLAT and ALTITUDE to the header",
    )
