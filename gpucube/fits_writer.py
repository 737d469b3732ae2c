"""Bytes of FITS HDUs of plain tables and images.

To have astropy make and check every HDU takes longer than to read the events of an observation. The bytes are those
that it would write.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from astropy.io import fits

from gpucube.files import fits_bytes
from gpucube.fits_header import CARD, header_text

__all__ = ["CODES", "Column", "hdu_bytes", "image_bytes", "table_bytes"]

BLOCK = 2880  # bytes
#: Letters of FITS for the types of numbers that are written here.
CODES = {"f8": "D", "f4": "E", "i8": "K", "i4": "J", "i2": "I", "u1": "B"}

Card = tuple[str, object] | tuple[str, object, str]


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        Its name.
    values : numpy.ndarray of a type in `CODES` or of ASCII text, shape (n_rows, ...)
        Its values.
    unit : str, optional
        Its unit.
    """

    name: str
    values: np.ndarray
    unit: str | None = None

    @property
    def layout(self) -> tuple[str, str, str | None, str | None]:
        """What goes to the header: name, format, unit and order of the axes of a cell."""
        cell = self.values.shape[1:]
        kind = self.values.dtype.str[1:]
        number = str(math.prod(cell)) if cell else ""
        form = f"{_text_width(self.values)}A" if kind[0] in "US" else number + CODES[kind]
        dim = f"({','.join(map(str, reversed(cell)))})" if len(cell) > 1 else None
        return self.name, form, self.unit, dim

    @property
    def stored(self) -> np.ndarray:
        """Values as they are in the file."""
        kind = self.values.dtype.str[1:]
        return self.values.astype(f"S{_text_width(self.values)}" if kind[0] in "US" else f">{kind}")


def _text_width(values: np.ndarray) -> int:
    return max(values.dtype.itemsize // (4 if values.dtype.kind == "U" else 1), 1)


def table_bytes(name: str, columns: Sequence[Column], cards: Mapping[str, object] | None = None) -> bytes:
    """Make a binary table HDU.

    Parameters
    ----------
    name : str
        EXTNAME.
    columns : sequence of Column
        Columns of equal length, at least one.
    cards : mapping, optional
        Further keywords and values, after those of the table; a tuple is a value and its comment, a list stands for
        several cards of its keyword.

    Returns
    -------
    bytes
        The HDU, as astropy would write it.
    """
    n_rows = len(columns[0].values)
    stored = [column.stored for column in columns]
    width = sum(values.dtype.itemsize * math.prod(values.shape[1:]) for values in stored)
    header = _table_text(width, n_rows, tuple(column.layout for column in columns))
    further = dict(cards or {})
    named = further if "EXTNAME" in further else {"EXTNAME": (name, "extension name")} | further
    return _header_bytes(header + header_text(_pairs(named))) + _padded(_rows(stored), b"\0")


def _rows(columns: Sequence[np.ndarray]) -> bytes:
    """Bytes of a table row by row."""
    if len(columns[0]) == 1:  # cubes, whose record would be another copy
        return b"".join(values.tobytes() for values in columns)
    record = np.zeros(len(columns[0]), dtype=[(str(i), c.dtype, c.shape[1:]) for i, c in enumerate(columns)])
    for number, values in enumerate(columns):
        record[str(number)] = values
    return record.tobytes()


def image_bytes(data: np.ndarray | None, cards: Mapping[str, object] | None = None) -> bytes:
    """Make a primary HDU.

    Parameters
    ----------
    data : numpy.ndarray of float64, optional
        Image; nothing if not given.
    cards : mapping, optional
        Further keywords and values.

    Returns
    -------
    bytes
        The HDU, as astropy would write it before others.
    """
    header = header_text(_image_cards(() if data is None else data.shape))
    values = b"" if data is None else _padded(data.astype(">f8").tobytes(), b"\0")
    return _header_bytes(header + header_text(_pairs(cards or {}))) + values


def hdu_bytes(hdu: fits.BinTableHDU) -> bytes:
    """Have astropy write a table HDU.

    Parameters
    ----------
    hdu : astropy.io.fits.BinTableHDU
        Any table.

    Returns
    -------
    bytes
        The HDU.
    """
    return fits_bytes(fits.HDUList([fits.PrimaryHDU(), hdu]))[len(image_bytes(None)) :]


# Tables of models have few layouts.
@lru_cache(maxsize=64)
def _table_text(width: int, n_rows: int, layout: tuple[tuple[str, str, str | None, str | None], ...]) -> str:
    cards: list[Card] = [
        ("XTENSION", "BINTABLE", "binary table extension"),
        ("BITPIX", 8, "array data type"),
        ("NAXIS", 2, "number of array dimensions"),
        ("NAXIS1", width, "length of dimension 1"),
        ("NAXIS2", n_rows, "length of dimension 2"),
        ("PCOUNT", 0, "number of group parameters"),
        ("GCOUNT", 1, "number of groups"),
        ("TFIELDS", len(layout), "number of table fields"),
    ]
    for number, column in enumerate(layout, start=1):
        keys = (f"{key}{number}" for key in ("TTYPE", "TFORM", "TUNIT", "TDIM"))
        cards += [(key, value) for key, value in zip(keys, column, strict=True) if value is not None]
    return header_text(cards)


def _image_cards(shape: tuple[int, ...]) -> list[Card]:
    return [
        ("SIMPLE", True, "conforms to FITS standard"),
        ("BITPIX", -64 if shape else 8, "array data type"),
        ("NAXIS", len(shape), "number of array dimensions"),
        *((f"NAXIS{number}", length) for number, length in enumerate(reversed(shape), start=1)),
        ("EXTEND", True),
    ]


def _pairs(cards: Mapping[str, object]) -> list[Card]:
    each = ((key, one) for key, value in cards.items() for one in (value if isinstance(value, list) else [value]))
    return [(key, *one) if isinstance(one, tuple) else (key, one) for key, one in each]


def _header_bytes(cards: str) -> bytes:
    return _padded((cards + "END".ljust(CARD)).encode("ascii"), b" ")


def _padded(content: bytes, filling: bytes) -> bytes:
    return content + filling * (-len(content) % BLOCK)
