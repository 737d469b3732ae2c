"""Rotation from the sky (ICRS) to the field of view, at the times of an observation.

GADF field-of-view longitude increases with decreasing azimuth (ALTAZ) or right ascension (RADEC),
latitude with altitude or declination [1]_.

References
----------
.. [1] Gamma Astro Data Formats, Coordinates,
   https://gamma-astro-data-formats.readthedocs.io/en/latest/general/coordinates.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from numpy.typing import ArrayLike, NDArray

from gpucube.observations.earth import bundled_earth_orientation
from gpucube.observations.horizon import Horizon

__all__ = [
    "FovRotation",
    "Track",
    "altaz_rotation",
    "altaz_rotation_along",
    "fov_matrix",
    "radec_rotation",
    "radec_rotation_along",
]

# Linear interpolation between matrices that differ by this angle is right to 0.8 arcsec.
MAX_STEP = np.deg2rad(0.45)
FIRST_STEP = 60.0  # s
# Down to 4 ms: a pointing that passes the zenith turns by half a circle there, faster than any telescope.
MAX_BISECTIONS = 14
MatricesAt = Callable[[NDArray[np.float64]], NDArray[np.float64]]
OFF = np.deg2rad(2.5)
# Four directions in the field of view, 2.5 deg from the pointing, and the pointing itself
CROSS = np.array(
    [*([np.cos(OFF), y * np.sin(OFF), z * np.sin(OFF)] for y, z in ((0, 1), (1, 0), (0, -1), (-1, 0))), [1.0, 0.0, 0.0]]
)


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
    sx, cx, sy, cy = np.sin(lon), np.cos(lon), np.sin(lat), np.cos(lat)
    rows = ((cy * cx, cy * sx, sy), (sx, -cx, 0.0), (-sy * cx, -sy * sx, cy))
    matrix = np.empty((*np.shape(rows[0][0]), 3, 3))
    for i, row in enumerate(rows):
        for j, element in enumerate(row):
            matrix[..., i, j] = element
    return matrix


@dataclass(frozen=True, eq=False)
class Track:
    """Where an observation points on the sky, as a function of time.

    Attributes
    ----------
    times : numpy.ndarray of float64, shape (k,)
        Increasing times in s after the reference time of the observation; a single one for a tracked position.
    ra, dec : numpy.ndarray of float64, shape (k,)
        Pointing (ICRS) in deg at these times.
    """

    times: NDArray[np.float64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]

    @classmethod
    def fixed(cls, ra: float, dec: float) -> Track:
        """Make a track that stays at one position.

        Parameters
        ----------
        ra, dec : float
            Pointing (ICRS) in deg.

        Returns
        -------
        Track
            The track.
        """
        return cls(np.zeros(1), np.array([ra]), np.array([dec]))

    @classmethod
    def from_horizon(
        cls, times: ArrayLike, alt: ArrayLike, az: ArrayLike, reference: Time, location: EarthLocation
    ) -> Track:
        """Make a track from altitudes and azimuths.

        Parameters
        ----------
        times : array-like, shape (k,)
            Times in s after `reference`.
        alt, az : float or array-like, shape (k,)
            Altitude and azimuth in deg at these times, without refraction.
        reference : astropy.time.Time
            Reference time of the observation.
        location : astropy.coordinates.EarthLocation
            Location of the observatory.

        Returns
        -------
        Track
            The track.
        """
        seconds = np.asarray(times, dtype=np.float64)
        with bundled_earth_orientation():
            frame = AltAz(obstime=reference + seconds * u.s, location=location)
            angles = (np.broadcast_to(values, seconds.shape) * u.deg for values in (az, alt))
            sky = SkyCoord(*angles, frame=frame).icrs
        return cls(seconds, sky.ra.deg, sky.dec.deg)

    @property
    def moves(self) -> bool:
        """Whether it is more than one position."""
        return len(self.times) > 1

    def at(self, times: NDArray[np.float64]) -> SkyCoord:
        """Get the pointing at some times.

        Parameters
        ----------
        times : numpy.ndarray, shape (n,)
            Times in s after the reference time of the observation.

        Returns
        -------
        astropy.coordinates.SkyCoord, shape (n,), or (1,) of a position that is tracked
            Pointing (ICRS); beyond the ends it is that at the ends.
        """
        if not self.moves:
            return SkyCoord(self.ra, self.dec, unit="deg")
        nodes = SkyCoord(self.ra, self.dec, unit="deg").cartesian.xyz.value
        x, y, z = (np.interp(times, self.times, values) for values in nodes)
        return SkyCoord(np.arctan2(y, x), np.arctan2(z, np.hypot(x, y)), unit="rad")


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
    return altaz_rotation_along(Track.fixed(ra, dec), reference, start, stop, location)


def altaz_rotation_along(
    track: Track, reference: Time, start: float, stop: float, location: EarthLocation
) -> FovRotation:
    """Rotation to a field of view aligned with altitude and azimuth, wherever the pointing goes.

    Parameters
    ----------
    track : Track
        Pointing.
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
    if track.moves:

        def matrices(times: NDArray[np.float64]) -> NDArray[np.float64]:
            return _moving_matrices(track.at(times), reference + times * u.s, location)

    else:
        horizon = Horizon.at(reference, 0.5 * (start + max(stop, start + 1.0)), location)

        pointing, to_apparent = _apparent(float(track.ra[0]), float(track.dec[0]), horizon)

        def matrices(times: NDArray[np.float64]) -> NDArray[np.float64]:
            return _tracked_matrices(pointing, horizon.matrices(times)) @ to_apparent

    return _sampled(matrices, start, stop, track)


