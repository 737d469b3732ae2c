"""Where the sky stands over an observatory while an observation lasts.

What changes slowly (precession, nutation, aberration, polar motion) is computed once in the middle of an observation,
what changes fast, the rotation of the Earth, for each time: within an hour both are right to 0.1 arcsec. It is the
astrometry of ERFA, which astropy uses, too, without what astropy repeats for each time and each call [1]_.

References
----------
.. [1] ERFA, functions ``eraApco13``, ``eraAper`` and ``eraAtioq``, https://github.com/liberfa/erfa
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time
from erfa import ufunc
from numpy.typing import NDArray

from gpucube.observations.earth import bundled_earth_orientation, earth_table

__all__ = ["Horizon"]

WGS84 = 1  # as ERFA counts ellipsoids
MJD_ZERO = 2400000.5
DAY = 86400.0  # s
# Pressure, temperature, humidity and wavelength: no refraction
AIRLESS = 0.0, 0.0, 0.0, 1.0
# Angle in rad by which the Earth turns in a second of UT1; IAU 2000 resolution B1.8.
EARTH_RATE = 2 * np.pi * 1.00273781191135448 / 86400


@dataclass(frozen=True, eq=False)
class Horizon:
    """Astrometry of an observatory.

    Attributes
    ----------
    time : float
        Time in s for which it was computed.
    astrometry : numpy.ndarray, shape ()
        Parameters of ERFA, of its dtype ``eraASTROM``.
    """

    time: float
    astrometry: np.ndarray

    @classmethod
    def at(cls, reference: Time, time: float, location: EarthLocation) -> Horizon:
        """Compute the astrometry for a time.

        Parameters
        ----------
        reference : astropy.time.Time
            Reference time of the observation, in any scale.
        time : float
            Time in s after `reference`.
        location : astropy.coordinates.EarthLocation
            Location of the observatory.

        Returns
        -------
        Horizon
            Good for hours around that time.
        """
        place = _geodetic(*location.to_value(u.m).item())
        # As astropy adds seconds to a time, without its objects. The functions of ERFA itself, which warn of no year:
        # pointing and events are off together there, which does not matter here.
        day, fraction = _tai(reference.jd1, reference.jd2, reference.scale)
        *utc, _ = ufunc.taiutc(day, fraction + time / DAY)
        ut1_utc, pole_x, pole_y = _earth_orientation(*utc)
        astrometry, _, _ = ufunc.apco13(*utc, ut1_utc, *place, pole_x, pole_y, *AIRLESS)
        return cls(time, np.asarray(astrometry))

    def apparent(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
        """Apparent directions of positions on the sky: with aberration, in the frame of the Earth's axis.

        Parameters
        ----------
        ra, dec : numpy.ndarray of float64, any shape
            Positions (ICRS) in rad.

        Returns
        -------
        numpy.ndarray of float64, that shape and (3,)
            Unit vectors (CIRS).
        """
        return ufunc.s2c(*ufunc.atciqz(ra, dec, self.astrometry))

    def matrices(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rotations from apparent directions to north, east and zenith.

        Parameters
        ----------
        times : numpy.ndarray of float64, shape (k,)
            Times in s, on the clock of `time`.

        Returns
        -------
        numpy.ndarray of float64, shape (k, 3, 3)
            Orthogonal matrices; azimuth runs from north to east, so that their determinant is -1.
        """
        star = self.astrometry
        turned = star["eral"] + EARTH_RATE * (times - self.time)
        x, y, z = _upright(*(star[name].item() for name in ("xpl", "ypl", "sphi", "cphi"))).T
        cos, sin = np.cos(turned)[:, None], np.sin(turned)[:, None]
        rotations = np.empty((len(turned), 3, 3))
        rotations[..., 0] = x * cos - y * sin
        rotations[..., 1] = x * sin + y * cos
        rotations[..., 2] = z
        return rotations


def _upright(pole_x: float, pole_y: float, sin_lat: float, cos_lat: float) -> NDArray[np.float64]:
    """Rotation from the axes of the Earth, turned to the observatory's meridian, to north, east and zenith."""
    sx, cx, sy, cy = math.sin(pole_x), math.cos(pole_x), math.sin(pole_y), math.cos(pole_y)
    pole = np.array([[cx, 0, sx], [sx * sy, cy, -cx * sy], [-sx * cy, sy, cx * cy]])
    return np.array([[-sin_lat, 0, cos_lat], [0, 1, 0], [cos_lat, 0, sin_lat]]) @ pole


# Most data sets have one reference time, and are of one observatory.
@lru_cache(maxsize=64)
def _tai(jd1: float, jd2: float, scale: str) -> tuple[float, float]:
    """A time as days of TAI."""
    with bundled_earth_orientation():
        tai = Time(jd1, jd2, format="jd", scale=scale).tai
    return float(tai.jd1), float(tai.jd2)


@lru_cache(maxsize=64)
def _geodetic(x: float, y: float, z: float) -> tuple[float, float, float]:
    """Longitude and latitude in rad and height in m of a place in m from the centre of the Earth."""
    longitude, latitude, height, _ = ufunc.gc2gd(WGS84, np.array([x, y, z]))
    return float(longitude), float(latitude), float(height)


def _earth_orientation(jd1: float, jd2: float) -> tuple[float, float, float]:
    """UT1 - UTC in s and the position of the pole in rad; beyond astropy's table, as at its end."""
    mjd, ut1_utc, pole_x, pole_y = earth_table()
    day = min(max(jd1 - MJD_ZERO + jd2, mjd[0]), mjd[-1])
    after = min(int(np.searchsorted(mjd, day, side="right")), mjd.size - 1)
    share = (day - mjd[after - 1]) / (mjd[after] - mjd[after - 1])
    step = ut1_utc[after] - ut1_utc[after - 1]
    # A leap second is a step of the difference, not of the Earth.
    ut1 = ut1_utc[after - 1] + share * (step - np.rint(step))
    x, y = (values[after - 1] + share * (values[after] - values[after - 1]) for values in (pole_x, pole_y))
    return float(ut1), float(x), float(y)
