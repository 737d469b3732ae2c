"""Tables of the reader against those of astropy, on regular, odd and damaged files."""

from __future__ import annotations

import gc
import gzip
import io
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

import gpucube.fits_reader as reader
from gpucube.errors import DataError
from gpucube.files import open_fits
from gpucube.fits_reader import open_tables

FORMATS = ["E", "D", "J", "I", "K", "B", "3E", "5A", "L", "PE()", "1D", "0D"]


def column(name: str, form: str, rng: np.random.Generator) -> fits.Column:
    n_rows = 7
    if form == "PE()":
        values = np.array([rng.normal(size=i).astype("f4") for i in range(n_rows)], dtype=object)
    elif form == "5A":
        values = np.array([f"t{i}" for i in range(n_rows)])
    else:
        shape = (n_rows, 3) if form == "3E" else (n_rows, 0) if form == "0D" else n_rows
        values = rng.integers(0, 2 if form == "L" else 100, shape)
    return fits.Column(name, form, array=values, unit=rng.choice(["TeV", "deg", None]))


@st.composite
def files(draw: st.DrawFn) -> fits.HDUList:
    """A primary image or none, and tables with columns of all kinds, some scaled."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    hdus = [fits.PrimaryHDU(draw(st.sampled_from([None, np.zeros((3, 5))])))]
    for number in range(draw(st.integers(0, 3))):
        # astropy cannot write rows without any byte.
        forms = [draw(st.sampled_from(FORMATS[:-1])), *draw(st.lists(st.sampled_from(FORMATS), max_size=5))]
        columns = [column(f"C{i}", form, rng) for i, form in enumerate(forms)]
        hdu = fits.BinTableHDU.from_columns(columns, name=draw(st.sampled_from(["EVENTS", "gti", ""])))
        hdu.header["LIVETIME"] = (1234.5, "[s] a comment")
        hdu.header["NOTE"] = "It's " * draw(st.sampled_from([1, 30]))
        if draw(st.booleans()) and forms[0] in "JI":
            hdu.header["TNULL1"] = 3
        if number == 1:
            hdus.append(fits.ImageHDU(np.arange(6)))
        hdus.append(hdu)
    return fits.HDUList(hdus)


def written(hdus: fits.HDUList) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdus.writeto(buffer)
    return buffer.getvalue()


def same(ours: object, theirs: object) -> bool:
    if np.asarray(ours).dtype == object:
        return all(map(np.array_equal, ours, theirs))
    return np.array_equal(np.asarray(ours), np.asarray(theirs)) and np.asarray(ours).dtype == np.asarray(theirs).dtype


@given(hdus=files())
@settings(max_examples=40)
def test_tables_are_those_of_astropy(hdus: fits.HDUList, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("fits") / "file.fits"
    path.write_bytes(written(hdus))
    with fits.open(path, memmap=False) as expected, open_tables(path) as found:
        theirs = [hdu for hdu in expected if isinstance(hdu, fits.BinTableHDU)]
        ours = [hdu for hdu in found if isinstance(hdu, fits.BinTableHDU)]
        assert [hdu.name for hdu in ours] == [hdu.name for hdu in theirs]
        for mine, its in zip(ours, theirs, strict=True):
            assert mine.header.tostring() == its.header.tostring()
            assert mine.columns.names == its.columns.names
            assert len(mine.data) == len(its.data)
            for name in its.columns.names:
                assert same(mine.data[name], its.data[name]), name
                assert mine.columns[name].unit == its.columns[name].unit
                assert mine.columns[name].null == its.columns[name].null
            assert mine.size == its.size  # something of astropy's own


def outcome(path: Path, opener: object) -> object:
    """What a reader of events would see of a file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with opener(path) as hdus:
                table = next(hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU) and hdu.name == "EVENTS")
                return table.header["LIVETIME"], np.asarray(table.data["C0"]).tobytes()
    except (DataError, StopIteration, KeyError) as error:
        return type(error)


def regular() -> bytes:
    columns = [fits.Column("C0", "E", array=np.arange(5)), fits.Column("C1", "J", array=np.arange(5))]
    hdu = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    hdu.header["LIVETIME"] = 3.5
    return written(fits.HDUList([fits.PrimaryHDU(), hdu, fits.ImageHDU(np.zeros(9))]))


@given(
    place=st.integers(0, len(regular()) - 1),
    byte=st.integers(0, 255),
    length=st.none() | st.integers(0, len(regular())),
)
@settings(max_examples=150)
def test_damaged_files_are_what_they_are_to_astropy(
    place: int, byte: int, length: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Either the same values, or an error that names the file."""
    content = bytearray(regular())
    content[place] = byte
    path = tmp_path_factory.mktemp("fits") / "file.fits"
    path.write_bytes(content[:length])
    ours, theirs = outcome(path, open_tables), outcome(path, open_fits)
    assert ours == theirs or DataError in (ours, theirs) or StopIteration in (ours, theirs)
    if isinstance(theirs, tuple) and isinstance(ours, tuple):
        assert ours == theirs


@pytest.mark.parametrize("compress", [False, True])
def test_no_astropy_table_is_made_of_plain_numbers(
    compress: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.fits.gz"
    path.write_bytes(gzip.compress(regular()) if compress else regular())
    monkeypatch.setattr(fits, "open", None)
    with open_tables(path) as tables:
        assert tables[0].data["C0"].tolist() == [0, 1, 2, 3, 4]
        assert "_whole" not in vars(tables[0])


def test_a_file_leaves_memory_with_its_tables(tmp_path: Path) -> None:
    """Not only when the collector of cycles comes by, dozens of files later."""
    path = tmp_path / "regular.fits"
    path.write_bytes(regular())
    gc.disable()
    try:
        with open_tables(path) as hdus:
            tables = [weakref.ref(hdu) for hdu in hdus if isinstance(hdu, reader.Table)]
            for hdu in hdus:
                assert [hdu.data[name] for name in hdu.columns.names]
        assert tables
        del hdu, hdus
        assert not any(table() for table in tables)
    finally:
        gc.enable()
