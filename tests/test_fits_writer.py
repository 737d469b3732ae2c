"""HDUs of the writer against those of astropy."""

from __future__ import annotations

import io

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from gpucube.fits_writer import Column, image_bytes, table_bytes

CARDS = {"GROUP_ID": 13, "WIDTH": 0.40107045659157625, "MASKED": False, "LONG": "ALT 37..40 deg, " * 9, "NONE": ""}


def by_astropy(*hdus: object) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(buffer)
    return buffer.getvalue()


def bin_table(name: str, columns: list[Column], cards: dict[str, object]) -> fits.BinTableHDU:
    made = [
        fits.Column(c.name, form, unit=unit, dim=dim, array=c.values)
        for c, (_, form, unit, dim) in zip(columns, (c.layout for c in columns), strict=True)
    ]
    hdu = fits.BinTableHDU.from_columns(made, name=name)
    hdu.header.update(cards)
    return hdu


@st.composite
def tables(draw: st.DrawFn) -> list[Column]:
    """Columns of numbers and texts, with cells of any shape."""
    n_rows = draw(st.integers(1, 4))
    columns = []
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["f8", "i8", "i4", "U"]))
        if kind == "U":
            texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=9)
            values = np.array(draw(st.lists(texts, min_size=n_rows, max_size=n_rows)), dtype=str)
        else:
            cell = draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)) if draw(st.booleans()) else ()
            values = draw(hnp.arrays(kind, (n_rows, *cell)))
        columns.append(Column(f"COL{number}", values, draw(st.sampled_from([None, "TeV", "MeV-1 s-1 sr-1"]))))
    return columns


@given(columns=tables(), cards=st.sampled_from([{}, CARDS]))
def test_tables_are_those_of_astropy(columns: list[Column], cards: dict[str, object]) -> None:
    expected = by_astropy(fits.PrimaryHDU(), bin_table("TEST", columns, cards))
    found = table_bytes("TEST", columns, cards)
    assert found == expected[len(expected) - len(found) :]
    assert len(expected) - len(found) == 2880


@pytest.mark.parametrize("shape", [None, (5, 4, 3), (2, 1441)])
def test_images_are_those_of_astropy(shape: tuple[int, ...] | None) -> None:
    data = None if shape is None else np.random.default_rng(1).normal(size=shape)
    primary = fits.PrimaryHDU(data)
    primary.header.update(CARDS)
    columns = [Column("A", np.arange(3))]
    expected = by_astropy(primary, bin_table("B", columns, {}))
    assert image_bytes(data, CARDS) + table_bytes("B", columns) == expected
