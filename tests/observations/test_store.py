"""Data stores in both naming schemes: where files are found, and what is refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from gpucube.errors import DataError, ObservationError, OptionError
from gpucube.observations.hdus import HduLocation
from gpucube.observations.store import DataStore, hess_file, table_file

OBS_IDS = [3, 201, 1]  # not in order
KINDS = {"events": "EVENTS", "aeff": "AEFF", "gti": "GTI"}


def events_hdu(obs_id: int) -> fits.BinTableHDU:
    values = {name: np.linspace(0.5, 1.5, 5 + obs_id % 7) for name in ("ENERGY", "DETX", "DETY")}
    units = {"ENERGY": "TeV", "DETX": "deg", "DETY": "deg"}
    columns = [fits.Column(name, "E", unit=units[name], array=array) for name, array in values.items()]
    hdu = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    hdu.header.update({"OBS_ID": obs_id, "LIVETIME": 1000.0 + obs_id, "ONTIME": 1100.0 + obs_id})
    return hdu


def area_hdu(obs_id: int) -> fits.BinTableHDU:
    hdu = fits.BinTableHDU.from_columns([fits.Column("EFFAREA", "E", array=[1.0])], name="AEFF")
    hdu.header["LO_THRES"] = (100.0 + obs_id, "[GeV]")
    return hdu


def write_index(folder: Path, name: str) -> None:
    n = len(OBS_IDS)
    table = Table(
        [OBS_IDS, np.linspace(80, 90, n), np.linspace(20, 22, n)],
        names=["OBS_ID", "RA_PNT", "DEC_PNT"],
        units=[None, "deg", "deg"],
    )
    table.write(folder / name)


def hdu_index() -> Table:
    rows = [
        (obs_id, kind, "runs", f"run_{obs_id}.fits.gz", hdu_name)
        for obs_id in OBS_IDS
        for kind, hdu_name in KINDS.items()
        if kind != "gti"
    ]
    return Table(rows=rows, names=["OBS_ID", "HDU_TYPE", "FILE_DIR", "FILE_NAME", "HDU_NAME"])


def make_gadf(folder: Path, change: Callable[[Table], Table] = lambda table: table) -> Path:
    (folder / "runs").mkdir(parents=True)
    write_index(folder, "obs-index.fits.gz")
    change(hdu_index()).write(folder / "hdu-index.fits.gz")
    for obs_id in OBS_IDS:
        hdus = fits.HDUList([fits.PrimaryHDU(), events_hdu(obs_id), area_hdu(obs_id)])
        hdus.writeto(folder / "runs" / f"run_{obs_id}.fits.gz")
    return folder


def make_hess(folder: Path, index: str = "runinfo.fits") -> Path:
    folder.mkdir()
    write_index(folder, index)
    for obs_id in OBS_IDS:
        for kind, hdu in (("events", events_hdu(obs_id)), ("aeff_2d", area_hdu(obs_id))):
            path = hess_file(folder, obs_id, kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            hdu.writeto(path)
    return folder


def assert_store(store: DataStore, scheme: str) -> None:
    assert store.scheme == scheme
    assert np.asarray(store.table["OBS_ID"]).tolist() == OBS_IDS
    assert list(store.files) == OBS_IDS
    for obs_id in OBS_IDS:
        found = store.read(obs_id)
        assert (found.obs_id, found.livetime, found.energy.size) == (obs_id, 1000.0 + obs_id, 5 + obs_id % 7)
        assert found.threshold == store.threshold(obs_id) == pytest.approx((100 + obs_id) / 1e3)


@pytest.mark.parametrize("scheme", ["auto", "GADF", "gadf"])
def test_gadf(tmp_path: Path, scheme: str) -> None:
    assert_store(DataStore.open(make_gadf(tmp_path / "data"), scheme), "GADF")


@pytest.mark.parametrize("scheme", ["auto", "HESS", "hess"])
@pytest.mark.parametrize("index", ["runinfo.fits", "runinfo.fits.gz"])
def test_hess(tmp_path: Path, scheme: str, index: str) -> None:
    assert_store(DataStore.open(make_hess(tmp_path / "data", index), scheme), "HESS")


def test_path_as_text(tmp_path: Path) -> None:
    assert_store(DataStore.open(str(make_hess(tmp_path / "data"))), "HESS")


@pytest.mark.parametrize(
    ("obs_id", "kind", "name"),
    [
        (1, "events", "run000000-000199/run000001/hess_events_000001.fits.gz"),
        (199, "aeff_2d", "run000000-000199/run000199/hess_aeff_2d_000199.fits.gz"),
        (200, "events", "run000200-000399/run000200/hess_events_000200.fits.gz"),
        (23523, "events", "run023400-023599/run023523/hess_events_023523.fits.gz"),
        (1234567, "events", "run1234400-1234599/run1234567/hess_events_1234567.fits.gz"),
    ],
)
def test_names_of_2015(obs_id: int, kind: str, name: str) -> None:
    assert hess_file(Path("data"), obs_id, kind) == Path("data") / name


def test_table_file(tmp_path: Path) -> None:
    assert table_file(tmp_path, "a") is None
    (tmp_path / "a.fits").touch()
    assert table_file(tmp_path, "a") == tmp_path / "a.fits"
    (tmp_path / "a.fits.gz").touch()
    assert table_file(tmp_path, "a") == tmp_path / "a.fits.gz"


@pytest.mark.parametrize("make", [make_gadf, make_hess])
def test_files_may_be_unpacked(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """The index, or the naming scheme, says .fits.gz where there is a plain .fits."""
    folder = make(tmp_path / "data")
    packed = sorted(path for path in folder.rglob("*.fits.gz") if "index" not in path.name)
    for path in packed:
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert packed
    assert DataStore.open(folder).read(201).livetime == 1201.0


def test_files_may_be_packed(tmp_path: Path) -> None:
    """The index says .fits where there is a .fits.gz."""

    def change(table: Table) -> Table:
        table["FILE_NAME"] = [name.removesuffix(".gz") for name in table["FILE_NAME"]]
        return table

    assert_store(DataStore.open(make_gadf(tmp_path / "data", change)), "GADF")


def test_index_with_blanks_and_capitals(tmp_path: Path) -> None:
    def change(table: Table) -> Table:
        table["HDU_TYPE"] = [f"{kind.upper()}  " for kind in table["HDU_TYPE"]]
        table["FILE_DIR"] = [f" {name} " for name in table["FILE_DIR"]]
        table["HDU_NAME"] = [f"{name.lower()} " for name in table["HDU_NAME"]]
        return table

    assert_store(DataStore.open(make_gadf(tmp_path / "data", change)), "GADF")


def test_index_without_hdu_names(tmp_path: Path) -> None:
    def change(table: Table) -> Table:
        table["HDU_NAME"] = [" "] * len(table)
        return table

    assert_store(DataStore.open(make_gadf(tmp_path / "data", change)), "GADF")


def test_index_with_rows_that_nobody_asked_for(tmp_path: Path) -> None:
    def change(table: Table) -> Table:
        table.add_row((99, "events", "runs", "none.fits", "EVENTS"))
        table.add_row((3, "psf", "runs", "none.fits", "PSF"))
        return table

    assert_store(DataStore.open(make_gadf(tmp_path / "data", change)), "GADF")


def test_pointing_and_background_of_the_index(tmp_path: Path) -> None:
    def change(table: Table) -> Table:
        table.add_row((3, "pointing", "more", "pointing.fits", "POINTING"))
        table.add_row((3, "BKG ", "runs", "run_3.fits.gz", "BKG"))
        table.add_row((201, "bkg", "runs", "a.fits", "BKG"))
        table.add_row((201, "bkg", "runs", "b.fits", "BKG"))  # two answers are none
        return table

    folder = make_gadf(tmp_path / "data", change)
    files = DataStore.open(folder).files
    assert files[3].pointing == HduLocation(folder / "more" / "pointing.fits", "POINTING")
    assert files[3].background == HduLocation(folder / "runs" / "run_3.fits.gz", "BKG")
    assert [files[i].background for i in (201, 1)] == [None, None]
    assert [files[i].pointing for i in (201, 1)] == [None, None]
    assert_store(DataStore.open(folder), "GADF")


@pytest.mark.parametrize(("kind", "hdu"), [("events", "EVENTS"), ("aeff", "AEFF")])
def test_observation_without_a_row_in_the_hdu_index(tmp_path: Path, kind: str, hdu: str) -> None:
    def change(table: Table) -> Table:
        return table[~((table["OBS_ID"] == 201) & (table["HDU_TYPE"] == kind))]

    store = DataStore.open(make_gadf(tmp_path / "data", change))
    assert store.read(3).livetime == 1003.0
    with pytest.raises(ObservationError, match=f"names no {hdu} HDU for this observation, or several"):
        store.read(201)


def test_observation_that_is_not_in_the_index(tmp_path: Path) -> None:
    store = DataStore.open(make_gadf(tmp_path / "data"))
    for ask in (store.read, store.threshold):
        with pytest.raises(ObservationError, match="OBS_ID 99 is not in the index"):
            ask(99)


@pytest.mark.parametrize("make", [make_gadf, make_hess])
def test_missing_event_file_is_an_error_of_its_observation(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    store = DataStore.open(make(tmp_path / "data"))
    events = store.files[201].events
    assert events is not None
    events.path.unlink()
    with pytest.raises(ObservationError, match="no such file") as error:
        store.read(201)
    assert error.value.path == events.path
    assert store.read(1).livetime == 1001.0


# Stores that cannot be opened


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        DataStore.open(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=f"this is a file .name its folder: {tmp_path}"):
        DataStore.open(tmp_path / "file")


def test_no_index(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no index file: expected runinfo\.fits.* or obs-index\.fits") as error:
        DataStore.open(tmp_path)
    assert error.value.path == tmp_path


def test_both_schemes(tmp_path: Path) -> None:
    folder = make_gadf(tmp_path / "data")
    write_index(folder, "runinfo.fits")
    with pytest.raises(DataError, match="index files of several schemes") as error:
        DataStore.open(folder)
    assert error.value.remedy == "name the scheme"
    assert_store(DataStore.open(folder, "GADF"), "GADF")


def test_wrong_scheme(tmp_path: Path) -> None:
    folder = make_gadf(tmp_path / "data")
    with pytest.raises(DataError, match=r"no runinfo\.fits\[\.gz\]: not a data store of scheme HESS"):
        DataStore.open(folder, "HESS")
    with pytest.raises(OptionError, match=r"unknown scheme 'CTA'; choose from auto, HESS, GADF"):
        DataStore.open(folder, "CTA")


def test_no_hdu_index(tmp_path: Path) -> None:
    folder = make_gadf(tmp_path / "data")
    (folder / "hdu-index.fits.gz").unlink()
    with pytest.raises(DataError, match="a GADF data store needs its HDU index"):
        DataStore.open(folder)


@pytest.mark.parametrize("column", ["OBS_ID", "HDU_TYPE", "FILE_NAME"])
def test_hdu_index_without_a_column(tmp_path: Path, column: str) -> None:
    def change(table: Table) -> Table:
        table.remove_column(column)
        return table

    folder = make_gadf(tmp_path / "data", change)
    with pytest.raises(DataError, match=f"columns are missing: {column}") as error:
        DataStore.open(folder)
    assert error.value.path == folder / "hdu-index.fits.gz"


def test_hdu_index_whose_numbers_are_none(tmp_path: Path) -> None:
    def change(table: Table) -> Table:
        table["OBS_ID"] = [f"run {number}" for number in table["OBS_ID"]]
        return table

    folder = make_gadf(tmp_path / "data", change)
    with pytest.raises(DataError, match="OBS_ID") as error:
        DataStore.open(folder)
    assert error.value.path == folder / "hdu-index.fits.gz"


def test_numbers_as_text(tmp_path: Path) -> None:
    def change(table: Table) -> Table:
        table["OBS_ID"] = [f" {number} " for number in table["OBS_ID"]]
        return table

    assert_store(DataStore.open(make_gadf(tmp_path / "data", change)), "GADF")


@pytest.mark.parametrize("index", ["obs-index", "hdu-index"])
# Without compression, the last tenth of a small file is filling.
@pytest.mark.parametrize(
    ("end", "share"), [*((".fits.gz", s) for s in (0, 0.02, 0.3, 0.9)), (".fits", 0), (".fits", 0.3)]
)
@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
def test_damaged_index(tmp_path: Path, index: str, end: str, share: float) -> None:
    whole = make_gadf(tmp_path / "data") / f"{index}.fits.gz"
    path = whole.with_name(f"{index}{end}")
    content = whole.read_bytes() if path == whole else gzip.decompress(whole.read_bytes())
    whole.unlink()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="copy it again") as error:
        DataStore.open(path.parent)
    assert error.value.path == path
    assert "CSV" not in str(error.value)


# Real files


def test_hess_dl3_dr1(hess_dl3_dr1: Path) -> None:
    store = DataStore.open(hess_dl3_dr1)
    assert (store.scheme, len(store.table)) == ("GADF", 44)
    for files in store.files.values():
        for location in (files.events, files.effective_area, files.gti):
            assert location is not None
            assert location.path.is_file()


def test_some_observations_of_a_store(tmp_path: Path) -> None:
    store = DataStore.open(make_gadf(tmp_path / "data"))
    some = store.select([1, 3])
    assert some.table["OBS_ID"].tolist() == [3, 1]  # in the order of the table
    assert some.files[1] == store.files[1]
    with pytest.raises(ObservationError, match="OBS_ID 7"):
        store.select([1, 7])
