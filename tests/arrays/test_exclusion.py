"""Exclusion regions: f right to 1e-3 against brute force, and consistent with the events that are left out."""

from __future__ import annotations

from functools import cache
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, angular_separation
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucube.arrays.backend import Backend, get_backend, to_host
from gpucube.arrays.exclusion import inside_circles, open_fraction
from gpucube.observations.pointing import altaz_rotation, radec_rotation
from gpucube.observations.regions import sample_rotation

NAMIBIA = EarthLocation.from_geodetic(16.5 * u.deg, -23.27 * u.deg, 1835 * u.m)
REFERENCE = Time("2004-03-26T20:00:00", scale="tt")
RUN = 1680.0  # s

# Uneven bins, not as many in DETY as in DETX.
DETY = np.array([-3.0, -2.1, -1.5, -0.9, -0.75, -0.6, -0.48, -0.3, 0.2, 1.4])
DETX = np.array([-1.9, -1.1, -0.7, -0.56, -0.43, -0.3, 0.6, 2.6])
CORNER = 4.0  # deg

PLASTIC = 1.3247179572447460

Circles = tuple[np.ndarray, np.ndarray, np.ndarray]


def circles_at(rotation: np.ndarray, dety: Any, detx: Any, radius: Any) -> Circles:
    """Circles given by their centres in the field of view."""
    center = unit_vectors(np.atleast_1d(detx).astype(float), np.atleast_1d(dety).astype(float)) @ rotation
    lon, lat = np.arctan2(center[:, 1], center[:, 0]), np.arcsin(np.clip(center[:, 2], -1, 1))
    return np.rad2deg(lon), np.rad2deg(lat), np.broadcast_to(np.asarray(radius, dtype=float), lon.shape).copy()


def unit_vectors(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def fractions(
    backend: Backend,
    circles: Circles,
    rotations: np.ndarray,
    weights: np.ndarray | None = None,
    edges: tuple[np.ndarray, np.ndarray] = (DETY, DETX),
) -> np.ndarray:
    weights = np.full(len(rotations), 1 / len(rotations)) if weights is None else weights
    return to_host(open_fraction(*(backend.asarray(values) for values in (*edges, rotations, weights, *circles))))


def brute_force(
    circles: Circles, rotations: np.ndarray, n: int, edges: tuple[np.ndarray, np.ndarray] = (DETY, DETX)
) -> np.ndarray:
    """The same with n x n sub-pixels per bin, in other places at each time, and angles on the sky from astropy."""
    is_open, total = 0.0, 0.0
    for number, rotation in enumerate(rotations):
        # Powers of the plastic number, the golden one of a plane: the shifts fill the sub-pixels evenly.
        dety, detx = (sub_pixels(v, n, (0.5 + number * PLASTIC**-power) % 1) for power, v in enumerate(edges, 1))
        lat, lon = (values.ravel() for values in np.meshgrid(dety, detx, indexing="ij"))
        sky = unit_vectors(lon, lat) @ rotation
        ra, dec = np.arctan2(sky[:, 1], sky[:, 0]), np.arctan2(sky[:, 2], np.hypot(sky[:, 0], sky[:, 1]))
        outside = np.all([angular_separation(ra, dec, x, y) > r for x, y, r in np.deg2rad(circles).T], axis=0)
        weight, shape = np.cos(np.deg2rad(lat)), (len(edges[0]) - 1, n, len(edges[1]) - 1, n)
        is_open += (outside * weight).reshape(shape).sum(axis=(1, 3))
        total += weight.reshape(shape).sum(axis=(1, 3))
    return is_open / total


def at_rest(circles: Circles, rotation: np.ndarray) -> np.ndarray:
    return brute_force(circles, np.repeat(rotation[None], 250, axis=0), 16)


def sub_pixels(edges: np.ndarray, n: int, shift: float) -> np.ndarray:
    return (edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(n) + shift) / n).ravel()


