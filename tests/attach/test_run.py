"""Data stores with new backgrounds, as Gammapy opens them, and what is refused."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from gpucube.attach import AttachSettings, attach_models
from gpucube.attach.dl3 import file_bytes, split
from gpucube.cubes.background import RATE_UNIT, BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.cubes.fits import read_background_model, write_table
from gpucube.errors import DataError, GpucubeError, ObservationError, OptionError, OutputError
from gpucube.observations.mirrored import MIRRORING
from gpucube.observations.store import DataStore
from gpucube.pipeline import Settings, make_models
from gpucube.pipeline.output import model_file
from gpucube.prediction.stored import read_rate
from tests.attach.conftest import ONE_GROUP
from tests.stores import DAMAGES, copy_store, edit_events, event_file

FEW = (1, 2)


@pytest.fixture
def few(store: Path, tmp_path: Path) -> Path:
    """Two observations, the second with an old background, which Gammapy would mirror."""
    folder = copy_store(store, tmp_path / "data")
    keep_rows(folder / "obs-index.fits.gz", lambda table: np.isin(table["OBS_ID"], FEW))
    for obs_id in FEW:
        edit_events(event_file(folder, obs_id), lambda hdus: hdus["EVENTS"].header.update(MIRRORING))
    old = fits.BinTableHDU.from_columns([fits.Column("OLD", "D", array=np.zeros(5000))], name="BKG")
    edit_events(event_file(folder, 2), lambda hdus: hdus.insert(2, old))
    edit_index(folder, lambda table: table.add_row([2, "bkg", "bkg_3d", "data", event_file(folder, 2).name, "BKG"]))
    return folder


def keep_rows(path: Path, choose: Callable[[Table], np.ndarray]) -> None:
    with fits.open(path) as hdus:
        table, name = Table(hdus[1].data), hdus[1].name
        header = hdus[1].header.copy()
    hdu = fits.table_to_hdu(table[choose(table)])
    hdu.name = name
    hdu.header.extend(header, unique=True)
    hdu.writeto(path, overwrite=True)


def edit_index(folder: Path, change: Callable[[Table], object]) -> None:
    path = folder / "hdu-index.fits.gz"
    table = Table.read(path, hdu=1)
    for name in table.colnames[1:]:
        table[name] = np.char.strip(np.asarray(table[name]).astype("U80"))
    change(table)
    hdu = fits.table_to_hdu(table)
    hdu.name = "HDU_INDEX"
    hdu.writeto(path, overwrite=True)


def in_gammapy(folder: Path, caplog: pytest.LogCaptureFixture) -> list:
    """Observations as Gammapy reads them, without a warning."""
    gammapy_data = pytest.importorskip("gammapy.data")
    caplog.clear()
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        observations = list(gammapy_data.DataStore.from_dir(folder).get_observations(required_irf=[]))
        assert all(observation.bkg is not None and len(observation.events.table) for observation in observations)
    assert not caplog.records
    return observations


def prediction(observation: object) -> np.ndarray:
    maps, makers = pytest.importorskip("gammapy.maps"), pytest.importorskip("gammapy.makers.utils")
    axis = maps.MapAxis.from_energy_bounds(0.4 * u.TeV, 10 * u.TeV, 4)
    geom = maps.WcsGeom.create(
        skydir=observation.get_pointing_icrs(observation.tmid), width=4, binsz=0.4, proj="TAN", axes=[axis]
    )
    return makers.make_map_background_irf(
        pointing=observation.pointing,
        ontime=observation.observation_time_duration,
        bkg=observation.bkg,
        geom=geom,
        time_start=observation.gti.time_start[0],
        fov_rotation_step=0.2 * u.deg,
        location=observation.observatory_earth_location,
    ).data


def test_copies_change_the_background_and_nothing_else(few: Path, models: Path, tmp_path: Path) -> None:
    summary = attach_models(models, few, tmp_path / "out")
    assert [row.status for row in summary.rows] == ["attached"] * 2
    for obs_id, names in ((1, ["EVENTS", "GTI", "AEFF", "BKG"]), (2, ["EVENTS", "BKG", "GTI", "AEFF"])):
        path = event_file(few, obs_id)
        new = tmp_path / "out" / path.relative_to(few)
        hdus, old = ({hdu.name: hdu for hdu in split(file_bytes(p), p)} for p in (new, path))
        assert list(hdus) == ["PRIMARY", *names]
        assert all(hdus[name] == old[name] for name in ("PRIMARY", "GTI", "AEFF"))
        assert hdus["EVENTS"].data == old["EVENTS"].data
        assert hdus["EVENTS"].header != old["EVENTS"].header


def test_gammapy_opens_both_kinds_without_a_warning_and_finds_the_same(
    few: Path, models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lopsided(models, tmp_path / "models")
    attach_models(tmp_path / "models", few, tmp_path / "copy")
    attach_models(tmp_path / "models", few, tmp_path / "link", settings=AttachSettings(link=True))
    copies, links = in_gammapy(tmp_path / "copy", caplog), in_gammapy(tmp_path / "link", caplog)
    for copy, link in zip(copies, links, strict=True):
        assert copy.bkg.fov_alignment == "ALTAZ"
        assert link.bkg.fov_alignment == "REVERSE_LON_RADEC"
        expected, found = prediction(copy), prediction(link)
        assert np.abs(found / expected - 1).max() < 0.05
        assert found.sum() == pytest.approx(expected.sum(), rel=0.01)
        # The field is lopsided enough for any turned or mirrored one to be far off.
        assert all(np.abs(turned / expected - 1).max() > 0.5 for turned in turns(found))


def turns(images: np.ndarray) -> list[np.ndarray]:
    return [images[:, ::-1], images[:, :, ::-1], np.swapaxes(images, 1, 2), images[:, ::-1, ::-1]]


def lopsided(models: Path, to: Path, align: str = "ALTAZ") -> None:
    """Models of a field that is bright in one corner."""
    shutil.copytree(models, to)
    path = model_file(to, 0, "table")
    model = read_background_model(path)
    energy, dety, detx = (axis.centers for axis in model.axes)
    field = np.exp(0.3 * dety[:, None] + 0.5 * detx - 0.05 * dety[:, None] ** 2)
    rate = Cube(model.axes, 1e-2 * energy[:, None, None] ** -2.7 * field, RATE_UNIT)
    with fits.open(path) as hdus:
        members = hdus["OBSERVATIONS"].copy()
    write_table(BackgroundModel(rate, fov_align=align), path, (members,))


def test_radec_models_are_mirrored_exactly(
    few: Path, models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lopsided(models, tmp_path / "models", "RADEC")
    attach_models(tmp_path / "models", few, tmp_path / "copy")
    attach_models(tmp_path / "models", few, tmp_path / "link", settings=AttachSettings(link=True))
    for copy, link in zip(in_gammapy(tmp_path / "copy", caplog), in_gammapy(tmp_path / "link", caplog), strict=True):
        assert np.allclose(prediction(link), prediction(copy), rtol=1e-6)


def test_rates_are_per_ontime(few: Path, models: Path, tmp_path: Path) -> None:
    lopsided(models, tmp_path / "models")
    attach_models(tmp_path / "models", few, tmp_path / "out")
    before = read_background_model(model_file(tmp_path / "models", 0, "table"))
    path = tmp_path / "out" / event_file(few, 1).relative_to(few)
    with fits.open(path) as hdus:
        header, events = hdus["BKG"].header, hdus["EVENTS"].header
        hdus["BKG"].writeto(tmp_path / "bkg.fits")
    after = read_background_model(tmp_path / "bkg.fits")
    assert (header["RATEPER"], header["FOVALIGN"], header["OBS_ID"]) == ("ONTIME", "ALTAZ", 1)
    ratio = after.rate.quantity.to_value(RATE_UNIT) / before.rate.quantity.to_value(RATE_UNIT)
    # Besides, means of bins become rates at centres: a few percent for E^-2.7.
    assert np.allclose(ratio, events["LIVETIME"] / events["ONTIME"], rtol=0.25)
    assert np.allclose(ratio, ratio[:, :1, :1])


def test_norm_and_filled_cells_are_written(few: Path, models: Path, tmp_path: Path) -> None:
    summary = attach_models(models, few, tmp_path / "out", settings=AttachSettings(normalise="tilt"))
    scale = Table.read(tmp_path / "out" / "obs-index.fits.gz")["BKG_SCALE"]
    ledger = Table.read(tmp_path / "out" / "attach_ledger.ecsv")
    for number, row in enumerate(summary.rows):
        path = tmp_path / "out" / event_file(few, row.obs_id).relative_to(few)
        header = fits.getheader(path, "BKG")
        assert (header["BKGNORM"], header["BKGTILT"], header["NFILLED"]) == (row.norm, row.tilt, row.n_cells_filled)
        assert scale[number] == ledger["NORM"][number] == row.norm
        assert row.norm == pytest.approx(1.0, abs=0.3)
        assert row.model == "group 0"


def test_workers_and_repetition_give_the_same_bytes(few: Path, models: Path, tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 2)):
        attach_models(models, few, tmp_path / name, settings=AttachSettings(workers=workers))
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 6
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


def test_shared_and_separate_files(few: Path, models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Effective areas in one file for all, outside the store; the old background in a file of its own."""
    with fits.open(event_file(few, 1)) as hdus:
        fits.HDUList([fits.PrimaryHDU(), hdus["AEFF"].copy()]).writeto(tmp_path / "shared.fits")
        fits.HDUList([fits.PrimaryHDU(), hdus["AEFF"].copy()]).writeto(few / "own.fits")

    def move(table: Table) -> None:
        areas, old = table["HDU_TYPE"] == "aeff", table["HDU_TYPE"] == "bkg"
        table["FILE_DIR"][areas], table["FILE_NAME"][areas] = "..", "shared.fits"
        table["FILE_DIR"][old], table["FILE_NAME"][old], table["HDU_NAME"][old] = "", "own.fits", "AEFF"

    edit_index(few, move)
    attach_models(models, few, tmp_path / "out")
    assert (tmp_path / "out" / "shared.fits").read_bytes() == (tmp_path / "shared.fits").read_bytes()
    with fits.open(tmp_path / "out" / "own.fits") as hdus:
        assert [hdu.header.get("HDUCLAS4") for hdu in hdus] == [None, "BKG_3D"]
    assert len(in_gammapy(tmp_path / "out", caplog)) == 2
    attach_models(models, few, tmp_path / "link", settings=AttachSettings(link=True))
    assert len(in_gammapy(tmp_path / "link", caplog)) == 2
    # A store of links is a store like any other.
    attach_models(models, tmp_path / "link", tmp_path / "again")
    assert len(in_gammapy(tmp_path / "again", caplog)) == 2


