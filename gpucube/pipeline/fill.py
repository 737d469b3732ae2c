"""Add up the counts and the livetime of the observations of a group: the add of map-and-add."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gpucube.arrays.backend import Array, Backend, to_host
from gpucube.arrays.exposure import THRESHOLD_RULES, exposure_cube, spectral_index
from gpucube.arrays.fov import interpolate_rotation, sky_to_fov
from gpucube.arrays.tally import FATES
from gpucube.cubes.cube import Cube
from gpucube.errors import ObservationError
from gpucube.observations.events import Observation
from gpucube.pipeline.blocks import Axes
from gpucube.pipeline.count import BlockCounts
from gpucube.pipeline.ledger import LedgerError, LedgerRow

__all__ = ["Axes", "FilledGroup", "GroupFill", "fov_coordinates", "on_device"]


@dataclass(frozen=True, eq=False)
class FilledGroup:
    """Counts and livetime of a group.

    Attributes
    ----------
    counts : Cube
        Number of events, int64, on the device.
    livetime, ontime : Cube
        Livetime and ontime in s, on the device.
    share : numpy.ndarray of float64, shape (n_used, n_energy)
        Share of each energy bin for which each observation that is used counts, on the host.
    rows : list of LedgerRow
        What became of each observation.
    is_uniform : bool
        Whether the whole field of view was exposed alike, because there are no exclusion regions.
    """

    counts: Cube
    livetime: Cube
    ontime: Cube
    share: NDArray[np.float64]
    rows: list[LedgerRow]
    is_uniform: bool = False

    @property
    def n_counts(self) -> int:
        """Sum of the counts, as the ledger has it."""
        return sum(row.n_filled for row in self.rows)


class GroupFill:
    """A group that grows block by block; its cubes stay on the device.

    Parameters
    ----------
    rows : sequence of LedgerRow
        Ledger of the observations of the group.
    axes : tuple of Axis
        Axes of its cubes.
    backend : Backend
        Where to add.
    on_skip : function (int, ObservationError) -> str
        Called with the OBS_ID and the error for each observation that cannot be used; gives the reason for the ledger.
    """

    def __init__(
        self,
        rows: Sequence[LedgerRow],
        axes: Axes,
        backend: Backend,
        on_skip: Callable[[int, ObservationError], str],
    ) -> None:
        self.rows, self.axes, self.backend, self.on_skip = rows, axes, backend, on_skip
        self._counts: Array = None
        self._fates: list[Array] = []
        self._filled_rows: list[LedgerRow] = []
        self._times: list[tuple[float, float, float]] = []
        self._sizes: list[int] = []
        self._open_fractions: list[Array | None] = []

    @property
    def is_complete(self) -> bool:
        """Whether all observations of the group were added."""
        return len(self._filled_rows) == len(self.rows)

    def add(self, block: BlockCounts) -> None:
        """Add the observations of a block that belong to this group; blocks come in the order of the ledger.

        Parameters
        ----------
        block : BlockCounts
            Counts on the device, or on the host.
        """
        group_id = self.rows[0].group_id
        mine = [number for number, task in enumerate(block.task.observations) if task.group_id == group_id]
        for number in mine:
            row, observation = self.rows[len(self._filled_rows)], block.observations[number]
            if isinstance(observation, ObservationError):
                row = replace(row, status="skipped", reason=self.on_skip(row.obs_id, observation))
            else:
                notes = "; ".join(observation.notes)
                row = replace(row, livetime=observation.livetime, ontime=observation.ontime, reason=notes)
                self._times.append((observation.livetime, observation.ontime, observation.threshold))
                self._sizes.append(block.sizes[number])
                self._open_fractions.append(on_device(block.open_fractions[number], self.backend))
            self._filled_rows.append(row)
        if group_id in block.counts:
            first = sum(isinstance(observation, Observation) for observation in block.observations[: mine[0]])
            n_used = sum(isinstance(block.observations[number], Observation) for number in mine)
            self._fates.append(on_device(block.fates[first : first + n_used, ...], self.backend))
            cube = on_device(block.counts[group_id], self.backend)
            self._counts = cube if self._counts is None else self._counts + cube

    def finish(self, rule: str) -> FilledGroup:
        """Close the ledger of the group and add up its livetime.

        Parameters
        ----------
        rule : {"share", "edge", "2015"}
            What to do with the energy bin that a threshold cuts.

        Returns
        -------
        FilledGroup
            Cubes on the device, and the ledger.

        Raises
        ------
        LedgerError
            Counts were lost, which is a bug.
        """
        xp, shape = self.backend.xp, tuple(axis.n_bins for axis in self.axes)
        if self._counts is None:
            self._counts = xp.zeros(shape, dtype=xp.int64, device=self.backend.device)
        per_energy, tallies, open_fraction, seen = self._numbers()
        rows = _with_fates(self._filled_rows, self._sizes, tallies, seen, self.on_skip)
        n_counts, n_filled = int(per_energy.sum()), sum(row.n_filled for row in rows)
        if n_counts != n_filled:
            raise LedgerError(f"cube holds {n_counts} counts, but {n_filled} events were filled")
        share = self._shares(rule, per_energy, open_fraction)
        livetime, ontime = self._time_cubes(share)
        # Of those that were counted, some see nothing.
        counted = [row for row, before in zip(rows, self._filled_rows, strict=True) if before.status == "used"]
        share = share[np.flatnonzero([row.status == "used" for row in counted])]
        is_uniform = all(part is None for part in self._open_fractions)
        return FilledGroup(Cube(self.axes, self._counts), livetime, ontime, share, rows, is_uniform)

    def _numbers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Counts per energy, and of each observation its fates, the part of the field that it saw, and its best bin.

        They come to the host in one transfer, as float64, which holds all numbers below 2^53.
        """
        xp, n_used, n_energy = self.backend.xp, len(self._sizes), self.axes[0].n_bins
        per_energy = xp.sum(xp.reshape(self._counts, (n_energy, -1)), axis=1)
        masked = [number for number, part in enumerate(self._open_fractions) if part is not None]
        parts = [per_energy, *(xp.reshape(fates, (-1,)) for fates in self._fates)]
        if masked:
            fractions = xp.stack([xp.reshape(self._open_fractions[number], (-1,)) for number in masked])
            parts += [xp.mean(fractions, axis=1), xp.max(fractions, axis=1)]
        numbers = to_host(xp.concat([xp.astype(part, xp.float64) for part in parts]))
        n_fates = n_used * len(FATES)
        per_energy, tallies, of_fractions = np.split(numbers, [n_energy, n_energy + n_fates])
        open_fraction, seen = np.ones((2, n_used))
        open_fraction[masked], seen[masked] = of_fractions.reshape(2, -1)
        return per_energy.astype(np.int64), tallies.astype(np.int64).reshape(-1, len(FATES)), open_fraction, seen

    def _shares(self, rule: str, per_energy: np.ndarray, open_fraction: np.ndarray) -> NDArray[np.float64]:
        """Shares of energy bins in which observations count: hundreds of steps with too few numbers for a device."""
        livetime, _, threshold = self._time_columns()
        edges = self.axes[0].edges
        index = spectral_index(per_energy, livetime * open_fraction, threshold, edges)
        return THRESHOLD_RULES[rule].share(threshold, edges, index)

    def _time_columns(self) -> np.ndarray:
        """Livetime, ontime and threshold of observations, each in one row."""
        return np.array(self._times, dtype=np.float64).reshape(-1, 3).T.copy()

    def _time_cubes(self, share: NDArray[np.float64]) -> list[Cube]:
        """Livetime and ontime that each bin was exposed."""
        xp, shape = self.backend.xp, tuple(axis.n_bins for axis in self.axes)
        shares = self.backend.asarray(share)
        times = (self.backend.asarray(column) for column in self._time_columns()[:2])
        cubes = (exposure_cube(time, shares, self._open_fractions, len(shape) - 1) for time in times)
        return [Cube(self.axes, xp.broadcast_to(cube, shape) + 0.0, "s") for cube in cubes]


