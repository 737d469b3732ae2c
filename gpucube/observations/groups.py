"""Groups of observations: bins in altitude, azimuth, or any other column of the observation table.

The background rate depends on where the telescopes point, so each group of similar observations gets its own
model. Groups are numbered with the last axis running fastest: ``GROUP_ID = i_alt * n_az + i_az``.

>>> groups = ObservationGroups.default()
>>> groups.n_groups
28
>>> groups.describe(18)
'ALT 49..53 deg, AZ -90..90 deg'
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Column, Table
from numpy.typing import NDArray

from gpucube.errors import DataError, OptionError
from gpucube.observations.columns import column_floats, column_texts, column_values, read_tables
from gpucube.observations.table import is_longitude, wrap_longitude

__all__ = ["ObservationGroupAxis", "ObservationGroups"]

_ID = "GROUP_ID"


@dataclass(frozen=True)
class ObservationGroupAxis:
    """One quantity by which observations are grouped: bins between edges, or single values.

    Parameters
    ----------
    name : str
        Column of the observation table; "ALT" and "AZ" stand for ALT_PNT and AZ_PNT, and so on.
    edges : sequence of float or astropy.units.Quantity
        Increasing edges of n bins, shape (n + 1,). Bins are closed on the left, the last one on both sides.
        Azimuths and longitudes count modulo a full turn.
    values : sequence of int, float or str
        Instead of edges: n different values, which must be met exactly (but for blanks around a text).
    unit : str
        Unit of edges or values. Default: that of the edges; deg for azimuths and longitudes; else the unit of the
        column, whatever it is.

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
        unit = _unit(self.name, self.unit or given or ("deg" if is_longitude(self.name) else ""))
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
        column = _column_name(table, self.name)
        if self.values and isinstance(self.values[0], str):
            return _index_of_value(np.array(column_texts(table[column]), dtype=str), np.array(self.values))
        numbers = column_values(table, column, self.unit) if self.unit else _numbers(table, column)
        if self.values:
            return _index_of_value(numbers, np.array(self.values, dtype=np.float64))
        if is_longitude(self.name):
            numbers = wrap_longitude(numbers, self.edges[0], self._turn)
        return _index_of_bin(numbers, np.array(self.edges))

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


def _column_name(table: Table, name: str) -> str:
    for column in (f"{name}_PNT", name):
        if column in table.colnames:
            return column
    remedy = f"group by other columns: {', '.join(table.colnames)}"
    raise DataError("the observation table has no such column", column=name, remedy=remedy)


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


