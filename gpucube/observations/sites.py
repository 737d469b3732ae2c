"""Where the telescopes stand."""

from __future__ import annotations

import astropy.units as u
from astropy.coordinates import EarthLocation
from astropy.io import fits

from gpucube.errors import DataError
from gpucube.observations.headers import header_number

__all__ = ["SITES", "observatory_location"]

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


def observatory_location(header: fits.Header) -> EarthLocation:
    """Location of the observatory: from GEOLON, GEOLAT, ALTITUDE, else by TELESCOP from `SITES`.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of an ``EVENTS`` HDU; numbers stored as strings are tolerated.

    Returns
    -------
    astropy.coordinates.EarthLocation
        Location on the WGS84 ellipsoid.

    Raises
    ------
    DataError
        The header gives no location and names no known telescope.
    """
    if "GEOLON" in header and "GEOLAT" in header:
        lon, lat = header_number(header, "GEOLON"), header_number(header, "GEOLAT")
        if abs(lat) > 90 or abs(lon) > 360:
            problem = f"no place on Earth: longitude {lon:g}, latitude {lat:g} deg"
            raise DataError(problem, hdu=header.get("EXTNAME"), column="GEOLON, GEOLAT")
        height = header_number(header, "ALTITUDE") if "ALTITUDE" in header else 0.0
        return EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, height * u.m)
    telescope = str(header.get("TELESCOP", "")).upper().replace(".", "").replace("_", "-").strip()
    if telescope not in SITES:
        raise DataError(
            f"no GEOLON and GEOLAT, and TELESCOP is {header.get('TELESCOP')!r}; known are {', '.join(SITES)}",
            hdu=header.get("EXTNAME"),
            column="GEOLON",
            remedy="add GEOLON, GEOLAT and ALTITUDE to the header",
        )
    lon, lat, height = SITES[telescope]
    return EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, height * u.m)
