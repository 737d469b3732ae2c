"""Astrometry of an observatory against astropy's own transformation."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time

from gpucube.observations import earth
from gpucube.observations.earth import bundled_earth_orientation
from gpucube.observations.horizon import Horizon

NAMIBIA = EarthLocation.from_geodetic(16.5 * u.deg, -23.27 * u.deg, 1835 * u.m)
LA_PALMA = EarthLocation.from_geodetic(-17.89 * u.deg, 28.76 * u.deg, 2200 * u.m)
SKY = SkyCoord([83.6, 200.0, 10.0, 330.0], [22.0, -60.0, 89.9, -23.2], unit="deg")
ARCSEC = np.deg2rad(1 / 3600)


@pytest.mark.parametrize("site", [NAMIBIA, LA_PALMA])
@pytest.mark.parametrize(
    ("date", "tolerance"),
    # Beyond the tables of the Earth, astropy takes a mean pole.
    [
        ("2004-03-26T20:00:00", 0.02),
        ("2016-12-31T23:50:00", 0.02),
        ("2024-07-01", 0.02),
        ("1955-01-01", 0.3),
        ("2060-01-01", 0.3),
    ],
)
@pytest.mark.parametrize("scale", ["tt", "utc"])
def test_directions_are_those_of_astropy(date: str, tolerance: float, site: EarthLocation, scale: str) -> None:
    """At all times of a run of half an hour; also over a leap second."""
    times = np.linspace(0, 1800, 7)
    with bundled_earth_orientation():
        reference = Time(date, scale=scale)
        frame = AltAz(obstime=reference + times[:, None] * u.s, location=site)
        expected = SKY[None, :].transform_to(frame).represent_as("unitspherical").to_cartesian().xyz.value
    horizon = Horizon.at(reference, times.mean(), site)
    found = horizon.matrices(times) @ horizon.apparent(SKY.ra.rad, SKY.dec.rad).T
    np.testing.assert_allclose(np.moveaxis(found, 1, 0), expected, atol=tolerance * ARCSEC)


def test_a_whole_night() -> None:
    """What is taken as constant moves by less than half an arcsecond in twelve hours."""
    reference, times = Time("2021-05-05T18:00:00", scale="utc"), np.linspace(0, 12 * 3600, 13)
    horizon = Horizon.at(reference, times.mean(), NAMIBIA)
    found = horizon.matrices(times) @ horizon.apparent(SKY.ra.rad, SKY.dec.rad).T
    for time, turned in zip(times, found, strict=True):
        exact = Horizon.at(reference, time, NAMIBIA)
        at_once = exact.matrices(np.array([time]))[0] @ exact.apparent(SKY.ra.rad, SKY.dec.rad).T
        np.testing.assert_allclose(turned, at_once, atol=0.5 * ARCSEC)


def test_without_the_tables_as_they_are_today(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They are read by astropy then, inside of what keeps threads apart: it must not wait for itself."""
    reference = Time("2004-03-26T20:00:00", scale="tt")
    expected = Horizon.at(reference, 60.0, NAMIBIA).matrices(np.zeros(1))
    monkeypatch.setattr(earth.iers, "IERS_A_FILE", str(tmp_path / "missing"))
    earth.earth_table.cache_clear()
    np.testing.assert_allclose(Horizon.at(reference, 60.0, NAMIBIA).matrices(np.zeros(1)), expected, atol=1e-15)
    earth.earth_table.cache_clear()


def test_matrices_are_orthogonal() -> None:
    matrices = Horizon.at(Time("2021-05-05", scale="tt"), 0.0, LA_PALMA).matrices(np.linspace(-100, 100, 5))
    np.testing.assert_allclose(
        matrices @ np.swapaxes(matrices, 1, 2), np.broadcast_to(np.eye(3), (5, 3, 3)), atol=1e-14
    )
    np.testing.assert_allclose(np.linalg.det(matrices), -1)
