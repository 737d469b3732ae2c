"""Models with sources cut out, against the truth that the background was sampled from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table, vstack

from gpucube.arrays.backend import Backend, get_backend, to_host
from gpucube.arrays.smoothing import smooth_images
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import read_background_model
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.observations.regions import ExclusionRegions
from gpucube.observations.store import DataStore
from gpucube.pipeline import Settings, make_models
from gpucube.pipeline.fill import fov_coordinates
from gpucube.pipeline.mask import Mask, masked
from gpucube.synthetic import BackgroundDescription, make_test_dataset
from tests.stores import edit_events, event_file

ONE_GROUP = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 90), unit="deg")])
TRUTH = BackgroundDescription(trigger_rate=30.0, sigma=3.0, center=(0.4, -0.3))
SETTINGS = Settings(backend="numpy", catalog="none", pixels=24, fov=3.0, mask_radius=0.5)
N_OBS = 6
RADIUS = 0.5
WITH_SOURCE = (1, 2, 3, 4)


def add_source(hdus: fits.HDUList) -> None:
    """Put 20 000 gamma rays 1 deg east of the pointing, which turns in the field, and say that it is the target."""
    events = hdus["EVENTS"]
    header = events.header
    rng = np.random.default_rng(header["OBS_ID"])
    pointing = SkyCoord(header["RA_PNT"], header["DEC_PNT"], unit="deg")
    source = pointing.directional_offset_by(90 * u.deg, 1 * u.deg)
    table = Table(events.data)
    gammas = Table(table[rng.integers(0, len(table), 20_000)])
    around = source.directional_offset_by(rng.uniform(0, 360, 20_000) * u.deg, rng.rayleigh(0.08, 20_000) * u.deg)
    gammas["RA"], gammas["DEC"] = around.ra.deg, around.dec.deg
    both = vstack([table, gammas])
    both.remove_columns(["DETX", "DETY"])
    hdu = fits.BinTableHDU(both.as_array(), name="EVENTS")
    for name in both.colnames:
        hdu.columns[name].unit = events.columns[name].unit
    hdu.header.extend(header, unique=True)
    hdu.header["RA_OBJ"], hdu.header["DEC_OBJ"] = source.ra.deg, source.dec.deg
    hdus[hdus.index_of("EVENTS")] = hdu


@pytest.fixture(scope="module")
def observations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Observations at the same altitude, some with a bright source."""
    folder = tmp_path_factory.mktemp("mask") / "data"
    make_test_dataset(folder, n_obs=N_OBS, description=TRUTH, alt_range=(66.0, 66.2), threshold=0.1, seed=8)
    for obs_id in WITH_SOURCE:
        edit_events(event_file(folder, obs_id), add_source)
    return folder


def make(observations: Path, out: Path, **changes: object) -> BackgroundModel:
    summary = make_models(observations, out, settings=replace(SETTINGS, **changes), groups=ONE_GROUP)
    assert all(row.status == "used" for row in summary.rows)
    return read_background_model(summary.models[0])


def expected_counts(model: BackgroundModel) -> np.ndarray:
    """Counts that the truth has in the exposure of a model."""
    livetime = 1500.0
    return TRUTH.expected_counts(model.axes, 66.1, livetime) / livetime * model.livetime.data


