"""Circles that cover other shapes, against what the package regions says is inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucube.observations.covering import MARGIN, circles_over
from gpucube.observations.regions import ExclusionRegions

regions = pytest.importorskip("regions")

# Across 0 h, near a pole, and near the galactic plane, where frames are turned.
PLACES = [(0.02, 10.0), (359.98, -45.0), (83.6, 22.0), (266.4, -29.0), (40.0, 89.7), (120.0, -90.0)]
FRAMES = ["icrs", "fk5", "galactic"]


@st.composite
def shapes(draw: st.DrawFn) -> Any:
    """Draw an ellipse, a rectangle, a ring or a triangle of 0.1 to 4 deg."""
    center = SkyCoord(*draw(st.sampled_from(PLACES)), unit="deg").transform_to(draw(st.sampled_from(FRAMES)))
    size, ratio = draw(st.floats(0.1, 4.0)), draw(st.floats(0.1, 1.0))
    width, height, angle = size * u.deg, ratio * size * u.deg, draw(st.floats(0, 360)) * u.deg
    kind = draw(st.sampled_from(["ellipse", "rectangle", "ring", "triangle"]))
    if kind == "ellipse":
        return regions.EllipseSkyRegion(center, width, height, angle)
    if kind == "rectangle":
        return regions.RectangleSkyRegion(center, width, height, angle)
    if kind == "ring":
        return regions.CircleAnnulusSkyRegion(center, 0.5 * (1 - ratio / 2) * width, 0.5 * width)
    corners = center.directional_offset_by(angle + [0, 100, 230] * u.deg, [1, ratio, 1] * width / 2)
    return regions.PolygonSkyRegion(corners)


def plane_at(center: SkyCoord) -> WCS:
    plane = WCS(naxis=2)
    plane.wcs.ctype, plane.wcs.crval = ["RA---TAN", "DEC--TAN"], [center.icrs.ra.deg, center.icrs.dec.deg]
    plane.wcs.cdelt = [-1e-4, 1e-4]
    return plane


@settings(max_examples=10)
@given(shape=shapes(), seed=st.integers(0, 2**16))
def test_nothing_of_the_shape_is_left_and_little_beyond_it(shape: Any, seed: int) -> None:
    centers, radius = circles_over(shape)
    assert len(centers) == len(radius) < 100
    middle = shape.center if hasattr(shape, "center") else shape.vertices[0]
    rng, n = np.random.default_rng(seed), 1500
    points = middle.directional_offset_by(rng.uniform(0, 360, n) * u.deg, 3.5 * np.sqrt(rng.uniform(0, 1, n)) * u.deg)
    # Enough points near a small shape, too.
    near = centers[rng.integers(0, len(radius), n)]
    near = near.directional_offset_by(rng.uniform(0, 360, n) * u.deg, 1.2 * rng.uniform(0, radius.max(), n) * u.deg)
    points = SkyCoord([points.icrs.ra, near.ra], [points.icrs.dec, near.dec]).ravel()
    inside = shape.contains(points, plane_at(middle))
    covered = (points[:, None].separation(centers[None, :]).deg <= radius).any(axis=1)
    assert inside.sum() > 100
    assert covered[inside].all()
    # What is covered without being inside lies within the margin of a point that is inside.
    beyond = points[covered & ~inside]
    longest = points[inside][:, None].separation(points[inside][None, :200]).deg.max() * 1.1
    outside = beyond[:, None].separation(points[inside][None, :]).deg.min(axis=1)
    spacing = np.sqrt(longest**2 / inside.sum()) * 3
    assert (outside < MARGIN * longest + spacing).all()


def test_area_of_an_ellipse() -> None:
    """The circles of an ellipse of 2 deg by 1 deg cover a tenth more than it."""
    middle = SkyCoord(83.6, 22.0, unit="deg")
    centers, radius = circles_over(regions.EllipseSkyRegion(middle, 2 * u.deg, 1 * u.deg, 0 * u.deg))
    rng, n = np.random.default_rng(1), 40_000
    points = middle.directional_offset_by(rng.uniform(0, 360, n) * u.deg, 1.5 * np.sqrt(rng.uniform(0, 1, n)) * u.deg)
    covered = (points[:, None].separation(centers[None, :]).deg <= radius).any(axis=1)
    assert covered.mean() * 1.5**2 * np.pi / (np.pi * 1 * 0.5) == pytest.approx(1.11, abs=0.04)
    assert len(radius) < 40


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("fk5\nellipse(83.6,22,1,0.5,30)\ncircle(10,20,0.3)\n", "a.reg"),
        ("galactic\nbox(184.5,-5.8,1,0.5,30)\ncircle(120,20,0.3)\n", "a.reg"),
        ("fk5\npolygon(83,22,84,22,84,23)\nicrs\ncircle(10,20,0.3)\n", "a.reg"),
        ("#CRTFv0\nellipse[[83.6deg, 22.0deg], [1.0deg, 0.5deg], 30deg] coord=ICRS\n"
         "circle[[10deg, 20deg], 0.3deg] coord=ICRS\n", "a.crtf"),
        ("#CRTFv0\npoly[[83deg, 22deg], [84deg, 22deg], [84deg, 23deg]] coord=J2000\n"
         "circle[[10deg, 20deg], 0.3deg] coord=ICRS\n", "a.crtf"),
        ("#CRTFv0\nrotbox[[83.6deg, 22deg], [1.0deg, 0.5deg], 30deg] coord=ICRS\n"
         "circle[[10deg, 20deg], 0.3deg] coord=ICRS\n", "a.crtf"),
    ],
)  # fmt: skip
def test_files(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    found = ExclusionRegions.read(tmp_path / name)
    assert len(found) > 5
    assert found.radius[-1] == pytest.approx(0.3)
    assert found.origin == str(tmp_path / name)
    centers = SkyCoord(found.lon[:-1], found.lat[:-1], unit="deg")
    crab = SkyCoord(83.6333, 22.0145, unit="deg")
    if "184.5" in text:
        crab = SkyCoord(184.5, -5.8, unit="deg", frame="galactic").icrs
    assert centers.separation(crab).deg.min() < 0.8
    assert (centers.separation(crab).deg + found.radius[:-1] < 1.6).all()
