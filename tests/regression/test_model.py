"""The fitted regression: means over bins, its file, and observations of which little is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gpucube.arrays.backend import get_backend, to_host
from gpucube.arrays.design import log_rate
from gpucube.arrays.exposure import SPECTRAL_INDEX
from gpucube.cubes.axis import Axis
from gpucube.errors import DataError
from gpucube.observations.conditions import Conditions
from gpucube.regression.features import make_design, observation_features
from gpucube.regression.fit import fit_regression, regression_axes
from gpucube.regression.model import RegressionModel, is_regression_file, read_regression_model
from tests.regression.truth import AXES, Truth, make_conditions, observe

NUMPY = get_backend("numpy")


@pytest.fixture(scope="module")
def observed() -> tuple[list[Conditions], RegressionModel]:
    rng = np.random.default_rng(1)
    conditions = make_conditions(8, rng)
    return conditions, fit_regression(observe(Truth(), conditions, rng), AXES, NUMPY)


@pytest.fixture
def model(observed: tuple[list[Conditions], RegressionModel]) -> RegressionModel:
    return observed[1]


@pytest.fixture
def conditions(observed: tuple[list[Conditions], RegressionModel]) -> Conditions:
    return observed[0][0]


def rate_at(model: RegressionModel, conditions: Conditions, energy: np.ndarray, x: float, y: float) -> np.ndarray:
    """Rate at points, from the logarithm that the regression is: shape of the energies."""
    design = make_design(np.array([x]), np.array([y]), model.terms, model.scales, NUMPY)
    columns = model._columns(conditions, energy, NUMPY)
    logs = to_host(log_rate(model.coefficients, columns, design))[:, :, 0]
    # Over observations whose logarithm scatters, the mean rate is higher than the median.
    return model.reference * energy**-SPECTRAL_INDEX * np.exp(logs + model.nights.scatter**2 / 2).mean(axis=0)


@pytest.mark.parametrize("n_bins", [30, 10, 4, 1])
def test_rate_is_the_mean_over_the_bin(n_bins: int, model: RegressionModel, conditions: Conditions) -> None:
    """Also in wide bins, and in the one in which the turn-on of the threshold begins."""
    axes = (Axis.energy(0.2, 20.0, n_bins), Axis.field_of_view("dety", 2.0, 3), Axis.field_of_view("detx", 2.0, 5))
    tracked = replace(conditions, altitude=np.array([50.0, 58.0, 66.0]), azimuth=np.array([10.0, 20.0, 30.0]))
    rate = model.background(tracked, axes).rate.data
    edges = axes[0].edges
    for i, j in ((0, 0), (2, 3)):
        x, y = axes[2].centers[j], axes[1].centers[i]
        for e in range(n_bins):
            energy = np.geomspace(edges[e], edges[e + 1], 1 + 60000 // n_bins // 2 * 2)
            mean = np.trapezoid(rate_at(model, tracked, energy, x, y), energy) / np.diff(edges)[e]
            assert rate[e, i, j] == pytest.approx(mean, rel=2e-3)


def test_file_round_trip_is_exact(model: RegressionModel, conditions: Conditions, tmp_path: Path) -> None:
    # Numbers of 17 digits and a small power of ten, which FITS cards cut.
    awkward = replace(
        model,
        reference=model.reference * np.pi * 1e-13,
        nights=replace(model.nights, own=0.1 / 3 * 1e-3, shared=0.2 / 3 * 1e-5),
        scales=replace(model.scales, energy_low=model.scales.energy_low * (1 - 1 / 3e7), offset=2.4 / 0.7),
        fov_align="RADEC",
        meta={"NOBS": 8, "MASKED": True},
    )
    for number, one in enumerate((model, awkward)):
        path = tmp_path / f"model{number}.fits.gz"
        one.write(path)
        assert is_regression_file(path)
        again = read_regression_model(path)
        assert again.terms == one.terms
        assert again.scales == one.scales
        for name in ("reference", "fov_align", "meta"):
            assert getattr(again, name) == getattr(one, name), name
        for name in ("obs_ids", "mjd", "effects", "errors", "slopes", "own", "shared"):
            np.testing.assert_array_equal(getattr(again.nights, name), getattr(one.nights, name))
        for name in ("coefficients", "covariance", "strengths", "freedom"):
            np.testing.assert_array_equal(getattr(again, name), getattr(one, name))
        first = path.read_bytes()
        again.write(path)
        assert path.read_bytes() == first
    rates = [each.background(conditions).rate.data for each in (awkward, again)]
    np.testing.assert_array_equal(*rates)


def rewritten(path: Path, change: object) -> Path:
    with fits.open(path, memmap=False) as hdus:
        hdus = fits.HDUList([hdu.copy() for hdu in hdus])
    change(hdus)
    hdus.writeto(path, overwrite=True)
    return path


DAMAGES = {
    "no coefficients": (lambda hdus: hdus.pop("COEFFICIENTS"), "COEFFICIENTS"),
    "no covariance": (lambda hdus: hdus.pop("COVARIANCE"), "COVARIANCE"),
    "no slopes": (lambda hdus: hdus["EFFECTS"].columns.change_name("SLOPES", "OTHER"), "SLOPES"),
    "no effects": (lambda hdus: hdus.pop("EFFECTS"), "EFFECTS"),
    "no reference": (lambda hdus: hdus["GPUCUBE_REGRESSION"].header.remove("REFRATE"), "REFRATE"),
    "no scale": (lambda hdus: hdus["GPUCUBE_REGRESSION"].header.remove("OFF_MAX"), "OFF_MAX"),
    "reference is text": (lambda hdus: hdus["GPUCUBE_REGRESSION"].header.set("REFRATE", "high"), "REFRATE"),
    "mean is text": (lambda hdus: hdus["GPUCUBE_REGRESSION"].header.set("MEAN1", "MUONEFF high"), "MEAN1"),
    "no alignment": (lambda hdus: hdus["GPUCUBE_REGRESSION"].header.remove("FOVALIGN"), "FOVALIGN"),
    "other alignment": (lambda hdus: hdus["GPUCUBE_REGRESSION"].header.set("FOVALIGN", "UPWARD"), "UPWARD"),
    "other term": (lambda hdus: hdus["GPUCUBE_REGRESSION"].data["NAME"].__setitem__(0, "phase_of_moon"), "moon"),
    "other column": (lambda hdus: hdus["COEFFICIENTS"].columns.change_name("VALUE", "OTHER"), "VALUE"),
    "too few": (lambda hdus: hdus.__setitem__("COVARIANCE", fits.ImageHDU(np.eye(3), name="COVARIANCE")), "COVARIANCE"),
    "no numbers": (lambda hdus: hdus["COEFFICIENTS"].data["VALUE"].__setitem__(0, np.nan), "VALUE"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_refused(damage: str, model: RegressionModel, tmp_path: Path) -> None:
    change, word = DAMAGES[damage]
    model.write(tmp_path / "model.fits.gz")
    path = rewritten(tmp_path / "model.fits.gz", change)
    with pytest.raises(DataError, match=word) as caught:
        read_regression_model(path)
    assert path.name in str(caught.value)


def test_file_of_other_terms_says_what_to_do(model: RegressionModel, tmp_path: Path) -> None:
    """As one of an earlier version, in which terms of the same names had fewer coefficients."""
    few = {"coefficients": model.coefficients[:-2], "freedom": model.freedom[:-2]}
    few |= {"covariance": model.covariance[:-2, :-2]}
    replace(model, **few).write(tmp_path / "model.fits")
    with pytest.raises(DataError, match=r"in this version of gpucube .fit the regression again, or use the version"):
        read_regression_model(tmp_path / "model.fits")


def test_foreign_file_is_refused(model: RegressionModel, tmp_path: Path) -> None:
    path = tmp_path / "model.fits.gz"
    model.write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=path.name):
        read_regression_model(path)
    for name, content in (("text.fits", b"hello"), ("empty.fits.gz", b"")):
        (tmp_path / name).write_bytes(content)
        assert not is_regression_file(tmp_path / name)
        with pytest.raises(DataError, match=name):
            read_regression_model(tmp_path / name)
    fits.PrimaryHDU().writeto(tmp_path / "other.fits")
    assert not is_regression_file(tmp_path / "other.fits")
    with pytest.raises(DataError, match="not a regression"):
        read_regression_model(tmp_path / "other.fits")
    assert not is_regression_file(tmp_path / "missing.fits")


@pytest.mark.parametrize("value", [0.0, -1.0])
@pytest.mark.parametrize("name", ["NSBLEVEL", "MUONEFF"])
def test_a_covariate_that_means_nothing(name: str, value: float) -> None:
    """A column of zeros or of -1 stands for "not known" in many tables."""
    rng = np.random.default_rng(2)
    conditions = make_conditions(4, rng)
    observed = observe(Truth(rate=10.0), conditions, rng)
    for item in conditions:
        item.covariates[name] = value
    few = ("spectrum", "radial", "zenith", "muon_efficiency", "nsb")
    few = few if name == "NSBLEVEL" else few[:-1]
    model = fit_regression(observed, AXES, NUMPY, few)
    features = observation_features(conditions[0], model.terms, model.scales)
    assert all(np.isfinite(values).all() for values in features.values())
    background = model.background(conditions[0])
    assert np.isfinite(background.rate.data).all()
    assert np.isfinite(background.error.data).all()


def test_no_threshold() -> None:
    """Observations without one count from the first energy on; no logarithm of 0 is taken."""
    rng = np.random.default_rng(4)
    conditions = [replace(item, threshold=threshold) for item, threshold in zip(
        make_conditions(5, rng), (0.25, 0.3, 0.3, 0.4, 0.25), strict=True
    )]  # fmt: skip
    observed = observe(Truth(("zenith",)), conditions, rng)
    free = [replace(item, conditions=replace(item.conditions, threshold=0.0)) for item in observed]
    axes = (AXES[0], *AXES[1:])
    model = fit_regression(free, axes, NUMPY, ("spectrum", "turn_on", "radial", "radial_turn_on", "zenith"))
    assert model.scales.energy_low == AXES[0].edges[0]
    for threshold in (0.0, 0.3):
        background = model.background(replace(conditions[0], threshold=threshold), (regression_axes()[0], *AXES[1:]))
        assert np.isfinite(background.rate.data).all()
        assert (background.rate.data > 0).all()
        assert np.isfinite(background.error.data).all()