def test_damaged_observations_are_skipped(few: Path, models: Path, tmp_path: Path) -> None:
    DAMAGES["negative livetime"][0](event_file(few, 1))
    summary = attach_models(models, few, tmp_path / "out")
    assert [row.status for row in summary.rows] == ["skipped", "attached"]
    assert "LIVETIME" in summary.rows[0].reason
    assert str(few) not in summary.rows[0].reason
    assert Table.read(tmp_path / "out" / "obs-index.fits.gz")["OBS_ID"].tolist() == [2]
    assert set(Table.read(tmp_path / "out" / "hdu-index.fits.gz")["OBS_ID"]) == {2}
    assert not (tmp_path / "out" / event_file(few, 1).relative_to(few)).exists()
    with pytest.raises(ObservationError, match="observation 1"):
        attach_models(models, few, tmp_path / "strict", settings=AttachSettings(strict=True))
    DAMAGES["truncated"][0](event_file(few, 2))
    with pytest.raises(GpucubeError, match="no observation"):
        attach_models(models, few, tmp_path / "none")


def test_observations_that_share_their_events_file_need_link(few: Path, models: Path, tmp_path: Path) -> None:
    def share(table: Table) -> None:
        table.remove_rows(np.flatnonzero(table["HDU_TYPE"] == "bkg"))
        table["FILE_NAME"][table["OBS_ID"] == 2] = event_file(few, 1).name

    edit_index(few, share)
    with pytest.raises(ObservationError, match="several observations"):
        attach_models(models, few, tmp_path / "out", settings=AttachSettings(strict=True))


