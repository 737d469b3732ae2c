"""Plain tables of FITS files against those of astropy."""

from __future__ import annotations

import io
import warnings

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Column, MaskedColumn, Table
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpucube.fits_writer import hdu_bytes
from gpucube.observations.plain_tables import plain_hdu, plain_tables
from gpucube.observations.table import ObservationTable

TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=9)
VALUES = TEXTS | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
KEYS = st.sampled_from(["MJDREFI", "TELESCOP", "note", "EXTNAME", "A-B", "HISTORY", "comments", "GEOLON", "OBS1"])
METAS = st.dictionaries(KEYS, VALUES | st.lists(TEXTS, min_size=1, max_size=3), max_size=4)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Tables of plain columns with some units."""
    n_rows, table = draw(st.integers(1, 4)), Table(meta=draw(METAS))
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["f8", ">f4", "i8", ">i4", "i2", "u1", "U5", "S3", "U1"]))
        if kind[-2] in "US":
            elements = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=int(kind[1:]))
            values = np.array(draw(st.lists(elements, min_size=n_rows, max_size=n_rows)), dtype=kind)
        else:
            values = draw(hnp.arrays(kind, n_rows))
        unit = draw(st.sampled_from([None, u.deg, u.TeV, u.Unit("m s-1")]))
        table[f"C{number}"] = Column(values, unit=unit)
    return table


def by_astropy(table: Table, name: str) -> fits.BinTableHDU:
    hdu = fits.table_to_hdu(table)
    hdu.name = name
    return hdu


def file_of(*hdus: bytes) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU()]).writeto(buffer)
    return buffer.getvalue() + b"".join(hdus)


def read_by_astropy(content: bytes) -> list[Table]:
    with fits.open(io.BytesIO(content)) as hdus:
        return [
            Table.read(hdu, mask_invalid=False) for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)
        ]


@given(table=tables())
@example(table=Table({"C0": ["0 ", "a"]}))
@settings(max_examples=100)
def test_tables_are_written_and_read_as_by_astropy(table: Table) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = hdu_bytes(by_astropy(table, "TEST"))
        found = plain_hdu(table, "TEST")
        assert found in (expected, None)
        content = file_of(expected, expected)
        theirs, ours = read_by_astropy(content), plain_tables(content)
    for mine, its in zip(ours or theirs, theirs, strict=True):
        assert mine.meta == its.meta
        assert list(mine.meta) == list(its.meta)
        assert mine.colnames == its.colnames
        for name in its.colnames:
            assert mine[name].dtype == its[name].dtype
            assert mine[name].tobytes() == its[name].tobytes()
            assert mine[name].unit == its[name].unit
            assert type(mine[name]) is type(its[name])
            assert mine[name].flags.writeable


def plain() -> Table:
    meta = {"MJDREFI": 51910, "TELESCOP": "HESS", "EXTNAME": "OLD", "comments": ["a", "b"]}
    columns = {"OBS_ID": [1, 2, 3], "RA_PNT": [1.5, 2.5, np.nan] * u.deg, "OBJECT": ["Crab", "", "Vela X"]}
    return Table(columns, meta=meta)


def test_plain_tables_are_not_left_to_astropy() -> None:
    content = plain_hdu(Table(plain()), "OBS_INDEX")
    assert content == hdu_bytes(by_astropy(Table(plain()), "OBS_INDEX"))
    (found,) = plain_tables(file_of(content))
    assert found["OBJECT"].tolist() == ["Crab", "", "Vela X"]
    assert found.meta == plain().meta | {"EXTNAME": "OBS_INDEX"}


@pytest.mark.parametrize(
    "column",
    [
        MaskedColumn([1, 2, 3], mask=[True, False, False]),
        Column(["Crab", "α", "β"]),
        Column([[1, 2], [3, 4], [5, 6]]),
        Column([True, False, True]),
        Column([1.0, 2.0, 3.0], format="%5.1f"),
        Column([1, 2, 3], dtype="u2"),
        Column([1.0, 2.0, 3.0], unit=u.def_unit("furlong")),
    ],
)
def test_others_are(column: Column) -> None:
    table = plain()
    table["X"] = column
    assert plain_hdu(table, "TEST") is None


@pytest.mark.parametrize("key", ["TTYPE1", "NAXIS", "a long keyword", "tunit3"])
def test_meta_that_are_no_cards_are_left_to_astropy(key: str) -> None:
    table = plain()
    table.meta[key] = 1
    assert plain_hdu(table, "TEST") is None


@pytest.mark.parametrize("key", ["TNULL1", "TSCAL2", "TDISP1", "TCTYP2", "TRPOS1"])
def test_columns_with_more_keywords_are_left_to_astropy(key: str) -> None:
    hdu = by_astropy(plain(), "TEST")
    hdu.header[key] = {"TDISP1": "I5", "TCTYP2": "RA---TAN", "TRPOS1": "TOPOCENTER"}.get(key, 3)
    assert plain_tables(file_of(hdu_bytes(hdu))) is None


def test_observations_are_written_either_way() -> None:
    table = ObservationTable(plain())
    assert table.to_bytes() == hdu_bytes(table.to_hdu())
    table["OK"] = [True, False, True]
    assert table.to_bytes() == hdu_bytes(table.to_hdu())
