"""Groups with bins in zenith angle that the observations themselves decide: as many as their livetime or number allows.

The promise: every group has the minimum, in every bin of the other axes and, if asked for, at every wobble position. A
combination of these that lacks the minimum even in all bins of zenith angle together is left out of the promise, with a
warning that names it; it does not cost the others their bins. There are as many bins as the promise allows, and of all
cuts into that many, one is chosen that divides the observations about evenly.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from gpucube.errors import OptionError
from gpucube.observations.columns import column_values
from gpucube.observations.group_axis import ObservationGroupAxis
from gpucube.observations.groups import ObservationGroups
from gpucube.observations.wobble import wobble_positions

__all__ = ["AdaptiveGroups"]

log = logging.getLogger(__name__)

# Times are added as whole microseconds, so that sums do not depend on the order of the observations.
TICKS = 1_000_000
LONGEST = 1e8  # s; nothing real is longer, and sums stay whole numbers
MOST_NAMED = 10  # in one warning

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class AdaptiveGroups:
    """Groups in zenith angle, each with a minimum of observations, and in other axes.

    Parameters
    ----------
    axes : sequence of ObservationGroupAxis
        Other axes; zenith angle comes before them, as altitude: GROUP_ID = i_alt * n_others + i_others.
    min_livetime : float
        Livetime in s that each group must have at least, by LIVETIME of the observation table.
    min_observations : int
        Number of observations that each group must have at least.
    per_wobble : bool
        Whether each group must have the minimum at every wobble position, see `gpucube.observations.wobble`.

    Raises
    ------
    OptionError
        If there is no minimum or it makes no sense, or if two axes have the same name.
    """

    axes: Sequence[ObservationGroupAxis] = ()
    min_livetime: float = 0.0
    min_observations: int = 0
    per_wobble: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(self.axes))
        if not (0 <= self.min_livetime < LONGEST and self.min_observations >= 0):
            raise OptionError(f"{self.min_livetime:g} s, {self.min_observations} observations: no minimum of a group")
        if not (self.min_livetime or self.min_observations):
            raise OptionError("bins in zenith angle need a minimum: give --min-livetime or --min-observations")
        self._with_edges([])

    def groups_for(self, table: Table) -> ObservationGroups:
        """Make the groups for some observations.

        Parameters
        ----------
        table : astropy.table.Table
            Observations; their order does not matter. Those that lie in no bin of the other axes do not count.

        Returns
        -------
        ObservationGroups
            Bins in altitude from 0 to 90 deg whose edges lie between observations, and the other axes.

        Raises
        ------
        DataError
            If the table lacks a column.
        """
        altitudes, sums, labels = self._tally(table)
        enough = (sums[-1] >= self._minimum).all(axis=1)
        self._warn([label for label, reached in zip(labels, enough, strict=True) if not reached], sums[-1, ~enough])
        cuts = _even_cuts(sums[:, enough], self._minimum)
        groups = self._with_edges([_edge_between(altitudes[cut - 1], altitudes[cut]) for cut in cuts])
        edges = ", ".join(f"{edge:g}" for edge in groups.axes[0].edges)
        log.info("bins in zenith angle: %d, with edges at altitude %s deg", groups.shape[0], edges)
        return groups

    @property
    def _minimum(self) -> Integers:
        # A minimum below the resolution is still one.
        ticks = max(1, round(self.min_livetime * TICKS)) if self.min_livetime else 0
        return np.array([ticks, self.min_observations], dtype=np.int64)

    def _with_edges(self, edges: list[float]) -> ObservationGroups:
        altitude = ObservationGroupAxis("ALT", edges=(0.0, *edges, 90.0), unit="deg")
        return ObservationGroups((altitude, *self.axes))

    def _tally(self, table: Table) -> tuple[NDArray[np.float64], Integers, list[str]]:
        """Livetime and number of observations of each combination of bins and wobbles, summed up in altitude.

        Returns
        -------
        altitudes : numpy.ndarray of float64, shape (n,)
            All different altitudes, in deg, increasing.
        sums : numpy.ndarray of int64, shape (n + 1, n_combinations, 2)
            Livetime in ticks and number of observations below the k-th altitude.
        labels : list of str, length n_combinations
            What each combination is.
        """
        whole = self._with_edges([])
        ids = whole.group_ids(table)
        table, ids = table[ids >= 0], ids[ids >= 0]
        wobbles, names = wobble_positions(table) if self.per_wobble else (np.zeros_like(ids), [""])
        known = wobbles >= 0
        if not known.all():
            log.warning("without position of the target, and so at no wobble position: %d observations", (~known).sum())
        groups, group = np.unique(ids[known], return_inverse=True)
        # The last bin is closed on both sides: no edge can lie between 90 deg and the number before it.
        altitude = np.minimum(whole.axes[0].quantity(table), np.nextafter(90.0, 0.0))
        altitudes, row = np.unique(altitude[known], return_inverse=True)
        sums = np.zeros((len(altitudes) + 1, len(groups), len(names), 2), dtype=np.int64)
        np.add.at(sums, (row.ravel() + 1, group.ravel(), wobbles[known]), self._amounts(table)[known])
        labels = [", ".join(filter(None, (self._describe(g), name))) for g in groups.tolist() for name in names]
        return altitudes, sums.cumsum(axis=0).reshape(len(sums), len(labels), 2), labels

    def _describe(self, group_id: int) -> str:
        return ObservationGroups(self.axes).describe(group_id) if self.axes else ""

    def _amounts(self, table: Table) -> Integers:
        amounts = np.ones((len(table), 2), dtype=np.int64)
        if self.min_livetime:
            livetime = column_values(table, "LIVETIME", "s")
            livetime = np.clip(np.where(np.isfinite(livetime), livetime, 0), 0, LONGEST)
            amounts[:, 0] = np.round(livetime * TICKS)
        return amounts

    def _warn(self, labels: list[str], totals: Integers) -> None:
        short = [f"{label or 'all observations'}: {self._text(*t)}" for label, t in zip(labels, totals, strict=True)]
        if short:
            named = short[:MOST_NAMED] + [f"and {len(short) - MOST_NAMED} more"] * (len(short) > MOST_NAMED)
            minimum = self._text(*self._minimum)
            log.warning("less than %s even in a single bin of zenith angle: %s", minimum, "; ".join(named))

    def _text(self, ticks: int, number: int) -> str:
        hours = f"{ticks / TICKS / 3600:.3g} h"
        amounts = (
            (self.min_livetime, hours),
            (self.min_observations, f"{number} observation{'' if number == 1 else 's'}"),
        )
        return ", ".join(text for minimum, text in amounts if minimum)


def _even_cuts(sums: Integers, minimum: Integers) -> list[int]:
    """Cut into as many bins as there can be with the minimum, of about the same size.

    Parameters
    ----------
    sums : numpy.ndarray of int64, shape (n + 1, n_combinations, n_amounts)
        Amounts below the k-th value; each combination has the minimum in all.
    minimum : numpy.ndarray of int64, shape (n_amounts,)
        Least amounts of each combination in each bin.

    Returns
    -------
    list of int
        Increasing k where a bin ends and the next begins.
    """
    if not sums.shape[1]:
        return []
    even = sums[:, :, 0 if minimum[0] else 1].sum(axis=1).astype(np.float64)
    columns, least = sums.reshape(len(sums), -1).T, np.tile(minimum, sums.shape[1])
    # Bins filled from the end give the latest cuts: a bin that is closed as soon as it can be leaves most for others.
    latest = [len(sums) - 1]
    while (start := _latest_start(columns, latest[-1], least)) >= 0:
        latest.append(start)
    n_bins = len(latest) - 1
    cuts = [0]
    for k, last in enumerate(latest[-2:0:-1], start=1):
        ideal = int(np.abs(even * n_bins - even[-1] * k).argmin())
        cuts.append(min(max(ideal, _earliest_stop(columns, cuts[-1], least)), last))
    return cuts[1:]


def _latest_start(columns: Integers, stop: int, least: Integers) -> int:
    """Last beginning of a bin that ends here and has enough; -1 if there is none."""
    return min(
        int(np.searchsorted(column, column[stop] - amount, side="right")) - 1
        for column, amount in zip(columns, least, strict=True)
    )


def _earliest_stop(columns: Integers, start: int, least: Integers) -> int:
    """First end of a bin that begins here and has enough."""
    return max(
        int(np.searchsorted(column, column[start] + amount)) for column, amount in zip(columns, least, strict=True)
    )


def _edge_between(low: float, high: float) -> float:
    """The roundest number near the middle, in the cosine of the zenith angle, of two altitudes in deg."""
    middle = math.degrees(math.asin(0.5 * (math.sin(math.radians(low)) + math.sin(math.radians(high)))))
    candidates = (round(middle, digits) for digits in range(16))
    # Bins are closed on the left.
    return next((edge for edge in candidates if low < edge <= high), high)
