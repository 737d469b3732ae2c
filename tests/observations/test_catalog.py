"""Source catalogues: the spellings of files, and the exclusion of pointings near sources."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpucube.errors import DataError, OptionError
from gpucube.observations.catalog import SourceCatalog, near_source
from gpucube.observations.table import ObservationTable

RA, DEC = [83.633, 128.75, 299.868], [22.0145, -45.6, 65.149]
NAMES = ["Crab Nebula", "Vela X", "1ES 1959+650"]


def read(table: Table, path: Path, **options: object) -> SourceCatalog:
    table.write(path, **options)
    return SourceCatalog.read(path)


def assert_positions(catalog: SourceCatalog, atol: float = 1e-9) -> None:
    np.testing.assert_allclose(catalog.positions.ra.deg, RA, atol=atol)
    np.testing.assert_allclose(catalog.positions.dec.deg, DEC, atol=atol)


# The built-in catalogue


def test_builtin() -> None:
    catalog = SourceCatalog.builtin()
    assert len(catalog) == 133
    assert "Ajello et al. 2017" in catalog.origin
    crab = catalog.names.tolist().index("Crab Nebula")
    assert catalog.positions[crab].separation(SkyCoord("05h34m31.94s +22d00m52.2s")) < 1 * u.arcmin
    assert catalog.radius[crab] == 0
    assert catalog.radius.unit == u.deg
    assert catalog.radius[catalog.names.tolist().index("Vela X")] == 0.91 * u.deg


def test_builtin_cannot_be_changed() -> None:
    for values in (SourceCatalog.builtin().names, SourceCatalog.builtin().radius):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = values[1]


def test_head_and_empty() -> None:
    catalog = SourceCatalog.builtin()
    assert catalog.head(5).names.tolist() == catalog.names[:5].tolist()
    assert len(catalog.head(5).positions) == len(catalog.head(5).radius) == 5
    assert catalog.head(5).origin == catalog.origin
    assert len(catalog.head(1000)) == 133
    assert len(catalog.head(0)) == len(SourceCatalog.empty()) == 0
    with pytest.raises(OptionError, match="-1"):
        catalog.head(-1)


def test_lengths_must_agree() -> None:
    with pytest.raises(OptionError, match="equally long"):
        SourceCatalog(np.array(["a"]), SkyCoord([1, 2], [3, 4], unit="deg"), [0, 0] * u.deg, "test")


# Spellings


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz", "a.ecsv", "a.csv", "a.vot", "a.txt"])
def test_read_any_format(tmp_path: Path, name: str) -> None:
    table = Table([NAMES, RA, DEC, [0.1, 0.2, 0]], names=["name", "ra", "dec", "radius"])
    formats = {"a.vot": "votable", "a.txt": "ascii.fixed_width_two_line"}
    catalog = read(table, tmp_path / name, format=formats.get(name))
    assert_positions(catalog)
    assert catalog.names.tolist() == NAMES
    assert catalog.radius.to_value("deg").tolist() == [0.1, 0.2, 0]
    assert catalog.origin == str(tmp_path / name)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_read_text_with_any_separator(tmp_path: Path, delimiter: str) -> None:
    lines = [delimiter.join(map(str, row)) for row in (("name", "ra", "dec"), *zip(NAMES, RA, DEC, strict=True))]
    (tmp_path / "a.dat").write_text("\n".join(lines) + "\n")
    catalog = SourceCatalog.read(tmp_path / "a.dat")
    assert_positions(catalog)
    assert catalog.names.tolist() == NAMES


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ("RAJ2000", "DEJ2000"),  # 3FHL, 4FGL, VizieR
        ("RAJ2000", "DECJ2000"),
        ("_RAJ2000", "_DEJ2000"),
        ("RA_J2000", "Dec_J2000"),
        ("RA_ICRS", "DE_ICRS"),
        ("ra", "dec"),  # gamma-cat
        ("RA", "Dec"),
        ("coord_ra", "coord_dec"),  # TeVCat
        ("RA (J2000)", "Dec (J2000)"),
        ("RA [deg]", "Dec [deg]"),
        ("R.A.", "Dec."),
        ("RAdeg", "DEdeg"),
        ("pos_ra", "pos_dec"),
    ],
)
def test_read_spellings_of_positions(tmp_path: Path, ra: str, dec: str) -> None:
    table = Table([["x", "y", "z"], DEC, RA], names=["label", dec, ra])
    catalog = read(table, tmp_path / "a.ecsv")
    assert_positions(catalog)
    assert catalog.radius.to_value("deg").tolist() == [0, 0, 0]
    assert catalog.names.tolist() == ["source 0", "source 1", "source 2"]


@pytest.mark.parametrize("name", ["name", "common_name", "canonical_name", "Source_Name", "Name", "3FHL"])
def test_read_spellings_of_names(tmp_path: Path, name: str) -> None:
    table = Table([RA, DEC, ["Crab ", "", "c"]], names=["ra", "dec", name])
    assert read(table, tmp_path / "a.fits").names.tolist() == ["Crab", "source 1", "c"]


@pytest.mark.parametrize(
    "name", ["radius", "Radius", "r", "sigma", "extension", "morph_sigma", "Model_SemiMajor", "size", "size_x", "SIZE"]
)
def test_read_spellings_of_sizes(tmp_path: Path, name: str) -> None:
    sizes = MaskedColumn([6.0, np.nan, 30.0], mask=[False, False, True], unit="arcmin")
    catalog = read(Table([RA, DEC, sizes], names=["ra", "dec", name]), tmp_path / "a.ecsv")
    np.testing.assert_allclose(catalog.radius.to_value("deg"), [0.1, 0, 0])


def test_the_larger_size_counts_row_by_row(tmp_path: Path) -> None:
    table = Table([RA, DEC, [0.1, 0.5, np.nan], [0.3, 0.2, 0.4]], names=["ra", "dec", "size_x", "size_y"])
    assert read(table, tmp_path / "a.fits").radius.to_value("deg").tolist() == [0.3, 0.5, 0.4]


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        (["05 34 31.92", "08 35 00", "19 59 28.32"], ["+22 00 52.2", "-45 36 00", "+65 08 56.4"]),
        (["05:34:31.92", "08:35:00", "19:59:28.32"], ["22:00:52.2", "-45:36:00", "65:08:56.4"]),
        (["5h34m31.92s", "8h35m", "19h59m28.32s"], ["+22d00m52.2s", "-45d36m", "65d08m56.4s"]),
        (["83.633", " 128.75", "299.868"], ["22.0145", "-45.6", "+65.149"]),
    ],
)
@pytest.mark.parametrize("name", ["a.fits", "a.csv"])
def test_read_positions_stored_as_text(tmp_path: Path, name: str, ra: list[str], dec: list[str]) -> None:
    table = Table([NAMES, ra, dec], names=["canonical_name", "coord_ra", "coord_dec"])
    catalog = read(table, tmp_path / name)
    assert_positions(catalog)
    assert catalog.names.tolist() == NAMES


@pytest.mark.parametrize(("unit", "factor"), [("rad", np.pi / 180), ("hourangle", 1 / 15), ("h", 1 / 15)])
def test_read_units_of_right_ascension(tmp_path: Path, unit: str, factor: float) -> None:
    table = Table([np.array(RA) * factor, DEC], names=["RAJ2000", "DEJ2000"], units=[unit, "deg"])
    assert_positions(read(table, tmp_path / "a.ecsv"))


def test_read_fermi_catalogue_takes_the_point_sources(tmp_path: Path) -> None:
    regions = Table({"ROI": [1, 2], "RADIUS": [3.0, 4.0]})
    sources = Table([NAMES, RA, DEC, [0.01] * 3, ["", "Vela X", ""]])
    sources.rename_columns(
        sources.colnames, ["Source_Name", "RAJ2000", "DEJ2000", "Conf_95_SemiMajor", "Extended_Source_Name"]
    )
    extended = Table(
        [["Vela X"], [128.75], [-45.6], [0.91]], names=["Source_Name", "RAJ2000", "DEJ2000", "Model_SemiMajor"]
    )
    hdus = [fits.PrimaryHDU(), *(fits.table_to_hdu(table) for table in (regions, sources, extended))]
    fits.HDUList(hdus).writeto(tmp_path / "gll_psc.fit")
    catalog = SourceCatalog.read(tmp_path / "gll_psc.fit")
    assert_positions(catalog)
    assert catalog.radius.to_value("deg").tolist() == [0, 0, 0]


def test_read_leaves_out_sources_without_position(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = Table([NAMES, [83.633, np.nan, 299.868], DEC], names=["name", "ra", "dec"])
    with caplog.at_level(logging.WARNING):
        catalog = read(table, tmp_path / "a.fits")
    assert catalog.names.tolist() == ["Crab Nebula", "1ES 1959+650"]
    assert len(catalog.radius) == 2
    assert "Vela X" in caplog.text


def test_read_refuses_a_table_without_positions(tmp_path: Path) -> None:
    table = Table([NAMES, RA], names=["name", "ra"])
    with pytest.raises(DataError, match=r"among: name, ra \(.*raj2000/dej2000.*coordra/coorddec") as error:
        read(table, tmp_path / "a.fits")
    assert error.value.path == tmp_path / "a.fits"


@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        ("dec", [1.0, 91.0, 2.0], "91 deg of Vela X"),
        ("dec", ["1", "north", "2"], "north"),
        ("ra", ["1", "05 99 xx", "2"], "05 99 xx"),
        ("radius", [1.0, -1.0, 0.0], "-1 deg of Vela X"),
        ("radius", [1.0, np.inf, 0.0], "inf deg of Vela X"),
        ("radius", ["yes", "no", "no"], "yes"),
    ],
)
def test_read_refuses_nonsense(tmp_path: Path, column: str, values: list, match: str) -> None:
    table = Table([NAMES, RA, DEC, [0.0] * 3], names=["name", "ra", "dec", "radius"])
    table[column] = values
    with pytest.raises(DataError, match=match) as error:
        read(table, tmp_path / "a.fits")
    assert error.value.column == column
    assert error.value.remedy


def test_read_refuses_sizes_that_are_no_angles(tmp_path: Path) -> None:
    table = Table([RA, DEC, [1.0] * 3], names=["ra", "dec", "size"], units=["deg", "deg", "pc"])
    with pytest.raises(DataError, match="pc") as error:
        read(table, tmp_path / "a.fits")
    assert error.value.column == "size"


def test_read_refuses_a_file_without_sources(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no source"):
        read(Table([[np.nan], [1.0]], names=["ra", "dec"]), tmp_path / "a.fits")
    with pytest.raises(DataError, match="no such file"):
        SourceCatalog.read(tmp_path / "nothing.fits")


# Exclusion


def separation(lon1: np.ndarray, lat1: np.ndarray, lon2: np.ndarray, lat2: np.ndarray) -> np.ndarray:
    """Angle between unit vectors (rad), by cross and scalar product: exact at all angles."""
    a, b = (
        np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
        for lon, lat in ((lon1, lat1), (lon2, lat2))
    )
    return np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.sum(a * b, axis=-1))


def sky(n: int) -> st.SearchStrategy:
    lon = hnp.arrays(np.float64, n, elements=st.floats(0, 360, exclude_max=True))
    return st.tuples(lon, hnp.arrays(np.float64, n, elements=st.floats(-90, 90)))


@given(
    sources=st.integers(1, 6).flatmap(sky),
    pointings=st.integers(1, 9).flatmap(sky),
    base=st.floats(0, 60),
    factor=st.floats(0, 3),
    data=st.data(),
)
def test_near_source_agrees_with_brute_force(
    sources: tuple, pointings: tuple, base: float, factor: float, data: st.DataObject
) -> None:
    radius = data.draw(hnp.arrays(np.float64, len(sources[0]), elements=st.floats(0, 20)))
    catalog = SourceCatalog(np.array(["s"] * len(radius)), SkyCoord(*sources, unit="deg"), radius * u.deg, "test")
    near, index = near_source(catalog, SkyCoord(*pointings, unit="deg"), base * u.deg, factor)
    for i, (lon, lat) in enumerate(np.deg2rad(pointings).T):
        margin = base + factor * radius - np.rad2deg(separation(lon, lat, *np.deg2rad(sources)))
        if abs(margin.max()) > 1e-9:
            assert near[i] == (margin.max() > 0)
        if near[i]:
            assert margin[index[i]] == pytest.approx(margin.max(), abs=1e-9)
        else:
            assert index[i] == -1


def test_near_source_uses_the_size_of_each_source() -> None:
    positions = SkyCoord([0, 20, 40], [0, 0, 0], unit="deg")
    catalog = SourceCatalog(np.array(["a", "b", "c"]), positions, [0, 1, 0] * u.deg, "test")
    pointing = SkyCoord([2.999, 3.001, 15.001, 14.999, np.nan, 40], [0, 0, 0, 0, 0, 0], unit="deg")
    near, index = near_source(catalog, pointing)
    assert near.tolist() == [True, False, True, False, False, True]
    assert index.tolist() == [0, -1, 1, -1, -1, 2]


def test_near_source_in_other_frames_and_one_by_one() -> None:
    catalog = SourceCatalog.builtin()
    pointing = SkyCoord(83.63, 23.0, unit="deg").galactic
    near, index = near_source(catalog, pointing)
    assert near.tolist() == [True]
    assert catalog.names[index].tolist() == ["Crab Nebula"]


def test_near_source_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pointing = SkyCoord(rng.uniform(0, 360, 500), np.rad2deg(np.arcsin(rng.uniform(-1, 1, 500))), unit="deg")
    catalog = SourceCatalog.builtin()
    near, index = near_source(catalog, pointing)
    assert 0 < near.sum() < 500
    monkeypatch.setattr("gpucube.observations.catalog._BLOCK", 1000)
    np.testing.assert_array_equal(near_source(catalog, pointing)[1], index)


def test_no_source_rejects_nothing() -> None:
    near, index = near_source(SourceCatalog.empty(), SkyCoord([1, 2], [3, 4], unit="deg"))
    assert near.tolist() == [False, False]
    assert index.tolist() == [-1, -1]


# Real data


def test_builtin_catalogue_on_hess_dl3_dr1(hess_dl3_dr1: Path) -> None:
    table = ObservationTable.read(hess_dl3_dr1 / "obs-index.fits.gz")
    near, _ = near_source(SourceCatalog.builtin(), table.pointing)
    assert (~near).sum() == 25
    bright = table["TARGET_NAME"] != "Off data"
    assert bright.sum() == 14
    assert near[bright].all()
