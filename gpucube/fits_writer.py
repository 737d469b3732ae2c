"""Bytes of FITS HDUs that come again and again with other values.

The header of a layout (names, types and shapes of columns, or the shape of an image) is made by astropy, once; after
that only the values and the further keywords of each HDU are new. To have astropy make and check every HDU anew takes
longer than to read the events of an observation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from astropy.io import fits

__all__ = ["Column", "image_bytes", "table_bytes"]

BLOCK = 2880  # bytes
CARD = 80
# Letters of FITS for the types that are written here
CODES = {"f8": "D", "i8": "K", "i4": "J"}


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        Its name.
    values : numpy.ndarray of float64, int64, int32 or ASCII text, shape (n_rows, ...)
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
        number = str(int(np.prod(cell))) if cell else ""
        form = f"{max(self.values.dtype.itemsize // 4, 1)}A" if kind.startswith("U") else number + CODES[kind]
        dim = f"({','.join(map(str, reversed(cell)))})" if len(cell) > 1 else None
        return self.name, form, self.unit, dim

    @property
    def stored(self) -> np.ndarray:
        """Values as they are in the file."""
        kind = self.values.dtype.str[1:]
        return self.values.astype(f"S{max(int(kind[1:]), 1)}" if kind.startswith("U") else f">{kind}")


def table_bytes(name: str, columns: Sequence[Column], cards: Mapping[str, object] | None = None) -> bytes:
    """Make a binary table HDU.

    Parameters
    ----------
    name : str
        EXTNAME.
    columns : sequence of Column
        Columns of equal length, at least one.
    cards : mapping, optional
        Further keywords and values, after those of the table.

    Returns
    -------
    bytes
        The HDU, as astropy would write it.
    """
    n_rows = len(columns[0].values)
    stored = [column.stored for column in columns]
    record = np.zeros(n_rows, dtype=[(c.name, s.dtype, s.shape[1:]) for c, s in zip(columns, stored, strict=True)])
    for column, values in zip(columns, stored, strict=True):
        record[column.name] = values
    header = _table_header(name, n_rows, tuple(column.layout for column in columns))
    return _header_bytes(header, cards) + _padded(record.tobytes(), b"\0")


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
    if data is None:
        return _header_bytes(_image_header(()), cards)
    return _header_bytes(_image_header(data.shape), cards) + _padded(data.astype(">f8").tobytes(), b"\0")


@lru_cache(maxsize=128)
def _table_header(name: str, n_rows: int, layout: tuple[tuple[str, str, str | None, str | None], ...]) -> str:
    columns = [fits.Column(label, form, unit=unit, dim=dim) for label, form, unit, dim in layout]
    return _text(fits.BinTableHDU.from_columns(columns, nrows=n_rows, name=name).header)


@lru_cache(maxsize=128)
def _image_header(shape: tuple[int, ...]) -> str:
    return _text(fits.PrimaryHDU(np.zeros(shape) if shape else None).header)


def _text(header: fits.Header) -> str:
    return str(header.tostring(sep="", endcard=False, padding=False))


def _header_bytes(header: str, cards: Mapping[str, object] | None) -> bytes:
    text = header + (_text(fits.Header(list(cards.items()))) if cards else "")
    return _padded((text + "END".ljust(CARD)).encode("ascii"), b" ")


def _padded(content: bytes, filling: bytes) -> bytes:
    return content + filling * (-len(content) % BLOCK)