def pulls(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return (counts - expected) / np.sqrt(expected)


def test_truth_comes_back_inside_the_regions(observations: Path, tmp_path: Path) -> None:
    model = make(observations, tmp_path / "out", mask=True)
    counts, expected = model.counts.data.sum(axis=0), expected_counts(model).sum(axis=0)
    share = model.livetime.data[0] / model.livetime.data.max()
    inside = share < 0.9
    assert 10 < inside.sum() < 100
    assert share.min() < 0.7
    assert abs(counts[inside].sum() / expected[inside].sum() - 1) < 4 / np.sqrt(expected[inside].sum())
    every = pulls(counts, expected)
    assert abs(every[inside].mean()) < 4 / np.sqrt(inside.sum())
    assert abs(every.mean()) < 4 / np.sqrt(every.size)
    assert abs(every.std() - 1) < 4 / np.sqrt(2 * every.size)


def test_rate_is_smooth_across_the_regions(observations: Path, tmp_path: Path) -> None:
    """Normalised convolution: no dip and no step where exposure is missing."""
    model = make(observations, tmp_path / "out", mask=True)
    inside = model.livetime.data[0] < 0.9 * model.livetime.data.max()
    full = TRUTH.expected_counts(model.axes, 66.1, 1.0)
    truth = smooth_images(full, model.meta["NSMOOTH"]) / model.rate.bin_volume
    rate, error = (cube.quantity.to_value("s-1 TeV-1 sr-1") for cube in (model.rate, model.error))
    for energy in range(3):
        ratio = rate[energy][inside].sum() / truth[energy][inside].sum()
        # Smoothed pixels share counts, so that their errors add up more than independent ones do.
        assert abs(ratio - 1) < 4 * error[energy][inside].sum() / truth[energy][inside].sum()


def test_source_is_in_the_model_without_a_mask(observations: Path, tmp_path: Path) -> None:
    model = make(observations, tmp_path / "out")
    counts, expected = model.counts.data.sum(axis=0), expected_counts(model).sum(axis=0)
    assert pulls(counts, expected).max() > 30


def test_ledger_counts_what_was_excluded(observations: Path, tmp_path: Path) -> None:
    summary = make_models(observations, tmp_path / "out", settings=replace(SETTINGS, mask=True), groups=ONE_GROUP)
    for row in summary.rows:
        assert row.n_read == row.n_invalid + row.n_excluded + row.n_below_threshold + row.n_outside_energy + (
            row.n_outside_fov + row.n_filled
        )
        if row.obs_id in WITH_SOURCE:
            assert row.n_excluded > 20_000


def test_regions_from_a_catalogue_do_the_same(observations: Path, tmp_path: Path) -> None:
    store = DataStore.open(observations)
    targets = [store.read(obs_id, with_sky=True).sky.target for obs_id in WITH_SOURCE]
    Table(rows=targets, names=["ra", "dec"]).write(tmp_path / "sources.ecsv")
    by_catalog = make(observations, tmp_path / "a", mask=True, catalog=tmp_path / "sources.ecsv", mask_target=False)
    by_target = make(observations, tmp_path / "b", mask=True)
    np.testing.assert_array_equal(by_catalog.counts.data, by_target.counts.data)
    np.testing.assert_allclose(by_catalog.livetime.data, by_target.livetime.data, rtol=1e-12)


def test_regions_from_a_file_do_the_same(observations: Path, tmp_path: Path) -> None:
    pytest.importorskip("regions")
    store = DataStore.open(observations)
    targets = [store.read(obs_id, with_sky=True).sky.target for obs_id in WITH_SOURCE]
    lines = [f"circle({ra!r},{dec!r},{RADIUS})" for ra, dec in (tuple(map(float, target)) for target in targets)]
    (tmp_path / "sources.reg").write_text("\n".join(["icrs", *lines, ""]))
    by_file = make(observations, tmp_path / "a", mask_regions=tmp_path / "sources.reg", mask_target=False)
    by_target = make(observations, tmp_path / "b", mask=True)
    np.testing.assert_array_equal(by_file.counts.data, by_target.counts.data)
    np.testing.assert_allclose(by_file.livetime.data, by_target.livetime.data, rtol=1e-9)


@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_half_of_the_field(observations: Path, tmp_path: Path, align: str) -> None:
    """The wobble mask: half of the exposure in each observation, and what is left is the truth."""
    changes = {"align": align, "wobble_mask": True, "mask_target": False}
    settings = replace(SETTINGS, **changes)
    summary = make_models(observations, tmp_path / "out", settings=settings, groups=ONE_GROUP)
    skipped = {row.obs_id: row.reason for row in summary.rows if row.status == "skipped"}
    assert set(skipped) == set(range(1, N_OBS + 1)) - set(WITH_SOURCE)
    assert all("target" in reason for reason in skipped.values())
    model = read_background_model(summary.models[0])
    share = model.livetime.data[0] / (1500.0 * len(WITH_SOURCE))
    # Opposite pixels see the two halves.
    np.testing.assert_allclose(share + share[::-1, ::-1], 1.0, atol=2e-3)
    if align == "RADEC":
        # The target is east, where DETX is negative.
        np.testing.assert_allclose(share[:, :11], 0, atol=1e-9)
        np.testing.assert_allclose(share[:, 13:], 1, atol=1e-9)
    else:
        counts, expected = model.counts.data.sum(axis=0), expected_counts(model).sum(axis=0)
        seen = expected > 20
        assert abs(pulls(counts, expected)[seen].mean()) < 4 / np.sqrt(seen.sum())


def test_radial_model(observations: Path, tmp_path: Path) -> None:
    """Rings of the same data: counts, exposure and rate."""
    model = make(observations, tmp_path / "out", mask=True, model="2d", pixels=10)
    energy, offset = model.axes
    assert (energy.name, offset.name, offset.n_bins) == ("energy", "offset", 10)
    cube = make(observations, tmp_path / "cube", mask=True, pixels=60)
    distance = np.hypot(cube.axes[1].centers[:, None], cube.axes[2].centers)
    for number in range(10):
        ring = (distance >= offset.edges[number]) & (distance < offset.edges[number + 1])
        share = cube.livetime.data[0][ring].mean() / cube.livetime.data.max()
        assert model.livetime.data[0, number] / model.livetime.data.max() == pytest.approx(share, abs=0.02)
        rate = cube.counts.data[:, ring].sum() / cube.livetime.data[-1][ring].sum() / 0.1**2
        mean = model.counts.data[:, number].sum() / model.livetime.data[-1, number]
        area = np.pi * (offset.edges[number + 1] ** 2 - offset.edges[number] ** 2)
        assert mean == pytest.approx(rate * area, rel=0.03)
    # The corners of the square are in no ring.
    assert model.counts.data.sum() < cube.counts.data.sum()


def test_no_regions_change_nothing(observations: Path, tmp_path: Path) -> None:
    (tmp_path / "far.ecsv").write_text("ra,dec\n0,89.9\n")
    plain = make(observations, tmp_path / "plain")
    masked_far = make(observations, tmp_path / "far", mask=True, catalog=tmp_path / "far.ecsv", mask_target=False)
    for name in ("counts", "livetime", "rate", "error"):
        np.testing.assert_array_equal(getattr(masked_far, name).data, getattr(plain, name).data)


def test_resume_notices_other_regions(observations: Path, tmp_path: Path) -> None:
    make(observations, tmp_path / "out", mask=True)
    make(observations, tmp_path / "out", mask=True, resume=True)
    with pytest.raises(Exception, match="other settings"):
        make(observations, tmp_path / "out", mask=True, mask_radius=0.6, resume=True)


@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_backends_agree(backend: Backend, observations: Path, align: str) -> None:
    """Which events are excluded, and what is open of each bin."""
    field = Axis.field_of_view("dety", 2.0, 20), Axis.field_of_view("detx", 2.5, 20)
    mask = Mask(ExclusionRegions.empty(), RADIUS)
    observation = DataStore.open(observations).read(2, align, with_sky=True)
    excluded, fraction = masked(observation, mask, field, backend)
    reference = masked(observation, mask, field, get_backend("numpy"))
    np.testing.assert_array_equal(to_host(excluded), reference[0])
    np.testing.assert_allclose(to_host(fraction), reference[1], atol=1e-12)
    # Events that are excluded lie where the fraction is below 1, and there only.
    detx, dety = (to_host(values) for values in fov_coordinates(observation, backend))
    edges = [axis.edges for axis in field]
    n_inside = np.histogram2d(dety[reference[0]], detx[reference[0]], edges)[0]
    assert n_inside.sum() > 20_000
    assert (reference[1][n_inside > 0] < 1).all()
