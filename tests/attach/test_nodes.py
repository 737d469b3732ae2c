"""Rates at bin centres, against what Gammapy interpolates and sums."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from gpucube.attach.nodes import node_rates
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.cubes.fits import background_hdu

ENERGY = Axis.energy(0.2, 20.0, 7)
IMAGE = (ENERGY, Axis.field_of_view("dety", 2.5, 9), Axis.field_of_view("detx", 2.0, 6))
RINGS = (ENERGY, Axis.offset(2.5, 9))


def noisy_rate(axes: tuple[Axis, ...]) -> np.ndarray:
    """A spectrum with a peak at the threshold, and Poisson noise of few counts."""
    e = ENERGY.centers
    spectrum = e**-2.2 / (1 + (0.4 / e) ** 4)
    field = np.add.reduce(np.meshgrid(*(axis.centers**2 for axis in axes[1:]), indexing="ij"))
    expected = 40 * spectrum.reshape(-1, *([1] * field.ndim)) * np.exp(-0.5 * field / 1.5**2) + 1.0
    return np.random.default_rng(1).poisson(expected) + 0.5


def predicted_by_gammapy(rate: np.ndarray, axes: tuple[Axis, ...]) -> np.ndarray:
    """Events per second and energy bin, from fine steps in energy and field of view."""
    irf = pytest.importorskip("gammapy.irf")
    hdu = background_hdu(BackgroundModel(Cube(axes, rate, "s-1 TeV-1 sr-1")))
    kind = irf.Background3D if len(axes) == 3 else irf.Background2D
    energy = np.geomspace(0.2, 20.0, 7 * 20 + 1)
    fine = [np.linspace(axis.edges[0], axis.edges[-1], 10 * axis.n_bins + 1) for axis in axes[1:]]
    centers = [0.5 * (edges[1:] + edges[:-1]) for edges in fine]
    grids = np.meshgrid(np.sqrt(energy[1:] * energy[:-1]), *centers, indexing="ij")
    names = ("energy", "fov_lat", "fov_lon") if len(axes) == 3 else ("energy", "offset")
    units = (u.TeV, *[u.deg] * (len(axes) - 1))
    values = kind.from_table(Table.read(hdu)).evaluate(
        **{n: g * unit for n, g, unit in zip(names, grids, units, strict=True)}
    )
    fine_axes = tuple(Axis(a.name, edges, a.unit) for a, edges in zip(axes, (energy, *fine), strict=True))
    events = values.to_value("s-1 TeV-1 sr-1") * Cube(fine_axes, grids[0]).bin_volume
    return events.reshape(7, -1).sum(axis=1)


@pytest.mark.parametrize("axes", [IMAGE, RINGS], ids=["3D", "2D"])
def test_gammapy_predicts_the_events_of_each_energy_bin(axes: tuple[Axis, ...]) -> None:
    rate = noisy_rate(axes)
    events = (rate * Cube(axes, rate).bin_volume).reshape(7, -1).sum(axis=1)
    before = predicted_by_gammapy(rate, axes) / events
    after = predicted_by_gammapy(node_rates(rate, axes), axes) / events
    assert np.abs(before - 1).max() > 0.05
    np.testing.assert_allclose(after, 1, atol=0.005)


def test_a_power_law_in_fine_bins_stays() -> None:
    axes = (Axis.energy(0.1, 10.0, 100), Axis.field_of_view("dety", 1.0, 3), Axis.field_of_view("detx", 1.0, 4))
    rate = axes[0].centers[:, None, None] ** -2.7 * np.ones((100, 3, 4))
    np.testing.assert_allclose(node_rates(rate, axes), rate, rtol=1e-3)


@pytest.mark.parametrize("n_energy", [1, 2])
def test_few_bins(n_energy: int) -> None:
    axes = (Axis.energy(1.0, 3.0, n_energy), Axis.field_of_view("dety", 1.0, 1), Axis.field_of_view("detx", 1.0, 2))
    found = node_rates(np.full((n_energy, 1, 2), 2.0), axes)
    np.testing.assert_allclose(found, 2.0, rtol=1e-3)


def test_shape_of_the_field_stays() -> None:
    rate = noisy_rate(IMAGE)
    ratio = node_rates(rate, IMAGE) / rate
    np.testing.assert_allclose(ratio, ratio[:, :1, :1] * np.ones_like(ratio), rtol=1e-12)
