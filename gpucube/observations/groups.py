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
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.table import Column, Table
from numpy.typing import NDArray

from gpucube.errors import DataError, OptionError
from gpucube.observations.columns import read_tables
from gpucube.observations.group_axis import ObservationGroupAxis

__all__ = ["ObservationGroupAxis", "ObservationGroups"]

_ID = "GROUP_ID"


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

    def reasons(self, table: Table) -> list[str]:
        """Say why observations are in no group.

        Parameters
        ----------
        table : astropy.table.Table
            Observations, one per row.

        Returns
        -------
        list of str
            The first axis that does not hold the observation, its value and the edges, as "ALT 12.3 deg is outside
            60..70 deg"; empty where an observation has a group.

        Raises
        ------
        DataError
            If the table lacks a column, or if a column does not hold values of its axis.
        """
        reasons = [""] * len(table)
        for axis in self.axes:
            reasons = [known or new for known, new in zip(reasons, axis.reasons(table), strict=True)]
        return reasons

    def groups_for(self, table: Table) -> ObservationGroups:
        """Get these groups, whatever the observations; `AdaptiveGroups` looks at them.

        Parameters
        ----------
        table : astropy.table.Table
            Observations.

        Returns
        -------
        ObservationGroups
            The groups.
        """
        return self

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

    def to_ecsv(self, **meta: str) -> str:
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
        return _ecsv_of(json.dumps([axis._definition() for axis in self.axes]), tuple(meta.items()))

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


# The same groups are written again and again, and YAML takes long. By text, because 1 and 1.0 are equal.
@lru_cache(maxsize=16)
def _ecsv_of(axes: str, meta: tuple[tuple[str, str], ...]) -> str:
    text, table = io.StringIO(), ObservationGroups([ObservationGroupAxis(**axis) for axis in json.loads(axes)]).table
    table.meta.update(meta)
    table.write(text, format="ascii.ecsv")
    return text.getvalue()


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
