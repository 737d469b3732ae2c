"""Bytes of files: one HDU changes, the others do not."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gpucube.attach.dl3 import file_bytes, join, signed, split, with_background
from gpucube.errors import DataError
from gpucube.observations.mirrored import is_mirrored

HERE = Path("file.fits")


def table(name: str, n: int = 3, **cards: object) -> fits.BinTableHDU:
    hdu = fits.BinTableHDU.from_columns([fits.Column("A", "D", array=np.arange(float(n)))], name=name)
    hdu.header.update(cards)
    return hdu


def content(*hdus: fits.BinTableHDU) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(buffer)
    return buffer.getvalue()


def names(hdus: list) -> list[str]:
    return [hdu.name for hdu in hdus]


def test_split_and_joined_it_is_the_same() -> None:
    before = content(table("EVENTS"), table("BKG", 1000), table("GTI"))
    hdus = split(before, HERE)
    assert names(hdus) == ["PRIMARY", "EVENTS", "BKG", "GTI"]
    assert join(hdus) == before


def test_the_new_background_takes_the_place_of_the_old_one() -> None:
    hdus = split(content(table("EVENTS"), table("bkg", 1000), table("GTI")), HERE)
    new = with_background(hdus, table("BKG", 7), ("BKG",))
    assert names(new) == ["PRIMARY", "EVENTS", "BKG", "GTI"]
    assert [new[n] for n in (0, 1, 3)] == [hdus[n] for n in (0, 1, 3)]
    with fits.open(io.BytesIO(join(new))) as opened:
        opened.verify("exception")
        assert len(opened["BKG"].data) == 7


def test_without_an_old_one_it_comes_last() -> None:
    hdus = split(content(table("EVENTS"), table("GTI")), HERE)
    assert names(with_background(hdus, table("BKG"), ())) == ["PRIMARY", "EVENTS", "GTI", "BKG"]


def test_several_old_ones_become_one() -> None:
    background = {"HDUCLAS1": "RESPONSE", "HDUCLAS2": "BKG"}
    hdus = split(content(table("A", **background), table("EVENTS"), table("B", **background)), HERE)
    assert names(with_background(hdus, table("BKG"), ("A", "B"))) == ["PRIMARY", "BKG", "EVENTS"]
    assert names(with_background(hdus, table("BKG"), ("",))) == ["PRIMARY", "BKG", "EVENTS"]


MIRRORED = {"CREATOR": "SASH FITS::EventListWriter", "HDUVERS": "0.2"}


def test_a_header_that_makes_gammapy_mirror_is_signed() -> None:
    hdu = table("EVENTS", OBS_ID=7, **MIRRORED)
    hdu.add_checksum()
    before = split(content(hdu), HERE)[1]
    after = signed(before)
    assert is_mirrored(hdu.header)
    assert after.data == before.data
    header = fits.Header.fromstring(after.header)
    assert not is_mirrored(header)
    assert header["CREATOR"].startswith("gpucube")
    assert "SASH FITS::EventListWriter" in str(header["HISTORY"])
    changed = ("CREATOR", "CHECKSUM", "HISTORY", "END")
    cards = [
        [bytes(h[i : i + 80]) for i in range(0, len(h), 80) if not h[i : i + 8].decode().strip().startswith(changed)]
        for h in (before.header, after.header)
    ]
    assert [card for card in cards[0] if card.strip()] == [card for card in cards[1] if card.strip()]
    with fits.open(io.BytesIO(join([split(content(), HERE)[0], after])), checksum=True) as opened:
        opened.verify("exception")
        assert opened[1].header["DATASUM"] == hdu.header["DATASUM"]


@pytest.mark.parametrize("cards", [{}, MIRRORED | {"HDUVERS": "0.3"}, MIRRORED | {"CREATOR": "ctools"}])
def test_other_headers_are_left_alone(cards: dict[str, str]) -> None:
    before = split(content(table("EVENTS", **cards)), HERE)[1]
    assert signed(before) is before


def test_files_are_read_compressed_or_not(tmp_path: Path) -> None:
    text = content(table("EVENTS"))
    for stored in (text, gzip.compress(text)):
        (tmp_path / "a.fits.gz").write_bytes(stored)
        assert file_bytes(tmp_path / "a.fits.gz") == text


def test_damaged_files(tmp_path: Path) -> None:
    whole = content(table("EVENTS", 1000))
    for damaged in (whole[:-2880], whole[:-1], whole + b"\0" * 2880, b"hello", b""):
        with pytest.raises(DataError, match=r"file\.fits"):
            split(damaged, HERE)
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(DataError, match="damaged"):
        file_bytes(tmp_path / "a.fits.gz")
    with pytest.raises(DataError, match="cannot be read"):
        file_bytes(tmp_path / "missing.fits")
