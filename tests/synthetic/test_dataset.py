"""Synthetic data sets: the same bytes for the same seed, opened by gpucube and by Gammapy."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.utils import iers

from gpucube.arrays.backend import Backend
from gpucube.arrays.fov import interpolate_rotation, sky_to_fov
from gpucube.errors import OptionError, OutputError
from gpucube.files import fits_bytes, write_by_name
from gpucube.observations.events import read_observation
from gpucube.observations.hdus import HduLocation, ObservationFiles
from gpucube.observations.store import DataStore, hess_file
from gpucube.synthetic import BackgroundDescription, make_test_dataset, make_test_eventlist

OPTIONS: dict[str, Any] = {
    "n_obs": 3,
    "seed": 5,
    "threshold": 0.25,
    "description": BackgroundDescription(trigger_rate=2.0, center=(1.0, -0.5)),
}
SCHEMES = ["GADF", "HESS"]


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {scheme: tmp_path_factory.mktemp(scheme) / "new" / "folder" for scheme in SCHEMES}
    for scheme, folder in folders.items():
        make_test_dataset(folder, scheme, **OPTIONS)
    return folders


def test_file_names(stores: dict[str, Path]) -> None:
    events = [f"data/obs_00000{i}.fits.gz" for i in (1, 2, 3)]
    assert list(content(stores["GADF"])) == [*events, "hdu-index.fits.gz", "obs-index.fits.gz"]
    run = "run000000-000199/run00000{0}/hess_{1}_00000{0}.fits.gz"
    runs = [run.format(i, kind) for i in (1, 2, 3) for kind in ("aeff_2d", "events")]
    assert list(content(stores["HESS"])) == [*runs, "runinfo.fits"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_same_bytes_on_every_backend(stores: dict[str, Path], scheme: str, backend: Backend, tmp_path: Path) -> None:
    make_test_dataset(tmp_path, scheme, backend=backend, **OPTIONS)
    assert content(tmp_path) == content(stores[scheme])


def test_same_bytes_for_any_number_of_workers(stores: dict[str, Path], tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    make_test_dataset(tmp_path, workers=2, progress=lambda done, total: steps.append((done, total)), **OPTIONS)
    assert content(tmp_path) == content(stores["GADF"])
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_other_seed_gives_other_files(stores: dict[str, Path], tmp_path: Path) -> None:
    make_test_dataset(tmp_path, **OPTIONS | {"seed": 6})
    ours, theirs = content(tmp_path), content(stores["GADF"])
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] == theirs[name]] == ["hdu-index.fits.gz"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_store_opens(stores: dict[str, Path], scheme: str) -> None:
    store = DataStore.open(stores[scheme])
    assert store.scheme == scheme
    assert store.table["OBS_ID"].tolist() == [1, 2, 3]
    for row in store.table:
        observation = store.read(row["OBS_ID"])
        truth = make_test_eventlist(
            int(row["OBS_ID"]), float(row["ALT_PNT"]), 1500.0, description=OPTIONS["description"], seed=5
        )
        np.testing.assert_array_equal(observation.energy, truth.energy)
        np.testing.assert_array_equal(observation.lon, truth.lon)
        np.testing.assert_array_equal(observation.lat, truth.lat)
        assert observation.good.all()
        assert (observation.livetime, observation.ontime, observation.threshold) == (1500.0, 1800.0, 0.25)
        # Below the threshold there are events, too.
        assert observation.energy.min() < 0.12


def test_sky_coordinates_come_back(stores: dict[str, Path], tmp_path: Path) -> None:
    with fits.open(stores["GADF"] / "data/obs_000002.fits.gz") as hdus:
        detx, dety = (np.array(hdus["EVENTS"].data[name], dtype=float) for name in ("DETX", "DETY"))
        for name in ("DETX", "DETY"):
            hdus["EVENTS"].columns.del_col(name)
        (tmp_path / "events.fits").write_bytes(fits_bytes(hdus))
    location = HduLocation(tmp_path / "events.fits")
    observation = read_observation(2, ObservationFiles(location, location, location))
    assert observation.rotation is not None
    assert observation.time is not None
    rotation = interpolate_rotation(observation.time, observation.rotation.times, observation.rotation.matrices)
    lon, lat = sky_to_fov(observation.lon, observation.lat, rotation)
    arcsec = np.hypot((lon - detx) * np.cos(np.deg2rad(dety)), lat - dety) * 3600
    assert arcsec.max() < 1.0
    assert observation.good.all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_field_aligned_with_right_ascension(scheme: str, tmp_path: Path) -> None:
    description = BackgroundDescription(trigger_rate=0.5, center=(1.0, -0.5), align="RADEC")
    make_test_dataset(tmp_path, scheme, 1, description=description, seed=5)
    path = tmp_path / "data/obs_000001.fits.gz" if scheme == "GADF" else hess_file(tmp_path, 1, "events")
    with fits.open(path) as hdus:
        events = hdus["EVENTS"]
        assert events.header["FOVALIGN"] == "RADEC"
        if scheme == "GADF":
            pointing = SkyCoord(events.header["RA_PNT"], events.header["DEC_PNT"], unit="deg")
            sky = SkyCoord(events.data["RA"], events.data["DEC"], unit="deg").transform_to(pointing.skyoffset_frame())
            np.testing.assert_allclose(-sky.lon.wrap_at("180d").deg, events.data["DETX"], atol=1e-4)
            np.testing.assert_allclose(sky.lat.deg, events.data["DETY"], atol=1e-4)


def test_headers_say_what_gadf_asks_for(stores: dict[str, Path]) -> None:
    with fits.open(stores["GADF"] / "data/obs_000003.fits.gz") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "EVENTS", "GTI", "AEFF"]
        assert hdus["EVENTS"].columns.names == ["EVENT_ID", "TIME", "RA", "DEC", "ENERGY", "DETX", "DETY"]
        assert hdus["EVENTS"].columns.units == ["", "s", "deg", "deg", "TeV", "deg", "deg"]
        header = hdus["EVENTS"].header
        assert (header["HDUCLAS1"], header["FOVALIGN"], header["OBS_ID"]) == ("EVENTS", "ALTAZ", 3)
        assert header["TELLIST"].count(",") == header["N_TELS"] - 1
        assert hdus["GTI"].data["START"] == header["TSTART"]
        assert hdus["GTI"].data["STOP"] == header["TSTOP"] == header["TSTART"] + 1800
        assert hdus["AEFF"].header.cards["LO_THRES"][1:] == (0.25, "[TeV]")
        assert not any("DATE" in hdu.header for hdu in hdus)


# Gammapy


@pytest.fixture(scope="module")
def gammapy_store(stores: dict[str, Path]) -> Any:
    data = pytest.importorskip("gammapy.data")
    return data.DataStore.from_dir(stores["GADF"])


def test_gammapy_finds_no_fault(gammapy_store: Any, caplog: pytest.LogCaptureFixture) -> None:
    from gammapy.data.event_list import EventListChecker

    with caplog.at_level(logging.WARNING):
        # "observations" would ask for EDISP and PSF, which the data set does not have, ...
        records = list(gammapy_store.check(checks=["obs_table", "hdu_table", "consistency"]))
        for observation in gammapy_store.get_observations(required_irf=["aeff"]):
            # ... and "columns" fails on any event list since Gammapy makes TIME a Time without unit.
            records += list(EventListChecker(observation.events).run(checks=["meta", "times"]))
    assert records == []
    assert caplog.records == []


def test_gammapy_reads_observations(gammapy_store: Any, stores: dict[str, Path]) -> None:
    observations = gammapy_store.get_observations(required_irf=["aeff"])
    assert [int(observation.obs_id) for observation in observations] == [1, 2, 3]
    index = Table.read(stores["GADF"] / "obs-index.fits.gz")
    for observation, row in zip(observations, index, strict=True):
        columns = observation.events.table.colnames
        assert set(columns) == {"EVENT_ID", "TIME", "RA", "DEC", "ENERGY", "DETX", "DETY"}
        assert observation.gti.time_sum.to_value("s") == pytest.approx(1800)
        assert observation.observation_live_time_duration.to_value("s") == pytest.approx(1500)
        area = observation.aeff.evaluate(energy_true=[0.1, 10.0] * u.TeV, offset=[0.5, 0.5] * u.deg)
        assert 1e3 < area[0].to_value("m2") < area[1].to_value("m2") < 3e5
        # Selected by its own good times, a list loses no event.
        assert len(observation.events.select_time(observation.gti.time_intervals[0]).table) == len(
            observation.events.table
        )
        pointing = observation.pointing.get_altaz(observation.tmid, location=observation.meta.location)
        assert pointing.alt.deg == pytest.approx(row["ALT_PNT"], abs=1e-4)


def test_gammapy_frames_agree(gammapy_store: Any) -> None:
    from gammapy.utils.coordinates import FoVAltAzFrame

    observation = gammapy_store.get_observations([2], required_irf=["aeff"])[0]
    events = observation.events
    table, place, step = events.table, observation.meta.location, 40
    with iers.conf.set_temp("auto_download", False):
        time = events.time[::step]
        origin = observation.pointing.get_altaz(time, location=place)
        frame = FoVAltAzFrame(origin=origin.frame, location=place, obstime=time)
        found = SkyCoord(events.radec[::step].transform_to(origin.frame)).transform_to(frame)
    truth = SkyCoord(table["DETX"].quantity[::step], table["DETY"].quantity[::step])
    lon, lat = found.fov_lon.wrap_at("180d"), found.fov_lat
    assert truth.separation(SkyCoord(lon, lat)).to_value("arcsec").max() < 5


# What is there already


@pytest.mark.parametrize("scheme", SCHEMES)
def test_data_set_is_not_replaced_unasked(scheme: str, tmp_path: Path) -> None:
    options = OPTIONS | {"n_obs": 2}
    make_test_dataset(tmp_path, scheme, **options)
    (tmp_path / "notes.txt").write_text("keep")
    before = content(tmp_path)
    with pytest.raises(OutputError, match=r"--overwrite .*overwrite=True"):
        make_test_dataset(tmp_path, scheme, **options | {"seed": 1})
    other = next(name for name in SCHEMES if name != scheme)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=f"{scheme} already; choose another folder"):
            make_test_dataset(tmp_path, other, overwrite=overwrite, **options)
    assert content(tmp_path) == before

    make_test_dataset(tmp_path, scheme, overwrite=True, **options | {"n_obs": 1})
    after = content(tmp_path)
    assert after.keys() == before.keys()
    assert after["notes.txt"] == b"keep"
    assert DataStore.open(tmp_path).table["OBS_ID"].tolist() == [1]


@pytest.mark.parametrize("name", ["data/obs_000002.fits.gz", "obs-index.fits.gz", "obs-index.fits"])
def test_files_of_others_are_not_replaced(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_by_name(path, fits_bytes(fits.HDUList([fits.PrimaryHDU()])))
    before = content(tmp_path)
    with pytest.raises(OutputError, match=path.name):
        make_test_dataset(tmp_path, overwrite=True, **OPTIONS)
    assert content(tmp_path) == before


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("overwrite", [False, True])
def test_interrupted_data_set_has_no_index(scheme: str, overwrite: bool, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    if overwrite:
        make_test_dataset(tmp_path, scheme, **OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        make_test_dataset(tmp_path, scheme, overwrite=overwrite, progress=interrupt, **OPTIONS | {"seed": 9})
    assert not list(tmp_path.glob("*index*")) + list(tmp_path.glob("runinfo*"))
    # Made again, it is whole.
    make_test_dataset(tmp_path, scheme, **OPTIONS)
    assert len(DataStore.open(tmp_path).table) == 3


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        make_test_dataset(tmp_path / "file" / "folder", **OPTIONS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scheme", "FITS"),
        ("threshold", -1.0),
        ("workers", 0),
        ("n_obs", 0),
        ("seed", -1),
        ("sigma", -2.0),
        ("spectral_index", 1e4),
        ("trigger_rate", 0.0),
    ],
)
def test_bad_argument_is_refused(name: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=name) as caught:
        make_test_dataset(tmp_path / "out", **OPTIONS | {name: value})
    assert str(value) in str(caught.value)
    assert not (tmp_path / "out").exists()
