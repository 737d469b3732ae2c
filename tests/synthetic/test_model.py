"""The true model: integrals of the density that is written in the docs, and the parameters of 2015."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import integrate

from gpucube.arrays.backend import Backend, to_host
from gpucube.cubes.axis import Axis
from gpucube.errors import OptionError
from gpucube.synthetic import BackgroundDescription, make_test_background_model

DESCRIPTION = BackgroundDescription(spectral_index=2.3, sigma=3.0, center=(1.5, -0.7))
AXES = (
    Axis("energy", np.array([0.05, 0.3, 1.0, 70.0, 200.0]), "TeV"),
    Axis("dety", np.array([-4.0, -1.0, 0.5, 6.0]), "deg"),
    Axis("detx", np.array([-5.0, -2.0, 0.0, 0.5, 1.0, 4.0]), "deg"),
)
WHOLE = (Axis.energy(0.01, 1000.0, 1), Axis.field_of_view("dety", 89.0, 1), Axis.field_of_view("detx", 89.0, 1))


def density(description: BackgroundDescription, energy: float, dety: float, detx: float) -> float:
    """Events per TeV and square degree, divided by their number: from the docs, not from the code."""
    low, high, index = description.energy_low, description.energy_high, description.spectral_index
    spectrum = energy**-index * (1 - index) / (high ** (1 - index) - low ** (1 - index))
    sigma = description.sigma / 2 * (energy / low) ** (math.log(2) / math.log(high / low))
    r2 = (detx - description.center[0]) ** 2 + (dety - description.center[1]) ** 2
    return spectrum * math.exp(-r2 / (2 * sigma**2)) / (2 * math.pi * sigma**2)


@pytest.mark.parametrize("place", [(0, 0, 1), (1, 2, 4), (2, 1, 0), (3, 1, 3)])
def test_counts_are_integrals_of_the_density(place: tuple[int, int, int]) -> None:
    altitude, livetime, threshold = 54.0, 700.0, 0.2
    energy, dety, detx = ((axis.edges[i], axis.edges[i + 1]) for axis, i in zip(AXES, place, strict=True))
    low, high = max(energy[0], threshold), min(energy[1], DESCRIPTION.energy_high)
    share, _ = integrate.nquad(
        lambda x, y, e: density(DESCRIPTION, e, y, x), [detx, dety, (low, high)], opts={"epsrel": 1e-9}
    )
    rate = 300.0 * (1 + 54.0 / 90) / 2
    counts = DESCRIPTION.expected_counts(AXES, altitude, livetime, threshold)
    assert counts.shape == (4, 3, 5)
    assert counts[place] == pytest.approx(rate * livetime * share, rel=1e-8)


@pytest.mark.parametrize("index", [0.0, 1.0, 1.0 + 1e-9, 2.7, 10.0])
def test_all_events_are_somewhere(index: float) -> None:
    description = BackgroundDescription(spectral_index=index, trigger_rate=20.0)
    assert description.expected_counts(WHOLE, 90.0, 10.0) == pytest.approx(200.0, rel=1e-11)
    assert description.expected_counts(WHOLE, 0.0, 10.0) == pytest.approx(100.0, rel=1e-11)


def test_nothing_is_outside_the_spectrum() -> None:
    above = (Axis.energy(100.0, 200.0, 2), *AXES[1:])
    assert not DESCRIPTION.expected_counts(above, 70.0, 1.0).any()
    assert not DESCRIPTION.expected_counts(AXES, 70.0, 1.0, threshold=500.0).any()
    assert DESCRIPTION.expected_counts(AXES, 70.0, 1.0, threshold=0.3)[0].sum() == 0


def test_bins_add() -> None:
    fine = tuple(Axis(a.name, np.union1d(a.edges, 0.5 * (a.edges[1:] + a.edges[:-1])), a.unit) for a in AXES)
    counts = DESCRIPTION.expected_counts(fine, 70.0, 1500.0).reshape(4, 2, 3, 2, 5, 2).sum(axis=(1, 3, 5))
    np.testing.assert_allclose(counts, DESCRIPTION.expected_counts(AXES, 70.0, 1500.0), rtol=1e-10)


def test_width_doubles_over_the_spectrum(backend: Backend) -> None:
    width = to_host(DESCRIPTION.width(backend.asarray([[0.1, 100.0], [math.sqrt(10.0), 1.0]])))
    np.testing.assert_allclose(width, [[1.5, 3.0], [1.5 * math.sqrt(2.0), 1.5 * 2 ** (1 / 3)]], rtol=1e-14)


def test_model_is_consistent() -> None:
    model = make_test_background_model(AXES, 60.0, 1200.0, description=DESCRIPTION)
    assert model.rate.data.shape == (4, 3, 5)
    assert str(model.rate.unit) == "1 / (TeV s sr)"
    assert model.floor is None
    assert (model.fov_align, model.rate_per) == ("ALTAZ", "LIVETIME")
    assert (model.livetime.data == 1200.0).all()
    np.testing.assert_array_equal(model.counts.data, DESCRIPTION.expected_counts(AXES, 60.0, 1200.0))
    np.testing.assert_allclose(model.rate.data * 1200.0 * model.rate.bin_volume, model.counts.data, rtol=1e-14)


def test_model_has_the_alignment_of_its_description() -> None:
    assert make_test_background_model().fov_align == "ALTAZ"
    assert make_test_background_model(description=replace(DESCRIPTION, align="RADEC")).fov_align == "RADEC"


def test_model_of_2015() -> None:
    model = make_test_background_model(sigma=4.0, spectral_index=2.0, trigger_rate=100.0)
    assert model.rate.data.shape == (14, 24, 24)
    description = BackgroundDescription(sigma=4.0, spectral_index=2.0, trigger_rate=100.0)
    np.testing.assert_array_equal(model.counts.data, description.expected_counts(model.axes, 70.0, 1500.0))
    # Symmetric, brightest in the middle
    np.testing.assert_allclose(model.rate.data, model.rate.data[:, ::-1, ::-1], rtol=1e-12)
    assert np.unravel_index(model.counts.data[0].argmax(), (24, 24)) in [(i, j) for i in (11, 12) for j in (11, 12)]


def test_mask_leaves_a_quarter_without_exposure() -> None:
    model = make_test_background_model(apply_mask=True)
    masked = np.zeros((14, 24, 24), dtype=bool)
    masked[:, 12:, 12:] = True
    np.testing.assert_array_equal(np.isnan(model.rate.data), masked)
    np.testing.assert_array_equal(model.livetime.data == 0, masked)
    np.testing.assert_array_equal(model.counts.data == 0, masked)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trigger_rate", 0.0),
        ("energy_low", -1.0),
        ("energy_low", 100.0),
        ("energy_high", math.inf),
        ("sigma", math.nan),
        ("sigma", 11.0),
        ("spectral_index", math.nan),
        ("spectral_index", 1000.0),
        ("center", (0.0, 60.0)),
        ("center", (0.0, math.nan)),
        ("center", (0.0,)),
        ("align", "GALACTIC"),
    ],
)
def test_bad_description_is_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=name) as caught:
        replace(BackgroundDescription(), **{name: value})
    assert str(value) in str(caught.value)


@pytest.mark.parametrize(("altitude", "livetime"), [(-1.0, 1.0), (91.0, 1.0), (70.0, 0.0), (70.0, math.nan)])
def test_bad_exposure_is_refused(altitude: float, livetime: float) -> None:
    with pytest.raises(OptionError, match=r"altitude|livetime"):
        DESCRIPTION.expected_counts(AXES, altitude, livetime)
