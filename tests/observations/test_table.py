"""Observation tables: what `read` makes of the files of 2015, of GADF and of others, and the selections."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpucube.errors import DataError, OptionError
from gpucube.observations.columns import column_floats, column_texts, column_values, read_tables
from gpucube.observations.table import (
    ObservationTable,
    is_longitude,
    select_linspace,
    select_range,
    select_sky_circle,
    wrap_longitude,
)

GADF = ("OBS_ID", "RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT", "ONTIME", "LIVETIME")


def rows(n: int = 3) -> Table:
    i = np.arange(n)
    columns = [i + 20, 10.0 + i, -5.0 - i, 50.0 + i, 170.0 + i, 1800.0 + i, 1700.0 + i]
    units = [None, "deg", "deg", "deg", "deg", "s", "s"]
    return Table(columns, names=GADF, units=units, meta={"TELESCOP": "HESS"})


def observations(n: int) -> ObservationTable:
    return ObservationTable(rows(n))


def write(table: Table, path: Path) -> Path:
    table.write(path, overwrite=True)
    return path


def assert_same_values(found: Table, expected: Table) -> None:
    for name in GADF:
        np.testing.assert_array_equal(found[name], expected[name])
        assert found[name].unit == expected[name].unit


# Reading


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz", "a.ecsv", "a.csv", "a.vot", "a.txt"])
def test_read_any_format(tmp_path: Path, name: str) -> None:
    table = rows()
    formats = {"a.vot": "votable", "a.txt": "ascii.fixed_width_two_line"}
    table.write(tmp_path / name, format=formats.get(name))
    found = ObservationTable.read(tmp_path / name)
    assert isinstance(found, ObservationTable)
    assert_same_values(found, table)


def test_read_names_and_units_of_2015(tmp_path: Path) -> None:
    old = rows()
    old.rename_columns(GADF, ("OBS_ID", "RA", "DEC", "ALT", "AZ", "TIME_OBSERVATION", "TIME_LIVE"))
    old["N_TELS"] = np.array([3, 4, 4], dtype=np.int16)
    found = ObservationTable.read(write(old, tmp_path / "runinfo.fits"))
    assert found.colnames == [*GADF, "N_TELS"]
    assert_same_values(found, rows())
    assert found["N_TELS"].dtype.itemsize == 2
    assert found.meta["TELESCOP"] == "HESS"


def test_read_takes_any_case_and_prefers_gadf_names(tmp_path: Path) -> None:
    table = rows()
    table.rename_columns(["OBS_ID", "RA_PNT"], ["obs_id", "ra_pnt"])
    table["RA"] = [1.0, 2.0, 3.0]
    found = ObservationTable.read(write(table, tmp_path / "a.fits"))
    assert_same_values(found, rows())
    np.testing.assert_array_equal(found["RA"], [1, 2, 3])


@pytest.mark.parametrize(
    ("unit", "factor"), [("rad", np.pi / 180), ("arcmin", 60.0), ("hourangle", 1 / 15), (None, 1.0), ("degrees", 1.0)]
)
def test_read_converts_angles(tmp_path: Path, unit: str | None, factor: float) -> None:
    table = rows()
    table["RA_PNT"] = np.asarray(table["RA_PNT"]) * factor
    path = write(table, tmp_path / "a.fits")
    if unit:
        fits.setval(path, "TUNIT2", value=unit, ext=1)
    found = ObservationTable.read(path)
    np.testing.assert_allclose(found["RA_PNT"], rows()["RA_PNT"], rtol=1e-15)
    assert found["RA_PNT"].unit == u.deg


def test_read_converts_times_strings_and_single_precision(tmp_path: Path) -> None:
    table = rows()
    table["ONTIME"] = (table["ONTIME"].quantity / 60).astype(np.float64)
    table["ONTIME"].unit = "min"
    table["LIVETIME"] = np.array(["1700.0", " 1701", ""])
    table["OBS_ID"] = ["000020", "21", " 22 "]
    table["ALT_PNT"] = table["ALT_PNT"].astype(np.float32)
    found = ObservationTable.read(write(table, tmp_path / "a.fits"))
    np.testing.assert_allclose(found["ONTIME"], [1800, 1801, 1802], rtol=1e-15)
    np.testing.assert_array_equal(found["LIVETIME"], [1700, 1701, np.nan])
    np.testing.assert_array_equal(found["OBS_ID"], [20, 21, 22])
    assert found["ALT_PNT"].dtype == np.float64
    assert found["OBS_ID"].dtype == np.int64


def test_read_masked_values_are_nan(tmp_path: Path) -> None:
    table = Table(rows(), masked=True)
    table["RA_PNT"].mask = [False, True, False]
    found = ObservationTable.read(write(table, tmp_path / "a.ecsv"))
    np.testing.assert_array_equal(found["RA_PNT"], [10, np.nan, 12])
    assert np.isnan(found.pointing.ra.deg).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["ZEN_PNT", "ZENITH", "zen"])
def test_read_altitude_from_zenith_angle(tmp_path: Path, name: str) -> None:
    table = rows()
    table[name] = 90 * u.deg - table["ALT_PNT"].quantity
    del table["ALT_PNT"]
    found = ObservationTable.read(write(table, tmp_path / "a.ecsv"))
    np.testing.assert_allclose(found["ALT_PNT"], [50, 51, 52])
    assert name in found.colnames


def test_read_without_altaz_is_allowed(tmp_path: Path) -> None:
    table = rows()
    table.remove_columns(["ALT_PNT", "AZ_PNT"])
    assert len(ObservationTable.read(write(table, tmp_path / "a.fits"))) == 3


def test_read_chooses_the_table_with_observations(tmp_path: Path) -> None:
    other = fits.table_to_hdu(Table({"X": [1.0]}))
    hdus = fits.HDUList([fits.PrimaryHDU(), other, fits.table_to_hdu(rows())])
    hdus.writeto(tmp_path / "a.fits")
    assert_same_values(ObservationTable.read(tmp_path / "a.fits"), rows())


@pytest.mark.parametrize("missing", ["OBS_ID", "RA_PNT", "DEC_PNT"])
def test_read_refuses_a_table_without_pointings(tmp_path: Path, missing: str) -> None:
    table = rows()
    del table[missing]
    path = write(table, tmp_path / "a.fits")
    with pytest.raises(DataError, match="column is missing") as error:
        ObservationTable.read(path)
    assert (error.value.path, error.value.column) == (path, missing)
    assert missing.removesuffix("_PNT") in str(error.value.remedy)
    assert "LIVETIME" in str(error.value.remedy)


@pytest.mark.parametrize(
    ("column", "values", "unit"),
    [
        ("OBS_ID", [1.5, 2, 3], None),
        ("OBS_ID", ["a", "2", "3"], None),
        ("OBS_ID", [np.nan, 2, 3], None),
        ("RA_PNT", ["x", "2", "3"], "deg"),
        ("RA_PNT", [1.0, 2, 3], "TeV"),
        ("RA_PNT", [1.0, 2, 3], "nonsense"),
        ("DEC_PNT", [[1.0, 2], [3, 4], [5, 6]], "deg"),
        ("ONTIME", [1.0, 2, 3], "deg"),
    ],
)
def test_read_refuses_nonsense(tmp_path: Path, column: str, values: list, unit: str | None) -> None:
    table = rows()
    table[column] = np.array(values)
    path = write(table, tmp_path / "a.fits")
    if unit:
        fits.setval(path, f"TUNIT{GADF.index(column) + 1}", value=unit, ext=1)
    with pytest.raises(DataError) as error:
        ObservationTable.read(path)
    assert (error.value.path, error.value.column) == (path, column)
    assert error.value.remedy


def test_read_refuses_masked_observation_number(tmp_path: Path) -> None:
    table = rows()
    table["OBS_ID"] = MaskedColumn([1, 2, 3], mask=[False, True, False])
    with pytest.raises(DataError, match="row 1 has no whole number"):
        ObservationTable.read(write(table, tmp_path / "a.ecsv"))


def test_read_refuses_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        ObservationTable.read(tmp_path / "nothing.fits")
    path = write(rows(3000), tmp_path / "a.fits.gz")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match="cannot be read"):
        ObservationTable.read(path)
    plain = write(rows(3000), tmp_path / "b.fits")
    plain.write_bytes(plain.read_bytes()[:-20000])
    with pytest.raises(DataError, match="cannot be read"):
        ObservationTable.read(plain)
    fits.PrimaryHDU(np.zeros((2, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(DataError, match="holds no table"):
        ObservationTable.read(tmp_path / "image.fits")
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(DataError, match="noise"):
        ObservationTable.read(tmp_path / "noise")


def test_read_tables_gives_every_table(tmp_path: Path) -> None:
    hdus = [fits.PrimaryHDU(), *(fits.table_to_hdu(rows(n)) for n in (1, 2))]
    with gzip.open(tmp_path / "a.fits.gz", "wb") as file:
        fits.HDUList(hdus).writeto(file)
    assert [len(table) for table in read_tables(tmp_path / "a.fits.gz")] == [1, 2]


# Writing and columns


def test_to_hdu_keeps_columns_units_and_meta(tmp_path: Path) -> None:
    hdu = observations(3).to_hdu()
    assert hdu.header["EXTNAME"] == "OBS_INDEX"
    assert not {"DATE", "CHECKSUM"} & set(hdu.header)
    hdu.writeto(tmp_path / "a.fits")
    found = ObservationTable.read(tmp_path / "a.fits")
    assert_same_values(found, rows())
    assert found.meta["TELESCOP"] == "HESS"


def test_table_takes_quantities_and_keeps_its_class() -> None:
    table = ObservationTable(QTable(rows()))
    assert isinstance(table[table["ALT_PNT"] > 50.5], ObservationTable)
    np.testing.assert_allclose(table.pointing.dec.deg, [-5, -6, -7])


@pytest.mark.parametrize(("ra", "dec"), [(np.nan, 1.0), (1.0, np.nan), (np.inf, 1.0), (1.0, 95.0), (1.0, np.inf)])
def test_pointing_that_is_no_position_is_nan(ra: float, dec: float) -> None:
    table = observations(2)
    table["RA_PNT"][1], table["DEC_PNT"][1] = ra, dec
    assert np.isnan(table.pointing.ra.deg).tolist() == [False, True]
    assert np.isnan(table.pointing.dec.deg).tolist() == [False, True]


def test_column_values_and_texts() -> None:
    table = Table({"B": [b"1.5", b""], "M": MaskedColumn(["a", "b"], mask=[False, True]), "I": [1, 2]})
    np.testing.assert_array_equal(column_floats(table["B"]), [1.5, np.nan])
    assert column_texts(table["B"]) == ["1.5", ""]
    assert column_texts(table["M"]) == ["a", ""]
    assert column_texts(table["I"]) == ["1", "2"]
    with pytest.raises(DataError, match=r"no such column.*columns: B, M, I"):
        column_values(table, "X", "deg")


# Selections


@given(n_rows=st.integers(0, 200), n=st.integers(1, 250))
def test_linspace_selects_evenly(n_rows: int, n: int) -> None:
    selected = np.asarray(select_linspace(observations(n_rows), n)["OBS_ID"])
    assert len(selected) == min(n, n_rows)
    if n_rows:
        assert selected[0] == 20
    if 1 < n <= n_rows:
        assert selected[-1] == 20 + n_rows - 1
        steps = np.diff(selected)
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1


def test_selections_keep_class_meta_and_order() -> None:
    table = observations(9)
    for selected in (
        select_linspace(table, 4),
        select_range(table, "ALT_PNT", 51, 54),
        select_sky_circle(table, 13, -8, 2),
    ):
        assert isinstance(selected, ObservationTable)
        assert selected.meta == table.meta
        assert 0 < len(selected) < 9
        assert (np.diff(selected["OBS_ID"]) > 0).all()


@pytest.mark.parametrize("n", [0, -1])
def test_linspace_refuses_nothing(n: int) -> None:
    with pytest.raises(OptionError, match="at least 1"):
        select_linspace(observations(3), n)


def haversine(lon1: np.ndarray, lat1: np.ndarray, lon2: float, lat2: float) -> np.ndarray:
    lon1, lat1, lon2, lat2 = (np.deg2rad(x) for x in (lon1, lat1, lon2, lat2))
    h = np.sin((lat1 - lat2) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon1 - lon2) / 2) ** 2
    return np.rad2deg(2 * np.arcsin(np.sqrt(np.clip(h, 0, 1))))


@given(
    lon=hnp.arrays(np.float64, 12, elements=st.floats(-360, 720)),
    lat=hnp.arrays(np.float64, 12, elements=st.floats(-90, 90)),
    centre=st.tuples(st.floats(0, 360), st.floats(-90, 90)),
    radius=st.floats(0, 180),
)
def test_sky_circle_agrees_with_haversine(
    lon: np.ndarray, lat: np.ndarray, centre: tuple[float, float], radius: float
) -> None:
    table = observations(12)
    table["RA_PNT"], table["DEC_PNT"] = lon, lat
    separation = haversine(lon, lat, *centre)
    clear = np.abs(separation - radius) > 1e-5  # the haversine loses digits near 180 deg
    inside = set(select_sky_circle(table, *centre, radius)["OBS_ID"].tolist())
    outside = set(select_sky_circle(table, *centre, radius, inverted=True)["OBS_ID"].tolist())
    assert inside.isdisjoint(outside)
    assert inside | outside == set(table["OBS_ID"].tolist())
    assert set(table["OBS_ID"][clear & (separation < radius)].tolist()) <= inside
    assert set(table["OBS_ID"][clear & (separation > radius)].tolist()) <= outside


def test_sky_circle_frames_and_units() -> None:
    table = observations(2)
    table["RA_PNT"], table["DEC_PNT"] = [83.63, 266.4], [22.01, -29.0]
    selected = select_sky_circle(table, "0 deg", 0 * u.rad, 30 * u.arcmin, frame="galactic")
    assert selected["OBS_ID"].tolist() == [21]


@pytest.mark.parametrize("inverted", [False, True])
def test_nan_is_in_no_selection(inverted: bool) -> None:
    table = observations(3)
    table["RA_PNT"][1] = table["ALT_PNT"][1] = table["AZ_PNT"][1] = np.nan
    assert 21 not in select_sky_circle(table, 0, 0, 1, inverted=inverted)["OBS_ID"]
    assert 21 not in select_range(table, "ALT_PNT", 0, 50, inverted=inverted)["OBS_ID"]
    assert 21 not in select_range(table, "AZ_PNT", 0, 170, inverted=inverted)["OBS_ID"]


@pytest.mark.parametrize(
    ("lon", "lat", "radius", "frame"),
    [(0, 95, 1, "icrs"), (0, 0, 1, "x"), (0, 0, "1 s", "icrs"), (0, 0, np.nan, "icrs")],
)
def test_sky_circle_refuses_nonsense(lon: float, lat: float, radius: float | str, frame: str) -> None:
    with pytest.raises(OptionError):
        select_sky_circle(observations(2), lon, lat, radius, frame=frame)


@given(
    values=hnp.arrays(np.float64, 20, elements=st.floats(-5, 5, width=16) | st.just(np.nan)),
    ends=st.tuples(st.floats(-5, 5, width=16), st.floats(-5, 5, width=16)).map(sorted),
)
def test_range_is_closed(values: np.ndarray, ends: list[float]) -> None:
    table = observations(20)
    table["MUONEFF"] = values
    inside = select_range(table, "MUONEFF", *ends)
    outside = select_range(table, "MUONEFF", *ends, inverted=True)
    np.testing.assert_array_equal(inside["MUONEFF"], values[(values >= ends[0]) & (values <= ends[1])])
    assert len(inside) + len(outside) == np.isfinite(values).sum()


# Multiples of 1/64 deg, so that turning by 360 deg is exact.
sixtyfourths = st.integers(-(2**16), 2**16).map(lambda i: i / 64)


@given(
    values=st.lists(sixtyfourths, min_size=1),
    low=sixtyfourths,
    width=st.integers(0, 360 * 64),
    turns=st.integers(-3, 3),
)
def test_azimuth_range_goes_round(values: list[float], low: float, width: int, turns: int) -> None:
    table = observations(len(values))
    table["AZ_PNT"] = np.array(values)
    expected = [20 + i for i, value in enumerate(values) if (value - low) % 360 <= width / 64]
    high = low + width / 64
    assert select_range(table, "AZ_PNT", low, high)["OBS_ID"].tolist() == expected
    table["AZ_PNT"] += 360.0 * turns
    assert select_range(table, "AZ_PNT", low * u.deg, f"{high} deg")["OBS_ID"].tolist() == expected
    if 0 < width < 360 * 64:
        assert select_range(table, "AZ_PNT", low, high - 360)["OBS_ID"].tolist() == expected


def test_range_wrap_can_be_chosen() -> None:
    table = observations(3)
    table["PHASE"] = [10.0, 350.0, 180.0] * u.deg
    assert select_range(table, "PHASE", -20, 20)["OBS_ID"].tolist() == [20]
    assert select_range(table, "PHASE", -20, 20, wrap=True)["OBS_ID"].tolist() == [20, 21]
    table["AZ_PNT"] = [10.0, 350.0, 180.0] * u.deg
    assert select_range(table, "AZ_PNT", -20, 20, wrap=False)["OBS_ID"].tolist() == [20]
    assert select_range(table, "AZ_PNT", -0.5 * u.rad, 0.5 * u.rad)["OBS_ID"].tolist() == [20, 21]


@pytest.mark.parametrize(
    ("column", "low", "high", "error"),
    [
        ("ALT_PNT", 60, 50, OptionError),
        ("ALT_PNT", "1 TeV", "2 TeV", OptionError),
        ("ALT_PNT", np.nan, 1, OptionError),
        ("ALT_PNT", "low", 1, OptionError),
        ("OBS_ID", 1 * u.s, 2 * u.s, OptionError),
        ("NOTHING", 0, 1, DataError),
        ("TARGET", 0, 1, DataError),
        ("ODD", 0, 1, DataError),
    ],
)
def test_range_refuses_nonsense(column: str, low: object, high: object, error: type[Exception]) -> None:
    table = observations(2)
    table["TARGET"] = ["Crab", "Vela"]
    table["ODD"] = [1, 2]
    table["ODD"].unit = u.Unit("nonsense", parse_strict="silent")
    with pytest.raises(error, match=r"\w"):
        select_range(table, column, low, high)


@given(
    values=hnp.arrays(np.float64, 10, elements=st.floats(-1e4, 1e4)),
    start=st.floats(-360, 360),
    period=st.sampled_from([360.0, 2 * np.pi, 24.0]),
)
def test_wrap_longitude(values: np.ndarray, start: float, period: float) -> None:
    wrapped = wrap_longitude(values, start, period)
    assert ((wrapped >= start) & (wrapped <= start + period)).all()
    turns = (wrapped - values) / period
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
    there = (values >= start) & (values < start + period)
    np.testing.assert_array_equal(wrapped[there], values[there])


def test_is_longitude() -> None:
    assert [n for n in ("AZ", "AZ_PNT", "ra", "GLON_PNT", "ALT_PNT", "AZ_ERR", "RATE") if is_longitude(n)] == [
        "AZ",
        "AZ_PNT",
        "ra",
        "GLON_PNT",
    ]


# Real data


def test_read_hess_dl3_dr1(hess_dl3_dr1: Path) -> None:
    table = ObservationTable.read(hess_dl3_dr1 / "obs-index.fits.gz")
    assert len(table) == 44
    assert set(GADF) <= set(table.colnames)
    assert len(np.unique(table["OBS_ID"])) == 44
    assert (table["LIVETIME"] < table["ONTIME"]).all()
    crab = select_sky_circle(table, "83.633 deg", "22.014 deg", "2 deg")
    assert set(column_texts(crab["TARGET_NAME"])) == {"Crab"}
    assert len(select_linspace(table, 10)) == 10
    np.testing.assert_array_equal(Table(table.to_hdu().data)["OBS_ID"], table["OBS_ID"])
