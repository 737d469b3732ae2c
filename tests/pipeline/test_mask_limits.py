"""Masks at their limits: regions that leave nothing, files that cannot be read, rings, and no target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner

from gpucube.cli import cli
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import read_background_model
from gpucube.errors import DataError, GpucubeError, ObservationError, OptionError, OutputError
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.pipeline import Settings, Summary, make_models
from gpucube.synthetic import BackgroundDescription, make_test_dataset
from tests.stores import copy_store, edit_events, event_file

package = pytest.importorskip("regions")

ONE_GROUP = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 90), unit="deg")])
# Symmetric, so that half of a ring holds half of its events.
TRUTH = BackgroundDescription(trigger_rate=10.0, sigma=3.0)
SETTINGS = Settings(
    backend="numpy",
    catalog="none",
    pixels=12,
    fov=3.0,
    mask=True,
    mask_target=False,
    energy_edges=(0.1, 0.3, 1, 10, 90),
)
N_OBS = 4
LIVETIME = 1500.0


@pytest.fixture(scope="module")
def observations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("limits") / "data"
    make_test_dataset(folder, n_obs=N_OBS, description=TRUTH, alt_range=(60.0, 60.1), threshold=0.1, seed=3)
    return folder


def pointings(observations: Path) -> SkyCoord:
    table = Table.read(observations / "obs-index.fits.gz")
    return SkyCoord(table["RA_PNT"], table["DEC_PNT"], unit="deg")


def circles(path: Path, centers: SkyCoord, radius: float) -> Path:
    """Region file with a circle around each position."""
    lines = [f"circle({c.ra.deg:.8f},{c.dec.deg:.8f},{radius})" for c in np.atleast_1d(centers)]
    path.write_text("\n".join(["icrs", *lines, ""]))
    return path


def run(observations: Path, out: Path, **changes: object) -> Summary:
    summary = make_models(observations, out, settings=replace(SETTINGS, **changes), groups=ONE_GROUP)
    ledger = Table.read(out / "bg_event_ledger.ecsv")
    fates = [name for name in ledger.colnames if name.startswith("N_") and name != "N_READ"]
    np.testing.assert_array_equal(ledger["N_READ"], sum(ledger[name] for name in fates))
    model = model_of(summary)
    assert model.counts.data.sum() == ledger["N_FILLED"].sum()
    for cube in (model.counts, model.livetime):
        assert np.isfinite(cube.data).all()
    assert (model.livetime.data[model.counts.data > 0] > 0).all()
    return summary


def model_of(summary: Summary) -> BackgroundModel:
    return read_background_model(summary.models[0])


@pytest.mark.parametrize("model", ["3d", "2d"])
def test_region_over_the_whole_field(observations: Path, tmp_path: Path, model: str) -> None:
    """The observation is not used, says why, and the model is that of the others."""
    path = circles(tmp_path / "huge.reg", pointings(observations)[1], 8.0)
    summary = run(observations, tmp_path / "out", mask_regions=path, model=model)
    assert [row.status for row in summary.rows] == ["used", "skipped", "used", "used"]
    assert "cover the whole field of view" in summary.rows[1].reason
    assert summary.rows[1].n_read == 0
    assert model_of(summary).livetime.data.max() == pytest.approx(3 * LIVETIME)
    assert model_of(summary).meta["NOBS"] == 3
    with pytest.raises(ObservationError, match="observation 2: exclusion regions cover"):
        run(observations, tmp_path / "strict", mask_regions=path, model=model, strict=True)


def test_regions_over_all_fields(observations: Path, tmp_path: Path) -> None:
    path = circles(tmp_path / "huge.reg", pointings(observations), 10.0)
    with pytest.raises(GpucubeError, match="no observation is left") as error:
        run(observations, tmp_path / "out", mask_regions=path)
    assert "4 skipped" in str(error.value)
    ledger = Table.read(tmp_path / "out" / "bg_event_ledger.ecsv")
    assert all("cover the whole field" in reason for reason in ledger["REASON"])


def test_all_but_a_corner(observations: Path, tmp_path: Path) -> None:
    """Without exposure there is no rate, and what little there is of exposure is used."""
    path = circles(tmp_path / "large.reg", pointings(observations), 3.6)
    summary = run(observations, tmp_path / "out", mask_regions=path)
    model = model_of(summary)
    closed = model.livetime.data[0] == 0
    assert 0.6 < closed.mean() < 0.99
    assert all(row.status == "used" and row.n_excluded > 10 * row.n_filled for row in summary.rows)


@pytest.mark.parametrize("kind", ["ellipse({},{},1.4,0.6,30)", "box({},{},1.2,0.7,40)", "annulus({},{},0.4,0.8)"])
def test_shapes_are_closed(observations: Path, tmp_path: Path, kind: str) -> None:
    """Counts follow the truth where other shapes than circles are left out."""
    lines = [kind.format(p.galactic.l.deg, p.galactic.b.deg) for p in pointings(observations)]
    (tmp_path / "a.reg").write_text("\n".join(["galactic", *lines, ""]))
    model = model_of(run(observations, tmp_path / "out", mask_regions=tmp_path / "a.reg"))
    exposure = model.livetime.data
    expected = (TRUTH.expected_counts(model.axes, 60.05, 1.0) * exposure).sum(axis=0)
    touched = exposure[0] < 0.98 * exposure.max()
    assert touched.sum() >= 4
    assert exposure[0].min() < 0.7 * exposure.max()
    counts = model.counts.data.sum(axis=0)
    assert counts[touched].sum() == pytest.approx(expected[touched].sum(), abs=4 * np.sqrt(expected[touched].sum()))
    pull = (counts - expected) / np.sqrt(np.maximum(expected, 1))
    assert np.abs(pull).max() < 4.5


def test_polygon_is_closed(observations: Path, tmp_path: Path) -> None:
    corners = [p.directional_offset_by([0, 130, 250] * u.deg, 0.9 * u.deg) for p in pointings(observations)]
    lines = [f"polygon({','.join(f'{c.ra.deg},{c.dec.deg}' for c in three)})" for three in corners]
    (tmp_path / "a.reg").write_text("\n".join(["icrs", *lines, ""]))
    model = model_of(run(observations, tmp_path / "out", mask_regions=tmp_path / "a.reg"))
    expected = (TRUTH.expected_counts(model.axes, 60.05, 1.0) * model.livetime.data).sum(axis=0)
    pull = (model.counts.data.sum(axis=0) - expected) / np.sqrt(np.maximum(expected, 1))
    assert np.abs(pull).max() < 4.5


def test_overlapping_regions_count_once(observations: Path, tmp_path: Path) -> None:
    centers = pointings(observations)
    once = run(observations, tmp_path / "a", mask_regions=circles(tmp_path / "a.reg", centers, 0.5))
    both = SkyCoord(np.tile(centers.ra, 3), np.tile(centers.dec, 3))
    thrice = run(observations, tmp_path / "b", mask_regions=circles(tmp_path / "b.reg", both, 0.5))
    np.testing.assert_array_equal(model_of(thrice).counts.data, model_of(once).counts.data)
    np.testing.assert_allclose(model_of(thrice).livetime.data, model_of(once).livetime.data, rtol=1e-9)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, "no such file"),
        ("", "no regions"),
        ("\0\1\2nonsense", "cannot be read"),
        ("icrs\ncircle(83,22,0)\n", "adius"),
        ("icrs\ncircle(83,22,-1)\n", "adius"),
        ("icrs\nbox(83,22,0,0,0)\n", "a.reg"),
        ("icrs\npolygon(83,22,84,22)\n", "a.reg"),
        ("icrs\npolygon(83,22,83,22,83,22)\n", "a.reg"),
        ("icrs\nbox(83,22,100,100,0)\n", "a.reg"),
        ("icrs\nellipse(83,nan,1,2,0)\n", "a.reg"),
    ],
)
def test_region_files_that_are_no_use(observations: Path, tmp_path: Path, text: str | None, match: str) -> None:
    """Refused before anything is written, in one line."""
    if text is not None:
        (tmp_path / "a.reg").write_text(text)
    with pytest.raises(DataError, match=match) as error:
        run(observations, tmp_path / "out", mask_regions=tmp_path / "a.reg")
    assert "a.reg" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_options_that_make_no_sense(observations: Path) -> None:
    for radius in ("0", "-1", "200", "nan"):
        arguments = ["make-models", str(observations), "GADF", "out", "--mask", "--mask-radius", radius]
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 1
        assert isinstance(result.exception, OptionError) or "mask_radius" in result.output


def test_events_from_nowhere_are_invalid(observations: Path, tmp_path: Path) -> None:
    """Whether they come from a source cannot be said, although they have field-of-view coordinates."""
    store = copy_store(observations, tmp_path / "data")

    def change(hdus: fits.HDUList) -> None:
        hdus["EVENTS"].data["RA"][:100] = np.nan
        hdus["EVENTS"].data["DEC"][50:120] = np.nan

    edit_events(event_file(store, 1), change)
    path = circles(tmp_path / "a.reg", pointings(observations), 0.5)
    before, after = (
        run(data, tmp_path / name, mask_regions=path) for name, data in (("a", observations), ("b", store))
    )
    assert [row.n_invalid for row in before.rows] == [0] * N_OBS
    assert [row.n_invalid for row in after.rows] == [120] + [0] * (N_OBS - 1)
    assert after.rows[0].n_filled < before.rows[0].n_filled


def test_events_without_sky_coordinates(tmp_path: Path) -> None:
    """The naming of 2015: models without a mask, and with one a reason for each observation."""
    make_test_dataset(tmp_path / "data", "HESS", n_obs=2, description=TRUTH, seed=3)
    with pytest.raises(GpucubeError, match="no observation is left"):
        run(tmp_path / "data", tmp_path / "out", mask_target=True)
    ledger = Table.read(tmp_path / "out" / "bg_event_ledger.ecsv")
    assert all("exclusion regions need RA and DEC" in reason for reason in ledger["REASON"])


def test_same_bytes_with_workers(with_target: Path, tmp_path: Path) -> None:
    one = run(with_target, tmp_path / "one", mask_target=True)
    two = run(with_target, tmp_path / "two", mask_target=True, workers=2)
    assert one.models[0].read_bytes() == two.models[0].read_bytes()


def test_regions_from_a_fits_table(observations: Path, tmp_path: Path) -> None:
    """They are in pixels of an image: refused, and not taken for deg."""
    path = tmp_path / "a.fits"
    package.Regions([package.CirclePixelRegion(package.PixCoord(83.0, 22.0), 0.4)]).write(str(path))
    with pytest.raises(DataError, match="in pixels"):
        run(observations, tmp_path / "out", mask_regions=path)


def test_wobble_mask_without_target(observations: Path, tmp_path: Path) -> None:
    with pytest.raises(GpucubeError, match="no observation is left"):
        run(observations, tmp_path / "out", wobble_mask=True)
    ledger = Table.read(tmp_path / "out" / "bg_event_ledger.ecsv")
    assert all("target" in reason for reason in ledger["REASON"])


@pytest.fixture(scope="module")
def with_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Observations that say that their target is 0.7 deg from the pointing, in different directions."""
    folder = tmp_path_factory.mktemp("wobble") / "data"
    make_test_dataset(folder, n_obs=N_OBS, description=TRUTH, alt_range=(60.0, 60.1), threshold=0.1, seed=4)
    for number in range(1, N_OBS + 1):

        def change(hdus: object, number: int = number) -> None:
            header = hdus["EVENTS"].header  # type: ignore[index]
            pointing = SkyCoord(header["RA_PNT"], header["DEC_PNT"], unit="deg")
            target = pointing.directional_offset_by(80 * number * u.deg, 0.7 * u.deg)
            header["RA_OBJ"], header["DEC_OBJ"] = target.ra.deg, target.dec.deg

        edit_events(event_file(folder, number), change)
    return folder


