"""The event ledger: what became of every observation and of each of its events."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from astropy.io import fits
from astropy.table import Table

from gpucube.cubes.fits import CREATOR
from gpucube.errors import GpucubeError
from gpucube.fits_writer import Column, table_bytes

__all__ = ["FATES", "LedgerError", "LedgerRow", "ledger_ecsv", "ledger_hdu", "rows_from_hdu"]

# What becomes of an event, in words, by the column of the ledger that counts it.
FATES = {
    "N_FILLED": "filled",
    "N_INVALID": "invalid",
    "N_EXCLUDED": "excluded",
    "N_BELOW_THRESHOLD": "below the threshold",
    "N_OUTSIDE_ENERGY": "outside the energy bins",
    "N_OUTSIDE_FOV": "outside the field of view",
}


class LedgerError(GpucubeError):
    """Events were lost or counted twice: a bug of gpucube, not of the data."""


@dataclass(frozen=True)
class LedgerRow:
    """One observation of the input.

    Attributes
    ----------
    obs_id, group_id : int
        Observation, and its group (-1 if none).
    status : {"used", "near_source", "ungrouped", "skipped"}
        What became of it.
    reason : str
        Why it was not used; of one that was, what was assumed where its files do not say it.
    n_read, n_invalid, n_excluded, n_below_threshold, n_outside_energy, n_outside_fov, n_filled : int
        Numbers of events.
    livetime, ontime : float
        Observation time in s; NaN where it is not known.

    Raises
    ------
    LedgerError
        The numbers of events do not add up.
    """

    obs_id: int
    group_id: int = -1
    status: str = "used"
    reason: str = ""
    n_read: int = 0
    n_invalid: int = 0
    n_excluded: int = 0
    n_below_threshold: int = 0
    n_outside_energy: int = 0
    n_outside_fov: int = 0
    n_filled: int = 0
    livetime: float = float("nan")
    ontime: float = float("nan")

    def __post_init__(self) -> None:
        accounted = (
            self.n_invalid
            + self.n_excluded
            + self.n_below_threshold
            + self.n_outside_energy
            + self.n_outside_fov
            + self.n_filled
        )
        if self.n_read != accounted:
            raise LedgerError(f"observation {self.obs_id}: read {self.n_read} events, accounted for {accounted}")


COLUMNS = tuple(field.name for field in fields(LedgerRow))


def _ledger_columns(rows: Iterable[LedgerRow]) -> dict[str, np.ndarray]:
    rows = list(rows)
    types: dict[str, type] = {"int": np.int64, "float": np.float64, "str": str}
    return {
        field.name.upper(): np.array([getattr(row, field.name) for row in rows], dtype=types[str(field.type)])
        for field in fields(LedgerRow)
    }


def ledger_ecsv(rows: Iterable[LedgerRow]) -> str:
    """Text of a ledger file.

    Parameters
    ----------
    rows : iterable of LedgerRow
        Observations in the order of the input.

    Returns
    -------
    str
        ECSV table, one row per observation.
    """
    lines = (" ".join(_ecsv_field(getattr(row, name)) for name in COLUMNS) for row in rows)
    text = _ecsv_header() + "".join(f"{line}\n" for line in lines)
    # The same escapes as in FITS: a ledger read back from a model file gives the same text.
    return text.encode("ascii", "backslashreplace").decode()


# YAML takes longer to write than the rows.
@lru_cache(maxsize=1)
def _ecsv_header() -> str:
    """Text before the rows, as astropy writes it."""
    table = Table(_ledger_columns([]), meta={"creator": CREATOR})
    for name in ("LIVETIME", "ONTIME"):
        table[name].unit = "s"
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue()


def _ecsv_field(value: float | str) -> str:
    """A value as astropy writes it: quoted if it is text that is empty or has blanks, quotes or line breaks in it."""
    if not isinstance(value, str):
        return str(value)
    text = value.strip(" \t")
    quoted = not text or any(character in text for character in ' "\r\n')
    return '"{}"'.format(text.replace('"', '""')) if quoted else text


def ledger_hdu(rows: Iterable[LedgerRow]) -> bytes:
    """Table HDU ``OBSERVATIONS`` of a ledger, which goes into the file of a model.

    Parameters
    ----------
    rows : iterable of LedgerRow
        Observations of a group.

    Returns
    -------
    bytes
        One row per observation.
    """
    # FITS has ASCII only, and no column for empty strings.
    escaped = [replace(row, reason=row.reason.encode("ascii", "backslashreplace").decode() or " ") for row in rows]
    columns = _ledger_columns(escaped)
    units = {"LIVETIME": "s", "ONTIME": "s"}
    return table_bytes("OBSERVATIONS", [Column(name, values, units.get(name)) for name, values in columns.items()])


def rows_from_hdu(hdu: fits.BinTableHDU) -> list[LedgerRow]:
    """Rows of a ledger written by `ledger_hdu`.

    Parameters
    ----------
    hdu : astropy.io.fits.BinTableHDU
        HDU ``OBSERVATIONS`` of a model file.

    Returns
    -------
    list of LedgerRow
        Its rows.
    """
    kinds = {"int": int, "float": float, "str": str}
    rows = [
        LedgerRow(**{field.name: kinds[str(field.type)](row[field.name.upper()]) for field in fields(LedgerRow)})
        for row in hdu.data
    ]
    return [replace(row, reason=row.reason.strip()) for row in rows]
