"""Files of other observatories, one odd thing each: what is tolerated gives the same model as a plain file."""

from __future__ import annotations

import gzip
import io
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucube.cubes.fits import read_background_model
from gpucube.errors import GpucubeError, ObservationError
from gpucube.observations.events import read_observation
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.observations.hdus import HduLocation, ObservationFiles
from gpucube.observations.sites import SITES, observatory_location
from gpucube.observations.store import DataStore
from gpucube.observations.threshold import FROM_AREA, FROM_INDEX
from gpucube.pipeline import Settings, Summary, make_models
from tests.dl3 import N_EVENTS, THRESHOLD, Change, Dl3, area_hdu, plain, write_store

ONE_GROUP = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 90), unit="deg")])
SETTINGS = Settings(backend="numpy", catalog="none", pixels=10, fov=2.5, energy_edges=(0.05, 0.1, 0.3, 1.0, 10.0))


def models(folder: Path, change: Change = lambda dl3: None, settings: Settings = SETTINGS) -> Summary:
    return make_models(write_store(folder / "data", change), folder / "out", "GADF", settings, ONE_GROUP)


def counts(summary: Summary) -> np.ndarray:
    return read_background_model(summary.models[0]).counts.data


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Counts of the plain file."""
    summary = models(tmp_path_factory.mktemp("plain"))
    row = summary.rows[0]
    assert (row.reason, row.n_read) == ("", N_EVENTS)
    assert 100 < row.n_filled < N_EVENTS
    assert min(row.n_below_threshold, row.n_invalid, row.n_outside_fov) > 0
    return counts(summary)


# Columns


def reversed_order(dl3: Dl3) -> None:
    dl3.columns = dict(reversed(dl3.columns.items()))


def lower_case(dl3: Dl3) -> None:
    for column in dl3.columns.values():
        column.name = column.name.lower()


def lower_case_everywhere(dl3: Dl3) -> None:
    lower_case(dl3)
    for hdu in dl3.others.values():
        for name in hdu.columns.names:
            hdu.columns.change_name(name, name.capitalize())


def energy_in(unit: str, spelling: str) -> Change:
    def change(dl3: Dl3) -> None:
        values = (dl3.columns["ENERGY"].array * u.TeV).to_value(unit)
        dl3.columns["ENERGY"] = fits.Column("ENERGY", "D", unit=spelling, array=values)

    return change


def other_columns(dl3: Dl3) -> None:
    """Multiplicity as int16, bits, texts, and images of variable length, before and between the columns that count."""
    images = np.empty(N_EVENTS, dtype=object)
    images[:] = [np.arange(i % 5, dtype=np.float32) for i in range(N_EVENTS)]
    others = {
        "MULTIP": fits.Column("MULTIP", "I", array=np.full(N_EVENTS, 2, dtype=np.int16)),
        "IMAGE": fits.Column("IMAGE", "PE()", array=images),
        "EVENT_TYPE": fits.Column("EVENT_TYPE", "32X", array=np.zeros((N_EVENTS, 32), dtype=bool)),
        "NAME": fits.Column("NAME", "7A", array=np.full(N_EVENTS, "gamma")),
        "BUNCH": fits.Column("BUNCH", "3J", array=np.ones((N_EVENTS, 3), dtype=np.int32)),
    }
    dl3.columns = others | dl3.columns


def cells_of_one(dl3: Dl3) -> None:
    values = dl3.columns["ENERGY"].array[:, None]
    dl3.columns["ENERGY"] = fits.Column("ENERGY", "1D", unit="TeV", dim="(1)", array=values)


def time_in_days(dl3: Dl3) -> None:
    dl3.columns["TIME"] = fits.Column("TIME", "D", array=dl3.columns["TIME"].array / 86400)
    dl3.cards["TIMEUNIT"] = "d"


def time_column_in_days(dl3: Dl3) -> None:
    dl3.columns["TIME"] = fits.Column("TIME", "D", unit="d", array=dl3.columns["TIME"].array / 86400)


# HDUs and files


def without_hdu_names(dl3: Dl3) -> None:
    dl3.hdu_index.remove_column("HDU_NAME")


def blank_hdu_names(dl3: Dl3) -> None:
    dl3.hdu_index["HDU_NAME"] = [" "] * len(dl3.hdu_index)


def more_hdus(dl3: Dl3) -> None:
    """Simulated events and areas by reconstructed energy come before the ones that count; no names in the index."""
    blank_hdu_names(dl3)
    simulated = plain()
    simulated.columns["ENERGY"].array[:] = 7.0
    mc = simulated.events()
    mc.name = "MC_EVENTS"
    reco = area_hdu()
    reco.name = "EFFECTIVE AREA (RECO)"
    reco.header.update({"HDUCLAS4": "AEFF_2D_RECO", "LO_THRES": 3.0})
    image = fits.BinTableHDU.from_columns([fits.Column("X", "J", array=[1, 2])], name="CONFIG")
    dl3.extra = [mc, reco, image]


def one_file_per_hdu(dl3: Dl3) -> None:
    dl3.one_file_per_hdu = True


def effective_area_of_another_name(dl3: Dl3) -> None:
    blank_hdu_names(dl3)
    dl3.others["EFFECTIVE AREA"].name = "IRF 1"


def absolute_folder(dl3: Dl3) -> None:
    dl3.hdu_index["FILE_DIR"] = ["."] * len(dl3.hdu_index)
    dl3.index_cards["BASE_DIR"] = "dl3"


def lower_case_index(dl3: Dl3) -> None:
    for name in dl3.hdu_index.colnames:
        dl3.hdu_index.rename_column(name, name.lower())


# Headers


def cards(**values: object) -> Change:
    return lambda dl3: dl3.cards.update({key.replace("__", "-"): value for key, value in values.items()})


def gti_counts_from_elsewhere(dl3: Dl3) -> None:
    """The day before, and in days."""
    gti = dl3.others["GTI"]
    spans = [fits.Column(n, "D", array=gti.data[n] / 86400 + 1.0) for n in ("START", "STOP")]
    dl3.others["GTI"] = fits.BinTableHDU.from_columns(spans, name="GTI")
    dl3.others["GTI"].header.update({"MJDREF": 55999.25, "TIMESYS": "tt", "TIMEUNIT": "d"})


def gti_in_utc(dl3: Dl3) -> None:
    """TT was ahead of UTC by 66.184 s in 2012."""
    gti = dl3.others["GTI"]
    for name in ("START", "STOP"):
        gti.data[name] -= 66.184
    gti.header.update({"MJDREFI": 56000, "MJDREFF": 0.25, "TIMESYS": "utc"})
    # The reference time in UTC is 66.184 s later than the one in TT.


TOLERATED: dict[str, Change] = {
    "order of columns": reversed_order,
    "lower case": lower_case,
    "any case": lower_case_everywhere,
    "GeV": energy_in("GeV", "GeV"),
    "GEV": energy_in("GeV", "GEV"),
    "erg": energy_in("erg", "erg"),
    "other columns": other_columns,
    "cells of one": cells_of_one,
    "time in days": time_in_days,
    "time column in days": time_column_in_days,
    "no HDU names": without_hdu_names,
    "blank HDU names": blank_hdu_names,
    "more HDUs": more_hdus,
    "one file per HDU": one_file_per_hdu,
    "other name of the effective area": effective_area_of_another_name,
    "base folder": absolute_folder,
    "lower case in the index": lower_case_index,
    "MJDREF": cards(MJDREFI=None, MJDREFF=None, MJDREF=56000.25),
    "MJDREF as text": cards(MJDREFI="56000", MJDREFF=" 0.25 "),
    "DATEREF": cards(MJDREFI=None, MJDREFF=None, DATEREF="2012-03-14T06:00:00"),
    "JDREF": cards(MJDREFI=None, MJDREFF=None, JDREFI=2456000, JDREFF=0.75),
    "tt": cards(TIMESYS="tt"),
    "TDT": cards(TIMESYS="TDT"),
    "TAI": cards(TIMESYS="tai", MJDREFF=0.25 - 32.184 / 86400),
    "TDB": cards(TIMESYS="TDB"),
    "no clock in the GTI": lambda dl3: dl3.others["GTI"].header.remove("MJDREFI"),
    "GTI of another clock": gti_counts_from_elsewhere,
    "GEOALT": cards(ALTITUDE=None, GEOALT=2200.0),
    "HDUCLASS": cards(HDUCLASS="OGIP", HDUVERS="1.0.0"),
}


@pytest.mark.parametrize("name", TOLERATED)
def test_tolerated(tmp_path: Path, expected: np.ndarray, name: str) -> None:
    summary = models(tmp_path, TOLERATED[name])
    assert summary.rows[0].reason == ""
    np.testing.assert_array_equal(counts(summary), expected)


@pytest.mark.parametrize("form", ["E", "scaled"])
def test_types_of_energy(tmp_path: Path, expected: np.ndarray, form: str) -> None:
    """Energies of less precision, but far from all edges."""
    middle = np.sqrt(np.array([0.05, 0.1, 0.3, 1.0]) * np.array([0.1, 0.3, 1.0, 10.0]))
    energy = np.resize(np.round(middle, 3), N_EVENTS)

    def exact(dl3: Dl3) -> None:
        dl3.columns["ENERGY"] = fits.Column("ENERGY", "D", unit="TeV", array=energy)

    def change(dl3: Dl3) -> None:
        values, code = (energy, form) if form == "E" else (np.round((energy - 0.5) / 1e-3), "J")
        dl3.columns["ENERGY"] = fits.Column("ENERGY", code, unit="TeV", array=values)

    data = write_store(tmp_path / "data", change)
    if form == "scaled":
        for key, value in (("TSCAL5", 1e-3), ("TZERO5", 0.5)):
            fits.setval(data / "dl3" / "run42.fits", key, value=value, ext=1)
    found = counts(make_models(data, tmp_path / "out", "GADF", SETTINGS, ONE_GROUP))
    same = counts(models(tmp_path / "exact", exact))
    np.testing.assert_array_equal(found, same)
    assert same.sum() > 0


def test_undefined_integers_are_no_energies(tmp_path: Path) -> None:
    def change(dl3: Dl3) -> None:
        energy = np.full(N_EVENTS, 500)
        energy[:37] = -999
        dl3.columns["ENERGY"] = fits.Column("ENERGY", "J", unit="GeV", null=-999, array=energy)

    found = DataStore.open(write_store(tmp_path / "data", change)).read(42)
    assert np.isnan(found.energy).sum() == 37
    np.testing.assert_allclose(found.energy[37:], 0.5)


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("name", ["run42.fits", "run42.fits.gz"])
def test_packed_or_not_whatever_the_index_says(
    tmp_path: Path, expected: np.ndarray, name: str, is_packed: bool
) -> None:
    data = write_store(tmp_path / "data", lambda dl3: dl3.hdu_index.replace_column("FILE_NAME", [name] * 3))
    if is_packed:
        path = data / "dl3" / "run42.fits"
        path.with_suffix(".fits.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    summary = make_models(data, tmp_path / "out", "auto", SETTINGS, ONE_GROUP)
    np.testing.assert_array_equal(counts(summary), expected)


def test_gti_in_another_time_scale(tmp_path: Path) -> None:
    plain_good = DataStore.open(write_store(tmp_path / "a")).read(42).good
    found = DataStore.open(write_store(tmp_path / "b", gti_in_utc)).read(42).good
    assert 0 < found.sum() < N_EVENTS
    np.testing.assert_array_equal(found, plain_good)


def test_utc_reference_is_another_moment(tmp_path: Path) -> None:
    """66.184 s, in which the sky turns by 0.28 deg."""
    tt, utc = (
        DataStore.open(write_store(tmp_path / scale, cards(TIMESYS=scale))).read(42).rotation for scale in ("TT", "utc")
    )
    same = DataStore.open(write_store(tmp_path / "c", cards(TIMESYS="UTC", MJDREFF=0.25 - 66.184 / 86400))).read(42)
    np.testing.assert_allclose(same.rotation.matrices, tt.matrices, atol=1e-8)
    assert np.abs(utc.matrices - tt.matrices).max() > 1e-4


# Energy thresholds


def drop_threshold(dl3: Dl3) -> None:
    del dl3.others["EFFECTIVE AREA"].header["LO_THRES"]


def with_index_threshold(value: float, name: str = "SAFE_ENERGY_LO") -> Change:
    def change(dl3: Dl3) -> None:
        drop_threshold(dl3)
        dl3.index[name] = value

    return change


def test_lo_thres_wins(tmp_path: Path) -> None:
    store = DataStore.open(write_store(tmp_path, lambda dl3: dl3.index.update(SAFE_ENERGY_LO=0.7)))
    found = store.read(42)
    assert (found.threshold, found.notes, store.threshold(42)) == (THRESHOLD, (), THRESHOLD)


@pytest.mark.parametrize("name", ["SAFE_ENERGY_LO", "safe_energy_lo"])
def test_threshold_of_the_index(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    with caplog.at_level(logging.WARNING):
        summary = models(tmp_path, with_index_threshold(0.25, name))
    store = DataStore.open(tmp_path / "data")
    assert store.read(42).threshold == store.threshold(42) == pytest.approx(0.25)
    assert summary.rows[0].reason == FROM_INDEX
    assert [record.message for record in caplog.records] == [f"1 observations: {FROM_INDEX}"]
    energy = plain().columns["ENERGY"].array
    assert summary.rows[0].n_below_threshold == ((energy < 0.25) & store.read(42).good).sum()
    assert FROM_INDEX in (tmp_path / "out" / "bg_event_ledger.ecsv").read_text()


@pytest.mark.parametrize("value", [np.nan, None])
@pytest.mark.parametrize("unit", ["TeV", "GeV"])
def test_threshold_of_the_effective_area(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, value: float | None, unit: str
) -> None:
    """A tenth of the maximum is reached in the bin from 0.2 TeV on."""

    def change(dl3: Dl3) -> None:
        dl3.others["EFFECTIVE AREA"] = area_hdu(unit)
        if value is not None:
            dl3.index["SAFE_ENERGY_LO"] = value

    with caplog.at_level(logging.WARNING):
        summary = models(tmp_path, change)
    assert DataStore.open(tmp_path / "data").threshold(42) == pytest.approx(0.2)
    assert summary.rows[0].reason == FROM_AREA
    assert [record.message for record in caplog.records] == [f"1 observations: {FROM_AREA}"]


def test_threshold_of_the_effective_area_is_that_of_gammapy(tmp_path: Path) -> None:
    irf = pytest.importorskip("gammapy.irf")
    path = tmp_path / "area.fits"
    area_hdu().writeto(path)
    area = irf.EffectiveAreaTable2D.read(path, hdu="EFFECTIVE AREA")
    edges = area.axes["energy_true"].edges.to_value("TeV")
    values = area.evaluate(offset=0 * u.deg, energy_true=edges * u.TeV)
    theirs = edges[values > 0.1 * values.max()].min()  # as in SafeMaskMaker.make_mask_energy_aeff_max
    store = DataStore.open(write_store(tmp_path / "data", drop_threshold))
    # They ask at the edges of the bins, gpucube in the bins: at most one bin apart.
    assert abs(np.searchsorted(edges, store.threshold(42) * 1.0001) - np.searchsorted(edges, theirs * 1.0001)) <= 1


@pytest.mark.parametrize("value", [-1.0, 1e-20, np.inf])
def test_nonsense_in_the_index_is_reported_and_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, value: float
) -> None:
    with caplog.at_level(logging.WARNING):
        store = DataStore.open(write_store(tmp_path, with_index_threshold(value)))
    assert "SAFE_ENERGY_LO of 1 observations is ignored" in caplog.text
    assert store.read(42).notes == (FROM_AREA,)


def test_index_threshold_without_effective_area(tmp_path: Path) -> None:
    def change(dl3: Dl3) -> None:
        dl3.hdu_index = dl3.hdu_index[:2]
        dl3.index["SAFE_ENERGY_LO"] = 0.25

    found = DataStore.open(write_store(tmp_path, change)).read(42)
    assert (found.threshold, found.notes) == (0.25, (FROM_INDEX,))


def _change_area(change: Callable[[fits.BinTableHDU], fits.BinTableHDU | None]) -> Change:
    def change_both(dl3: Dl3) -> None:
        area = area_hdu()
        dl3.others["EFFECTIVE AREA"] = change(area) or area

    return change_both


def _one_column(hdu: fits.BinTableHDU) -> fits.BinTableHDU:
    return fits.BinTableHDU.from_columns([fits.Column("EFFAREA", "E", array=[1.0])], name=hdu.name)


def _all_nan(hdu: fits.BinTableHDU) -> None:
    hdu.data["EFFAREA"][:] = np.nan


def _unit_of_length(hdu: fits.BinTableHDU) -> None:
    hdu.columns["ENERG_LO"].unit = "m"


def _too_few_values(hdu: fits.BinTableHDU) -> fits.BinTableHDU:
    table = Table(hdu.data)
    table["ENERG_LO"] = np.ones((1, 3))
    return fits.BinTableHDU(table.as_array(), name=hdu.name)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_one_column, "there is no column ENERG_LO"),
        (_all_nan, "EFFAREA is nowhere positive"),
        (_unit_of_length, "unit 'm' cannot be converted to TeV"),
        (_too_few_values, r"EFFAREA has the shape \(5, 7\) for 3 energies and 5 offsets"),
    ],
)
def test_no_threshold_at_all(
    tmp_path: Path, change: Callable[[fits.BinTableHDU], fits.BinTableHDU | None], problem: str
) -> None:
    store = DataStore.open(write_store(tmp_path / "data", _change_area(change)))
    with pytest.raises(ObservationError, match=f"no energy threshold: no LO_THRES, .*{problem}") as error:
        store.read(42)
    assert (error.value.hdu, error.value.column) == ("EFFECTIVE AREA", "LO_THRES")
    assert error.value.path == tmp_path / "data" / "dl3" / "run42.fits"
    with pytest.raises(GpucubeError, match="1 skipped"):
        make_models(tmp_path / "data", tmp_path / "out", "GADF", SETTINGS, ONE_GROUP)


def test_thresholds_of_real_files_agree(hess_dl3_dr1: Path) -> None:
    """In H.E.S.S. DR1 the index repeats LO_THRES; a tenth of the effective area is reached a little below it."""
    store = DataStore.open(hess_dl3_dr1)
    for obs_id, files in store.files.items():
        assert files.safe_energy == pytest.approx(store.threshold(obs_id), rel=1e-6)


# Sites


@pytest.mark.parametrize(
    ("site", "values"),
    [
        ("HESS", {"TELESCOP": "HESS"}),
        ("HESS", {"TELESCOP": "H.E.S.S."}),
        ("HESS", {"TELESCOP": "H.E.S.S. Phase II"}),
        ("HESS", {"TELESCOP": None, "ORIGIN": "H.E.S.S. Collaboration"}),
        ("MAGIC", {"TELESCOP": "MAGIC"}),
        ("MAGIC", {"TELESCOP": "magic-ii"}),
        ("MAGIC", {"TELESCOP": "unknown", "INSTRUME": "MAGIC1"}),
        ("VERITAS", {"TELESCOP": "VERITAS"}),
        ("FACT", {"TELESCOP": "FACT"}),
        ("FACT", {"TELESCOP": " fact "}),
        ("LST", {"TELESCOP": "LST-1"}),
        ("LST", {"TELESCOP": "LST1"}),
        ("LST", {"TELESCOP": "LST"}),
        ("LST", {"TELESCOP": "CTA-N", "INSTRUME": "LST-1"}),
        ("CTAO-NORTH", {"TELESCOP": "CTA", "INSTRUME": "North"}),
        ("CTAO-NORTH", {"TELESCOP": "CTAO-N"}),
        ("CTAO-NORTH", {"TELESCOP": "cta_north"}),
        ("CTAO-NORTH", {"TELESCOP": "CTAO", "INSTRUME": "Northern Array"}),
        ("CTAO-SOUTH", {"TELESCOP": "CTA-South"}),
        ("CTAO-SOUTH", {"TELESCOP": "CTA", "INSTRUME": "south"}),
        ("CTAO-SOUTH", {"TELESCOP": "CTAO-S"}),
        ("CTAO-SOUTH", {"TELESCOP": "CTA", "OBSERVAT": "CTAO South"}),
    ],
)
def test_names_of_sites(site: str, values: dict[str, object]) -> None:
    header = fits.Header({"EXTNAME": "EVENTS"} | {key: value for key, value in values.items() if value is not None})
    found = observatory_location(header)
    lon, lat, height = SITES[site]
    # LST-1 and CTAO-NORTH are one place.
    assert (found.lon.deg, found.lat.deg, found.height.value) == pytest.approx((lon, lat, height))


@pytest.mark.parametrize("telescope", ["CTA", "Hubble", "FACTORY", "CTASTRI", "LSTX", "", None, 3])
def test_sites_that_are_not_known(tmp_path: Path, telescope: object) -> None:
    store = DataStore.open(write_store(tmp_path, cards(GEOLON=None, GEOLAT=None, TELESCOP=telescope)))
    with pytest.raises(ObservationError, match=r"no GEOLON and GEOLAT, and TELESCOP is .*known are HESS") as error:
        store.read(42)
    assert (error.value.hdu, error.value.column) == ("EVENTS", "GEOLON")
    assert store.read(42, align="RADEC").notes == ()


@pytest.mark.parametrize("missing", [{"GEOLON": None, "GEOLAT": None}, {"GEOLON": 0.0, "GEOLAT": 0.0}])
def test_site_by_name_is_said(
    tmp_path: Path, expected: np.ndarray, caplog: pytest.LogCaptureFixture, missing: dict[str, object]
) -> None:
    summary = models(tmp_path, cards(**missing, ALTITUDE=None))
    np.testing.assert_array_equal(counts(summary), expected)
    assert summary.rows[0].reason == "no GEOLON and GEOLAT: the known location of MAGIC taken"
    assert "1 observations: no GEOLON and GEOLAT" in caplog.text


# What is refused, with file, HDU and column


@pytest.mark.parametrize(
    ("change", "column", "problem"),
    [
        (cards(TIMESYS="LOCAL"), "TIMESYS", "'LOCAL' is no time scale"),
        (cards(TIMESYS="GPS"), "TIMESYS", "'GPS' is no time scale"),
        (cards(TIMEREF="SOLARSYSTEM"), "TIMEREF", "times are those at SOLARSYSTEM"),
        (cards(TREFPOS="BARYCENTER"), "TIMEREF", "times are those at BARYCENTER"),
        (cards(MJDREFI=0, MJDREFF=0.0), "TIME", "MJD 0.1, which is no time of a Cherenkov telescope"),
        (cards(MJDREFI="nan"), "MJDREFI", "'nan' is no finite number"),
        (cards(MJDREFI=None, MJDREFF=None, DATEREF="yesterday"), "MJDREFI", "no time of the calendar"),
        (cards(TIMEUNIT="m"), "TIMEUNIT", "unit 'm' cannot be converted to s"),
        (cards(GEOLON="west"), "GEOLON", "'west' is no finite number"),
        (cards(GEOLAT=123.0), "GEOLON, GEOLAT", "no place on Earth"),
        (cards(ALTITUDE="nan"), "ALTITUDE", "'nan' is no finite number"),
        (cards(ALTITUDE=1e15), "ALTITUDE", "no place on Earth: altitude 1e+15 m"),
        (cards(RA_PNT=1e15), "RA_PNT", "1000000000000000.0 deg is no right ascension"),
        (cards(TSCAL5="one"), "ENERGY", "TSCAL is 'one', which is no number"),
        (cards(LIVETIME="nan"), "LIVETIME", "'nan' is no finite number"),
        (cards(LIVETIME=True, ONTIME=None, DEADC=None), "DEADC", "keyword is missing"),
        (energy_in("TeV", "log10(TeV)"), "ENERGY", "unit 'log10"),
        (energy_in("TeV", "dex(TeV)"), "ENERGY", "unit 'dex"),
    ],
)
def test_refused(tmp_path: Path, change: Change, column: str, problem: str) -> None:
    store = DataStore.open(write_store(tmp_path, change))
    with pytest.raises(ObservationError) as error:
        store.read(42)
    assert problem in error.value.problem
    assert (error.value.hdu, error.value.column) == ("EVENTS", column)
    assert error.value.path == tmp_path / "dl3" / "run42.fits"


def test_several_tables_of_one_class(tmp_path: Path) -> None:
    def change(dl3: Dl3) -> None:
        without_hdu_names(dl3)
        other = dl3.events()
        other.name = "OTHER"
        dl3.extra = [other]

    store = DataStore.open(write_store(tmp_path, change))
    with fits.open(tmp_path / "dl3" / "run42.fits", mode="update") as hdus:
        hdus["EVENTS"].name = "MINE"
    with pytest.raises(ObservationError, match="several tables of class EVENTS: OTHER, MINE") as error:
        store.read(42)
    assert "HDU_NAME" in str(error.value.remedy)


@pytest.mark.parametrize("part", ["gti", "effective_area", "events"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_truncated_part(tmp_path: Path, part: str, share: float) -> None:
    store = DataStore.open(write_store(tmp_path, one_file_per_hdu))
    path = getattr(store.files[42], part).path
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ObservationError) as error:
        store.read(42)
    assert error.value.path == path


def test_one_bad_observation_costs_no_other(tmp_path: Path, expected: np.ndarray) -> None:
    data = write_store(tmp_path / "data")
    shutil.copy(data / "dl3" / "run42.fits", data / "dl3" / "run43.fits")
    with fits.open(data / "dl3" / "run43.fits", mode="update") as hdus:
        hdus["EVENTS"].header["TIMESYS"] = "MJD"
    for name, row in (("obs-index", {"OBS_ID": 43}), ("hdu-index", {"OBS_ID": 43, "FILE_NAME": "run43.fits"})):
        table = Table.read(data / f"{name}.fits.gz")
        for values in list(table):
            table.add_row([row.get(column, values[column]) for column in table.colnames])
        table.write(data / f"{name}.fits.gz", overwrite=True)
    summary = make_models(data, tmp_path / "out", "GADF", SETTINGS, ONE_GROUP)
    assert [row.status for row in summary.rows] == ["used", "skipped"]
    assert "'MJD' is no time scale" in summary.rows[1].reason
    np.testing.assert_array_equal(counts(summary), expected)


KEYS = [
    *("TIMESYS", "TIMEREF", "TREFPOS", "TIMEUNIT", "MJDREFI", "MJDREFF", "MJDREF", "JDREF", "DATEREF", "OBS_MODE"),
    *("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT", "GEOLON", "GEOLAT", "ALTITUDE", "TELESCOP", "INSTRUME", "FOVALIGN"),
    *("LIVETIME", "ONTIME", "DEADC", "RA_OBJ", "TUNIT2", "TUNIT5", "TSCAL2", "TZERO5", "TNULL5", "TDIM5", "HDUCLAS1"),
]
NONSENSE = [True, "", " ", "nan", "DRIFT", "SLEW", "UT1", "d", "-1", 0, -1, 10**15, 1e300, -1e300, 1e-300, "2012-02-30"]


@settings(max_examples=200)
@given(values=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(NONSENSE), min_size=1, max_size=3), data=st.data())
def test_nonsense_in_headers(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object], data: st.DataObject
) -> None:
    """Every combination is read, or refused in one line that names the file: no other exception and no warning."""
    hdus = list(HDUS)
    where = data.draw(st.sampled_from([1, 2, 3]))
    hdus[where] = _with_cards(hdus[where], values)
    path = tmp_path_factory.mktemp("odd") / "run.fits"
    path.write_bytes(b"".join(hdus))
    files = ObservationFiles(HduLocation(path), HduLocation(path), HduLocation(path))
    try:
        found = read_observation(42, files, data.draw(st.sampled_from(["ALTAZ", "RADEC"])), with_sky=True)
    except ObservationError as error:
        if error.path != path or "\n" in str(error):
            raise AssertionError(f"error does not name the file in one line: {error!r}") from error
    else:
        assert 0 < found.livetime <= found.ontime * 1.000001
        assert 0 <= found.threshold < np.inf


def _hdus() -> list[bytes]:
    """A file in pieces: each a header and its data."""
    dl3 = plain()
    whole = fits.HDUList([fits.PrimaryHDU(), dl3.events(), *dl3.others.values()])
    pieces = []
    for hdu in whole:
        buffer = io.BytesIO()
        fits.HDUList([hdu] if isinstance(hdu, fits.PrimaryHDU) else [fits.PrimaryHDU(), hdu]).writeto(buffer)
        pieces.append(buffer.getvalue() if isinstance(hdu, fits.PrimaryHDU) else buffer.getvalue()[len(pieces[0]) :])
    return pieces


def _with_cards(piece: bytes, values: dict[str, object]) -> bytes:
    """The same HDU with other cards; its data untouched, as no library would write it."""
    header = fits.Header.fromstring(piece)
    size = len(header.tostring())
    for key, value in values.items():
        header[key] = value
    return header.tostring().encode() + piece[size:]


HDUS = _hdus()