def on_device(values: Array | None, backend: Backend) -> Array | None:
    """Take what a worker counted on its host to the device of this process.

    Parameters
    ----------
    values : array or None
        On the host, or there already.
    backend : Backend
        Library and device.

    Returns
    -------
    array or None
        The same values.
    """
    return backend.asarray(values) if isinstance(values, np.ndarray) else values


def _with_fates(
    rows: list[LedgerRow],
    sizes: list[int],
    tallies: np.ndarray,
    seen: np.ndarray,
    on_skip: Callable[[int, ObservationError], str],
) -> list[LedgerRow]:
    remaining = zip(sizes, tallies.tolist(), seen.tolist(), strict=True)
    result = []
    for row in rows:
        if row.status != "used":
            result.append(row)
            continue
        size, tally, sees_something = next(remaining)
        fates = {f"n_{fate}": number for fate, number in zip(FATES, tally, strict=True)}
        filled = replace(row, n_read=size, **fates)
        result.append(filled if sees_something or filled.n_filled else _without_exposure(row, on_skip))
    return result


def _without_exposure(row: LedgerRow, on_skip: Callable[[int, ObservationError], str]) -> LedgerRow:
    reason = on_skip(row.obs_id, ObservationError("exclusion regions cover the whole field of view all the time"))
    return LedgerRow(row.obs_id, row.group_id, "skipped", reason)


def fov_coordinates(observation: Observation, backend: Backend) -> tuple[Array, Array]:
    """Field-of-view coordinates of the events of an observation.

    Parameters
    ----------
    observation : Observation
        Observation.
    backend : Backend
        Where to compute.

    Returns
    -------
    detx, dety : array of float32 or float64, shape (n_events,)
        DETX and DETY in deg, on the device.
    """
    lon, lat = backend.asarray(observation.lon), backend.asarray(observation.lat)
    rotation = observation.rotation
    if rotation is None:
        return lon, lat
    if observation.time is None:
        return sky_to_fov(lon, lat, backend.asarray(rotation.matrices[0]))
    # Seconds since the first node: event times since 2001 would leave float64 few digits for their difference.
    time = backend.asarray(observation.time - rotation.times[0])
    nodes = backend.asarray(rotation.times - rotation.times[0])
    return sky_to_fov(lon, lat, interpolate_rotation(time, nodes, backend.asarray(rotation.matrices)))