def test_only_own_files_are_replaced(few: Path, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    attach_models(models, few, out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"--overwrite .*AttachSettings\(overwrite=True\)"):
        attach_models(models, few, out)
    attach_models(models, few, out, settings=AttachSettings(overwrite=True, link=True))
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "data" / event_file(few, 1).name).exists()
    (out / "bkg" / "bkg_000001.fits.gz").unlink()
    other = tmp_path / "other"
    (other / "data").mkdir(parents=True)
    (other / "data" / event_file(few, 1).name).write_text("not ours")
    with pytest.raises(OutputError, match="in the way"):
        attach_models(models, few, other, settings=AttachSettings(overwrite=True))
    assert (other / "data" / event_file(few, 1).name).read_text() == "not ours"


def test_what_is_refused(few: Path, hess_store: Path, models: Path, tmp_path: Path) -> None:
    before = sorted(path.read_bytes() for path in few.rglob("*.gz"))
    with pytest.raises(OutputError, match="data store itself"):
        attach_models(models, few, few / ".." / few.name, settings=AttachSettings(overwrite=True))
    with pytest.raises(OutputError, match="in the way"):
        attach_models(models, few, link_to(few, tmp_path / "beside"))
    assert sorted(path.read_bytes() for path in few.rglob("*.gz")) == before
    with pytest.raises(OptionError, match="HESS"):
        attach_models(models, hess_store, tmp_path / "out")
    with pytest.raises(DataError, match="no models"):
        attach_models(tmp_path, few, tmp_path / "out")
    with pytest.raises(OutputError, match="models"):
        attach_models(models, few, models)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        attach_models(models, few, tmp_path / "file")
    assert not (tmp_path / "out").exists()


def link_to(few: Path, beside: Path) -> Path:
    """Folder whose subfolder is that of the data."""
    beside.mkdir()
    (beside / "data").symlink_to(few / "data")
    return beside


