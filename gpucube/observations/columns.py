"""Tables of any format and the numbers in their columns, whatever they are stored as."""

from __future__ import annotations

import contextlib
import io
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.io.votable import parse as parse_votable
from astropy.io.votable.exceptions import VOWarning
from astropy.table import Column, Table
from astropy.utils.data import get_readable_fileobj
from numpy.typing import NDArray

from gpucube.errors import DataError
from gpucube.gzipped import GZIP_MAGIC
from gpucube.observations.plain_tables import plain_tables

__all__ = ["column_floats", "column_texts", "column_unit", "column_values", "read_tables", "unit_from"]

#: Unit names met in files that astropy does not know.
_UNIT_SPELLINGS = {"degs": "deg", "degrees": "deg", "sec": "s", "secs": "s", "seconds": "s", "hours": "h"} | {
    name.lower(): name for name in ("keV", "MeV", "GeV", "TeV")
}

FITS_MAGIC = b"SIMPLE"
FITS_ENDINGS = (".fits", ".fits.gz")


def read_tables(path: str | Path, kind: type[Table] = Table) -> list[Table]:
    """Read all tables of a file that astropy can read.

    Parameters
    ----------
    path : path-like
        FITS file (every table HDU), VOTable (every table), ECSV, CSV or other text table; compressed or not.
    kind : type
        Class that is wanted. Where that costs another copy, they are of the class `astropy.table.Table` all the same.

    Returns
    -------
    list of astropy.table.Table
        At least one table.

    Raises
    ------
    DataError
        If the file is missing, damaged, or holds no table.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError("is a folder, not a table", path, remedy="name a file: FITS, ECSV, VOTable or CSV")
    if not path.is_file():
        raise DataError("no such file", path, remedy="check the path")
    try:
        with warnings.catch_warnings():
            # Who uses a column judges its unit, and says so with file and column.
            warnings.simplefilter("ignore", u.UnitsWarning)
            warnings.simplefilter("ignore", VOWarning)
            # Either only filling is missing at the end, or an error follows.
            warnings.filterwarnings("ignore", "File may have been truncated")
            tables = _tables_of(path, kind)
    # Damaged files make astropy raise errors of every kind (OSError, EOFError, zlib.error, TypeError, ...).
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if path.name.lower().endswith(FITS_ENDINGS):
            text = "it does not begin as one" if _begins_otherwise(path) else reason
            raise DataError(f"cannot be read as FITS: {text}", path, remedy="is it damaged? copy it again") from error
        problem = f"cannot be read as a table: {reason}"
        raise DataError(problem, path, remedy="give FITS, ECSV, VOTable or CSV") from error
    if not tables:
        raise DataError("holds no table", path, remedy="give a file with a table HDU; is it damaged? copy it again")
    return tables


def _begins_otherwise(path: Path) -> bool:
    """Whether a file can be read and is not FITS from its first bytes on."""
    try:
        with path.open("rb") as file:
            return not file.read(len(FITS_MAGIC)).startswith((FITS_MAGIC, GZIP_MAGIC))
    except OSError:
        return False


def _tables_of(path: Path, kind: type[Table]) -> list[Table]:
    # All of it, because a compressed file that was cut off is an error only to who reads to its end.
    with get_readable_fileobj(path, encoding="binary") as file:
        content = file.read()
    if content.startswith(FITS_MAGIC):
        plain = plain_tables(content, kind)
        if plain is not None:
            return plain
        with fits.open(io.BytesIO(content)) as hdus:
            found = [hdu for hdu in hdus if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU))]
            return [Table.read(hdu, mask_invalid=False) for hdu in found]
    if b"<VOTABLE" in content[:4096]:
        return [table.to_table() for table in parse_votable(io.BytesIO(content)).iter_tables()]
    return [_text_table(content.decode("utf-8-sig"))]


def _text_table(text: str) -> Table:
    # Without a line break, astropy takes the text for a path or an address.
    text += "\n"
    if text.startswith("# %ECSV"):
        return Table.read(text, format="ascii.ecsv")
    # Guessing takes spaces for separators before commas, which breaks names such as "Crab Nebula".
    header = text.partition("\n")[0]
    for delimiter in ",;":
        if delimiter in header:
            with contextlib.suppress(ValueError):
                return Table.read(text, format="ascii.csv", delimiter=delimiter)
    return Table.read(text, format="ascii")


def column_floats(column: Column) -> NDArray[np.float64]:
    """Get the numbers in a column, whatever they are stored as.

    Parameters
    ----------
    column : astropy.table.Column
        Numbers, or text that reads as numbers; shape (n,).

    Returns
    -------
    numpy.ndarray
        The same values as float64, shape (n,); NaN where they are masked or blank.

    Raises
    ------
    ValueError
        If the column holds arrays, or text that is no number.
    """
    if type(column) is Column and column.ndim == 1 and column.dtype.kind in "fiu":  # what almost all are
        return np.array(column, dtype=np.float64)
    data = np.ma.asarray(column)
    if data.ndim != 1:
        raise ValueError(f"holds arrays of shape {data.shape[1:]}, not numbers")
    if data.dtype.kind in "SUO":
        return np.array([float(text) if text else np.nan for text in column_texts(column)])
    return np.ma.filled(data.astype(np.float64), np.nan)


def column_texts(column: Column) -> list[str]:
    """Get the entries of a column as text.

    Parameters
    ----------
    column : astropy.table.Column
        Column of n entries, text of either kind or anything else.

    Returns
    -------
    list of str
        Their texts without blanks around them, empty where they are masked.
    """
    if type(column) is Column and column.dtype.kind == "U":  # what almost all are
        return [text.strip() for text in column.tolist()]
    data = np.ma.asarray(column)
    texts = (value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in data.data)
    return ["" if masked else text.strip() for text, masked in zip(texts, np.ma.getmaskarray(data), strict=True)]


def column_unit(column: Column, default: str | u.UnitBase) -> u.UnitBase:
    """Get the unit of a column, also where its name is one that astropy does not know.

    Parameters
    ----------
    column : astropy.table.Column
        Column with or without unit.
    default : str or unit
        Unit of a column that has none.

    Returns
    -------
    astropy.units.UnitBase
        The unit.
    """
    text = str(getattr(column, "unit", None) or "").strip()
    return unit_from(text) if text else u.Unit(default)


@lru_cache(maxsize=256)
def unit_from(text: str) -> u.UnitBase:
    """Get a unit by its name, also one that astropy does not know.

    Parameters
    ----------
    text : str
        Name in any spelling met in files.

    Returns
    -------
    astropy.units.UnitBase
        The unit.

    Raises
    ------
    ValueError
        If there is no such unit.
    """
    try:
        return u.Unit(text.strip())
    except ValueError:
        name = text.strip().lower()
        return u.Unit(_UNIT_SPELLINGS.get(name, name))


def column_values(
    table: Table, name: str, unit: str | u.UnitBase, path: str | Path | None = None
) -> NDArray[np.float64]:
    """Get the numbers in a column of a table, in a given unit.

    Parameters
    ----------
    table : astropy.table.Table
        Table with n rows.
    name : str
        Column.
    unit : str or unit
        Unit of the result; a column without unit is taken to be in it.
    path : path-like, optional
        File of the table, for error messages.

    Returns
    -------
    numpy.ndarray
        Values in `unit`, float64, shape (n,); NaN where they are masked or blank.

    Raises
    ------
    DataError
        If there is no such column, or if it does not hold numbers in such a unit.
    """
    if name not in table.colnames:
        raise DataError("no such column", path, column=name, remedy=f"columns: {', '.join(table.colnames)}")
    try:
        values, stored, wanted = column_floats(table[name]), column_unit(table[name], unit), u.Unit(unit)
        return values if stored is wanted else u.Quantity(values, stored).to_value(wanted)
    except (TypeError, ValueError, u.UnitConversionError) as error:
        remedy = f"give numbers in {unit}" if str(unit) else "give numbers"
        raise DataError(str(error), path, column=name, remedy=remedy) from error