def expected_in_rings(model: BackgroundModel) -> np.ndarray:
    """Counts of the truth in rings, from fine pixels, per second; shape (energy, offset)."""
    offset = model.axes[1]
    fine = [Axis.field_of_view(name, float(offset.edges[-1]), 600) for name in ("dety", "detx")]
    pixels = TRUTH.expected_counts((model.axes[0], *fine), 60.05, 1.0)
    distance = np.hypot(fine[0].centers[:, None], fine[1].centers)
    rings = [(distance >= low) & (distance < high) for low, high in zip(offset.edges, offset.edges[1:], strict=False)]
    return np.stack([pixels[:, ring].sum(axis=1) for ring in rings], axis=1)


@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_half_of_each_ring(with_target: Path, tmp_path: Path, align: str) -> None:
    """The wobble mask of a radial model: half of the exposure in every ring, and the truth from it."""
    summary = run(with_target, tmp_path / "out", wobble_mask=True, model="2d", align=align)
    model = model_of(summary)
    np.testing.assert_allclose(model.livetime.data / (N_OBS * LIVETIME), 0.5, atol=1e-3)
    expected = expected_in_rings(model) * model.livetime.data
    pull = (model.counts.data - expected) / np.sqrt(np.maximum(expected, 1))
    assert np.abs(pull[expected > 20]).max() < 4
    assert all(row.n_excluded > 0.4 * row.n_read for row in summary.rows)


