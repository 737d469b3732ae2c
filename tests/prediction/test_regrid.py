"""Rates on other axes: counts are kept, power laws stay power laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpucube.arrays.exposure import SPECTRAL_INDEX
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import RATE_UNIT
from gpucube.cubes.cube import Cube
from gpucube.prediction.regrid import regrid

OLD = (
    Axis("energy", np.array([0.1, 0.3, 1.0, 2.0, 30.0]), "TeV"),
    Axis("dety", np.array([-2.0, -1.0, 0.5, 2.0]), "deg"),
    Axis("detx", np.array([-3.0, -0.5, 0.0, 1.0, 2.0, 3.0]), "deg"),
)
NEW = (
    Axis("energy", np.array([0.1, 0.2, 0.7, 2.5, 9.0, 12.0, 30.0]), "TeV"),
    Axis("dety", np.array([-2.0, 0.0, 0.7, 1.2, 2.0]), "deg"),
    Axis("detx", np.array([-3.0, -2.0, 3.0]), "deg"),
)


def widths(axes: tuple[Axis, ...]) -> np.ndarray:
    """Energy width times the plane area of each cell."""
    energy, dety, detx = (np.diff(axis.edges) for axis in axes)
    return energy[:, None, None] * dety[:, None] * detx


@given(hnp.arrays(np.float64, tuple(axis.n_bins for axis in OLD), elements=st.floats(0, 1e3)))
def test_counts_are_kept(data: np.ndarray) -> None:
    new = regrid(Cube(OLD, data, RATE_UNIT), NEW)
    assert np.sum(new.data * widths(NEW)) == pytest.approx(np.sum(data * widths(OLD)), rel=1e-9)


def test_a_power_law_stays_one() -> None:
    def means(axes: tuple[Axis, ...]) -> np.ndarray:
        edges = axes[0].edges
        spectrum = -np.diff(edges ** (1 - SPECTRAL_INDEX)) / np.diff(edges)
        return np.broadcast_to(spectrum[:, None, None], [axis.n_bins for axis in axes])

    assert np.allclose(regrid(Cube(OLD, means(OLD), RATE_UNIT), NEW).data, means(NEW), rtol=1e-12)


def test_on_its_own_axes_it_is_the_same_object() -> None:
    cube = Cube(OLD, np.ones([axis.n_bins for axis in OLD]), RATE_UNIT)
    assert regrid(cube, OLD) is cube


def test_unknown_stays_unknown() -> None:
    data = np.ones([axis.n_bins for axis in OLD])
    data[0] = np.nan
    new = regrid(Cube(OLD, data, RATE_UNIT), NEW).data
    assert np.isnan(new[0]).all()
    assert np.isfinite(new[2:]).all()
    wide = (NEW[0], Axis("dety", np.array([-5.0, -4.0, 0.0]), "deg"), NEW[2])
    assert np.isnan(regrid(Cube(OLD, data, RATE_UNIT), wide).data[:, 0]).all()


def test_rings() -> None:
    old, new = (OLD[0], Axis.offset(3.0, 4)), (OLD[0], Axis.offset(3.0, 2))
    data = np.arange(1.0, 17.0).reshape(4, 4)
    assert np.allclose(regrid(Cube(old, data, RATE_UNIT), new).data, data.reshape(4, 2, 2).mean(axis=2))
