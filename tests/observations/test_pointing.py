"""Rotations from the sky to the field of view: geometry, nodes in time, and no network."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import data as astropy_data
from hypothesis import given
from hypothesis import strategies as st

from gpucube.arrays.fov import directions, interpolate_rotation
from gpucube.observations.pointing import FovRotation, altaz_rotation, fov_matrix, radec_rotation

NAMIBIA = EarthLocation.from_geodetic(16.5 * u.deg, -23.27 * u.deg, 1835 * u.m)
LA_PALMA = EarthLocation.from_geodetic(-17.89 * u.deg, 28.76 * u.deg, 2200 * u.m)
REFERENCE = Time("2004-03-26T20:00:00", scale="tt")
ARCSEC = np.deg2rad(1 / 3600)


def tracked(alt: float, az: float, site: EarthLocation, duration: float = 1680.0) -> tuple[SkyCoord, FovRotation]:
    """Pointing that has this altitude and azimuth in the middle of a run, and its rotation."""
    frame = AltAz(obstime=REFERENCE + duration / 2 * u.s, location=site)
    pointing = SkyCoord(az * u.deg, alt * u.deg, frame=frame).icrs
    return pointing, altaz_rotation(pointing.ra.deg, pointing.dec.deg, REFERENCE, 0.0, duration, site)


def assert_rotations(matrices: np.ndarray) -> None:
    """Orthogonal matrices."""
    np.testing.assert_allclose(
        matrices @ np.swapaxes(matrices, -1, -2), np.broadcast_to(np.eye(3), matrices.shape), atol=1e-12
    )


@given(lon=st.floats(-7, 7), lat=st.floats(-np.pi / 2, np.pi / 2))
def test_matrix_of_a_pointing(lon: float, lat: float) -> None:
    matrix = fov_matrix(lon, lat)
    assert_rotations(matrix)
    assert np.linalg.det(matrix) == pytest.approx(-1)  # the longitude is mirrored
    x, y, z = (values.item() for values in directions(np.rad2deg([lon]), np.rad2deg([lat])))
    np.testing.assert_allclose(matrix @ [x, y, z], [1, 0, 0], atol=1e-12)


def test_matrices_of_many_pointings() -> None:
    lon, lat = np.linspace(0, 3, 5), np.linspace(-1, 1, 5)
    one_by_one = np.stack([fov_matrix(x, y) for x, y in zip(lon, lat, strict=True)])
    np.testing.assert_allclose(fov_matrix(lon, lat), one_by_one, atol=1e-15)


def test_radec_rotation_is_constant() -> None:
    rotation = radec_rotation(83.6, 22.0)
    assert rotation.times.shape == (2,)
    np.testing.assert_array_equal(rotation.matrices[0], rotation.matrices[1])
    assert np.linalg.det(rotation.matrices[0]) == pytest.approx(-1)


@pytest.mark.parametrize("site", [NAMIBIA, LA_PALMA], ids=["south", "north"])
@pytest.mark.parametrize(
    ("alt", "az", "tolerance"),
    [(20.0, 0.0, 0.2), (50.0, 90.0, 0.2), (70.0, 200.0, 0.2), (88.5, 10.0, 1.0), (89.8, 10.0, 2.0)],
)
def test_nodes_are_close_enough(site: EarthLocation, alt: float, az: float, tolerance: float) -> None:
    """Between nodes, where interpolation is worst, directions 5 deg from the pointing are right (arcsec)."""
    pointing, rotation = tracked(alt, az, site)
    assert_rotations(rotation.matrices)
    # Two mirror images: azimuth runs from north to east, and the longitude of the field of view against it.
    np.testing.assert_allclose(np.linalg.det(rotation.matrices), 1)
    assert (rotation.times[0], rotation.times[-1]) == (0.0, 1680.0)
    assert (np.diff(rotation.times) > 0).all()
    middle = 0.5 * (rotation.times[1:] + rotation.times[:-1])
    middle = middle[:: max(1, middle.size // 40)]
    edge = np.array([[np.cos(0.087), 0.0, np.sin(0.087)], [np.cos(0.087), np.sin(0.087), 0.0]])
    for time, matrix in zip(middle, interpolate_rotation(middle, rotation.times, rotation.matrices), strict=True):
        exact = altaz_rotation(pointing.ra.deg, pointing.dec.deg, REFERENCE, time, time, site).matrices[0]
        assert np.linalg.norm(edge @ exact @ matrix.T - edge, axis=1).max() < tolerance * ARCSEC


def test_more_nodes_near_the_zenith_only() -> None:
    _, low = tracked(40.0, 90.0, NAMIBIA)
    _, zenith = tracked(89.8, 90.0, NAMIBIA)
    assert low.times.size < 80
    assert low.times.size < zenith.times.size < 3000


@pytest.mark.parametrize("duration", [0.0, 1e-3, 0.5, 10.0])
def test_short_observation(duration: float) -> None:
    pointing = SkyCoord(83.6, 22.0, unit="deg")
    rotation = altaz_rotation(pointing.ra.deg, pointing.dec.deg, REFERENCE, 5.0, 5.0 + duration, NAMIBIA)
    assert rotation.times.size >= 2
    assert rotation.times[0] == 5.0
    assert rotation.times[-1] >= 5.0 + duration
    assert (np.diff(rotation.times) > 0).all()


@pytest.mark.parametrize("after_today", [-10, 200, 3000])  # days
def test_dates_beyond_the_tables_of_the_earth(after_today: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched, and nothing warns, for dates for which the rotation of the Earth is not yet known."""

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("network access")

    monkeypatch.setattr(astropy_data, "download_file", no_network)
    date = Time(Time.now().mjd + after_today, format="mjd", scale="tt")
    rotation = altaz_rotation(83.6, 22.0, date, 0.0, 100.0, NAMIBIA)
    assert_rotations(rotation.matrices)


@pytest.mark.parametrize("scale", ["tt", "utc", "tai"])
def test_scale_of_the_reference_time(scale: str) -> None:
    """One instant in any scale gives one rotation."""
    expected = altaz_rotation(83.6, 22.0, REFERENCE, 0.0, 100.0, NAMIBIA)
    found = altaz_rotation(83.6, 22.0, getattr(REFERENCE, scale), 0.0, 100.0, NAMIBIA)
    np.testing.assert_allclose(found.matrices, expected.matrices, atol=1e-9)
