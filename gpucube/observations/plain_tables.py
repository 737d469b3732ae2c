"""Tables of plain numbers and texts to and from FITS, without the objects that astropy makes of each column and card.

An index of observations has thirty columns and a hundred cards, which take astropy as long as to read the events of
eight observations. Tables with anything else in them (masks, arrays, scales, keywords of coordinates) are left to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from astropy import units as u
from astropy.io.fits import connect
from astropy.table import Column, Table

from gpucube import fits_reader, fits_writer
from gpucube.fits_header import COMMENTARY, KEYWORD, PRINTABLE, Header

__all__ = ["plain_hdu", "plain_tables"]

PLAIN_CARDS = {"TTYPE", "TFORM", "TUNIT"}
# Keywords that are no meta data.
STRUCTURE = re.compile(r"XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|(TTYPE|TFORM|TUNIT)\d+")
ASCII_TABLE = b"XTENSION= 'TABLE"
SERIALIZED = "ASTROPY-SERIALIZED"


def plain_tables(content: bytes, kind: type[Table] = Table) -> list[Table] | None:
    """Read the tables of a FITS file.

    Parameters
    ----------
    content : bytes
        The file, decompressed.
    kind : type
        Class of the result, because to convert a table takes astropy as long as to make it.

    Returns
    -------
    list of astropy.table.Table or None
        What astropy would read, but without masks; None if a table is not plain.
    """
    hdus = None if ASCII_TABLE in content else fits_reader.regular_tables(content)
    if hdus is None or not all(map(_is_plain, hdus)):
        return None
    return [_table(hdu, kind) for hdu in hdus]


def _is_plain(hdu: fits_reader.Table) -> bool:
    names = hdu.columns.names
    return (
        isinstance(hdu.header, Header)
        and all(names)
        and len(set(names)) == len(names)
        and all(set(cards) <= PLAIN_CARDS for cards in hdu.columns.cards)
        and all(hdu.data.is_plain(name) for name in names)
        and all(STRUCTURE.fullmatch(keyword) or not connect.is_column_keyword(keyword) for keyword in hdu.header)
        and SERIALIZED not in hdu.header.text
    )


def _table(hdu: fits_reader.Table, kind: type[Table]) -> Table:
    names = hdu.columns.names
    meta: dict[str, object] = {}
    for keyword, value in hdu.header.cards:
        key = "comments" if keyword == "COMMENT" else keyword
        if keyword in ("COMMENT", "HISTORY") or key in meta:
            before = meta.get(key, [])
            meta[key] = [*(before if isinstance(before, list) else [before]), value]
        elif not STRUCTURE.fullmatch(keyword):
            meta[key] = value
    # Not as columns, which would be made anew.
    table = kind([hdu.data[name].copy() for name in names], names=names, meta=meta, copy=False)
    for name in names:
        if unit := hdu.columns[name].unit:
            table[name].unit = u.Unit(unit, format="fits", parse_strict="warn")
    return table


def plain_hdu(table: Table, name: str) -> bytes | None:
    """Make the FITS table HDU of a table.

    Parameters
    ----------
    table : astropy.table.Table
        Table; its ``meta`` becomes header cards.
    name : str
        EXTNAME.

    Returns
    -------
    bytes or None
        What astropy would write; None if the table is not plain.
    """
    columns = [_column(column) for column in table.itercols()]
    cards = _cards(table.meta, name)
    if not len(table) or cards is None or None in columns:
        return None
    return fits_writer.table_bytes(name, [column for column in columns if column is not None], cards)


def _column(column: Column) -> fits_writer.Column | None:
    if type(column) is not Column or column.ndim != 1 or column.format is not None:
        return None
    values = np.asarray(column)
    is_text = values.dtype.kind in "US" and values.dtype.itemsize > 0 and _is_plain_text(values)
    if not is_text and values.dtype.str[1:] not in fits_writer.CODES:
        return None
    try:
        unit = None if column.unit is None else _unit_text(column.unit)
    except ValueError:  # astropy warns that it is lost
        return None
    return fits_writer.Column(column.name, values, unit)


def _is_plain_text(values: np.ndarray) -> bool:
    """Whether all is ASCII, and without blanks at the end, which astropy takes away."""
    codes = np.ascontiguousarray(values).view("u1" if values.dtype.kind == "S" else values.dtype.byteorder + "u4")
    return bool(codes.max(initial=0) < 128 and np.array_equal(np.char.rstrip(values), values))


@lru_cache(maxsize=256)
def _unit_text(unit: u.UnitBase) -> str:
    return str(unit.to_string(format="fits"))


def _cards(meta: Mapping[str, object], name: str) -> dict[str, object] | None:
    """Header cards in the order of astropy: comments last, and EXTNAME before them unless it has a place."""
    values: dict[str, object] = {}
    for key, value in meta.items():
        keyword = "COMMENT" if key == "comments" else key.upper()
        is_new = KEYWORD.fullmatch(keyword) and keyword not in values and not connect.is_column_keyword(keyword)
        if not is_new or keyword in connect.REMOVE_KEYWORDS or not all(map(_is_plain_value, _as_list(value))):
            return None
        values[keyword] = value
    comments = {keyword: values.pop(keyword) for keyword in list(values) if keyword in COMMENTARY}
    if "EXTNAME" in values:
        return None if isinstance(values["EXTNAME"], list) else values | {"EXTNAME": name} | comments
    return values | {"EXTNAME": (name, "extension name")} | comments


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _is_plain_value(value: object) -> bool:
    if isinstance(value, str):
        return PRINTABLE.fullmatch(value) is not None
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
