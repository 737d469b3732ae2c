"""Rotation from the sky (ICRS) to the field of view, at the times of an observation.

GADF field-of-view longitude increases with decreasing azimuth (ALTAZ) or right ascension (RADEC),
latitude with altitude or declination [1]_.

References
----------
.. [1] Gamma Astro Data Formats, Coordinates,
   https://gamma-astro-data-formats.readthedocs.io/en/latest/general/coordinates.html
"""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.coordinates.matrix_utilities import rotation_matrix
from astropy.time import Time

from gpucube.observations.earth import bundled_earth_orientation

__all__ = ["FovRotation", "altaz_rotation", "fov_matrix", "radec_rotation"]

# Linear interpolation between matrices that differ by this angle is right to 0.8 arcsec.
MAX_STEP = np.deg2rad(0.45)
FIRST_STEP = 60.0  # s
# Down to 4 ms: a pointing that passes the zenith turns by half a circle there, faster than any telescope.
MAX_BISECTIONS = 14
MIRROR_LONGITUDE = np.diag([1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class FovRotation:
    """Rotation from ICRS to the field of view at one or several times.

    Attributes
    ----------
    times : numpy.ndarray of float64, shape (k,)
        Times in s after the reference time of the observation, at least two.
    matrices : numpy.ndarray of float64, shape (k, 3, 3)
        Rotations at `times`, see `gpucube.arrays.fov`.
    """

    times: np.ndarray
    matrices: np.ndarray


def fov_matrix(lon: float | np.ndarray, lat: float | np.ndarray) -> np.ndarray:
    """Rotation from a frame to the field of view of a pointing, aligned with that frame.

    Parameters
    ----------
    lon, lat : float or numpy.ndarray of shape (k,)
        Pointing in rad.

    Returns
    -------
    numpy.ndarray of float64, shape (3, 3) or (k, 3, 3)
        Rotation and mirroring of the longitude.
    """
    about_y, about_z = rotation_matrix(-lat * u.rad, "y"), rotation_matrix(lon * u.rad, "z")
    return MIRROR_LONGITUDE @ about_y @ about_z


def radec_rotation(ra: float, dec: float) -> FovRotation:
    """Rotation to a field of view aligned with right ascension and declination.

    Parameters
    ----------
    ra, dec : float
        Pointing in deg (ICRS).

    Returns
    -------
    FovRotation
        The same rotation at all times.
    """
    matrix = fov_matrix(np.deg2rad(ra), np.deg2rad(dec))
    return FovRotation(np.array([0.0, 1.0]), np.stack([matrix, matrix]))


def altaz_rotation(
    ra: float, dec: float, reference: Time, start: float, stop: float, location: EarthLocation
) -> FovRotation:
    """Rotation to a field of view aligned with altitude and azimuth, while the pointing is tracked.

    Parameters
    ----------
    ra, dec : float
        Pointing in deg (ICRS).
    reference : astropy.time.Time
        Reference time of the observation.
    start, stop : float
        First and last time in s after `reference`.
    location : astropy.coordinates.EarthLocation
        Location of the observatory.

    Returns
    -------
    FovRotation
        Rotations close enough in time for linear interpolation.
    """
    times = np.linspace(start, max(stop, start + 1.0), 2 + int(max(stop - start, 1.0) / FIRST_STEP))
    matrices = _altaz_matrices(ra, dec, reference + times * u.s, location)
    for _ in range(MAX_BISECTIONS):
        wide = _steps(matrices) > MAX_STEP
        if not wide.any():
            break
        # Near the zenith the field turns fast, for a short while.
        times = np.sort(np.append(times, 0.5 * (times[1:] + times[:-1])[wide]))
        matrices = _altaz_matrices(ra, dec, reference + times * u.s, location)
    return FovRotation(times, matrices)


def _steps(matrices: np.ndarray) -> np.ndarray:
    """Angles in rad between successive rotations."""
    cosine = 0.5 * (np.einsum("kij,kij->k", matrices[1:], matrices[:-1]) - 1)
    return np.arccos(np.clip(cosine, -1, 1))


def _altaz_matrices(ra: float, dec: float, times: Time, location: EarthLocation) -> np.ndarray:
    pointing = SkyCoord(ra, dec, unit="deg")
    ring = pointing.directional_offset_by(np.arange(4) * 90 * u.deg, 2.5 * u.deg)
    sky = SkyCoord(np.append(ring.ra, pointing.ra)[:, None], np.append(ring.dec, pointing.dec)[:, None], frame="icrs")
    with bundled_earth_orientation():
        horizon = sky.transform_to(AltAz(obstime=times[None, :], location=location))
    from_sky = sky.cartesian.xyz.value[:, :, 0].T
    to_horizon = np.moveaxis(horizon.represent_as("unitspherical").to_cartesian().xyz.value, -1, 0)
    matrices = _best_rotations(from_sky, np.moveaxis(to_horizon, 1, 2))
    # The pointing's own azimuth, because next to the zenith that of the rotated vector would be arcminutes off.
    return fov_matrix(horizon.az[-1].rad, horizon.alt[-1].rad) @ matrices


def _best_rotations(from_vectors: np.ndarray, to_vectors: np.ndarray) -> np.ndarray:
    """Orthogonal matrices that take vectors (n, 3) closest to vectors (k, n, 3); Schoenemann (1966).

    The transformation to altitude and azimuth is one but for aberration, which varies by less than an
    arcsecond over a field of view. Azimuth runs from north to east: the determinant is -1.
    """
    left, _, right = np.linalg.svd(np.swapaxes(to_vectors, 1, 2) @ from_vectors)
    return left @ right
