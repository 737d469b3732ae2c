"""One quantity by which observations are grouped: bins between edges, or single values, of a column.

>>> axis = ObservationGroupAxis("MUONEFF", edges=(0.5, 0.7, 1))
>>> axis.describe(0)
'MUONEFF 0.5..0.7'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Column, Table
from numpy.typing import NDArray

from gpucube.errors import DataError, OptionError
from gpucube.observations.columns import column_floats, column_texts, column_values
from gpucube.observations.table import is_longitude, wrap_longitude

__all__ = ["ObservationGroupAxis"]

_ALTITUDE = ("ALT_PNT", "ALT")
_ZENITH = ("ZEN_PNT", "ZEN", "ZENITH")
#: Spellings of one quantity (capitals; any case is accepted), that of GADF first.
_SPELLINGS = (
    _ALTITUDE,
    ("AZ_PNT", "AZ"),
    _ZENITH,
    ("MUONEFF", "MUON_EFF", "MUON_EFFICIENCY"),
    ("NSBLEVEL", "NSB", "NSB_LEVEL"),
    ("N_TELS", "NTELS", "N_TEL"),
)


@dataclass(frozen=True)
class ObservationGroupAxis:
    """One quantity by which observations are grouped: bins between edges, or single values.

    Parameters
    ----------
    name : str
        Column of the observation table; "ALT" and "AZ" stand for ALT_PNT and AZ_PNT, and so on. Also known, in any
        case, are the usual spellings of zenith angle (90 deg - ALT where it is missing), MUONEFF, NSBLEVEL and N_TELS.
    edges : sequence of float or astropy.units.Quantity
        Increasing edges of n bins, shape (n + 1,). Bins are closed on the left, the last one on both sides.
        Azimuths and longitudes count modulo a full turn.
    values : sequence of int, float or str
        Instead of edges: n different values, which must be met exactly (but for blanks around a text).
    unit : str
        Unit of edges or values. Default: that of the edges; deg for altitudes, zenith angles, azimuths and
        longitudes; else the unit of the column, whatever it is.

    Raises
    ------
    OptionError
        If there are not either edges or values, or if they make no sense.
    """

    name: str
    edges: Sequence[float] = ()
    values: Sequence[int | float | str] = ()
    unit: str = ""

    def __post_init__(self) -> None:
        # Plain tuples and strings make axes comparable, hashable, and fit for the header of a file.
        given = getattr(self.edges, "unit", None) or getattr(self.values, "unit", None)
        unit = _unit(self.name, self.unit or given or ("deg" if _is_angle(self.name) else ""))
        object.__setattr__(self, "unit", unit.to_string())
        object.__setattr__(self, "edges", _plain(self, "edges", unit))
        object.__setattr__(self, "values", _plain(self, "values", unit))
        if bool(self.edges) == bool(self.values):
            raise OptionError(f"group axis {self.name}: give either edges or values")
        if self.edges:
            self._check_edges()
        elif len(set(self.values)) < len(self.values) or any(value == "" or value != value for value in self.values):
            raise OptionError(f"group axis {self.name}: values {list(self.values)} are not all there and different")

    def _check_edges(self) -> None:
        if any(isinstance(edge, str) for edge in self.edges):
            raise OptionError(f"group axis {self.name}: edges {list(self.edges)} are not numbers")
        if len(self.edges) < 2 or not (np.diff(self.edges) > 0).all():
            raise OptionError(f"group axis {self.name}: edges {list(self.edges)} do not increase")
        # Not "more than a turn": that would also let infinite edges pass.
        if is_longitude(self.name) and not self.edges[-1] - self.edges[0] <= self._turn:
            raise OptionError(f"group axis {self.name}: edges {list(self.edges)} go round more than once")

    @property
    def kind(self) -> str:
        """Whether the axis has "edges" or "values"."""
        return "edges" if self.edges else "values"

    @property
    def n_bins(self) -> int:
        """Number of bins or values."""
        return len(self.edges) - 1 if self.edges else len(self.values)

    @property
    def _turn(self) -> float:
        return float((360 * u.deg).to_value(self.unit))

    def indices(self, table: Table) -> NDArray[np.int64]:
        """Find the bin of each observation.

        Parameters
        ----------
        table : astropy.table.Table
            Observations.

        Returns
        -------
        numpy.ndarray of int
            Index of the bin, -1 where a value lies in none or is NaN or masked; shape (n_obs,).

        Raises
        ------
        DataError
            If the table lacks the column, or if it does not hold such values.
        """
        return self._indices(self.quantity(table))

    def reasons(self, table: Table) -> list[str]:
        """Say why observations are in no bin.

        Parameters
        ----------
        table : astropy.table.Table
            Observations.

        Returns
        -------
        list of str
            Text such as "ALT 12.3 deg is outside 60..70 deg" or "MUONEFF is NaN"; empty for an observation in a bin.

        Raises
        ------
        DataError
            If the table lacks the column, or if it does not hold such values.
        """
        found = self.quantity(table)
        outside = self._indices(found) < 0
        return [self._why_outside(value) if out else "" for value, out in zip(found.tolist(), outside, strict=True)]

    @property
    def _is_text(self) -> bool:
        return bool(self.values) and isinstance(self.values[0], str)

    def quantity(self, table: Table) -> NDArray[Any]:
        """Get the quantity by which observations are grouped.

        Parameters
        ----------
        table : astropy.table.Table
            Observations.

        Returns
        -------
        numpy.ndarray of float64 or str
            Value of each observation in the unit of the axis, NaN or blank where it has none; shape (n_obs,).

        Raises
        ------
        DataError
            If the table lacks the column, or if it does not hold such values.
        """
        table, column = _with_column(table, self.name)
        if self._is_text:
            return np.array(column_texts(table[column]), dtype=str)
        return column_values(table, column, self.unit) if self.unit else _numbers(table, column)

    def _indices(self, found: NDArray[Any]) -> NDArray[np.int64]:
        if self.values:
            return _index_of_value(found, np.array(self.values, dtype=None if self._is_text else np.float64))
        if is_longitude(self.name):
            found = wrap_longitude(found, self.edges[0], self._turn)
        return _index_of_bin(found, np.array(self.edges))

    def _why_outside(self, value: float | str) -> str:
        if value == "" or value != value:
            return f"{self.name} is {'blank' if value == '' else 'NaN'}"
        text = f"{self.name} {value if isinstance(value, str) else format(value, '.8g')} {self.unit}".strip()
        if self.values:
            return f"{text} is none of {', '.join(map(str, self.values))}"
        return f"{text} is outside {self.edges[0]:g}..{self.edges[-1]:g} {self.unit}".strip()

    def describe(self, index: int) -> str:
        """Describe one bin.

        Parameters
        ----------
        index : int
            Index of the bin.

        Returns
        -------
        str
            Text such as "ALT 49..53 deg" or "N_TELS 4".
        """
        if self.edges:
            text = f"{self.name} {self.edges[index]:g}..{self.edges[index + 1]:g}"
        else:
            text = f"{self.name} {self.values[index]}"
        return f"{text} {self.unit}".strip()

    def _definition(self) -> dict[str, Any]:
        return {"name": self.name, self.kind: list(getattr(self, self.kind)), "unit": self.unit}

    def _columns(self, indices: NDArray[np.int64]) -> list[Column]:
        unit = self.unit or None
        if self.values:
            return [Column(np.array(self.values)[indices], name=self.name, unit=unit)]
        edges = np.array(self.edges)
        low = Column(edges[:-1][indices], name=f"{self.name}_MIN", unit=unit)
        return [low, Column(edges[1:][indices], name=f"{self.name}_MAX", unit=unit)]


def _unit(name: str, unit: Any) -> u.UnitBase:
    try:
        unit = u.Unit(unit)
        if is_longitude(name):
            unit.to("deg")
    except (TypeError, ValueError, u.UnitConversionError) as error:
        raise OptionError(f"group axis {name}: unit {str(unit)!r} makes no sense here: {error}") from error
    return unit


def _plain(axis: ObservationGroupAxis, field: str, unit: u.UnitBase) -> tuple[int | float | str, ...]:
    entries: Any = getattr(axis, field)
    try:
        array = np.asarray(entries.to_value(unit) if isinstance(entries, u.Quantity) else entries)
    except (ValueError, u.UnitConversionError) as error:
        raise OptionError(f"group axis {axis.name}: {field} {entries!r} make no sense: {error}") from error
    if array.ndim != 1 or array.dtype.kind not in "iufU":
        raise OptionError(f"group axis {axis.name}: {field} {entries!r} are no list of numbers or texts")
    if array.dtype.kind == "U":
        return tuple(text.strip() for text in array.tolist())
    return tuple((array.astype(np.float64) if field == "edges" else array).tolist())


def _is_angle(name: str) -> bool:
    return is_longitude(name) or name.upper() in _ALTITUDE + _ZENITH


def _with_column(table: Table, name: str) -> tuple[Table, str]:
    """Find the column of a quantity, in the table or in one that is made for it."""
    column = _column_name(table, name)
    if column:
        return table, column
    altitude = _column_name(table, "ALT") if name.upper() in _ZENITH else ""
    if altitude:
        return Table([Column(90 - column_values(table, altitude, "deg"), name=name, unit="deg")]), name
    remedy = f"group by other columns: {', '.join(table.colnames)}"
    raise DataError("the observation table has no such column", column=name, remedy=remedy)


def _column_name(table: Table, name: str) -> str:
    others = next((spellings for spellings in _SPELLINGS if name.upper() in spellings), ())
    in_capitals = {column.upper(): column for column in reversed(table.colnames)}
    for spelling in (f"{name}_PNT", name, *others):
        if spelling in table.colnames:
            return spelling
        if spelling.upper() in in_capitals:
            return in_capitals[spelling.upper()]
    return ""


def _numbers(table: Table, column: str) -> NDArray[np.float64]:
    try:
        return column_floats(table[column])
    except (TypeError, ValueError) as error:
        raise DataError(str(error), column=column, remedy="group by a column of numbers, or by values") from error


def _index_of_value(found: NDArray[Any], values: NDArray[Any]) -> NDArray[np.int64]:
    equal = found[:, np.newaxis] == values
    return np.where(equal.any(axis=1), equal.argmax(axis=1), -1)


def _index_of_bin(numbers: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    index = np.searchsorted(edges, numbers, side="right") - 1
    index = np.where(numbers == edges[-1], len(edges) - 2, index)
    # NaN sorts after the last edge.
    return np.where(index < len(edges) - 1, index, -1)
