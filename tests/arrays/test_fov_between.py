"""Rotations between nodes against matrices per event, on all libraries and by the faster version for NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gpucube.arrays.backend import Backend, to_host
from gpucube.arrays.fov import between_rotations, sky_to_fov_between
from gpucube.arrays.native import fov_numpy
from gpucube.observations.pointing import fov_matrix

Turn = Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]
VERSIONS: list[Turn] = [between_rotations, fov_numpy.between_rotations]
N = 50
LONGITUDES = hnp.arrays(np.float64, N, elements=st.floats(-720, 720) | st.sampled_from([0.0, 90.0, -180.0, 359.9999]))
LATITUDES = hnp.arrays(np.float64, N, elements=st.floats(-90, 90) | st.sampled_from([0.0, 90.0, -90.0, 89.9999]))


def nodes(ra: float, dec: float) -> np.ndarray:
    """Three rotations of a pointing that moves a little."""
    return np.stack([fov_matrix(np.deg2rad(ra + step), np.deg2rad(dec + 0.5 * step)) for step in (0.0, 0.2, 0.3)])


def vectors(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


@settings(max_examples=60)
@given(lon=LONGITUDES, lat=LATITUDES, ra=st.floats(0, 360), dec=st.floats(-90, 90), seed=st.integers(0, 99))
@pytest.mark.parametrize("version", VERSIONS)
def test_directions_are_those_of_the_matrices(
    version: Turn, lon: np.ndarray, lat: np.ndarray, ra: float, dec: float, seed: int
) -> None:
    """Anywhere on the sky, to 1e-12 rad; as vectors, because longitudes mean little at the poles."""
    rng = np.random.default_rng(seed)
    node, weight, rotations = rng.integers(0, 2, N).astype(np.int32), rng.random(N), nodes(ra, dec)
    share = weight[:, None, None]
    expected = (rotations[node] * (1 - share) + rotations[node + 1] * share) @ vectors(lon, lat)[:, :, None]
    expected = expected[..., 0] / np.linalg.norm(expected, axis=1)
    found = version(lon, lat, rotations, node, weight)
    assert (np.abs(found[0]) <= 180).all()
    assert (np.abs(found[1]) <= 90).all()
    np.testing.assert_allclose(vectors(*found), expected, atol=1e-12)


@settings(max_examples=60)
@given(offset=hnp.arrays(np.float64, (2, N), elements=st.floats(-7, 7)), ra=st.floats(0, 360), dec=st.floats(-85, 85))
def test_faster_version_is_the_same_near_the_pointing(offset: np.ndarray, ra: float, dec: float) -> None:
    """To 1e-12 deg, also across the 5 deg where a series ends."""
    lon, lat = ra + offset[0], np.clip(dec + offset[1], -90, 90)
    arguments = lon, lat, nodes(ra, dec), np.zeros(N, dtype=np.int32), np.linspace(0, 1, N)
    expected, found = (version(*arguments) for version in VERSIONS)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-12)


def test_result_of_an_event_does_not_depend_on_its_block() -> None:
    """More events than a block holds, and one by one; NaN and infinity spoil no other."""
    n = 2 * fov_numpy.BLOCK + 3
    rng = np.random.default_rng(4)
    lon, lat = 83 + rng.normal(0, 4, n), 22 + rng.normal(0, 4, n)
    lon[5], lat[fov_numpy.BLOCK] = np.nan, np.inf
    node, weight, rotations = rng.integers(0, 2, n), rng.random(n), nodes(83, 22)
    together = np.array(fov_numpy.between_rotations(lon, lat, rotations, node, weight))
    assert np.flatnonzero(np.isnan(together).any(axis=0)).tolist() == [5, fov_numpy.BLOCK]
    for i in (0, 5, 6, fov_numpy.BLOCK - 1, fov_numpy.BLOCK, n - 1):
        alone = fov_numpy.between_rotations(
            lon[i : i + 1], lat[i : i + 1], rotations, node[i : i + 1], weight[i : i + 1]
        )
        np.testing.assert_array_equal(np.array(alone)[:, 0], together[:, i])


def test_only_events_that_are_wanted_are_turned() -> None:
    n = fov_numpy.BLOCK + 700
    rng = np.random.default_rng(5)
    lon, lat, wanted = 83 + rng.normal(0, 4, n), 22 + rng.normal(0, 4, n), rng.random(n) < 0.6
    lon[wanted.argmin()], lat[wanted.argmax()] = np.nan, np.inf
    arguments = lon, lat, nodes(83, 22), rng.integers(0, 2, n), rng.random(n)
    everything, some = (np.array(fov_numpy.between_rotations(*arguments, choice)) for choice in (None, wanted))
    np.testing.assert_array_equal(some[:, wanted], everything[:, wanted])
    np.testing.assert_array_equal(np.isfinite(some).all(axis=0), np.isfinite(lon) & np.isfinite(lat))


def test_all_libraries_agree(backend: Backend) -> None:
    rng = np.random.default_rng(7)
    arguments = (
        83 + rng.normal(0, 2, N),
        22 + rng.normal(0, 2, N),
        nodes(83, 22),
        rng.integers(0, 2, N),
        rng.random(N),
    )
    expected = between_rotations(*arguments)
    found = sky_to_fov_between(*(backend.asarray(values) for values in arguments))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(to_host(other), one, atol=1e-12)


def test_no_events() -> None:
    nothing = np.zeros(0)
    assert [part.shape for part in fov_numpy.between_rotations(nothing, nothing, nodes(1, 2), nothing, nothing)] == [
        (0,)
    ] * 2
