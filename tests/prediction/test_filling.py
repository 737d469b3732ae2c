"""Filling of cells without rate: what must hold whatever the model, and what comes back of a known one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpucube.cubes.axis import Axis
from gpucube.cubes.background import RATE_UNIT, BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.errors import DataError
from gpucube.prediction.filling import fill_model, fill_rate

AXES = (
    Axis("energy", np.array([0.1, 0.3, 1.0, 2.0, 5.0, 30.0]), "TeV"),
    Axis("dety", np.array([-2.0, -1.0, 0.5, 2.0]), "deg"),
    Axis("detx", np.array([-2.0, -0.5, 0.0, 1.0, 3.0]), "deg"),
)
SHAPE = tuple(axis.n_bins for axis in AXES)
EDGES = AXES[0].edges


def separable() -> np.ndarray:
    """E^-2.5 times a shape that is neither symmetric nor the same in both axes."""
    field = np.exp(-0.3 * (AXES[1].centers[:, None] - 0.4) ** 2 - 0.2 * (AXES[2].centers + 0.3) ** 2)
    return AXES[0].centers[:, None, None] ** -2.5 * field


rates = hnp.arrays(
    np.float64, SHAPE, elements=st.one_of(st.floats(1e-9, 1e6), st.sampled_from([0.0, np.nan, np.inf, -1.0]))
).filter(lambda rate: ((rate > 0) & np.isfinite(rate)).any())


@given(rates)
def test_everything_is_positive_and_what_was_measured_is_untouched(rate: np.ndarray) -> None:
    filled = fill_rate(rate, EDGES)
    measured = (rate > 0) & np.isfinite(rate)
    assert (filled > 0).all()
    assert np.isfinite(filled).all()
    assert np.array_equal(filled[measured], rate[measured])


@given(rates)
def test_filling_again_changes_nothing(rate: np.ndarray) -> None:
    filled = fill_rate(rate, EDGES)
    assert np.array_equal(fill_rate(filled, EDGES), filled)


@given(rates, st.sampled_from([2.0**-20, 0.5, 2.0**10]))
def test_the_unit_does_not_matter(rate: np.ndarray, factor: float) -> None:
    assert np.allclose(fill_rate(rate * factor, EDGES), fill_rate(rate, EDGES) * factor, rtol=1e-9)


@pytest.mark.parametrize("hole", [np.nan, -1.0])
def test_a_separable_model_comes_back(hole: float) -> None:
    truth = separable()
    rate = truth.copy()
    rate[2, 1, 2] = rate[3, 0, 0] = hole
    rate[0] = rate[4] = hole  # below threshold, and beyond the last energy
    filled = fill_rate(rate, EDGES)
    assert np.allclose(filled[1:4], truth[1:4], rtol=0.05)
    assert np.allclose(filled[[0, 4]], truth[[0, 4]], rtol=0.1)


def test_zeros_get_less_than_unknown_cells() -> None:
    """Where there was exposure and no counts, the level of that energy is lower than where nothing is known."""
    truth = separable()
    zero, unknown = truth.copy(), truth.copy()
    zero[3, :, 1:], unknown[3, :, 1:] = 0.0, np.nan
    assert (fill_rate(zero, EDGES)[3, :, 1:] < fill_rate(unknown, EDGES)[3, :, 1:]).all()


def test_a_place_that_no_energy_knows_gets_the_mean_of_the_field() -> None:
    rate = np.ones(SHAPE)
    rate[:, 1, 1] = np.nan
    assert np.allclose(fill_rate(rate, EDGES), 1.0)


def test_one_energy_alone_gives_a_spectrum() -> None:
    rate = np.full(SHAPE, np.nan)
    rate[2] = 1.0
    assert np.allclose(fill_rate(rate, EDGES)[:, 0, 0], (AXES[0].centers / AXES[0].centers[2]) ** -2.7)


def test_rings_are_filled_too() -> None:
    truth = separable()[:, 1, :]
    rate = truth.copy()
    rate[2, 3] = np.nan
    assert np.allclose(fill_rate(rate, EDGES), truth, rtol=0.05)


def test_models_say_how_many_cells_were_filled() -> None:
    rate = separable()
    rate[0, 0] = 0.0
    model = BackgroundModel(Cube(AXES, rate, RATE_UNIT), floor=1e-10)
    filled, number = fill_model(model)
    assert number == SHAPE[2]
    assert filled.floor is None
    with pytest.raises(DataError, match="no positive rate"):
        fill_model(BackgroundModel(Cube(AXES, np.zeros(SHAPE), RATE_UNIT)))
