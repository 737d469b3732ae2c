"""Models made from synthetic observations against the truth that the events were sampled from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import read_background_model
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.pipeline import Settings, make_models
from gpucube.synthetic import BackgroundDescription, make_test_dataset
from tests.stores import edit_events, event_file

ONE_GROUP = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 90), unit="deg")])
SETTINGS = Settings(backend="numpy", catalog="none")
# Not symmetric, so that a mirrored or transposed model is far off.
TRUTH = BackgroundDescription(trigger_rate=40.0, sigma=3.0, center=(0.8, -0.5))
THRESHOLD = 0.25  # TeV, inside the second energy bin


@pytest.fixture(scope="module")
def observations(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Data store of 10 observations, and their altitudes."""
    folder = tmp_path_factory.mktemp("truth") / "data"
    table = make_test_dataset(folder, n_obs=10, description=TRUTH, threshold=THRESHOLD, seed=5)
    return folder, np.asarray(table["ALT_PNT"])


def make(observations: tuple[Path, np.ndarray], out: Path, **changes: str) -> BackgroundModel:
    summary = make_models(observations[0], out, settings=replace(SETTINGS, **changes), groups=ONE_GROUP)
    return read_background_model(summary.models[0])


def expected_counts(model: BackgroundModel, altitudes: np.ndarray, threshold: float) -> np.ndarray:
    return sum(TRUTH.expected_counts(model.axes, altitude, 1500.0, threshold) for altitude in altitudes)


def test_pulls(observations: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    model = make(observations, tmp_path / "out")
    truth = expected_counts(model, observations[1], THRESHOLD)
    populated = truth > 20
    pulls = ((model.counts.data - truth) / np.sqrt(np.where(populated, truth, 1.0)))[populated]
    assert pulls.size > 1000
    assert abs(pulls.mean()) < 4 / np.sqrt(pulls.size)
    assert abs(pulls.std() - 1) < 4 / np.sqrt(2 * pulls.size)


def test_orientation(observations: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    model = make(observations, tmp_path / "out")
    image = model.counts.data.sum(axis=0)
    energy, dety, detx = model.axes
    assert (image.sum(axis=0) * detx.centers).sum() / image.sum() > 0.4
    assert (image.sum(axis=1) * dety.centers).sum() / image.sum() < -0.25
    assert energy.n_bins != dety.n_bins


@pytest.mark.parametrize("rule", ["share", "edge", "2015"])
def test_rate_in_the_threshold_bin(rule: str, observations: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    model = make(observations, tmp_path / "out", threshold=rule)
    edges = model.axes[0].edges
    cut = int(np.searchsorted(edges, THRESHOLD)) - 1
    volume = model.rate.bin_volume
    mean_rate = expected_counts(model, observations[1], 0.0).sum(axis=(1, 2)) / (10 * 1500.0)
    ratio = (model.rate.quantity.to_value("s-1 TeV-1 sr-1") * volume).sum(axis=(1, 2)) / mean_rate
    assert ratio[cut + 1] == pytest.approx(1, abs=0.02)
    share = (THRESHOLD**-1.7 - edges[cut + 1] ** -1.7) / (edges[cut] ** -1.7 - edges[cut + 1] ** -1.7)
    wanted = {"share": 1.0, "edge": 0.0, "2015": share}[rule]
    assert ratio[cut] == pytest.approx(wanted, abs=0.02)
    assert share < 0.75
    livetime = {"share": share, "edge": 0, "2015": 1}[rule] * 15_000
    assert model.livetime.data[cut].max() == pytest.approx(livetime, rel=0.02)


@pytest.mark.parametrize("index", [1.6, 2.0, 3.5])
def test_threshold_bin_of_another_spectrum(index: float, tmp_path: Path) -> None:
    """The share of the cut bin follows the spectrum of the counts, not that of cosmic rays."""
    truth = replace(TRUTH, spectral_index=index, trigger_rate=30.0)
    table = make_test_dataset(tmp_path / "data", n_obs=10, description=truth, threshold=THRESHOLD, seed=6)
    model = make((tmp_path / "data", np.array([])), tmp_path / "out")
    edges = model.axes[0].edges
    cut = int(np.searchsorted(edges, THRESHOLD)) - 1
    expected = sum(truth.expected_counts(model.axes, altitude, 1500.0) for altitude in table["ALT_PNT"])
    found = model.rate.quantity.to_value("s-1 TeV-1 sr-1")[cut] * model.rate.bin_volume[cut] * 15_000
    assert found.sum() / expected[cut].sum() == pytest.approx(1, abs=0.02)
    power = 1 - index
    share, fixed = (
        (THRESHOLD**p - edges[cut + 1] ** p) / (edges[cut] ** p - edges[cut + 1] ** p) for p in (power, -1.7)
    )
    assert abs(share / fixed - 1) > 0.1


@pytest.mark.parametrize("index", [2.0, 3.5])
def test_thresholds_that_differ_between_observations(index: float, tmp_path: Path) -> None:
    """Several bins are cut, each by some observations: `share` is right in all of them, `2015` in none."""
    truth = replace(TRUTH, spectral_index=index)
    options = {"alt_range": (66.0, 66.1), "n_obs": 5, "threshold": 0.1, "seed": 7}
    table = make_test_dataset(tmp_path / "data", description=truth, **options)
    thresholds = np.geomspace(0.17, 0.6, 5)
    for obs_id, threshold in zip(table["OBS_ID"].tolist(), thresholds.tolist(), strict=True):
        edit_events(event_file(tmp_path / "data", obs_id), lambda hdus, t=threshold: set_threshold(hdus, t))
    edges = tuple(np.geomspace(0.1, 10, 7).tolist())
    ratios, exposed = {}, np.array([])
    for rule in ("share", "2015"):
        model = make((tmp_path / "data", np.array([])), tmp_path / rule, threshold=rule, energy_edges=edges)
        exposure = model.livetime.data.max(axis=(1, 2))
        expected = truth.expected_counts(model.axes, 66.05, 1.0).sum(axis=(1, 2)) * exposure
        ratios[rule] = model.counts.data.sum(axis=(1, 2)) / expected
        exposed = exposure if rule == "share" else exposed
    cut = np.flatnonzero((exposed > 0) & (exposed < 5 * 1500.0))
    assert len(cut) == 3
    assert np.abs(ratios["share"][cut] - 1).max() < 0.02
    assert (ratios["2015"][cut] < 0.95).all()
    assert ratios["2015"][cut].min() < 0.5


def set_threshold(hdus: fits.HDUList, threshold: float) -> None:
    hdus["AEFF"].header["LO_THRES"] = threshold