def radec_rotation_along(track: Track, start: float, stop: float) -> FovRotation:
    """Rotation to a field of view aligned with right ascension and declination, wherever the pointing goes.

    Parameters
    ----------
    track : Track
        Pointing.
    start, stop : float
        First and last time in s after the reference time of the observation.

    Returns
    -------
    FovRotation
        Rotations close enough in time for linear interpolation.
    """

    def matrices(times: NDArray[np.float64]) -> NDArray[np.float64]:
        pointing = track.at(times).represent_as("unitspherical")
        found = fov_matrix(pointing.lon.rad, pointing.lat.rad)
        return np.broadcast_to(found, (len(times), 3, 3))

    return _sampled(matrices, start, stop, track)


def _sampled(matrices_at: MatricesAt, start: float, stop: float, track: Track) -> FovRotation:
    """Matrices at times between which they can be interpolated."""
    times = np.linspace(start, max(stop, start + 1.0), 2 + int(max(stop - start, 1.0) / FIRST_STEP))
    if track.moves:
        times = np.union1d(times, track.times[(track.times > times[0]) & (track.times < times[-1])])
    matrices = matrices_at(times)
    for _ in range(MAX_BISECTIONS):
        wide = _steps(matrices) > MAX_STEP
        if not wide.any():
            break
        # Near the zenith the field turns fast, for a short while.
        times = np.sort(np.append(times, 0.5 * (times[1:] + times[:-1])[wide]))
        matrices = matrices_at(times)
    return FovRotation(times, matrices)


def _steps(matrices: np.ndarray) -> np.ndarray:
    """Angles in rad between successive rotations."""
    cosine = 0.5 * (np.einsum("kij,kij->k", matrices[1:], matrices[:-1]) - 1)
    return np.arccos(np.minimum(np.maximum(cosine, -1), 1))


def _apparent(ra: float, dec: float, horizon: Horizon) -> tuple[np.ndarray, np.ndarray]:
    """Apparent direction of a pointing, and the rotation, shape (3, 3), to apparent directions around it."""
    sky = CROSS @ fov_matrix(np.deg2rad(ra), np.deg2rad(dec))
    x, y, z = sky.T
    apparent = horizon.apparent(np.arctan2(y, x), np.arctan2(z, np.hypot(x, y)))
    return apparent[-1], _best_rotations(sky, apparent[None])[0]


def _tracked_matrices(pointing: np.ndarray, to_horizon: np.ndarray) -> np.ndarray:
    """Rotations, shape (k, 3, 3), from apparent directions to the field of view, by those to the horizon at k times."""
    north, east, zenith = (to_horizon @ pointing).T
    # The pointing's own azimuth, because next to the zenith that of the rotated vector would be arcminutes off.
    to_field = fov_matrix(np.arctan2(east, north), np.arctan2(zenith, np.hypot(north, east)))
    return to_field @ to_horizon


def _moving_matrices(pointing: SkyCoord, times: Time, location: EarthLocation) -> np.ndarray:
    """Matrices, shape (k, 3, 3), at k times for as many pointings."""
    ring = pointing.directional_offset_by(np.arange(4)[:, None] * 90 * u.deg, 2.5 * u.deg)
    center = pointing.represent_as("unitspherical")
    lon, lat = np.vstack([ring.ra, center.lon[None]]), np.vstack([ring.dec, center.lat[None]])
    sky = SkyCoord(lon, lat, frame="icrs")
    with bundled_earth_orientation():
        horizon = sky.transform_to(AltAz(obstime=times[None, :], location=location))
    from_sky, to_horizon = (
        np.moveaxis(frame.represent_as("unitspherical").to_cartesian().xyz.value, 0, -1) for frame in (sky, horizon)
    )
    matrices = _best_rotations(np.moveaxis(from_sky, 0, 1), np.moveaxis(to_horizon, 0, 1))
    # The pointing's own azimuth, because next to the zenith that of the rotated vector would be arcminutes off.
    return fov_matrix(horizon.az[-1].rad, horizon.alt[-1].rad) @ matrices


def _best_rotations(from_vectors: np.ndarray, to_vectors: np.ndarray) -> np.ndarray:
    """Orthogonal matrices that take vectors (1 or k, n, 3) closest to vectors (k, n, 3); Schoenemann (1966).

    The transformation to altitude and azimuth is one but for aberration, which varies by less than an
    arcsecond over a field of view. Azimuth runs from north to east: the determinant is -1.
    """
    left, _, right = np.linalg.svd(np.swapaxes(to_vectors, 1, 2) @ from_vectors)
    return left @ right
