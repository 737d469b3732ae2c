"""Exclusion regions from catalogues, positions and region files, and the times at which to look at them."""

from __future__ import annotations

import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from gpucube.errors import DataError, OptionError
from gpucube.observations.catalog import SourceCatalog
from gpucube.observations.pointing import FovRotation, altaz_rotation, radec_rotation
from gpucube.observations.regions import ExclusionRegions, sample_rotation

CRAB = SkyCoord(83.6333, 22.0145, unit="deg")
NAMIBIA = EarthLocation.from_geodetic(16.5 * u.deg, -23.27 * u.deg, 1835 * u.m)
REFERENCE = Time("2004-03-26T20:00:00", scale="tt")


def read(text: str, path: Path) -> ExclusionRegions:
    path.write_text(text)
    return ExclusionRegions.read(path)


# Regions


def test_around_positions() -> None:
    regions = ExclusionRegions.around([10.0, 350.0], [-5.0, 90.0], 0.4)
    assert len(regions) == 2
    assert regions.lon.tolist() == [10, 350]
    assert regions.radius.tolist() == [0.4, 0.4]
    assert len(ExclusionRegions.around(10.0, -5.0, [0.1, 0.2])) == 2
    assert len(ExclusionRegions.empty()) == 0


def test_from_catalog_adds_the_size_of_the_source() -> None:
    positions = SkyCoord([10, 20], [0, 60], unit="deg").galactic
    catalog = SourceCatalog(np.array(["a", "b"]), positions, [0, 30] * u.arcmin, "test")
    regions = ExclusionRegions.from_catalog(catalog, 0.3)
    np.testing.assert_allclose(regions.lon, [10, 20])
    np.testing.assert_allclose(regions.lat, [0, 60], atol=1e-12)
    np.testing.assert_allclose(regions.radius, [0.3, 0.8])
    assert regions.origin == "test"
    assert len(ExclusionRegions.from_catalog(SourceCatalog.empty(), 0.3)) == 0


@pytest.mark.parametrize("radius", [-0.1, np.nan, 181.0])
def test_from_catalog_refuses_nonsense(radius: float) -> None:
    with pytest.raises(OptionError, match="0 to 180"):
        ExclusionRegions.from_catalog(SourceCatalog.builtin(), radius)


@pytest.mark.parametrize(
    ("lon", "lat", "radius"), [(np.nan, 0, 1), (0, 91, 1), (0, np.nan, 1), (0, 0, -1), (0, 0, np.nan), (0, 0, 181)]
)
def test_circles_must_be_on_the_sky(lon: float, lat: float, radius: float) -> None:
    with pytest.raises(OptionError, match="no circle on the sky"):
        ExclusionRegions.around([0, lon], [0, lat], [1, radius])


def test_lengths_must_agree() -> None:
    with pytest.raises(OptionError, match="exclusion regions"):
        ExclusionRegions.around([1, 2], [1, 2, 3], 0.1)
    with pytest.raises(OptionError, match="equally long"):
        ExclusionRegions(np.zeros(1), np.zeros(2), np.zeros(1), "test")


def test_sum() -> None:
    first, second = ExclusionRegions.around([1, 2], 3, 0.1, "a"), ExclusionRegions.around(4, 5, 0.2, "b")
    total = first + second
    assert total.lon.tolist() == [1, 2, 4]
    assert total.lat.tolist() == [3, 3, 5]
    assert total.radius.tolist() == [0.1, 0.1, 0.2]
    assert total.origin == "a, b"
    assert (total + ExclusionRegions.empty()).origin == "a, b"
    assert (ExclusionRegions.empty() + ExclusionRegions.empty()).origin == "none"
    assert (first + first).origin == "a"


@given(seed=st.integers(0, 2**32), distance=st.floats(0, 10), lat=st.sampled_from([-90.0, -60.0, 0.0, 89.0]))
def test_near_keeps_what_touches(seed: int, distance: float, lat: float) -> None:
    rng = np.random.default_rng(seed)
    center = SkyCoord(0.1, lat, unit="deg")
    sky = center.directional_offset_by(rng.uniform(0, 360, 20) * u.deg, rng.uniform(0, 20, 20) * u.deg)
    regions = ExclusionRegions.around(sky.ra.deg, sky.dec.deg, rng.uniform(0, 5, 20))
    kept = regions.near(0.1, lat, distance)
    expected = sky.separation(center).deg <= distance + regions.radius
    np.testing.assert_array_equal(kept.lon, regions.lon[expected])
    np.testing.assert_array_equal(kept.lat, regions.lat[expected])
    np.testing.assert_array_equal(kept.radius, regions.radius[expected])
    assert kept.origin == regions.origin


# Files


def test_read_ds9(tmp_path: Path) -> None:
    text = f"""# Region file format: DS9 version 4.1
global color=green
fk5
circle(5:34:31.99,+22:00:52.2,1440") # text={{Crab}}
# text(83,22) text={{a remark}}
galactic
circle({CRAB.galactic.l.deg},{CRAB.galactic.b.deg},0.3)
"""
    regions = read(text, tmp_path / "a.reg")
    np.testing.assert_allclose(regions.lon, CRAB.ra.deg, atol=1e-4)
    np.testing.assert_allclose(regions.lat, CRAB.dec.deg, atol=1e-4)
    np.testing.assert_allclose(regions.radius, [0.4, 0.3])
    assert regions.origin == str(tmp_path / "a.reg")


