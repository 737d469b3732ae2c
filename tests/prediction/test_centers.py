"""Rates at the centres of bins, against integrals by SciPy and Gammapy's own interpolation."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from gpucube.cubes.axis import Axis
from gpucube.cubes.background import RATE_UNIT, BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.cubes.fits import background_hdu
from gpucube.prediction.centers import center_over_mean, interpolated, rates_at_centers

EDGES = np.array([0.1, 0.25, 0.5, 1.3, 4.0, 9.0])


@given(st.floats(0.0, 5.0))
def test_power_laws_are_exact(index: float) -> None:
    mean = np.array([quad(lambda e: e**-index, a, b)[0] / (b - a) for a, b in pairwise(EDGES)])
    at_center = (EDGES[1:] * EDGES[:-1]) ** (-index / 2)
    # The slope is that of the means, which for uneven bins is not quite the index.
    assert np.allclose(mean * center_over_mean(mean, EDGES), at_center, rtol=0.06)
    even = np.geomspace(0.1, 10, 7)
    mean = np.array([quad(lambda e: e**-index, a, b)[0] / (b - a) for a, b in pairwise(even)])
    assert np.allclose(mean * center_over_mean(mean, even), (even[1:] * even[:-1]) ** (-index / 2), rtol=1e-9)


def model() -> BackgroundModel:
    """Rate that falls with energy and offset, in coarse bins, with noise."""
    axes = (
        Axis.energy(0.3, 30, 8),
        Axis("dety", np.array([-2.0, -1.0, -0.3, 0.4, 1.0, 2.0]), "deg"),
        Axis("detx", np.array([-3.0, -2.0, -1.0, 0.0, 1.5, 3.0, 3.5]), "deg"),
    )
    energy, dety, detx = (axis.centers for axis in axes)
    noise = np.random.default_rng(1).uniform(0.5, 1.5, (8, 5, 6))
    field = np.exp(-0.3 * (dety[:, None] - 0.2) ** 2 - 0.3 * detx**2)
    return BackgroundModel(Cube(axes, energy[:, None, None] ** -3 * field * noise, RATE_UNIT), rate_per="ONTIME")


def in_gammapy(model: BackgroundModel) -> Any:
    irf = pytest.importorskip("gammapy.irf")
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), background_hdu(model)]).writeto(buffer)
    buffer.seek(0)
    with fits.open(buffer) as hdus:
        return irf.Background3D.from_hdulist(hdus, hdu="BACKGROUND")


def test_interpolation_is_that_of_gammapy() -> None:
    fine = interpolated(model().rate)
    energy, dety, detx = (axis.centers for axis in fine.axes)
    found = in_gammapy(model()).evaluate(
        energy=energy[:, None, None] * u.TeV, fov_lon=detx * u.deg, fov_lat=dety[:, None] * u.deg
    )
    assert np.allclose(found.to_value(RATE_UNIT), fine.data, rtol=1e-9)


def test_gammapy_finds_the_counts_of_the_model() -> None:
    before = model()
    after = in_gammapy(rates_at_centers(before))
    # Coarse bins differ from their power law: each alone by some percent, the sum by less.
    edges = before.axes[0].edges
    y, x = np.linspace(-1.99, 1.99, 200), np.linspace(-2.99, 3.49, 325)
    energy = np.geomspace(edges[0], edges[-1], 8 * 5 + 1)
    rate = after.integrate_log_log(
        "energy", energy=energy[:, None, None] * u.TeV, fov_lon=x * u.deg, fov_lat=y[:, None] * u.deg
    )
    cell = np.cos(np.deg2rad(y))[:, None] * np.deg2rad(0.02) ** 2
    found = (rate.to_value("s-1 sr-1") * cell).sum(axis=(1, 2)).reshape(8, 5).sum(axis=1)
    expected = np.sum(before.rate.data * before.rate.bin_volume, axis=(1, 2))
    assert found.sum() == pytest.approx(expected.sum(), rel=0.02)
    assert np.allclose(found, expected, rtol=0.1)


def test_rings_and_single_bins() -> None:
    axes = (Axis.energy(1, 2, 1), Axis.offset(2.0, 3))
    rings = BackgroundModel(Cube(axes, np.array([[3.0, 2.0, 1.0]]), RATE_UNIT))
    assert interpolated(rings.rate).data.shape == (1, 6)
    assert np.isfinite(rates_at_centers(rings).rate.data).all()
    one = BackgroundModel(Cube((axes[0], Axis.offset(2.0, 1)), np.array([[3.0]]), RATE_UNIT))
    assert rates_at_centers(one).rate.data == pytest.approx(3.0)