def test_target_in_rings(with_target: Path, tmp_path: Path) -> None:
    model = model_of(run(with_target, tmp_path / "out", mask_target=True, model="2d"))
    share = model.livetime.data[0] / model.livetime.data.max()
    # A circle of 0.4 deg at 0.7 deg: nothing below 0.3 and beyond 1.1 deg is left out.
    edges = model.axes[1].edges
    np.testing.assert_array_equal(share[edges[1:] < 0.3], 1.0)
    np.testing.assert_array_equal(share[edges[:-1] >= 1.1 + 1e-9], 1.0)
    area = np.pi * np.diff(edges**2)
    assert ((1 - share) * area).sum() == pytest.approx(np.pi * 0.4**2, rel=2e-3)
    expected = expected_in_rings(model) * model.livetime.data
    assert model.counts.data.sum() == pytest.approx(expected.sum(), abs=4 * np.sqrt(expected.sum()))


@pytest.mark.parametrize(
    "change",
    [{"mask_radius": 0.5}, {"wobble_mask": True}, {"mask_target": False}, {"mask_regions": "b"}, {"model": "2d"}],
)
def test_resume_with_another_mask_is_refused(with_target: Path, tmp_path: Path, change: dict) -> None:
    files = {
        name: circles(tmp_path / f"{name}.reg", pointings(with_target), radius)
        for name, radius in (("a", 0.3), ("b", 0.31))
    }
    before = {"mask_target": True, "mask_regions": files["a"]}
    run(with_target, tmp_path / "out", **before)
    run(with_target, tmp_path / "out", resume=True, **before)
    after = before | {name: files.get(str(value), value) for name, value in change.items()}
    with pytest.raises(OutputError, match="other settings"):
        run(with_target, tmp_path / "out", resume=True, **after)