def test_a_model_in_memory_serves_too(few: Path, models: Path, tmp_path: Path) -> None:
    from gpucube.prediction import open_predictor

    predictor = open_predictor(model_file(models, 0, "table"))
    summary = attach_models(predictor, few, tmp_path / "out")
    assert repr(summary) == f"<AttachSummary: 2 of 2 observations in {tmp_path / 'out'}>"
    assert summary.rows[0].model == model_file(models, 0, "table").name
    assert replace(summary.rows[0], obs_id=2) == summary.rows[1]


def test_real_observations(hess_dl3_dr1: Path, models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All that is in the H.E.S.S. files stays, and Gammapy does not mirror the copies."""
    data = tmp_path / "data"
    data.mkdir()
    for name in ("obs-index.fits.gz", "hdu-index.fits.gz"):
        (data / name).write_bytes((hess_dl3_dr1 / name).read_bytes())
    keep_rows(data / "obs-index.fits.gz", lambda table: table["OBS_ID"] == 20136)
    (data / "data").symlink_to(hess_dl3_dr1 / "data")
    attach_models(model_file(models, 0, "table"), data, tmp_path / "out")
    path = event_file(data, 20136)
    hdus, old = (split(file_bytes(p), p) for p in (tmp_path / "out" / path.relative_to(data), path))
    assert [hdu.name for hdu in hdus] == ["PRIMARY", "EVENTS", "GTI", "AEFF", "EDISP", "PSF", "BKG"]
    assert [new == before for new, before in zip(hdus, old, strict=True)] == [
        True,
        False,
        True,
        True,
        True,
        True,
        False,
    ]
    (observation,) = in_gammapy(tmp_path / "out", caplog)
    assert observation.bkg.fov_alignment == "ALTAZ"
    assert DataStore.open(tmp_path / "out").read(20136).livetime > 0


def test_a_mirrored_background_as_model_is_turned_back(few: Path, models: Path, tmp_path: Path) -> None:
    lopsided(models, tmp_path / "models", "RADEC")
    single = model_file(tmp_path / "models", 0, "table")
    attach_models(single, few, tmp_path / "link", settings=AttachSettings(link=True))
    written = tmp_path / "link" / "bkg" / "bkg_000001.fits.gz"
    assert np.allclose(
        read_rate(written).rate.data[:, :, ::-1], read_background_model(written).rate.quantity.to_value(RATE_UNIT)
    )
    alike = read_rate(written).rate.data / read_rate(single).rate.data
    assert np.allclose(alike, alike[:, :1, :1])
    # As in the files of H.E.S.S.: nothing in the background itself says so, but the events do.
    with fits.open(event_file(few, 1)) as events, fits.open(written) as backgrounds:
        del backgrounds["BKG"].header["BKGMIRR"]
        fits.HDUList([events[0].copy(), events["EVENTS"].copy(), backgrounds["BKG"].copy()]).writeto(
            tmp_path / "x.fits"
        )
    assert np.allclose(read_rate(tmp_path / "x.fits").rate.data, read_rate(written).rate.data)


def test_rings(few: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(backend="numpy", catalog="none", model="2d", fov=4.0, pixels=6, energy_edges=(0.4, 0.8, 2, 10))
    make_models(few, tmp_path / "models", settings=settings, groups=ONE_GROUP)
    for link in (False, True):
        out = tmp_path / str(link)
        attach_models(tmp_path / "models", few, out, settings=AttachSettings(link=link))
        observations = in_gammapy(out, caplog)
        assert [observation.bkg.tag for observation in observations] == ["bkg_2d"] * 2
        predicted = sum(prediction(observation).sum() for observation in observations)
        assert predicted == pytest.approx(sum(observed(observation) for observation in observations), rel=0.1)


def observed(observation: object) -> int:
    events = observation.events
    offset = observation.get_pointing_icrs(observation.tmid).skyoffset_frame()
    position = events.radec.transform_to(offset)
    inside = (np.abs(position.lon.deg) < 2) & (np.abs(position.lat.deg) < 2)
    return int(np.sum(inside & (events.energy > 0.4 * u.TeV) & (events.energy < 10 * u.TeV)))


def test_a_model_of_a_smaller_field_than_the_events(few: Path, tmp_path: Path) -> None:
    settings = Settings(backend="numpy", catalog="none", fov=1.5, pixels=6, energy_edges=(0.4, 0.8, 2, 10))
    make_models(few, tmp_path / "models", settings=settings, groups=ONE_GROUP)
    summary = attach_models(tmp_path / "models", few, tmp_path / "out", settings=AttachSettings(normalise="norm"))
    assert [row.norm for row in summary.rows] == pytest.approx([1.0, 1.0], abs=0.3)
