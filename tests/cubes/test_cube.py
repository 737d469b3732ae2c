"""Cubes: shape, sums, units and bin volumes, on every backend."""

from __future__ import annotations

import array_api_compat
import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import spherical_to_cartesian
from scipy.integrate import dblquad

from gpucube.arrays.backend import Backend, to_host
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import axes_2015
from gpucube.cubes.cube import Cube

# Three different lengths and uneven bins, so that no transposition can hide.
AXES = (
    Axis("energy", [0.1, 0.3, 2.0], "TeV"),
    Axis("dety", [-2.0, -1.0, 0.5, 3.0], "deg"),
    Axis("detx", [-4.0, -3.0, 0.0, 0.5, 5.0], "deg"),
)
SHAPE = (2, 3, 4)


def values(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 2, SHAPE)


def test_axes_must_be_in_order() -> None:
    with pytest.raises(ValueError, match=r"axes of a cube are \('energy', 'dety', 'detx'\)"):
        Cube((AXES[0], AXES[2], AXES[1]), np.zeros(SHAPE))


@pytest.mark.parametrize("shape", [(2, 4, 3), (3, 2, 4), (24,), (2, 3, 4, 1)])
def test_data_must_have_the_shape_of_the_axes(backend: Backend, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="on axes of shape"):
        Cube(AXES, backend.asarray(np.zeros(shape)))


def test_add(backend: Backend) -> None:
    first, second = (Cube(AXES, backend.asarray(values(seed)), "s") for seed in (1, 2))
    total = first + second
    np.testing.assert_array_equal(to_host(total.data), values(1) + values(2))
    assert total.unit == u.s
    assert array_api_compat.device(total.data) == backend.device


def test_add_converts_units_and_axes(backend: Backend) -> None:
    in_gev = (Axis("energy", AXES[0].edges * 1e3, "GeV"), *AXES[1:])
    total = Cube(AXES, backend.asarray(values(1)), "s") + Cube(in_gev, backend.asarray(values(2)), "h")
    np.testing.assert_allclose(to_host(total.data), values(1) + 3600 * values(2), rtol=1e-15)


def test_integer_counts_stay_integers(backend: Backend) -> None:
    counts = Cube(AXES, backend.asarray(np.full(SHAPE, 2**60)))
    total = counts + counts
    assert total.data.dtype == backend.xp.int64
    assert (to_host(total.data) == 2**61).all()


def test_cubes_on_different_axes_are_not_added() -> None:
    shifted = (Axis("energy", [0.1, 0.31, 2.0], "TeV"), *AXES[1:])
    with pytest.raises(ValueError, match="different axes"):
        Cube(AXES, values()) + Cube(shifted, values())
    with pytest.raises(u.UnitConversionError):
        Cube(AXES, values(), "s") + Cube(AXES, values(), "m")


def test_on_host_and_quantity(backend: Backend) -> None:
    cube = Cube(AXES, backend.asarray(values()), "s-1 TeV-1 sr-1")
    assert isinstance(cube.on_host().data, np.ndarray)
    np.testing.assert_array_equal(cube.on_host().data, values())
    np.testing.assert_allclose(cube.quantity.to_value("s-1 MeV-1 sr-1"), values() * 1e-6, rtol=1e-15)


def test_with_data_keeps_axes_and_unit() -> None:
    cube = Cube(AXES, values(), "s")
    assert cube.with_data(values(1)).unit == u.s
    assert cube.with_data(values(1), "h").unit == u.h
    assert cube.with_data(values(1)).axes is AXES


def test_bin_volume_is_the_integral_over_the_sphere() -> None:
    volume = Cube(AXES, values()).bin_volume
    assert volume.shape == SHAPE
    lat, lon = AXES[1].edges_in("rad"), AXES[2].edges_in("rad")
    for i, j, k in np.ndindex(*SHAPE):
        solid_angle = dblquad(lambda b, _: np.cos(b), lon[k], lon[k + 1], lat[j], lat[j + 1])[0]
        assert volume[i, j, k] == pytest.approx(np.diff(AXES[0].edges)[i] * solid_angle, rel=1e-12)


def test_volumes_of_the_whole_sphere() -> None:
    axes = (Axis("energy", [1, 2, 4], "TeV"), Axis("dety", [-90, 10, 90], "deg"), Axis("detx", [-180, 7, 180], "deg"))
    assert Cube(axes, np.zeros((2, 2, 2))).bin_volume.sum() == pytest.approx(3 * 4 * np.pi, rel=1e-14)


@pytest.mark.parametrize("n_observations", [5, 100])
def test_volumes_add_up_to_the_field_of_view(n_observations: int) -> None:
    axes = axes_2015(n_observations)
    volume = Cube(axes, np.zeros(tuple(axis.n_bins for axis in axes))).bin_volume
    assert volume.sum() == pytest.approx((80 - 0.1) * 0.14 * 2 * np.sin(0.07), rel=1e-12)


def test_volume_by_sampling() -> None:
    """Random points on the sphere: the share of them in the field of view is its solid angle."""
    axes = (Axis("energy", [1, 2], "TeV"), Axis("dety", [20, 80], "deg"), Axis("detx", [-30, 30], "deg"))
    rng = np.random.default_rng(2)
    lon, lat = rng.uniform(-np.pi, np.pi, 400_000), np.arcsin(rng.uniform(-1, 1, 400_000))
    # Uniform on the sphere: mean direction 0.
    assert np.abs([c.mean() for c in spherical_to_cartesian(1, lat, lon)]).max() < 0.01
    inside = (np.abs(np.rad2deg(lon)) < 30) & (np.rad2deg(lat) > 20) & (np.rad2deg(lat) < 80)
    assert Cube(axes, np.zeros((1, 1, 1))).bin_volume.sum() == pytest.approx(4 * np.pi * inside.mean(), rel=0.02)
