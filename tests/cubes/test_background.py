"""Background models: the binning of 2015 and the way from counts to a rate."""

from __future__ import annotations

import array_api_compat
import astropy.units as u
import numpy as np
import pytest

from gpucube.arrays.backend import Backend, to_host
from gpucube.arrays.rate import METHODS
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import FLOOR_2015, RATE_UNIT, axes_2015, make_background_model
from gpucube.cubes.cube import Cube

AXES = (Axis.energy(0.1, 80.0, 4), Axis.field_of_view("dety", 3.0, 6), Axis.field_of_view("detx", 4.0, 9))
SHAPE = (4, 6, 9)


def cubes(backend: Backend, seed: int = 0) -> tuple[np.ndarray, Cube, Cube]:
    """Counts on the host, counts and livetime on the device; nothing is exposed in the first energy bin."""
    counts = np.random.default_rng(seed).poisson(3.0, SHAPE)
    livetime = np.full(SHAPE, 3600.0)
    counts[0], livetime[0] = 0, 0.0
    return counts, Cube(AXES, backend.asarray(counts)), Cube(AXES, backend.asarray(livetime), "s")


@pytest.mark.parametrize(
    ("n_observations", "shape"),
    [
        (1, (10, 20, 20)),
        (5, (10, 20, 20)),
        (10, (11, 24, 24)),
        (45, (14, 36, 36)),
        (99, (19, 56, 56)),
        (100, (20, 60, 60)),
        (5000, (20, 60, 60)),
    ],
)
def test_binning_of_2015(n_observations: int, shape: tuple[int, int, int]) -> None:
    energy, dety, detx = axes_2015(n_observations)
    assert (energy.n_bins, dety.n_bins, detx.n_bins) == shape
    assert energy.edges[[0, -1]].tolist() == [0.1, 80.0]
    np.testing.assert_allclose(np.diff(np.log(energy.edges)), np.log(800) / shape[0])
    for axis in (dety, detx):
        np.testing.assert_allclose(axis.edges_in("rad")[[0, -1]], [-0.07, 0.07], rtol=1e-14)
        assert axis.is_regular


def test_first_energy_of_the_group() -> None:
    energy, _, _ = axes_2015(100, energy_low=0.33)
    assert energy.edges[0] == 0.33
    assert energy.edges[-1] == 80.0


@pytest.mark.parametrize("method", sorted(METHODS))
def test_model_has_the_counts(backend: Backend, method: str) -> None:
    counts, counts_cube, livetime = cubes(backend)
    model = make_background_model(counts_cube, livetime, livetime, int(counts.sum()), backend, method)
    rate = to_host(model.rate.data)
    assert model.rate.unit == RATE_UNIT
    assert model.axes == AXES
    assert model.rate_per == "LIVETIME"
    assert model.meta == {"METHOD": method, "NSMOOTH": 5, "ERRKIND": "POISSON"}
    assert np.isnan(rate[0]).all()
    expected = (rate * 3600 * model.rate.bin_volume)[1:].sum(axis=(1, 2))
    np.testing.assert_allclose(expected, counts[1:].sum(axis=(1, 2)), rtol=1e-12)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_uniform_exposure_is_not_smoothed_and_gives_the_same(backend: Backend, method: str) -> None:
    counts, counts_cube, livetime = cubes(backend)
    arguments = counts_cube, livetime, livetime, int(counts.sum()), backend, method
    smoothed, uniform = (make_background_model(*arguments, uniform=known) for known in (False, True))
    for name in ("rate", "error"):
        found, expected = (to_host(getattr(model, name).data) for model in (uniform, smoothed))
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_rate_per_ontime(backend: Backend) -> None:
    counts, counts_cube, livetime = cubes(backend)
    ontime = livetime.with_data(livetime.data * 1.07)
    models = [make_background_model(counts_cube, livetime, t, int(counts.sum()), backend) for t in (livetime, ontime)]
    assert [model.rate_per for model in models] == ["LIVETIME", "ONTIME"]
    assert models[1].livetime is livetime
    per_livetime, per_ontime = (to_host(model.rate.data)[1:] for model in models)
    np.testing.assert_allclose(per_ontime, per_livetime / 1.07, rtol=1e-14)


@pytest.mark.parametrize(("n_counts", "passes"), [(10**6, 3), (10**5, 4), (99_999, 5)])
def test_number_of_passes(backend: Backend, n_counts: int, passes: int) -> None:
    _, counts, livetime = cubes(backend)
    assert make_background_model(counts, livetime, livetime, n_counts, backend).meta["NSMOOTH"] == passes


def test_arrays_stay_on_the_device(backend: Backend) -> None:
    _, counts, livetime = cubes(backend)
    model = make_background_model(counts, livetime, livetime, 3, backend)
    assert model.counts is counts
    assert array_api_compat.device(model.rate.data) == backend.device
    assert type(model.rate.data) is type(counts.data)


def test_floor_is_a_rate_per_tev() -> None:
    assert u.Quantity(FLOOR_2015, RATE_UNIT).to_value("s-1 MeV-1 sr-1") == pytest.approx(1e-16)


def test_unknown_method(backend: Backend) -> None:
    _, counts, livetime = cubes(backend)
    with pytest.raises(KeyError, match="newest"):
        make_background_model(counts, livetime, livetime, 3, backend, "newest")
