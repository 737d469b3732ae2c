"""Files: whole or not at all, the same bytes for the same content, and damage that is named."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucube.errors import DataError, OutputError
from gpucube.files import fits_bytes, open_fits, write_by_name, write_whole
from gpucube.gzipped import compress


def make_hdus() -> fits.HDUList:
    column = fits.Column("X", "D", array=np.linspace(0, 1, 500))
    return fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([column], name="TABLE")])


PLAIN = fits_bytes(make_hdus())
CONTENT = {False: PLAIN, True: compress(PLAIN)}


def read(path: Path) -> float:
    with open_fits(path) as hdus:
        return float(hdus["TABLE"].data["X"].sum())


@pytest.mark.parametrize(("name", "is_gzip"), [("a.fits", False), ("a.fits.gz", True)])
def test_write_and_read(tmp_path: Path, name: str, is_gzip: bool) -> None:
    path = tmp_path / name
    write_by_name(path, PLAIN)
    assert read(path) == pytest.approx(250)
    assert path.read_bytes() == CONTENT[is_gzip]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz", "a"])
def test_compression_is_seen_by_content_not_name(tmp_path: Path, name: str) -> None:
    for content in CONTENT.values():
        (tmp_path / name).write_bytes(content)
        assert read(tmp_path / name) == pytest.approx(250)


def test_same_content_same_bytes() -> None:
    assert fits_bytes(make_hdus()) == PLAIN


def test_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in (b"old", b"new and longer", b""):
        write_whole(path, content)
        assert path.read_bytes() == content


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failing_write_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OutputError, match="no space left"):
        write_whole(path, b"new")
    with pytest.raises(OutputError, match="no space left"):
        write_whole(tmp_path / "b", b"new")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", b"new")
    assert list(tmp_path.iterdir()) == []


def test_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_whole(tmp_path / "none" / "a", b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such file"),
        (b"", "cannot be read as FITS"),
        (b"hello", "cannot be read as FITS"),
        (b"hello" * 1000, "cannot be read as FITS"),
        (b"\x1f\x8bhello", "cannot be read as FITS"),
        (gzip.compress(b"hello", mtime=0), "cannot be read as FITS"),
        (gzip.compress(b"", mtime=0), "cannot be read as FITS"),
    ],
)
def test_no_fits(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "a.fits"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=problem) as error:
        read(path)
    assert error.value.path == path


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, not a FITS file"):
        read(tmp_path)


@pytest.mark.parametrize("is_gzip", [False, True])
@settings(max_examples=80)
@given(data=st.data())
def test_truncated(tmp_path_factory: pytest.TempPathFactory, is_gzip: bool, data: st.DataObject) -> None:
    """A file cut off anywhere is read whole (only filling was lost) or refused."""
    content = CONTENT[is_gzip]
    length = data.draw(st.integers(0, len(content) - 1))
    path = tmp_path_factory.mktemp("cut") / "a.fits"
    path.write_bytes(content[:length])
    end_of_data = len(content) - 2 * 2880 + 500 * 8
    if not is_gzip and length >= end_of_data:
        assert read(path) == pytest.approx(250)
    else:
        with pytest.raises(DataError, match="damaged"):
            read(path)


@settings(max_examples=150)
@given(position=st.integers(0, len(CONTENT[True]) - 1), byte=st.integers(1, 255))
def test_damaged_gzip(tmp_path_factory: pytest.TempPathFactory, position: int, byte: int) -> None:
    """The checksum finds what decompression does not; header and filling bits of gzip are not under it."""
    content = bytearray(CONTENT[True])
    content[position] ^= byte
    path = tmp_path_factory.mktemp("bad") / "a.fits"
    path.write_bytes(content)
    try:
        total = read(path)
    except DataError:
        return
    assert total == pytest.approx(250)
    assert position < 10 or gzip.decompress(content) == gzip.decompress(CONTENT[True])


def test_error_inside_the_with_statement_that_says_more_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(CONTENT[False])
    with pytest.raises(DataError, match=r"^no column Y$"), open_fits(path):
        raise DataError("no column Y")


def test_missing_hdu_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(CONTENT[False])
    with pytest.raises(DataError, match="OTHER") as error, open_fits(path) as hdus:
        hdus["OTHER"]
    assert error.value.path == path
