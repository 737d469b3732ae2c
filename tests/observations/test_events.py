"""Event lists: what real files do wrong and is tolerated, and what is refused with file, HDU and column."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucube.arrays.fov import interpolate_rotation, sky_to_fov
from gpucube.errors import ObservationError
from gpucube.files import fits_bytes
from gpucube.gzipped import compress
from gpucube.observations.events import Observation, read_observation
from gpucube.observations.gti import GTI_SLACK
from gpucube.observations.hdus import HduLocation, ObservationFiles
from gpucube.observations.store import DataStore
from gpucube.observations.threshold import read_threshold

N = 20
TIME = np.linspace(1000.0, 2600.0, N)
ENERGY = np.geomspace(0.3, 30, N)
CARDS = {
    "HDUCLASS": "GADF",
    "HDUCLAS1": "EVENTS",
    "OBS_ID": 7,
    "TELESCOP": "HESS",
    "ONTIME": 1680.0,
    "LIVETIME": 1520.0,
    "DEADC": 1520 / 1680,
    "RA_PNT": 83.6,
    "DEC_PNT": 22.5,
    "GEOLON": 16.5,
    "GEOLAT": -23.27,
    "ALTITUDE": 1835.0,
    "MJDREFI": 53005,
    "MJDREFF": 0.25,
    "TIMESYS": "TT",
    "FOVALIGN": "ALTAZ",
}

Change = Callable[[fits.HDUList], None]


def columns() -> dict[str, fits.Column]:
    """Columns of the test event list, whose order in the file is this one: ENERGY is number 5."""
    rng = np.random.default_rng(3)
    specs = {
        "EVENT_ID": ("K", None, np.arange(N)),
        "TIME": ("D", "s", TIME),
        "RA": ("E", "deg", 83.6 + rng.normal(0, 1, N)),
        "DEC": ("E", "deg", 22.5 + rng.normal(0, 1, N)),
        "ENERGY": ("E", "TeV", ENERGY),
        "DETX": ("E", "deg", np.linspace(-2, 2, N)),
        "DETY": ("E", "deg", np.linspace(3, -1, N)),
    }
    return {
        name: fits.Column(name, form, unit=unit, array=values.astype({"K": "i8", "D": "f8", "E": "f4"}[form]))
        for name, (form, unit, values) in specs.items()
    }


def make_hdus(*dropped: str, cards: dict[str, object] | None = None, **changed: fits.Column) -> fits.HDUList:
    """EVENTS without or with other columns, GTI and AEFF; cards that are None are left out."""
    chosen = {name: column for name, column in (columns() | changed).items() if name not in dropped}
    events = fits.BinTableHDU.from_columns(list(chosen.values()), name="EVENTS")
    events.header.update({key: value for key, value in (CARDS | (cards or {})).items() if value is not None})
    spans = [fits.Column("START", "D", unit="s", array=[900.0]), fits.Column("STOP", "D", unit="s", array=[2700.0])]
    gti = fits.BinTableHDU.from_columns(spans, name="GTI")
    gti.header["HDUCLAS1"] = "GTI"
    area = fits.BinTableHDU.from_columns([fits.Column("EFFAREA", "E", array=[1.0])], name="AEFF")
    area.header["LO_THRES"] = (0.5, "[TeV]")
    return fits.HDUList([fits.PrimaryHDU(), events, gti, area])


def save(hdus: fits.HDUList, path: Path) -> ObservationFiles:
    hdus.writeto(path, overwrite=True)
    return files_of(path)


def files_of(path: Path) -> ObservationFiles:
    return ObservationFiles(HduLocation(path, "EVENTS"), HduLocation(path, "AEFF"), HduLocation(path, "GTI"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.fits"


def read(hdus: fits.HDUList, path: Path, align: str = "ALTAZ") -> Observation:
    return read_observation(7, save(hdus, path), align)


def refused(hdus: fits.HDUList, path: Path, align: str = "ALTAZ") -> ObservationError:
    with pytest.raises(ObservationError) as error:
        read(hdus, path, align)
    assert error.value.path == path
    assert "\n" not in str(error.value)
    return error.value


# Good files


def test_plain_observation(path: Path) -> None:
    found = read(make_hdus(), path)
    assert (found.obs_id, found.livetime, found.ontime, found.threshold) == (7, 1520.0, 1680.0, 0.5)
    np.testing.assert_array_equal(found.energy, ENERGY.astype(np.float32))
    np.testing.assert_array_equal(found.lon, np.linspace(-2, 2, N).astype(np.float32))
    np.testing.assert_array_equal(found.lat, np.linspace(3, -1, N).astype(np.float32))
    assert found.good.all()
    assert found.rotation is None
    assert found.time is None
    assert {a.dtype for a in (found.energy, found.lon, found.lat)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ["run.fits", "run.fits.gz", "run.dat"])
@pytest.mark.parametrize("compress", [False, True])
def test_compressed_or_not_whatever_the_name(tmp_path: Path, name: str, compress: bool) -> None:
    make_hdus().writeto(tmp_path / "a.fits")
    content = (tmp_path / "a.fits").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if compress else content)
    assert read_observation(7, files_of(tmp_path / name)).livetime == 1520.0


def test_parts_in_several_files(tmp_path: Path) -> None:
    hdus = make_hdus()
    paths = {hdu.name: tmp_path / f"{hdu.name}.fits" for hdu in hdus[1:]}
    for hdu in hdus[1:]:
        hdu.writeto(paths[hdu.name])
    files = ObservationFiles(*(HduLocation(paths[name]) for name in ("EVENTS", "AEFF", "GTI")))
    found = read_observation(7, files)
    assert (found.threshold, found.good.sum()) == (0.5, N)
    assert read_threshold(files) == 0.5


# What is tolerated


def test_numbers_stored_as_strings(path: Path) -> None:
    keys = ("ONTIME", "LIVETIME", "DEADC", "RA_PNT", "DEC_PNT", "GEOLON", "GEOLAT", "ALTITUDE", "MJDREFI", "MJDREFF")
    texts = {key: f" {CARDS[key]!s} " for key in keys}
    expected = read(make_hdus("DETX"), path)
    found = read(make_hdus("DETX", cards=texts), path)
    assert (found.livetime, found.ontime) == (1520.0, 1680.0)
    assert found.rotation is not None
    assert expected.rotation is not None
    np.testing.assert_array_equal(found.rotation.matrices, expected.rotation.matrices)


@pytest.mark.parametrize(
    ("extname", "hduclas1"),
    [("EVENTS", "EVENTS"), ("EVENTS", None), ("EVENTS", "events"), ("DATA", "EVENTS"), ("", "EVENTS ")],
)
@pytest.mark.parametrize("hduclass", ["GADF", "OGIP", "ogip", None])
def test_hdu_is_found_by_class_or_name(path: Path, extname: str, hduclas1: str | None, hduclass: str | None) -> None:
    hdus = make_hdus(cards={"HDUCLAS1": hduclas1, "HDUCLASS": hduclass})
    hdus[1].name = extname
    files = save(hdus, path)
    assert read_observation(7, replace(files, events=HduLocation(path))).energy.size == N


@pytest.mark.parametrize("name", ["events", "Events", "EVENTS"])
def test_hdu_names_have_no_case(path: Path, name: str) -> None:
    save(make_hdus(), path)
    files = ObservationFiles(HduLocation(path, name), HduLocation(path, "aeff"), HduLocation(path, "Gti"))
    assert read_observation(7, files).energy.size == N


@pytest.mark.parametrize("unit", ["TeV", "GeV", "MeV", "keV", "erg", "J"])
@pytest.mark.parametrize("where", ["TUNIT", "comment", "EUNIT"])
@pytest.mark.parametrize("form", ["E", "D"])
def test_energy_units(path: Path, unit: str, where: str, form: str) -> None:
    values = (ENERGY * u.TeV).to_value(unit).astype("f4" if form == "E" else "f8")
    column = fits.Column("ENERGY", form, unit=unit if where == "TUNIT" else None, array=values)
    hdus = make_hdus(ENERGY=column, cards={"EUNIT": unit if where == "EUNIT" else None})
    if where == "comment":
        hdus[1].header.comments["TTYPE5"] = f"reconstructed energy [{unit}]"
    found = read(hdus, path).energy
    np.testing.assert_allclose(found, ENERGY, rtol=1e-6 if form == "E" else 1e-14)
    assert found.dtype == np.dtype("f4" if (form, unit) == ("E", "TeV") else "f8")


def test_integer_energies(path: Path) -> None:
    column = fits.Column("ENERGY", "J", unit="GeV", array=np.arange(100, 100 + N))
    np.testing.assert_allclose(read(make_hdus(ENERGY=column), path).energy, np.arange(100, 100 + N) / 1e3)


@pytest.mark.parametrize("unit", ["rad", "arcmin", None])
def test_units_of_detx(path: Path, unit: str | None) -> None:
    degrees = np.linspace(-2, 2, N)
    values = (degrees * u.deg).to_value(unit or "deg")
    found = read(make_hdus(DETX=fits.Column("DETX", "D", unit=unit, array=values)), path)
    np.testing.assert_allclose(found.lon, degrees, rtol=1e-13)


@pytest.mark.parametrize("dropped", [("TIME",), ("RA", "DEC"), ("EVENT_ID",), ("TIME", "RA", "DEC", "EVENT_ID")])
def test_optional_columns(path: Path, dropped: tuple[str, ...]) -> None:
    found = read(make_hdus(*dropped), path)
    assert found.good.all()
    assert found.lon.size == N


@pytest.mark.parametrize(
    ("cards", "times"),
    [
        ({"ONTIME": None}, (1520.0, 1680.0)),
        ({"LIVETIME": None}, (1520.0, 1680.0)),
        ({"DEADC": None}, (1520.0, 1680.0)),
        ({"DEADC": "unknown"}, (1520.0, 1680.0)),
        ({"DEADC": 0.0}, (1520.0, 1680.0)),
    ],
)
def test_times(path: Path, cards: dict[str, object], times: tuple[float, float]) -> None:
    found = read(make_hdus(cards=cards), path)
    assert (found.livetime, found.ontime) == pytest.approx(times)


@pytest.mark.parametrize(
    ("value", "comment", "expected"),
    [
        (0.5, "[TeV]", 0.5),
        (500.0, "[GeV]", 0.5),
        (500.0, "low threshold [ GeV ] of this run", 0.5),
        (0.5, "", 0.5),
        (0.5, "low threshold", 0.5),
        ("0.5", "[TeV]", 0.5),
        (0.0, "[TeV]", 0.0),
        (1, None, 1.0),
    ],
)
def test_threshold(path: Path, value: object, comment: str | None, expected: float) -> None:
    hdus = make_hdus()
    del hdus["AEFF"].header["LO_THRES"]
    hdus["AEFF"].header["LO_THRES"] = (value, comment)
    assert read(hdus, path).threshold == pytest.approx(expected)
    assert read_threshold(files_of(path)) == pytest.approx(expected)


def test_threshold_of_the_named_effective_area(path: Path) -> None:
    hdus = make_hdus()
    other = hdus["AEFF"].copy()
    other.name = "OTHER"
    other.header["LO_THRES"] = 3.0
    hdus.append(other)
    files = save(hdus, path)
    assert read_threshold(files) == 0.5
    assert read_threshold(replace(files, effective_area=HduLocation(path, "OTHER"))) == 3.0


# Good time intervals


def with_gti(start: list[float], stop: list[float], **cards: object) -> fits.HDUList:
    hdus = make_hdus()
    spans = [fits.Column("START", "D", unit="s", array=start), fits.Column("STOP", "D", unit="s", array=stop)]
    hdus["GTI"] = fits.BinTableHDU.from_columns(spans, name="GTI")
    hdus["GTI"].header.update(cards)
    return hdus


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        ([900.0], [2700.0]),
        ([1200.0], [2000.0]),
        ([1200.0, 1600.0], [1400.0, 2000.0]),
        ([1600.0, 1200.0], [2000.0, 1400.0]),  # out of order
        ([1200.0, 1300.0], [2000.0, 1400.0]),  # one inside the other
    ],
)
def test_good_time_intervals(path: Path, start: list[float], stop: list[float]) -> None:
    found = read(with_gti(start, stop), path).good
    slack = GTI_SLACK
    expected = [any(a - slack <= t <= b + slack for a, b in zip(start, stop, strict=True)) for t in TIME]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("start", "stop"), [([5000.0], [6000.0]), ([], [])])
def test_no_event_in_a_good_time_interval(path: Path, start: list[float], stop: list[float]) -> None:
    assert "good time intervals" in refused(with_gti(start, stop), path).problem


def test_clock_of_the_gti_may_differ(path: Path) -> None:
    """GTI times that count from a day earlier."""
    clock = {"MJDREFI": 53004, "MJDREFF": 0.25, "TIMESYS": "TT"}
    found = read(with_gti([86400.0 + 1200.0], [86400.0 + 2000.0], **clock), path).good
    np.testing.assert_array_equal(found, read(with_gti([1200.0], [2000.0]), path).good)
    assert 0 < found.sum() < N


def test_event_without_time_is_in_no_interval(path: Path) -> None:
    time = TIME.copy()
    time[3] = np.nan
    found = read(make_hdus(TIME=fits.Column("TIME", "D", unit="s", array=time)), path)
    assert np.flatnonzero(~found.good).tolist() == [3]


def test_no_gti_in_the_index(path: Path) -> None:
    files = replace(save(with_gti([5000.0], [6000.0]), path), gti=None)
    assert read_observation(7, files).good.all()


def test_missing_gti_file_is_named(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.fits"
    files = replace(save(make_hdus(), path), gti=HduLocation(other, "GTI"))
    with pytest.raises(ObservationError, match="no such file") as error:
        read_observation(7, files)
    assert error.value.path == other
    make_hdus()["EVENTS"].writeto(other)
    with pytest.raises(ObservationError, match="no table of this name") as error:
        read_observation(7, files)
    assert (error.value.path, error.value.hdu) == (other, "GTI")


# Alignment


@pytest.mark.parametrize("stored", ["ALTAZ", "altaz ", None, "RADEC"])
@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_detx_is_used_if_it_has_the_alignment_asked_for(path: Path, stored: str | None, align: str) -> None:
    found = read(make_hdus(cards={"FOVALIGN": stored}), path, align)
    usable = (stored or "ALTAZ").strip().upper() == align
    assert (found.rotation is None) == usable
    assert (found.time is None) == usable
    expected = columns()["DETX" if usable else "RA"].array
    np.testing.assert_array_equal(found.lon, expected)


@pytest.mark.parametrize(("stored", "align"), [("ALTAZ", "RADEC"), ("RADEC", "ALTAZ")])
def test_other_alignment_without_ra_and_dec(path: Path, stored: str, align: str) -> None:
    error = refused(make_hdus("RA", cards={"FOVALIGN": stored}), path, align)
    assert f"no DETX and DETY aligned with {align}" in error.problem
    assert (error.hdu, error.column, error.remedy) == ("EVENTS", "DETX, DETY", "choose the other --align")


@pytest.mark.parametrize("dropped", [("DETX",), ("DETY",), ("DETX", "DETY")])
def test_rotation_instead_of_missing_detx(path: Path, dropped: tuple[str, ...]) -> None:
    found = read(make_hdus(*dropped), path)
    assert found.rotation is not None
    assert found.time is not None
    np.testing.assert_array_equal(found.time, TIME)
    assert found.rotation.times[0] <= TIME[0]
    assert found.rotation.times[-1] >= TIME[-1]
    assert (found.lon.dtype, found.lat.dtype) == (np.float64, np.float64)


def test_location_by_telescope(path: Path) -> None:
    no_location = {"GEOLON": None, "GEOLAT": None, "ALTITUDE": None}
    by_name = read(make_hdus("DETX", cards=no_location), path).rotation
    by_cards = read(make_hdus("DETX"), path).rotation
    assert by_name is not None
    assert by_cards is not None
    np.testing.assert_allclose(by_name.matrices, by_cards.matrices, atol=1e-4)


def test_radec_needs_neither_time_nor_location(path: Path) -> None:
    missing = {"GEOLON": None, "TELESCOP": None, "MJDREFI": None, "MJDREFF": None}
    found = read(make_hdus("DETX", cards=missing), path, "RADEC")
    assert found.rotation is not None


def test_some_values_that_are_no_numbers_are_kept(path: Path) -> None:
    """They are counted as invalid later, in the ledger."""
    detx = np.full(N, np.nan, dtype=np.float32)
    detx[5] = 1.0
    energy = np.full(N, np.nan, dtype=np.float32)
    energy[5] = 1.0
    hdus = make_hdus(
        DETX=fits.Column("DETX", "E", unit="deg", array=detx),
        ENERGY=fits.Column("ENERGY", "E", unit="TeV", array=energy),
    )
    found = read(hdus, path)
    assert found.energy.size == N
    assert np.isfinite(found.lon).sum() == 1


# What is refused


@pytest.mark.parametrize(
    ("cards", "key", "problem"),
    [
        ({"LIVETIME": 0.0}, "LIVETIME", "0 is not positive"),
        ({"LIVETIME": -5.0}, "LIVETIME", "-5 is not positive"),
        ({"LIVETIME": "nan"}, "LIVETIME", "'nan' is no finite number"),
        ({"LIVETIME": "inf"}, "LIVETIME", "'inf' is no finite number"),
        ({"LIVETIME": "long"}, "LIVETIME", "'long' is no finite number"),
        ({"ONTIME": 0}, "ONTIME", "0 is not positive"),
        ({"LIVETIME": None, "DEADC": None}, "DEADC", "keyword is missing"),
        ({"LIVETIME": None, "DEADC": 0.0}, "DEADC", "0 is not positive"),
        ({"LIVETIME": None, "ONTIME": None}, "ONTIME", "keyword is missing"),
        ({"LIVETIME": 3000.0}, "LIVETIME", "longer than the ontime"),
        ({"LIVETIME": (0.4, "[deg] livetime")}, "LIVETIME", "cannot be converted"),
    ],
)
def test_times_that_make_no_sense(path: Path, cards: dict[str, object], key: str, problem: str) -> None:
    error = refused(make_hdus(cards=cards), path)
    assert problem in error.problem
    assert (error.hdu, error.column) == ("EVENTS", key)


@pytest.mark.parametrize(
    ("cards", "key", "problem"),
    [
        ({"RA_PNT": "nan"}, "RA_PNT", "'nan' is no finite number"),
        ({"DEC_PNT": "nan"}, "DEC_PNT", "'nan' is no finite number"),
        ({"DEC_PNT": None}, "DEC_PNT", "keyword is missing"),
        ({"DEC_PNT": 95.0}, "DEC_PNT", "95.0 deg is no declination"),
        ({"TIMESYS": "LOCAL"}, "TIMESYS", "'LOCAL' is no time scale"),
        ({"MJDREFI": None, "MJDREFF": None}, "MJDREF", "keyword is missing"),
        ({"MJDREFF": "x"}, "MJDREFF", "'x' is no finite number"),
        ({"GEOLAT": "nan"}, "GEOLAT", "'nan' is no finite number"),
        ({"GEOLON": None, "TELESCOP": "Hubble"}, "GEOLON", "TELESCOP is 'Hubble'"),
        ({"GEOLON": None, "TELESCOP": None}, "GEOLON", "TELESCOP is None"),
    ],
)
def test_cards_that_the_rotation_needs(path: Path, cards: dict[str, object], key: str, problem: str) -> None:
    error = refused(make_hdus("DETX", cards=cards), path)
    assert problem in error.problem
    assert (error.hdu, error.column) == ("EVENTS", key)
    assert read(make_hdus(cards=cards), path).rotation is None  # nobody needs them where DETX is there


@pytest.mark.parametrize(
    ("name", "unit", "problem"),
    [
        ("ENERGY", "parsnip", "unit 'parsnip' is not known"),
        ("ENERGY", "deg", "unit 'deg' cannot be converted to TeV"),
        ("ENERGY", None, "no unit"),
        ("DETX", "TeV", "unit 'TeV' cannot be converted to deg"),
        ("DETY", "mm/", "unit 'mm/' is not known"),
        ("TIME", "m", "unit 'm' cannot be converted to s"),
    ],
)
def test_units_that_make_no_sense(path: Path, name: str, unit: str | None, problem: str) -> None:
    hdus = make_hdus()
    hdus["EVENTS"].columns[name].unit = unit
    error = refused(hdus, path)
    assert problem in error.problem
    assert (error.hdu, error.column) == ("EVENTS", name)


@pytest.mark.parametrize(
    ("dropped", "column"),
    [
        (("ENERGY",), "ENERGY"),
        (("DETX", "RA"), "DETX, DETY"),
        (("DETY", "DEC"), "DETX, DETY"),
        (("DETX", "TIME"), "TIME"),
    ],
)
def test_missing_columns(path: Path, dropped: tuple[str, ...], column: str) -> None:
    error = refused(make_hdus(*dropped), path)
    assert (error.hdu, error.column) == ("EVENTS", column)
    assert "missing" in error.problem or "no RA and DEC" in error.problem


@pytest.mark.parametrize(
    "column",
    [
        fits.Column("ENERGY", "10A", unit="TeV", array=np.full(N, "0.5")),
        fits.Column("ENERGY", "3E", unit="TeV", array=np.ones((N, 3))),
        fits.Column("ENERGY", "L", unit="TeV", array=np.ones(N, dtype=bool)),
        fits.Column("ENERGY", "C", unit="TeV", array=np.ones(N, dtype=complex)),
        fits.Column("ENERGY", "PE()", unit="TeV", array=np.array([np.ones(2)] * N, dtype=object)),
    ],
    ids=["text", "three each", "logical", "complex", "variable length"],
)
def test_columns_that_are_no_numbers(path: Path, column: fits.Column) -> None:
    error = refused(make_hdus(ENERGY=column), path)
    assert "not one number per event" in error.problem
    assert (error.hdu, error.column) == ("EVENTS", "ENERGY")


def test_no_events(path: Path) -> None:
    hdus = make_hdus()
    hdus["EVENTS"].data = hdus["EVENTS"].data[:0]
    error = refused(hdus, path)
    assert (error.problem, error.hdu) == ("no events", "EVENTS")


@pytest.mark.parametrize("name", ["DETX", "DETY"])
def test_all_nan(path: Path, name: str) -> None:
    column = fits.Column(name, "E", unit="deg", array=np.full(N, np.nan))
    error = refused(make_hdus(**{name: column}), path)
    assert (error.hdu, error.column) == ("EVENTS", "DETX, DETY")


@pytest.mark.parametrize("last", [1e5, 1e15])
def test_times_of_more_than_a_day(path: Path, last: float) -> None:
    time = fits.Column("TIME", "D", unit="s", array=np.append(TIME[:-1], last))
    error = refused(make_hdus("DETX", TIME=time), path)
    assert "more than a day" in error.problem
    assert error.column == "TIME"


def test_times_that_are_no_numbers(path: Path) -> None:
    time = fits.Column("TIME", "D", unit="s", array=np.full(N, np.nan))
    error = refused(make_hdus("DETX", TIME=time), path)
    assert (error.problem, error.column) == ("no finite value", "TIME")


@pytest.mark.parametrize(
    ("card", "problem"),
    [
        (None, "no energy threshold"),
        (("nan", "[TeV]"), "'nan' is no finite number"),
        ((0.5, "[parsnip]"), "unit 'parsnip' is not known"),
        ((0.5, "[m2]"), "unit 'm2' cannot be converted to TeV"),
        ((-0.5, "[TeV]"), "-0.5 TeV is no energy threshold"),
        ((1e-250, "[TeV]"), "1e-250 TeV is no energy threshold"),
    ],
)
def test_thresholds_that_make_no_sense(path: Path, card: tuple[object, str] | None, problem: str) -> None:
    hdus = make_hdus()
    del hdus["AEFF"].header["LO_THRES"]
    if card:
        hdus["AEFF"].header["LO_THRES"] = card
    error = refused(hdus, path)
    assert problem in error.problem
    assert (error.hdu, error.column) == ("AEFF", "LO_THRES")
    with pytest.raises(ObservationError, match=r"LO_THRES") as error_of_threshold:
        read_threshold(files_of(path))
    assert error_of_threshold.value.path == path


@pytest.mark.parametrize("part", ["events", "effective_area", "gti"])
@pytest.mark.parametrize("name", ["OTHER", "PRIMARY"])
def test_wrong_hdu_name(path: Path, part: str, name: str) -> None:
    files = replace(save(make_hdus(), path), **{part: HduLocation(path, name)})
    with pytest.raises(ObservationError, match=r"no table of this name .* EVENTS, GTI, AEFF") as error:
        read_observation(7, files)
    assert (error.value.path, error.value.hdu) == (path, name)


@pytest.mark.parametrize("part", ["events", "effective_area"])
def test_index_without_a_part(path: Path, part: str) -> None:
    files = replace(save(make_hdus(), path), **{part: None})
    with pytest.raises(ObservationError, match=f"names no {'EVENTS' if part == 'events' else 'AEFF'} HDU"):
        read_observation(7, files)


def test_image_instead_of_a_table(path: Path) -> None:
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((3, 3)), name="EVENTS")])
    error = refused(hdus, path)
    assert error.hdu == "EVENTS"


@pytest.mark.parametrize("part", ["events", "effective_area", "gti"])
def test_missing_file(path: Path, tmp_path: Path, part: str) -> None:
    other = tmp_path / "none.fits.gz"
    files = replace(save(make_hdus(), path), **{part: HduLocation(other, None)})
    with pytest.raises(ObservationError, match="no such file") as error:
        read_observation(7, files)
    assert error.value.path == other


# Damaged files


PLAIN = fits_bytes(make_hdus())
COMPRESSED = compress(PLAIN)


def check_damaged(folder: Path, damaged: bytes) -> Observation | None:
    """Read a damaged file: an observation, or an error that names it. Anything else fails the test."""
    path = folder / "run.fits"
    path.write_bytes(damaged)
    try:
        return read_observation(7, files_of(path))
    except ObservationError as error:
        if error.path != path or "\n" in str(error):
            raise AssertionError(f"error does not name the file in one line: {error}") from error
        return None


@settings(max_examples=150)
@given(length=st.integers(0, len(PLAIN) - 1))
def test_truncated_plain_file(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    found = check_damaged(tmp_path_factory.mktemp("cut"), PLAIN[:length])
    # The last HDU is the effective area, of which the header is all that is needed.
    whole = length > len(PLAIN) - 2880
    assert (found is not None) == whole
    if found:
        assert found.threshold == 0.5
        np.testing.assert_array_equal(found.energy, ENERGY.astype(np.float32))


@settings(max_examples=80)
@given(length=st.integers(0, len(COMPRESSED) - 1))
def test_truncated_gzip(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    assert check_damaged(tmp_path_factory.mktemp("cut"), COMPRESSED[:length]) is None


@settings(max_examples=200)
@given(position=st.integers(0, len(PLAIN) - 1), byte=st.integers(0, 255))
def test_wrong_byte(tmp_path_factory: pytest.TempPathFactory, position: int, byte: int) -> None:
    damaged = bytearray(PLAIN)
    damaged[position] = byte
    found = check_damaged(tmp_path_factory.mktemp("bad"), bytes(damaged))
    assert found is None or found.livetime > 0


# Real files


def test_hess_dl3_dr1(hess_dl3_dr1: Path) -> None:
    store = DataStore.open(hess_dl3_dr1)
    index = Table.read(hess_dl3_dr1 / "obs-index.fits.gz")
    assert len(index) == 44
    for row in index:
        path = hess_dl3_dr1 / "data" / f"hess_dl3_dr1_obs_id_{row['OBS_ID']:06d}.fits.gz"
        found = store.read(int(row["OBS_ID"]))
        area = fits.getheader(path, "AEFF")
        assert found.energy.size == row["EVENT_COUNT"]
        assert found.threshold == area["LO_THRES"] == store.threshold(int(row["OBS_ID"]))
        assert (found.livetime, found.ontime) == pytest.approx((row["LIVETIME"], row["ONTIME"]))
        assert found.good.all()
        assert found.rotation is not None


@pytest.mark.parametrize("obs_id", [20136, 33787])
def test_field_of_view_coordinates_of_real_events(hess_dl3_dr1: Path, obs_id: int) -> None:
    found = DataStore.open(hess_dl3_dr1).read(obs_id)
    path = hess_dl3_dr1 / "data" / f"hess_dl3_dr1_obs_id_{obs_id:06d}.fits.gz"
    header = fits.getheader(path, "EVENTS")
    some = slice(None, None, 50)
    reference = Time(header["MJDREFI"], header["MJDREFF"], format="mjd", scale="tt")
    site = EarthLocation.from_geodetic(header["GEOLON"], header["GEOLAT"], header["ALTITUDE"])
    frame = AltAz(obstime=reference + found.time[some] * u.s, location=site)
    pointing = SkyCoord(header["RA_PNT"], header["DEC_PNT"], unit="deg").transform_to(frame)
    events = SkyCoord(found.lon[some], found.lat[some], unit="deg").transform_to(frame)
    fov_frame = pytest.importorskip("gammapy.utils.coordinates").FoVAltAzFrame
    theirs = events.transform_to(fov_frame(origin=pointing, obstime=frame.obstime, location=site))
    rotation = interpolate_rotation(found.time[some], found.rotation.times, found.rotation.matrices)
    lon, lat = sky_to_fov(found.lon[some], found.lat[some], rotation)
    distance = SkyCoord(lon, lat, unit="deg").separation(SkyCoord(theirs.fov_lon, theirs.fov_lat))
    assert distance.arcsec.max() < 5
    assert pointing.alt.deg.mean() == pytest.approx(header["ALT_PNT"], abs=0.5)
