"""Decide for every observation of a table whether it is used, and in which group."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord

from gpucube.errors import ObservationError, OptionError
from gpucube.observations.adaptive import AdaptiveGroups
from gpucube.observations.catalog import SourceCatalog, near_source
from gpucube.observations.columns import column_values
from gpucube.observations.groups import ObservationGroups
from gpucube.observations.regions import ExclusionRegions
from gpucube.observations.store import DataStore
from gpucube.observations.table import ObservationTable, select_linspace
from gpucube.pipeline.ledger import LedgerRow
from gpucube.pipeline.mask import Mask
from gpucube.pipeline.settings import Settings

__all__ = ["Selection", "open_catalog", "open_mask", "select_observations", "unusable_rows"]

log = logging.getLogger(__name__)

TEST_OBSERVATIONS = 100
TEST_SOURCES = 5


@dataclass(frozen=True, eq=False)
class Selection:
    """Observations that are to be used, and what became of the others.

    Attributes
    ----------
    rows : list of LedgerRow
        One row per row of the input table, in its order; those with status ``used`` are still to be read.
    kept : ObservationTable
        Observations that are far from all sources.
    groups : ObservationGroups
        The groups.
    group_ids : numpy.ndarray of int64, shape (len(kept),)
        Group of each of them, -1 if none.
    """

    rows: list[LedgerRow]
    kept: ObservationTable
    groups: ObservationGroups
    group_ids: np.ndarray

    @property
    def grouped(self) -> ObservationTable:
        """The kept observations with a column GROUP_ID."""
        table = self.kept.copy()
        table["GROUP_ID"] = self.group_ids
        return table

    def indices_by_group(self) -> dict[int, list[int]]:
        """Indices in `rows` of the observations of each group that has any, in the order of GROUP_ID.

        Returns
        -------
        dict of int to list of int
            Indices by group.
        """
        members: dict[int, list[int]] = {}
        for index, row in enumerate(self.rows):
            if row.status == "used":
                members.setdefault(row.group_id, []).append(index)
        return dict(sorted(members.items()))


def open_catalog(name: str) -> SourceCatalog:
    """Open the catalogue that a setting names.

    Parameters
    ----------
    name : str
        ``builtin``, ``none`` or a path.

    Returns
    -------
    SourceCatalog
        The sources.
    """
    if name == "none":
        return SourceCatalog.empty()
    catalog = SourceCatalog.builtin() if name == "builtin" else SourceCatalog.read(name)
    n_extended = int(np.count_nonzero(catalog.radius.value))
    log.info("catalogue: %d sources, %d of them extended, from %s", len(catalog), n_extended, catalog.origin)
    return catalog


def select_observations(
    store: DataStore, settings: Settings, groups: ObservationGroups | AdaptiveGroups | None = None
) -> Selection:
    """Drop observations that are damaged or near to a source, and group the others.

    Parameters
    ----------
    store : DataStore
        Observations.
    settings : Settings
        Of these, `catalog`, `test` and `strict`.
    groups : ObservationGroups or AdaptiveGroups, optional
        Groups, or how to make them from the observations that are left; those of 2015 if not given.

    Returns
    -------
    Selection
        What becomes of each observation.

    Raises
    ------
    OptionError
        The table has no observations.
    ObservationError
        An observation cannot be used, and `strict` is set.
    """
    table = store.table
    if not len(table):
        raise OptionError(f"{store.path}: the observation table is empty")
    rows = [_first_row(table, index) for index in range(len(table))]
    rows = _mark(rows, unusable_rows(store), "skipped")
    _report_skipped(rows, store, settings.strict)
    rows = _mark(rows, _left_out_by_test(table, rows) if settings.test else {}, "ungrouped")
    rows = _mark(rows, {} if settings.mask else _sources_near(table, rows, settings), "near_source")
    used = [index for index, row in enumerate(rows) if row.status == "used"]
    kept = table[used]
    default = ObservationGroups.test() if settings.test else ObservationGroups.default()
    chosen = groups.groups_for(kept) if groups else default
    group_ids = chosen.group_ids(kept)
    for index, group_id in zip(used, group_ids, strict=True):
        rows[index] = replace(rows[index], group_id=int(group_id))
    outside = {index: reason for index, reason in zip(used, chosen.reasons(kept), strict=True) if reason}
    return Selection(_mark(rows, outside, "ungrouped"), kept, chosen, group_ids)


def _first_row(table: ObservationTable, index: int) -> LedgerRow:
    livetime, ontime = (
        float(table[name][index]) if name in table.colnames else math.nan for name in ("LIVETIME", "ONTIME")
    )
    return LedgerRow(int(table["OBS_ID"][index]), livetime=livetime, ontime=ontime)


def _mark(rows: list[LedgerRow], reasons: dict[int, str], status: str) -> list[LedgerRow]:
    return [
        replace(row, status=status, reason=reasons[index]) if index in reasons else row
        for index, row in enumerate(rows)
    ]


def unusable_rows(store: DataStore) -> dict[int, str]:
    """Find the observations that cannot be used, whatever is in their files.

    Parameters
    ----------
    store : DataStore
        Observations.

    Returns
    -------
    dict of int to str
        Why, by the index of the row in the table of the store.
    """
    table = store.table
    angles = {
        name: column_values(table, name, "deg")
        for name in ("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT")
        if name in table.colnames
    }
    first: dict[Any, int] = {}
    reasons = {}
    for index, obs_id in enumerate(np.asarray(table["OBS_ID"]).tolist()):
        position = {name: float(values[index]) for name, values in angles.items()}
        events = store.files[obs_id].events
        if not np.isfinite(list(position.values())).all() or abs(position["DEC_PNT"]) > 90:
            given = ", ".join(f"{name} {value:g}" for name, value in position.items())
            reasons[index] = f"pointing is no position: {given} deg"
        elif obs_id in first:
            reasons[index] = f"duplicate OBS_ID {obs_id}: row {first[obs_id] + 1} of the table has it, too"
        elif events is not None and events in first:
            other = np.asarray(table["OBS_ID"])[first[events]]
            reasons[index] = f"its events are those of observation {other}: {events.path.name}"
        else:
            first[obs_id] = index
            if events is not None:
                first[events] = index
    return reasons


def _report_skipped(rows: list[LedgerRow], store: DataStore, strict: bool) -> None:
    for row in rows:
        if row.status == "skipped":
            if strict:
                raise ObservationError(f"observation {row.obs_id}: {row.reason}", store.path)
            log.warning("observation %d skipped: %s", row.obs_id, row.reason)


def _left_out_by_test(table: ObservationTable, rows: list[LedgerRow]) -> dict[int, str]:
    usable = [index for index, row in enumerate(rows) if row.status == "used"]
    chosen = select_linspace(table[usable], TEST_OBSERVATIONS)
    wanted = set(np.asarray(chosen["OBS_ID"]).tolist())
    reason = f"not one of the {TEST_OBSERVATIONS} observations of a test"
    return {index: reason for index in usable if rows[index].obs_id not in wanted}


def open_mask(settings: Settings) -> Mask | None:
    """Collect what is to be cut out of all observations.

    Parameters
    ----------
    settings : Settings
        Of these, `catalog`, `test`, and those whose names begin with `mask`.

    Returns
    -------
    Mask or None
        The mask; None if nothing is to be cut out.
    """
    if not settings.mask:
        return None
    regions = ExclusionRegions.from_catalog(_catalog_of(settings), settings.mask_radius)
    if settings.mask_regions is not None:
        regions = regions + ExclusionRegions.read(settings.mask_regions)
    log.info("mask: %d regions%s", len(regions), " and the target of each observation" * settings.mask_target)
    return Mask(regions, settings.mask_radius * settings.mask_target, settings.wobble_mask)


def _catalog_of(settings: Settings) -> SourceCatalog:
    catalog = open_catalog(settings.catalog)
    if settings.test and len(catalog) > TEST_SOURCES:
        log.warning("a test looks at %d sources only: its models may contain gamma rays", TEST_SOURCES)
        return catalog.head(TEST_SOURCES)
    return catalog


def _sources_near(table: ObservationTable, rows: list[LedgerRow], settings: Settings) -> dict[int, str]:
    catalog = _catalog_of(settings)
    pointing: SkyCoord = table.pointing
    near, source = near_source(catalog, pointing)
    indices = [index for index in np.flatnonzero(near).tolist() if rows[index].status == "used"]
    nearest = source[indices]
    distances = pointing[indices].separation(catalog.positions[nearest]).deg
    names = catalog.names[nearest]
    return {
        index: f"{distance:.2f} deg from {name}"
        for index, distance, name in zip(indices, distances, names, strict=True)
    }
