"""Field-of-view rotation against astropy's offset frames and Gammapy's own frames."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, SkyOffsetFrame, angular_separation
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucube.arrays.backend import Backend, to_host
from gpucube.arrays.fov import directions, fov_offset, fov_to_sky, interpolate_rotation, sky_to_fov
from gpucube.observations.pointing import FovRotation, altaz_rotation, fov_matrix, radec_rotation

NAMIBIA = EarthLocation.from_geodetic(16.5 * u.deg, -23.27 * u.deg, 1835 * u.m)
LA_PALMA = EarthLocation.from_geodetic(-17.89 * u.deg, 28.76 * u.deg, 2200 * u.m)
REFERENCE = Time("2004-03-26T20:00:00", scale="tt")
RUN = 1680.0  # s
ARCSEC = 1 / 3600

# Site, altitude and azimuth (deg) in the middle of the run.
POINTINGS = {
    "south, high": (NAMIBIA, 65.0, 200.0),
    "south, low": (NAMIBIA, 22.0, 130.0),
    "south, to the north": (NAMIBIA, 50.0, 1.0),
    "north, high": (LA_PALMA, 72.0, 250.0),
    "north, low": (LA_PALMA, 31.0, 75.0),
    "north, to the pole": (LA_PALMA, 29.0, 359.9),
    "south, near the zenith": (NAMIBIA, 88.7, 20.0),
    "north, nearer the zenith": (LA_PALMA, 89.6, 300.0),
}


@pytest.fixture(params=POINTINGS)
def run(request: pytest.FixtureRequest) -> tuple[SkyCoord, EarthLocation]:
    """Pointing (ICRS) and site of a run of 28 minutes."""
    site, alt, az = POINTINGS[request.param]
    frame = AltAz(obstime=REFERENCE + RUN / 2 * u.s, location=site)
    return SkyCoord(az * u.deg, alt * u.deg, frame=frame).icrs, site


def events(pointing: SkyCoord, n: int = 60) -> tuple[np.ndarray, SkyCoord]:
    """Times in s and directions of events up to 4 deg from the pointing, all over the run."""
    rng = np.random.default_rng(5)
    sky = pointing.directional_offset_by(rng.uniform(0, 360, n) * u.deg, rng.uniform(0, 4, n) * u.deg)
    return rng.uniform(0, RUN, n), sky


def to_fov(backend: Backend, time: np.ndarray, sky: SkyCoord, rotation: FovRotation) -> tuple[np.ndarray, np.ndarray]:
    matrices = interpolate_rotation(*(backend.asarray(a) for a in (time, rotation.times, rotation.matrices)))
    lon, lat = sky_to_fov(backend.asarray(sky.ra.deg), backend.asarray(sky.dec.deg), matrices)
    return to_host(lon), to_host(lat)


def distance(lon: Any, lat: Any, other_lon: Any, other_lat: Any) -> float:
    """Largest angle between directions, in deg."""
    first, second = (SkyCoord(x, y, unit="deg") for x, y in ((lon, lat), (other_lon, other_lat)))
    return float(first.separation(second).deg.max())


def test_altaz_is_that_of_gammapy_and_astropy(backend: Backend, run: tuple[SkyCoord, EarthLocation]) -> None:
    pointing, site = run
    time, sky = events(pointing)
    lon, lat = to_fov(backend, time, sky, altaz_rotation(pointing.ra.deg, pointing.dec.deg, REFERENCE, 0, RUN, site))

    horizon = AltAz(obstime=REFERENCE + time * u.s, location=site)
    origin, sky_altaz = pointing.transform_to(horizon), sky.transform_to(horizon)
    frame = pytest.importorskip("gammapy.utils.coordinates").FoVAltAzFrame(
        origin=origin, location=site, obstime=horizon.obstime
    )
    theirs = sky_altaz.transform_to(frame)
    assert distance(lon, lat, theirs.fov_lon.deg, theirs.fov_lat.deg) < 5 * ARCSEC
    offset = [one.transform_to(SkyOffsetFrame(origin=center)) for one, center in zip(sky_altaz, origin, strict=True)]
    expected_lon, expected_lat = [-one.lon.deg for one in offset], [one.lat.deg for one in offset]
    assert distance(lon, lat, expected_lon, expected_lat) < 5 * ARCSEC


def test_radec_is_that_of_gammapy_and_astropy(backend: Backend, run: tuple[SkyCoord, EarthLocation]) -> None:
    pointing, _ = run
    time, sky = events(pointing)
    lon, lat = to_fov(backend, time, sky, radec_rotation(pointing.ra.deg, pointing.dec.deg))
    theirs = sky.transform_to(pytest.importorskip("gammapy.utils.coordinates").FoVICRSFrame(origin=pointing))
    assert distance(lon, lat, theirs.data.lon.deg, theirs.data.lat.deg) < 1e-3 * ARCSEC
    offset = sky.transform_to(SkyOffsetFrame(origin=pointing))
    assert distance(lon, lat, -offset.lon.deg, offset.lat.deg) < 1e-3 * ARCSEC


@pytest.mark.parametrize("ra", [0.0, 359.999, 0.001, 180.0])
@pytest.mark.parametrize("dec", [-60.0, 0.0, 20.0, 89.0])
def test_radec_across_0_h(backend: Backend, ra: float, dec: float) -> None:
    pointing = SkyCoord(ra, dec, unit="deg")
    time, sky = events(pointing)
    lon, lat = to_fov(backend, time, sky, radec_rotation(ra, dec))
    offset = sky.transform_to(SkyOffsetFrame(origin=pointing))
    assert distance(lon, lat, -offset.lon.deg, offset.lat.deg) < 1e-3 * ARCSEC
    assert np.hypot(lon, lat).max() < 4.1


def test_pointing_is_at_the_centre_at_all_times(backend: Backend, run: tuple[SkyCoord, EarthLocation]) -> None:
    pointing, site = run
    time = np.linspace(0, RUN, 50)
    sky = SkyCoord(np.full(50, pointing.ra.deg), np.full(50, pointing.dec.deg), unit="deg")
    for rotation in (
        radec_rotation(pointing.ra.deg, pointing.dec.deg),
        altaz_rotation(pointing.ra.deg, pointing.dec.deg, REFERENCE, 0, RUN, site),
    ):
        assert distance(*to_fov(backend, time, sky, rotation), np.zeros(50), np.zeros(50)) < 0.5 * ARCSEC


def test_signs_of_radec(backend: Backend) -> None:
    """DETX grows with decreasing right ascension, DETY with declination."""
    sky = SkyCoord([10.0, 10.0, 9.0, 11.0], [1.0, -1.0, 0.0, 0.0], unit="deg")
    lon, lat = to_fov(backend, np.zeros(4), sky, radec_rotation(10.0, 0.0))
    np.testing.assert_allclose(lon, [0, 0, 1, -1], atol=1e-12)
    np.testing.assert_allclose(lat, [1, -1, 0, 0], atol=1e-12)


def test_signs_of_altaz(backend: Backend, run: tuple[SkyCoord, EarthLocation]) -> None:
    """DETX grows with decreasing azimuth, DETY with altitude."""
    pointing, site = run
    horizon = AltAz(obstime=REFERENCE + RUN / 2 * u.s, location=site)
    center = pointing.transform_to(horizon)
    step = 0.05  # deg
    az = center.az.deg + np.array([0, 0, -1, 1]) * step / np.cos(center.alt.rad)
    alt = center.alt.deg + np.array([1, -1, 0, 0]) * step
    sky = SkyCoord(az * u.deg, alt * u.deg, frame=horizon).icrs
    rotation = altaz_rotation(pointing.ra.deg, pointing.dec.deg, REFERENCE, 0, RUN, site)
    lon, lat = to_fov(backend, np.full(4, RUN / 2), sky, rotation)
    np.testing.assert_array_equal(np.sign(lon[2:]), [1, -1])
    np.testing.assert_array_equal(np.sign(lat[:2]), [1, -1])
    np.testing.assert_allclose(np.abs([lat[0], lat[1], lon[2], lon[3]]), step, rtol=0.02)


@settings(max_examples=60)
@given(
    lon=st.lists(st.floats(-180, 180), min_size=1, max_size=9),
    lat=st.floats(-90, 90),
    pointing=st.tuples(st.floats(0, 360), st.floats(-90, 90)),
)
def test_round_trip(backend: Backend, lon: list[float], lat: float, pointing: tuple[float, float]) -> None:
    matrix = backend.asarray(fov_matrix(*np.deg2rad(pointing)))
    first, second = backend.asarray(np.array(lon)), backend.asarray(np.full(len(lon), lat))
    there = sky_to_fov(first, second, matrix)
    back = [to_host(values) for values in fov_to_sky(*there, matrix)]
    assert distance(*back, np.array(lon), np.full(len(lon), lat)) < 1e-10
    assert ((back[0] >= 0) & (back[0] <= 360)).all()
    assert (np.abs(to_host(there[0])) <= 180).all()


def test_one_rotation_per_event_equals_one_for_all(backend: Backend) -> None:
    matrix = fov_matrix(1.0, 0.5)
    lon, lat = backend.asarray(np.linspace(50, 60, 7)), backend.asarray(np.linspace(25, 31, 7))
    one = sky_to_fov(lon, lat, backend.asarray(matrix))
    many = sky_to_fov(lon, lat, backend.asarray(np.stack([matrix] * 7)))
    for first, second in zip(one, many, strict=True):
        np.testing.assert_allclose(to_host(first), to_host(second), rtol=1e-14)


def test_directions_are_unit_vectors(backend: Backend) -> None:
    lon, lat = np.array([0.0, 90.0, 0.0, 45.0]), np.array([0.0, 0.0, 90.0, 0.0])
    found = np.stack([to_host(values) for values in directions(backend.asarray(lon), backend.asarray(lat))], axis=1)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [half, half, 0]], atol=1e-15)


def test_rotation_between_and_beyond_nodes(backend: Backend) -> None:
    nodes = np.array([0.0, 1.0, 3.0])
    matrices = np.arange(27.0).reshape(3, 3, 3) ** 2
    time = np.array([0.0, 0.25, 1.0, 2.0, 3.0, -1.0, 4.0])
    found = to_host(interpolate_rotation(*(backend.asarray(values) for values in (time, nodes, matrices))))
    first, second = matrices[1] - matrices[0], (matrices[2] - matrices[1]) / 2
    expected = [
        matrices[0],
        matrices[0] + first / 4,
        matrices[1],
        matrices[1] + second,
        matrices[2],
        matrices[0] - first,
        matrices[2] + second,
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_time_that_is_no_number_gives_none(backend: Backend) -> None:
    rotation = radec_rotation(10.0, 20.0)
    lon, lat = to_fov(backend, np.array([np.nan, 0.5]), SkyCoord([10, 10], [21, 21], unit="deg"), rotation)
    np.testing.assert_array_equal(np.isnan(lon), [True, False])
    np.testing.assert_array_equal(np.isnan(lat), [True, False])


@given(lon=st.floats(-179, 179), lat=st.floats(-89, 89))
def test_offset_is_the_separation(backend: Backend, lon: float, lat: float) -> None:
    found = to_host(
        fov_offset(backend.asarray([lon], dtype=backend.xp.float64), backend.asarray([lat], dtype=backend.xp.float64))
    )
    expected = np.rad2deg(angular_separation(0.0, 0.0, np.deg2rad(lon), np.deg2rad(lat)))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
