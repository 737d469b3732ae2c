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
from astropy.coordinates import EarthLocation
from astropy.coordinates.matrix_utilities import rotation_matrix
from astropy.time import Time

from gpucube.observations.horizon import Horizon

__all__ = ["FovRotation", "altaz_rotation", "fov_matrix", "radec_rotation"]

# Linear interpolation between matrices that differ by this angle is right to 0.8 arcsec.
MAX_STEP = np.deg2rad(0.45)
FIRST_STEP = 60.0  # s
# Down to 4 ms: a pointing that passes the zenith turns by half a circle there, faster than any telescope.
MAX_BISECTIONS = 14
OFF = np.deg2rad(2.5)
MIRROR_LONGITUDE = np.diag([1.0, -1.0, 1.0])
# Four directions in the field of view, 2.5 deg from the pointing
CROSS = np.array([[np.cos(OFF), y * np.sin(OFF), z * np.sin(OFF)] for y, z in ((0, 1), (1, 0), (0, -1), (-1, 0))])


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
    horizon = Horizon.at(reference, 0.5 * (start + times[-1]), location)
    matrices = _altaz_matrices(ra, dec, times, horizon)
    for _ in range(MAX_BISECTIONS):
        wide = _steps(matrices) > MAX_STEP
        if not wide.any():
            break
        # Near the zenith the field turns fast, for a short while.
        times = np.sort(np.append(times, 0.5 * (times[1:] + times[:-1])[wide]))
        matrices = _altaz_matrices(ra, dec, times, horizon)
    return FovRotation(times, matrices)


def _steps(matrices: np.ndarray) -> np.ndarray:
    """Angles in rad between successive rotations."""
    cosine = 0.5 * (np.einsum("kij,kij->k", matrices[1:], matrices[:-1]) - 1)
    return np.arccos(np.clip(cosine, -1, 1))


def _altaz_matrices(ra: float, dec: float, times: np.ndarray, horizon: Horizon) -> np.ndarray:
    lon, lat = np.deg2rad(ra), np.deg2rad(dec)
    # A cross of 2.5 deg around the pointing, and the pointing itself
    sky = np.vstack(
        [CROSS @ fov_matrix(lon, lat), [[np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]]]
    )
    apparent = horizon.apparent(np.arctan2(sky[:, 1], sky[:, 0]), np.arctan2(sky[:, 2], np.hypot(sky[:, 0], sky[:, 1])))
    to_horizon = horizon.matrices(times)
    north, east, zenith = (to_horizon @ apparent[-1]).T
    # The pointing's own azimuth, because next to the zenith that of the rotated vector would be arcminutes off.
    to_field = fov_matrix(np.arctan2(east, north), np.arctan2(zenith, np.hypot(north, east)))
    return to_field @ to_horizon @ _best_rotations(sky, apparent[None])


def _best_rotations(from_vectors: np.ndarray, to_vectors: np.ndarray) -> np.ndarray:
    """Orthogonal matrices that take vectors (n, 3) closest to vectors (k, n, 3); Schoenemann (1966).

    The transformation to altitude and azimuth is one but for aberration, which varies by less than an
    arcsecond over a field of view. Azimuth runs from north to east: the determinant is -1.
    """
    left, _, right = np.linalg.svd(np.swapaxes(to_vectors, 1, 2) @ from_vectors)
    return left @ right
