"""Counts of observations in cells, and what they were exposed to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gpucube.arrays.backend import Array, Backend
from gpucube.arrays.exposure import THRESHOLD_RULES, spectral_index
from gpucube.cubes.cube import Cube
from gpucube.errors import GpucubeError, ObservationError
from gpucube.observations.conditions import Conditions, read_conditions
from gpucube.observations.events import Observation
from gpucube.observations.store import DataStore
from gpucube.pipeline.count import count_events
from gpucube.pipeline.mask import Mask, masked
from gpucube.pipeline.read import read_observations
from gpucube.validation.grid import FIELD_PARTS, ScoreGrid

__all__ = ["ObservedCells", "read_cells"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ObservedCells:
    """Counts of observations in the cells of a grid.

    Attributes
    ----------
    grid : ScoreGrid
        The cells.
    align : {"ALTAZ", "RADEC"}
        Orientation of the field of view.
    conditions : list of Conditions
        The observations.
    counts : array of float64, shape (n_obs, n_energy, n_dety, n_detx)
        Counts above the threshold of each observation, on the device; 0 in cells that do not count.
    solid_angle : array of float64, shape (n_obs, n_dety * parts, n_detx * parts)
        Solid angle in sr of each part of a cell, times its fraction outside exclusion regions; 0 in cells that do
        not count.
    backend : Backend
        Library and device of the arrays.
    skipped : dict of int to str
        Observations that could not be read, or whose background could not, and why.
    """

    grid: ScoreGrid
    align: str
    conditions: list[Conditions]
    counts: Array
    solid_angle: Array
    backend: Backend
    skipped: dict[int, str]

    @property
    def obs_ids(self) -> list[int]:
        """Identifiers of the observations."""
        return [conditions.obs_id for conditions in self.conditions]

    def select(self, obs_ids: Collection[int]) -> ObservedCells:
        """Only some of the observations.

        Parameters
        ----------
        obs_ids : collection of int
            Their identifiers.

        Returns
        -------
        ObservedCells
            Cells of those of them that are here, in the same order.
        """
        wanted = [index for index, obs_id in enumerate(self.obs_ids) if obs_id in obs_ids]
        xp = self.backend.xp
        index = self.backend.asarray(wanted, dtype=xp.int64)
        counts, angles = (xp.take(values, index, axis=0) for values in (self.counts, self.solid_angle))
        return replace(self, conditions=[self.conditions[i] for i in wanted], counts=counts, solid_angle=angles)

    @property
    def open_angle(self) -> Array:
        """Open solid angle in sr of each cell, shape (n_obs, n_dety, n_detx)."""
        return sum_parts(self.solid_angle, self.backend)

    @property
    def exposure(self) -> Array:
        """Livetime times energy width above the threshold times solid angle, s TeV sr, in the shape of `counts`.

        The share of a bin above the threshold is that of a spectrum with the index of the counts.
        """
        xp = self.backend.xp
        edges, livetime, threshold = (self.backend.asarray(values, dtype=xp.float64) for values in self._times)
        open_angle = self.open_angle
        seen = livetime * xp.sum(open_angle, axis=(1, 2))
        index = spectral_index(xp.sum(self.counts, axis=(0, 2, 3)), seen, threshold, edges)
        share = THRESHOLD_RULES["share"].share(threshold, edges, index)
        per_energy = livetime[:, None] * share * (edges[1:] - edges[:-1])
        return per_energy[:, :, None, None] * open_angle[:, None, :, :]

    @property
    def _times(self) -> tuple[NDArray[np.float64], list[float], list[float]]:
        livetime, threshold = ([getattr(c, name) for c in self.conditions] for name in ("livetime", "threshold"))
        return self.grid.axes[0].edges_in("TeV"), livetime, threshold


def read_cells(
    store: DataStore,
    obs_ids: Sequence[int],
    grid: ScoreGrid,
    align: str,
    backend: Backend,
    mask: Mask | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ObservedCells:
    """Count the events of observations in cells.

    Parameters
    ----------
    store : DataStore
        Observations.
    obs_ids : sequence of int
        Which of them.
    grid : ScoreGrid
        The cells.
    align : {"ALTAZ", "RADEC"}
        Orientation of the field of view.
    backend : Backend
        Where to count.
    mask : Mask, optional
        What to leave out of observations.
    progress : function (done, total)
        Called after each observation.

    Returns
    -------
    ObservedCells
        Counts of all observations that can be read.

    Raises
    ------
    GpucubeError
        None can be read.
    """
    tasks = [(obs_id, store.files_of(obs_id)) for obs_id in obs_ids]
    found: list[tuple[Conditions, Array, Array]] = []
    skipped: dict[int, str] = {}
    for number, (obs_id, observation) in enumerate(
        zip(obs_ids, read_observations(tasks, align, mask is not None), strict=True)
    ):
        try:
            if isinstance(observation, ObservationError):
                raise observation
            found.append((read_conditions(store, obs_id), *_cells_of(observation, grid, mask, backend)))
        except ObservationError as error:
            log.warning("observation %d skipped: %s", obs_id, error)
            skipped[obs_id] = str(error)
        progress(number + 1, len(tasks))
    if not found:
        raise GpucubeError(f"{store.path}: none of {len(tasks)} observations can be read")
    conditions, counts, angles = zip(*found, strict=True)
    xp = backend.xp
    return ObservedCells(grid, align, list(conditions), xp.stack(counts), xp.stack(angles), backend, skipped)


def _cells_of(observation: Observation, grid: ScoreGrid, mask: Mask | None, backend: Backend) -> tuple[Array, Array]:
    """Counts in cells, and the open solid angle of the parts of cells."""
    xp = backend.xp
    excluded, fraction = masked(observation, mask, grid.parts, backend) if mask else (None, None)
    counts, _ = count_events(observation, excluded, grid.axes, "share", backend)
    inside = backend.asarray(grid.inside)
    angle = backend.asarray(_solid_angle_of_parts(grid))
    return (
        xp.where(inside, xp.astype(counts, xp.float64), 0.0),
        angle if fraction is None else angle * fraction,
    )


def _solid_angle_of_parts(grid: ScoreGrid) -> NDArray[np.float64]:
    dety, detx = grid.parts
    plane = Cube((grid.axes[0], dety, detx), np.empty((grid.shape[0], dety.n_bins, detx.n_bins)))
    angle = plane.bin_volume[0] / np.diff(grid.axes[0].edges_in("TeV"))[0]
    return np.asarray(angle * np.kron(grid.inside, np.ones((FIELD_PARTS, FIELD_PARTS))))


def sum_parts(values: Array, backend: Backend) -> Array:
    """Sum over the parts of each cell.

    Parameters
    ----------
    values : array of float64, shape (..., n_dety * parts, n_detx * parts)
        Values of parts.
    backend : Backend
        Their library.

    Returns
    -------
    array of float64, shape (..., n_dety, n_detx)
        Values of cells.
    """
    *first, n_dety, n_detx = values.shape
    parts = (n_dety // FIELD_PARTS, FIELD_PARTS, n_detx // FIELD_PARTS, FIELD_PARTS)
    return backend.xp.sum(backend.xp.reshape(values, (*first, *parts)), axis=(-3, -1))