def samples_of_run(pointing: SkyCoord) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and weights during a run at which f is looked at, in ALTAZ."""
    rotation = altaz_rotation(pointing.ra.deg, pointing.dec.deg, REFERENCE, 0, RUN, NAMIBIA)
    return sample_rotation(rotation, 0.0, RUN, CORNER, np.diff(DETX).min() / 2)


def rotations_of_run(pointing: SkyCoord, times: np.ndarray) -> np.ndarray:
    rotation = altaz_rotation(pointing.ra.deg, pointing.dec.deg, REFERENCE, 0, RUN, NAMIBIA)
    elements = [np.interp(times, rotation.times, values) for values in rotation.matrices.reshape(-1, 9).T]
    return np.stack(elements, axis=-1).reshape(-1, 3, 3)


def pointing_at(alt: float, az: float) -> SkyCoord:
    return SkyCoord(az, alt, unit="deg", frame=AltAz(obstime=REFERENCE + RUN / 2 * u.s, location=NAMIBIA)).icrs


# Which events are inside


@settings(max_examples=60)
@given(data=st.data(), scale=st.sampled_from([1e-6, 0.01, 1.0, 60.0, 179.0]))
def test_inside_is_what_astropy_says(backend: Backend, data: st.DataObject, scale: float) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n = data.draw(st.integers(1, 4))
    centers = SkyCoord(rng.uniform(0, 360, n), data.draw(st.sampled_from([-90.0, -40.0, 0.0, 89.99])), unit="deg")
    near = centers[rng.integers(0, n, 50)].directional_offset_by(
        rng.uniform(0, 360, 50) * u.deg, np.minimum(2 * scale * rng.uniform(0, 1, 50), 180) * u.deg
    )
    radius = scale * rng.uniform(0, 1, n)
    circles = (centers.ra.deg, centers.dec.deg, radius)
    found = to_host(inside_circles(*(backend.asarray(v) for v in (near.ra.deg, near.dec.deg, *circles))))
    margin = near[:, None].separation(centers[None, :]).deg - radius
    clear = np.abs(margin).min(axis=1) > 1e-9
    np.testing.assert_array_equal(found[clear], (margin <= 0).any(axis=1)[clear])


@pytest.mark.parametrize("radius", [1e-7, 0.01, 1.0, 30.0, 89.0, 90.0, 150.0])
@pytest.mark.parametrize("lat", [-60.0, 0.0, 0.3])
def test_points_on_the_edge_are_inside(backend: Backend, radius: float, lat: float) -> None:
    step = np.array([-radius, radius, -radius * 1.01 - 1e-9, radius * 1.01 + 1e-9])
    target = lat + step
    over = np.abs(target) > 90
    lon, dec = np.where(over, 190.0, 10.0), np.where(over, np.sign(target) * 180 - target, target)
    circle = (np.array([10.0]), np.array([lat]), np.array([radius]))
    found = to_host(inside_circles(*(backend.asarray(values) for values in (lon, dec, *circle))))
    assert found.tolist() == [True, True, False, False]


def test_inside_across_0_h_and_no_number(backend: Backend) -> None:
    lon, lat = np.array([359.9, 0.1, 1.0, np.nan, 0.0]), np.array([0.0, 0.0, 0.0, 0.0, np.nan])
    circles = (np.array([0.0, 90.0]), np.array([0.0, 0.0]), np.array([0.2, 0.2]))
    found = to_host(inside_circles(*(backend.asarray(values) for values in (lon, lat, *circles))))
    assert found.tolist() == [True, True, False, False, False]


def test_inside_without_events_or_circles(backend: Backend) -> None:
    some, none = backend.asarray(np.array([1.0, 2.0])), backend.asarray(np.array([]))
    assert to_host(inside_circles(some, some, none, none, none)).tolist() == [False, False]
    assert to_host(inside_circles(none, none, some, some, some)).shape == (0,)


def test_inside_does_not_depend_on_blocks(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    arrays = [backend.asarray(values) for values in (*rng.uniform(-5, 5, (2, 1000)), *rng.uniform(0, 5, (3, 3)))]
    expected = to_host(inside_circles(*arrays))
    assert 0 < expected.sum() < 1000
    monkeypatch.setattr("gpucube.arrays.exclusion.BLOCK", 100)
    np.testing.assert_array_equal(to_host(inside_circles(*arrays)), expected)


# The open fraction


@st.composite
def fields(draw: st.DrawFn, n_min: int = 1) -> tuple[Circles, np.ndarray]:
    """Circles of any size near the field, and how the field turns about its centre."""
    n = draw(st.integers(n_min, 4))
    position = st.lists(st.floats(-4, 4), min_size=n, max_size=n)
    radius = draw(st.lists(st.sampled_from([0.0, 0.01, 0.1, 0.4, 1.0, 2.0, 4.0]), min_size=n, max_size=n))
    ra, dec = draw(st.sampled_from([0.0, 0.3, 83.6, 359.9])), draw(st.sampled_from([-89.0, -30.0, 0.0, 65.0]))
    base = radec_rotation(ra, dec).matrices[0]
    turn = np.deg2rad(np.linspace(0, draw(st.sampled_from([0.0, 2.0])), 20))
    about = np.zeros((20, 3, 3))
    about[:, 0, 0] = 1
    about[:, 1, 1] = about[:, 2, 2] = np.cos(turn)
    about[:, 1, 2], about[:, 2, 1] = np.sin(turn), -np.sin(turn)
    return circles_at(base, draw(position), draw(position), radius), about @ base


def joined(first: Circles, second: Circles) -> Circles:
    return tuple(np.concatenate(pair) for pair in zip(first, second, strict=True))  # type: ignore[return-value]


@settings(max_examples=15)
@given(field=fields())
def test_fractions_are_between_0_and_1(backend: Backend, field: tuple[Circles, np.ndarray]) -> None:
    found = fractions(backend, *field)
    assert found.shape == (len(DETY) - 1, len(DETX) - 1)
    assert found.dtype == np.float64
    assert (found >= 0).all()
    assert (found <= 1).all()


@settings(max_examples=15)
@given(field=fields(n_min=2), n=st.integers(1, 3))
def test_more_regions_never_raise_it(backend: Backend, field: tuple[Circles, np.ndarray], n: int) -> None:
    circles, rotations = field
    fewer = fractions(backend, tuple(values[:n] for values in circles), rotations)  # type: ignore[arg-type]
    assert (fractions(backend, circles, rotations) <= fewer + 1e-3).all()


@settings(max_examples=15)
@given(field=fields())
def test_union_not_sum(backend: Backend, field: tuple[Circles, np.ndarray]) -> None:
    """The same circles twice, and small ones within them, change nothing."""
    circles, rotations = field
    once = fractions(backend, circles, rotations)
    np.testing.assert_allclose(fractions(backend, joined(circles, circles), rotations), once, atol=1e-12)
    within = (circles[0], circles[1], 0.7 * circles[2])
    np.testing.assert_allclose(fractions(backend, joined(within, circles), rotations), once, atol=1e-3)


@settings(max_examples=15)
@given(field=fields(n_min=2), data=st.data())
def test_order_of_regions_does_not_matter(
    backend: Backend, field: tuple[Circles, np.ndarray], data: st.DataObject
) -> None:
    circles, rotations = field
    order = np.array(data.draw(st.permutations(range(len(circles[0])))))
    shuffled = tuple(values[order] for values in circles)
    expected = fractions(backend, circles, rotations)
    np.testing.assert_allclose(fractions(backend, shuffled, rotations), expected, atol=1e-12)  # type: ignore[arg-type]


def test_no_regions(backend: Backend) -> None:
    none = (np.array([]), np.array([]), np.array([]))
    np.testing.assert_array_equal(fractions(backend, none, radec_rotation(1, 2).matrices), 1.0)


def test_exactly_1_where_none_comes_and_exactly_0_where_there_always_is_one(backend: Backend) -> None:
    """Livetime 0 means no exposure: rounding must not make it small instead."""
    rotations, weights = samples_of_run(pointing_at(65.0, 200.0))
    circles = circles_at(rotations[0], [0.0, 0.3, 0.5], [0.0, 0.2, -0.1], [0.8, 0.9, 0.6])
    found = fractions(backend, circles, rotations, weights)
    assert (found[0] == 1.0).all()  # DETY -3.0 to -2.1
    assert found[7, 3] == 0.0  # DETY -0.3 to 0.2, DETX -0.56 to -0.43
    assert (found == 0).sum() >= 2
    assert ((found > 1e-6) & (found < 1)).sum() > 10


@pytest.mark.parametrize("radius", [8.0, 60.0, 120.0, 179.0, 180.0])
@pytest.mark.parametrize("dety", [0.0, 2.0])
def test_region_that_covers_the_whole_field(backend: Backend, radius: float, dety: float) -> None:
    rotations = radec_rotation(359.9, -30).matrices[:1]
    np.testing.assert_array_equal(fractions(backend, circles_at(rotations[0], dety, -1.0, radius), rotations), 0.0)


@pytest.mark.parametrize(
    "center", [(0.3, -0.5), (0.0, 179.9), (80.0, 179.0), (-88.0, -100.0), (90.0, 0.0), (-90.0, 7.0)]
)
def test_large_regions(backend: Backend, center: tuple[float, float]) -> None:
    """Also around a pole of the field of view, and from behind."""
    rotations = radec_rotation(10, 40).matrices[:1]
    inside = (
        unit_vectors(np.array([0.1]), np.array([-0.4])) @ unit_vectors(np.array([center[1]]), np.array([center[0]])).T
    )
    circles = circles_at(rotations[0], *center, np.rad2deg(np.arccos(inside[0, 0])))
    found = fractions(backend, circles, rotations)
    assert 0.02 < found.mean() < 0.98
    assert_accurate(found, at_rest(circles, rotations[0]))


def test_complement_of_a_region_is_a_region(backend: Backend) -> None:
    rotations = radec_rotation(10, 40).matrices[:1]
    one = fractions(backend, circles_at(rotations[0], 0.3, 0.4, 1.1), rotations)
    other = fractions(backend, circles_at(rotations[0], -0.3, -179.6, 178.9), rotations)
    np.testing.assert_allclose(one + other, 1.0, atol=2e-4)


def test_all_around_the_sphere(backend: Backend) -> None:
    """In longitude the field ends where it begins."""
    edges = (np.linspace(-90, 90, 6), np.linspace(-180, 180, 8))
    rotations = radec_rotation(10, 40).matrices[:1]
    for lat, lon in ((0.0, 179.0), (70.0, -170.0), (-85.0, 20.0)):
        circles = circles_at(rotations[0], lat, lon, 30.0)
        found = fractions(backend, circles, rotations, edges=edges)
        area = np.diff(np.sin(np.deg2rad(edges[0])))[:, None] * np.diff(np.deg2rad(edges[1]))
        np.testing.assert_allclose(((1 - found) * area).sum(), 2 * np.pi * (1 - np.cos(np.deg2rad(30))), rtol=3e-3)


@pytest.mark.parametrize("radius", [1e-4, 0.01, 0.05])
@pytest.mark.parametrize("turn", [False, True])
def test_area_of_tiny_regions(backend: Backend, radius: float, turn: bool) -> None:
    rotations, weights = samples_of_run(pointing_at(70.0, 20.0)) if turn else (np.eye(3)[None], np.ones(1))
    circles = circles_at(rotations[len(rotations) // 2], -0.54, -0.5, radius)
    found = fractions(backend, circles, rotations, weights)
    area = np.diff(np.sin(np.deg2rad(DETY)))[:, None] * np.diff(np.deg2rad(DETX))
    expected = 4 * np.pi * np.sin(np.deg2rad(radius) / 2) ** 2
    assert ((1 - found) * area).sum() == pytest.approx(expected, rel=2e-3)
    if not turn:
        assert (found < 1).sum() == 1
        assert 1 - found[5, 3] == pytest.approx(expected / area[5, 3], rel=2e-3)


# Accuracy: 1e-3 in every bin, 1e-4 on average

STILL = {
    "one": ([-0.6], [-0.5], [0.4]),
    "overlapping": ([-0.6, -0.3, -0.8], [-0.5, -0.2, 0.3], [0.4, 0.35, 0.5]),
    "top on an edge": ([-1.3], [-0.5], [0.4]),
    "nested and tiny": ([-0.6, -0.55, 0.1], [-0.5, -0.5, -0.5], [0.4, 0.2, 0.01]),
    "large": ([1.5], [-0.2], [2.0]),
}


@cache
def case_at_rest(name: str, pointing: tuple[float, float]) -> tuple[Circles, np.ndarray, np.ndarray]:
    """Circles, the rotation, and what f should be."""
    rotations = radec_rotation(*pointing).matrices[:1]
    circles = circles_at(rotations[0], *STILL[name])
    return circles, rotations, at_rest(circles, rotations[0])


@pytest.mark.parametrize("pointing", [(0.001, -30.0), (83.6, 88.0)])
@pytest.mark.parametrize("name", STILL)
def test_accuracy_at_rest(backend: Backend, name: str, pointing: tuple[float, float]) -> None:
    circles, rotations, expected = case_at_rest(name, pointing)
    assert ((expected > 0) & (expected < 1)).sum() > 3
    assert_accurate(fractions(backend, circles, rotations), expected)


def assert_accurate(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(found - expected).max() < 1e-3
    assert np.abs(found - expected).mean() < 1e-4


# Altitude and azimuth (deg) in the middle of the run.
TURNING = {"high": (65.0, 200.0), "low": (22.0, 130.0), "near the zenith": (88.0, 20.0)}


@cache
def case_turning(name: str) -> tuple[Circles, np.ndarray, np.ndarray, np.ndarray]:
    """Circles, rotations and weights, and what f should be."""
    pointing = pointing_at(*TURNING[name])
    rotations, weights = samples_of_run(pointing)
    circles = circles_at(rotations[len(rotations) // 2], [-0.6, -0.35, -1.9], [-0.5, -0.1, 1.4], [0.4, 0.3, 0.6])
    times = (np.arange(800) + 0.5) / 800 * RUN
    return circles, rotations, weights, brute_force(circles, rotations_of_run(pointing, times), 16)


@pytest.mark.parametrize("name", TURNING)
def test_accuracy_while_the_field_turns(backend: Backend, name: str) -> None:
    *arguments, expected = case_turning(name)
    assert ((expected > 0) & (expected < 1)).sum() > 15
    assert_accurate(fractions(backend, *arguments), expected)


def test_unequal_weights(backend: Backend) -> None:
    """A field that stands still for three quarters of the time, then in another place."""
    first, second = radec_rotation(10, 20).matrices[0], radec_rotation(10.4, 20.3).matrices[0]
    circles = circles_at(first, [-0.6, 0.1], [-0.5, 0.3], [0.4, 0.5])
    found = fractions(backend, circles, np.stack([first, second]), np.array([3.0, 1.0]))
    assert_accurate(found, 0.75 * at_rest(circles, first) + 0.25 * at_rest(circles, second))


def test_fractions_do_not_depend_on_blocks(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    circles, rotations, weights, _ = case_turning("high")
    expected = fractions(backend, circles, rotations, weights)
    monkeypatch.setattr("gpucube.arrays.exclusion.BLOCK", 1)
    np.testing.assert_allclose(fractions(backend, circles, rotations, weights), expected, atol=1e-13)


def test_same_on_every_backend(backend: Backend) -> None:
    circles, rotations, weights, _ = case_turning("high")
    expected = fractions(get_backend("numpy"), circles, rotations, weights)
    np.testing.assert_allclose(fractions(backend, circles, rotations, weights), expected, atol=1e-9)


# Closure


def test_exposure_times_f_is_the_number_of_events_outside(backend: Backend) -> None:
    """Events uniform in time and on the sphere: what is not inside follows f in every bin."""
    pointing = pointing_at(70.0, 340.0)
    rotations, weights = samples_of_run(pointing)
    circles = circles_at(rotations[0], [-0.6, -1.2], [-0.5, 0.9], [0.5, 0.6])
    rng, n = np.random.default_rng(2), 400_000
    dety = np.rad2deg(np.arcsin(rng.uniform(*np.sin(np.deg2rad(DETY[[0, -1]])), n)))
    detx, time = rng.uniform(*DETX[[0, -1]], n), rng.uniform(0, RUN, n)
    sky = np.einsum("ni,nij->nj", unit_vectors(detx, dety), rotations_of_run(pointing, time))
    lon, lat = np.rad2deg(np.arctan2(sky[:, 1], sky[:, 0])), np.rad2deg(np.arcsin(np.clip(sky[:, 2], -1, 1)))
    inside = to_host(inside_circles(*(backend.asarray(values) for values in (lon, lat, *circles))))
    counts = np.histogram2d(dety[~inside], detx[~inside], bins=(DETY, DETX))[0]
    share = np.diff(np.sin(np.deg2rad(DETY)))[:, None] * np.diff(DETX)
    expected = n * share / share.sum() * fractions(backend, circles, rotations, weights)
    assert (counts[expected == 0] == 0).all()
    pull = (counts - expected) / np.sqrt(np.maximum(expected, 1))
    assert np.abs(pull).max() < 4.5
    assert counts.sum() == pytest.approx(expected.sum(), abs=4 * np.sqrt(n))
    assert inside.sum() > 10_000
