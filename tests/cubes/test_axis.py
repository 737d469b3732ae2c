"""Axes: edges, centres, units, and what is refused."""

from __future__ import annotations

import dataclasses

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucube.cubes.axis import Axis
from gpucube.errors import OptionError


def test_energy_axis() -> None:
    axis = Axis.energy(0.1, 100.0, 3)
    np.testing.assert_allclose(axis.edges, [0.1, 1, 10, 100])
    np.testing.assert_allclose(axis.centers, np.sqrt([0.1, 10, 1000]))
    assert (axis.name, axis.unit, axis.n_bins, axis.is_regular) == ("energy", u.TeV, 3, False)
    assert axis.edges[[0, -1]].tolist() == [0.1, 100.0]


def test_field_of_view_axis() -> None:
    axis = Axis.field_of_view("dety", 2.0, 4)
    assert axis.edges.tolist() == [-2, -1, 0, 1, 2]
    assert axis.centers.tolist() == [-1.5, -0.5, 0.5, 1.5]
    assert (axis.name, axis.unit, axis.n_bins, axis.is_regular) == ("dety", u.deg, 4, True)


def test_uneven_bins_are_not_regular() -> None:
    assert not Axis("detx", [0, 1, 2.00001], "deg").is_regular
    assert Axis("detx", [0, 1], "deg").is_regular
    assert Axis("detx", [0, 1, 2 + 1e-9], "deg").is_regular


def test_edges_in_another_unit() -> None:
    np.testing.assert_allclose(Axis("energy", [100, 1000], "GeV").edges_in("TeV"), [0.1, 1])
    np.testing.assert_allclose(Axis("detx", [-180, 0, 180], "deg").edges_in("rad"), [-np.pi, 0, np.pi])
    with pytest.raises(u.UnitConversionError):
        Axis("energy", [1, 2], "TeV").edges_in("deg")


def test_axis_keeps_a_copy_that_nobody_can_change() -> None:
    edges = np.array([1.0, 2.0, 3.0])
    axis = Axis("detx", edges, "deg")
    edges[0] = -9
    assert axis.edges[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        axis.edges[0] = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        axis.name = "dety"  # type: ignore[misc]


@pytest.mark.parametrize(
    "edges",
    [[], [1.0], [1.0, 1.0], [2.0, 1.0], [1.0, np.nan], [1.0, np.inf], [-np.inf, 1.0], [[1.0, 2.0], [3.0, 4.0]]],
)
def test_wrong_edges(edges: list[float]) -> None:
    with pytest.raises(OptionError, match="detx axis: edges must be"):
        Axis("detx", edges, "deg")


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_energies_must_be_positive(low: float) -> None:
    with pytest.raises(OptionError, match="edges must be positive"):
        Axis("energy", [low, 1.0], "TeV")


@given(edges=st.sets(st.floats(1e-3, 1e3), min_size=2, max_size=9).map(sorted))
def test_matches_in_any_unit(edges: list[float]) -> None:
    axis = Axis("energy", edges, "TeV")
    assert axis.matches(Axis("energy", np.array(edges) * 1e3, "GeV"))
    assert not axis.matches(Axis("energy", np.array(edges) * 1.001, "TeV"))
    assert not axis.matches(Axis("energy", [*edges, 1e4], "TeV"))
    assert axis.centers.shape == (len(edges) - 1,)


def test_other_name_does_not_match() -> None:
    assert not Axis("detx", [0, 1], "deg").matches(Axis("dety", [0, 1], "deg"))