def test_read_any_name_as_ds9(tmp_path: Path) -> None:
    assert len(read("icrs;circle(83.6,22,24')\nicrs;circle(10,22,24')\n", tmp_path / "regions.txt")) == 2


def test_read_crtf(tmp_path: Path) -> None:
    regions = read("#CRTFv0\nglobal coord=ICRS\ncircle[[83.6deg, 22.0deg], 0.4deg]\n", tmp_path / "a.crtf")
    np.testing.assert_allclose([regions.lon[0], regions.lat[0], regions.radius[0]], [83.6, 22, 0.4])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("fk5\ncircle(83,22,0.3)\nellipse(83,22,20,2,30)\n", "deg long"),
        ("fk5\nbox(83,22,1,0.001,0)\n", "thinner than"),
        ("fk5\npoint(83,22)\n", "PointSkyRegion has no inside"),
        ("fk5\nline(83,22,84,22)\n", "LineSkyRegion has no inside"),
        ("fk5\n-box(83,22,1,1,0)\n", "marked as excluded"),
        ("image\ncircle(10,20,5)\n", "pixels"),
        ("fk5\n-circle(83,22,0.3)\n", "excluded"),
        ("fk5\ncircle(83,22,0.3)\nvector(83,22,0.3,40)\n", "vector"),
        ("circle(83,22,0.3)\n", "frame"),
        ("fk5\ncircle(83,95,0.3)\n", "Latitude"),
        ("fk5\ncircle(83,22,-0.3)\n", "adius|must be"),
        ("nonsense\n", "nonsense"),
        ("", "no regions"),
    ],
)
def test_read_refuses_what_it_would_lose(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(DataError, match=match) as error:
        read(text, tmp_path / "a.reg")
    assert error.value.path == tmp_path / "a.reg"


def test_read_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name a file of regions"):
        ExclusionRegions.read(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        ExclusionRegions.read(tmp_path / "a.reg")


def test_read_names_the_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regions", None)
    with pytest.raises(OptionError, match=r"gpucube\[regions\]"):
        ExclusionRegions.read(tmp_path / "a.reg")


# Times


def turning(alt: float, az: float, stop: float = 1680.0) -> FovRotation:
    frame = AltAz(obstime=REFERENCE + stop / 2 * u.s, location=NAMIBIA)
    pointing = SkyCoord(az, alt, unit="deg", frame=frame).icrs
    return altaz_rotation(pointing.ra.deg, pointing.dec.deg, REFERENCE, 0.0, stop, NAMIBIA)


@pytest.mark.parametrize(("alt", "az"), [(65.0, 200.0), (22.0, 130.0), (89.0, 20.0)])
@pytest.mark.parametrize(("start", "stop"), [(0.0, 1680.0), ([0.0, 700.0], [400.0, 1690.0])])
def test_edge_of_the_field_moves_by_small_steps(alt: float, az: float, start: list, stop: list) -> None:
    matrices, weights = sample_rotation(turning(alt, az), start, stop, field_radius=4.0, max_step=0.03)
    assert weights.sum() == pytest.approx(1)
    assert 0 < weights.min() < weights.max() < 1 / 23
    edge = np.array([np.cos(np.deg2rad(4.0)), 0.0, np.sin(np.deg2rad(4.0))])
    vectors = np.swapaxes(matrices, 1, 2) @ edge
    steps = np.rad2deg(np.linalg.norm(np.diff(vectors, axis=0), axis=1))
    if np.size(start) == 1:
        assert steps.max() < 0.03 * 1.05
    assert len(weights) < 26 + steps.sum() / 0.03 * 1.1


def test_one_look_is_enough_for_a_field_at_rest() -> None:
    rotation = radec_rotation(10.0, 20.0)
    matrices, weights = sample_rotation(rotation, 3e8, 3e8 + 1680, field_radius=4.0, max_step=0.03)
    np.testing.assert_allclose(matrices, rotation.matrices[:1], rtol=1e-12)
    assert weights.tolist() == [1.0]


def test_samples_are_in_the_middle_of_the_good_time() -> None:
    rotation = turning(65.0, 200.0)
    matrices, weights = sample_rotation(rotation, [100.0, 900.0], [200.0, 1200.0], field_radius=4.0, max_step=0.03)
    mean = np.einsum("k,kij->ij", weights, matrices)
    times = np.concatenate([np.linspace(100, 200, 1001), np.linspace(900, 1200, 3001)])
    expected = [np.interp(times, rotation.times, m).mean() for m in rotation.matrices.reshape(-1, 9).T]
    np.testing.assert_allclose(mean.ravel(), expected, atol=1e-4)


@pytest.mark.parametrize(("start", "stop"), [(5.0, 5.0), ([0.0], [1.0, 2.0]), ([], []), (0.0, np.nan)])
def test_good_time_must_be_positive(start: list, stop: list) -> None:
    with pytest.raises(OptionError, match="good time"):
        sample_rotation(radec_rotation(0.0, 0.0), start, stop, field_radius=4.0, max_step=0.03)


@pytest.mark.parametrize(("field_radius", "max_step"), [(0.0, 1.0), (4.0, -1.0), (4.0, np.nan)])
def test_angles_must_be_positive(field_radius: float, max_step: float) -> None:
    with pytest.raises(OptionError, match="must be positive"):
        sample_rotation(radec_rotation(0.0, 0.0), 0.0, 1.0, field_radius, max_step)