@dataclass(frozen=True)
class ObservationGroups:
    """Groups of observations: the grid of all combinations of bins of one or more axes.

    Parameters
    ----------
    axes : sequence of ObservationGroupAxis
        Axes; the last one runs fastest in the group numbers.

    Raises
    ------
    OptionError
        If there is no axis, or if two have the same name.
    """

    axes: Sequence[ObservationGroupAxis]

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(self.axes))
        if not self.axes:
            raise OptionError("groups of observations need at least one axis")
        columns = [_ID, *(column for axis in self.axes for column in _column_names(axis))]
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise OptionError(f"group axes must have different names: two of them give the column {', '.join(twice)}")

    @classmethod
    def default(cls) -> ObservationGroups:
        """Get the groups of the 2015 analysis: 14 bins in altitude, north and south."""
        return cls((_altitude(0, 20, 23, 27, 30, 33, 37, 40, 44, 49, 53, 58, 64, 72, 90), _north_and_south()))

    @classmethod
    def test(cls) -> ObservationGroups:
        """Get four coarse groups for a quick test: low and high altitude, north and south."""
        return cls((_altitude(0, 45, 90), _north_and_south()))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of bins of each axis."""
        return tuple(axis.n_bins for axis in self.axes)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return math.prod(self.shape)

    @property
    def table(self) -> Table:
        """One row per group: GROUP_ID, and NAME_MIN and NAME_MAX (or NAME, for single values) of each axis."""
        ids = np.arange(self.n_groups)
        columns = [Column(ids, name=_ID)]
        for axis, indices in zip(self.axes, np.unravel_index(ids, self.shape), strict=True):
            columns += axis._columns(indices)
        return Table(columns, meta={"axes": [axis._definition() for axis in self.axes]})

    def group_ids(self, table: Table) -> NDArray[np.int64]:
        """Find the group of each observation.

        Parameters
        ----------
        table : astropy.table.Table
            Observations, one per row.

        Returns
        -------
        numpy.ndarray of int
            GROUP_ID, -1 where an observation belongs to none or has NaN in a column; shape (n_obs,).

        Raises
        ------
        DataError
            If the table lacks a column, or if a column does not hold values of its axis.
        """
        ids = np.zeros(len(table), dtype=np.int64)
        for axis in self.axes:
            index = axis.indices(table)
            ids = np.where((ids < 0) | (index < 0), -1, ids * axis.n_bins + index)
        return ids

    def describe(self, group_id: int) -> str:
        """Describe one group.

        Parameters
        ----------
        group_id : int
            GROUP_ID.

        Returns
        -------
        str
            Text such as "ALT 49..53 deg, AZ -90..90 deg".

        Raises
        ------
        OptionError
            If there is no such group.
        """
        if not 0 <= group_id < self.n_groups:
            raise OptionError(f"there is no group {group_id}: groups are 0 to {self.n_groups - 1}")
        indices = np.unravel_index(group_id, self.shape)
        return ", ".join(axis.describe(int(index)) for axis, index in zip(self.axes, indices, strict=True))

    def to_ecsv(self, **meta: Any) -> str:
        """Get the text of an ECSV file, which `read` turns into equal groups.

        Parameters
        ----------
        **meta : str
            Further entries for the header of the file.

        Returns
        -------
        str
            Text of the file.
        """
        text, table = io.StringIO(), self.table
        table.meta.update(meta)
        table.write(text, format="ascii.ecsv")
        return text.getvalue()

    @classmethod
    def read(cls, path: str | Path) -> ObservationGroups:
        """Read groups from an ECSV file, by gpucube or of 2015.

        Parameters
        ----------
        path : path-like
            File with the columns of `table`. The axes are taken from its header, or from the columns where the
            header does not name them.

        Returns
        -------
        ObservationGroups
            The groups.

        Raises
        ------
        DataError
            If the file cannot be read, or its rows are not a full grid of bins in the order of GROUP_ID.
        """
        table = read_tables(path)[0]
        try:
            declared = table.meta.get("axes")
            groups = cls([ObservationGroupAxis(**axis) for axis in declared] if declared else _axes_of_columns(table))
        except (OptionError, TypeError) as error:
            raise DataError(f"does not define groups of observations: {error}", path) from error
        # The number first: the grid of a table of something else may not fit into memory.
        if groups.n_groups != len(table) or not _same_rows(groups.table, table):
            problem = f"rows are not the grid of the axes {', '.join(axis.name for axis in groups.axes)}"
            remedy = "give one row for each combination of bins; a changed row needs a changed header"
            raise DataError(problem, path, remedy=remedy)
        return groups


def _column_names(axis: ObservationGroupAxis) -> list[str]:
    return [f"{axis.name}_MIN", f"{axis.name}_MAX"] if axis.edges else [axis.name]


def _altitude(*edges: float) -> ObservationGroupAxis:
    return ObservationGroupAxis("ALT", edges=edges, unit="deg")


def _north_and_south() -> ObservationGroupAxis:
    return ObservationGroupAxis("AZ", edges=(-90, 90, 270), unit="deg")


def _axes_of_columns(table: Table) -> list[ObservationGroupAxis]:
    axes = []
    for column in table.colnames:
        stem, unit = column[:-4], str(table[column].unit or "")
        if column.endswith("_MIN"):
            edges = {*table[column].tolist(), *_partner(table, f"{stem}_MAX").tolist()}
            axes.append(ObservationGroupAxis(stem, edges=sorted(edges), unit=unit))
        elif column.endswith("_MAX"):
            _partner(table, f"{stem}_MIN")
        elif column != _ID:
            axes.append(ObservationGroupAxis(column, values=list(dict.fromkeys(table[column].tolist())), unit=unit))
    return axes


def _partner(table: Table, name: str) -> Column:
    if name not in table.colnames:
        raise OptionError(f"edges of bins need a column {name}")
    return table[name]


def _same_rows(expected: Table, found: Table) -> bool:
    return all(
        name in found.colnames and np.array_equal(np.asarray(expected[name]), np.asarray(found[name]))
        for name in expected.colnames
    )
