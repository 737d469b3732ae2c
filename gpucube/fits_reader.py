"""Tables of a FITS file, of which only what is asked for is parsed.

astropy prepares every column and keyword of each HDU that it passes, which takes four times as long as to decompress
the file. Here the headers are walked through by their sizes, columns of plain numbers are views of the file, and for
all else, and for any file that is not quite regular, astropy does it.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from gpucube.files import named_errors
from gpucube.fits_header import CARD, Header, parse_header
from gpucube.gzipped import GZIP_MAGIC, decompress

__all__ = ["Table", "open_tables", "regular_tables"]

BLOCK = 2880
END = re.compile(rb"(?:.{80})*?END {77}", re.DOTALL)
STRUCTURE = re.compile(rb"(XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|EXTNAME|TFIELDS) *= *('[^']*'|-?\d+|T|F)")
# How they begin: of a hundred cards, few are taken apart.
OF_STRUCTURE = {b"XTENS", b"BITPI", b"NAXIS", b"PCOUN", b"GCOUN", b"EXTNA", b"TFIEL"}
COLUMN = re.compile(r"(TTYPE|TFORM|TUNIT|TSCAL|TZERO|TNULL|TDIM)(\d+) *= *(?:'((?:[^']|'')*)'|([^/ ]+))")
# How they begin
OF_COLUMNS = {"TTYP", "TFOR", "TUNI", "TSCA", "TZER", "TNUL", "TDIM"}
SCALING = frozenset({"TSCAL", "TZERO", "TNULL"})
UNLIKE_THE_FILE = SCALING | {"TDIM"}
FORMAT = re.compile(r"(\d*)([A-Z])")
# Numbers as they are in the file, and bytes of an element of each format
NUMBERS = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
WIDTHS = {"L": 1, "A": 1, "B": 1, "I": 2, "J": 4, "K": 8, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}


@contextmanager
def open_tables(path: Path) -> Iterator[Sequence[Any]]:
    """Open the HDUs of a FITS file for reading in a ``with`` statement, compressed or not.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Yields
    ------
    sequence of HDU
        HDUs of astropy, or tables that behave like those.

    Raises
    ------
    DataError
        The file is missing, damaged or not FITS, also where that shows only inside the ``with`` statement.
    """
    with named_errors(path), warnings.catch_warnings():
        # Either only filling is missing at the end, or an error follows.
        warnings.simplefilter("ignore", AstropyUserWarning)
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = decompress(content)
        tables = regular_tables(content)
        if tables:
            yield tables
        else:
            with fits.open(io.BytesIO(content), memmap=False) as hdus:
                yield hdus


def regular_tables(content: bytes) -> list[Table] | None:
    """Find all binary tables of a file.

    Parameters
    ----------
    content : bytes
        The file, decompressed.

    Returns
    -------
    list of Table or None
        The tables; None if the file is not regular from the first to the last byte.
    """
    tables, start = list[Table](), 0
    if not content.startswith(b"SIMPLE  ="):
        return None
    while start < len(content):
        end = END.match(content, start)
        header = b"" if end is None else end[0]
        # Long texts and characters that FITS does not allow are for astropy.
        if not header or b"CONTINUE" in header or not header.isascii():
            return None
        cards, size = _structure(header)
        if size is None:
            return None
        data = start + _padded(len(header))
        if data + size > len(content):
            return None
        if cards.get(b"XTENSION", b"").startswith(b"'BINTABLE"):
            tables.append(Table(content, (start, data, data + size), cards))
        start = data + _padded(size)
    return tables


# Instrument responses of all observations have the same few headers.
@lru_cache(maxsize=64)
def _structure(header: bytes) -> tuple[Mapping[bytes, bytes], int | None]:
    """Keywords of the structure of an HDU, and the size of its data in bytes; None if it cannot be told."""
    starts = (start for start in range(len(header) - CARD, -1, -CARD) if header[start : start + 5] in OF_STRUCTURE)
    matches = (STRUCTURE.match(header, start) for start in starts)
    # From the last to the first: of two cards of a name, the first counts.
    cards = MappingProxyType({match[1]: match[2] for match in matches if match})
    return cards, _data_size(cards)


def _data_size(cards: Mapping[bytes, bytes]) -> int | None:
    try:
        axes = [int(cards[b"NAXIS%d" % (number + 1)]) for number in range(int(cards[b"NAXIS"]))]
        elements = int(cards.get(b"GCOUNT", b"1")) * (int(cards.get(b"PCOUNT", b"0")) + math.prod(axes)) if axes else 0
        return abs(int(cards[b"BITPIX"])) // 8 * elements
    except (KeyError, ValueError):
        return None


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


class Table(fits.BinTableHDU):
    """A binary table that takes over what readers of events ask for; astropy does the rest.

    Parameters
    ----------
    content : bytes
        The file.
    place : tuple of int
        Where its header and its data begin and where they end.
    cards : mapping
        Keywords of its structure.
    """

    def __init__(self, content: bytes, place: tuple[int, int, int], cards: Mapping[bytes, bytes]) -> None:
        # Not that of astropy, which parses everything.
        self.__dict__.update(_content=content, _place=place, _cards=cards)

    def __getattr__(self, name: str) -> Any:
        """Whatever else an HDU has."""
        return getattr(self._whole, name)

    @cached_property
    def _whole(self) -> fits.BinTableHDU:
        start, _, end = self._place
        size = _padded(end - start)
        return fits.BinTableHDU.fromstring(self._content[start : start + size].ljust(size, b"\0"))

    @cached_property
    def _text(self) -> str:
        return self._content[self._place[0] : self._place[1]].decode("ascii")

    @cached_property
    def header(self) -> Header | fits.Header:
        """Its header."""
        return parse_header(self._text)

    @cached_property
    def name(self) -> str:
        """EXTNAME, in capitals."""
        return self._cards.get(b"EXTNAME", b"").strip(b"'").strip().decode("ascii").upper()

    # Not kept: with a table that refers to them, and they to it, the file would stay in memory for a while.
    @property
    def columns(self) -> Any:
        """Its columns."""
        return Columns(self)

    @property
    def data(self) -> Any:
        """Its values."""
        return Values(self)

    @cached_property
    def _column_cards(self) -> list[Mapping[str, str]]:
        """Values of the keywords of each column."""
        # All of them begin so.
        starts = [start for start in range(0, len(self._text), CARD) if self._text[start] == "T"]
        cards = [self._text[start : start + CARD] for start in starts if self._text[start : start + 4] in OF_COLUMNS]
        found = _by_column("".join(cards))
        return [found.get(number + 1, {}) for number in range(int(self._cards.get(b"TFIELDS", b"0")))]

    @cached_property
    def _names(self) -> list[str]:
        return [cards.get("TTYPE", "") for cards in self._column_cards]

    @cached_property
    def _layout(self) -> list[tuple[int, int, str]] | None:
        return _layout(tuple(cards.get("TFORM", "") for cards in self._column_cards), int(self._cards[b"NAXIS1"]))

    def __len__(self) -> int:
        return int(self._cards[b"NAXIS2"])


class Columns:
    """Names, units and formats of the columns of a table, in the terms of `astropy.io.fits.ColDefs`."""

    def __init__(self, table: Table) -> None:
        self.table, self.names, self.cards = table, table._names, table._column_cards

    def __getitem__(self, name: str) -> Any:
        cards = self.cards[self.names.index(name)]
        if not SCALING.isdisjoint(cards):
            return self.table._whole.columns[name]
        return SimpleNamespace(unit=cards.get("TUNIT") or None, null=None, bscale="", bzero="")


# Event lists of an observatory have the same columns.
@lru_cache(maxsize=64)
def _by_column(text: str) -> Mapping[int, Mapping[str, str]]:
    """Values of the keywords of each column, by its number."""
    found: dict[int, dict[str, str]] = {}
    for start in range(0, len(text), CARD):
        match = COLUMN.match(text, start, start + CARD)
        if match:
            value = match[4] if match[3] is None else match[3].rstrip().replace("''", "'")
            found.setdefault(int(match[2]), {})[match[1]] = value
    return found


class Values:
    """Values of the columns of a table, in the terms of `astropy.io.fits.FITS_rec`."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def is_plain(self, name: str) -> bool:
        """Whether a column is one number or one ASCII text a row, as it is in the file."""
        return self._plain(name) is not None

    def _plain(self, name: str) -> np.ndarray | None:
        stored = self._stored(name)
        return None if stored is None or (stored.dtype.kind == "S" and not stored.tobytes().isascii()) else stored

    def __getitem__(self, name: str) -> Any:
        stored = self._plain(name)
        if stored is None:
            return self.table._whole.data[name]
        if stored.dtype.kind != "S":
            return stored
        # As astropy has them: without blanks at their ends.
        return np.strings.rstrip(np.strings.decode(stored, "ascii")).astype(f"U{stored.dtype.itemsize}")

    def _stored(self, name: str) -> np.ndarray | None:
        """View of the file; None if it has no column of this name, or one that is not one element a row."""
        table = self.table
        if table._layout is None or table._names.count(name) != 1:
            return None
        number = table._names.index(name)
        offset, repeat, code = table._layout[number]
        form = f"S{repeat}" if code == "A" and repeat else NUMBERS.get(code) if repeat == 1 else None
        if form is None or not UNLIKE_THE_FILE.isdisjoint(table._column_cards[number]):
            return None
        return np.ndarray(
            (len(table),), form, table._content, table._place[1] + offset, (int(table._cards[b"NAXIS1"]),)
        )


@lru_cache(maxsize=64)
def _layout(formats: tuple[str, ...], width: int) -> list[tuple[int, int, str]] | None:
    """Where each column begins in a row, its number of elements and its letter; None if a format is not known."""
    layout, offset = [], 0
    for text in formats:
        match = FORMAT.fullmatch(text)
        if match is None or match[2] not in WIDTHS:
            return None
        repeat = int(match[1] or 1)
        layout.append((offset, repeat, match[2]))
        offset += repeat * WIDTHS[match[2]]
    return layout if offset == width else None
