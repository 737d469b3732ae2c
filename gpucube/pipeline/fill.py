"""Count the events of the observations of a group, and add up their livetime."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gpucube.arrays.backend import Array, Backend, to_host
from gpucube.arrays.exposure import THRESHOLD_RULES, livetime_per_bin
from gpucube.arrays.fov import interpolate_rotation, sky_to_fov
from gpucube.arrays.histogram import histogramdd
from gpucube.arrays.tally import FATES, fillable, tally_fates
from gpucube.cubes.axis import Axis
from gpucube.cubes.cube import Cube
from gpucube.errors import ObservationError
from gpucube.observations.events import Observation, read_observation
from gpucube.observations.hdus import ObservationFiles
from gpucube.pipeline.ledger import LedgerError, LedgerRow

__all__ = ["FilledGroup", "fill_group", "read_observations"]

log = logging.getLogger(__name__)

# Observations read ahead per worker: enough to keep it busy, and a bound on memory.
READ_AHEAD = 2

Axes = tuple[Axis, Axis, Axis]


@dataclass(frozen=True, eq=False)
class FilledGroup:
    """Counts and livetime of a group.

    Attributes
    ----------
    counts : Cube
        Number of events, int64, on the device.
    livetime, ontime : Cube
        Livetime and ontime in s, on the device.
    rows : list of LedgerRow
        What became of each observation.
    """

    counts: Cube
    livetime: Cube
    ontime: Cube
    rows: list[LedgerRow]

    @property
    def n_counts(self) -> int:
        """Sum of the counts, as the ledger has it."""
        return sum(row.n_filled for row in self.rows)


def read_or_error(obs_id: int, files: ObservationFiles, align: str) -> Observation | ObservationError:
    """Read an observation, or give the reason why it cannot be used.

    Parameters
    ----------
    obs_id : int
        Observation identifier.
    files : ObservationFiles
        Where its parts are.
    align : {"ALTAZ", "RADEC"}
        Orientation of the field of view.

    Returns
    -------
    Observation or ObservationError
        An error is a value here: it has to come back from other processes in its turn.
    """
    try:
        return read_observation(obs_id, files, align)
    except ObservationError as error:
        return error
    except Exception as error:
        # Whatever a damaged file makes a library raise, it must not cost the other observations.
        path = files.events.path if files.events else None
        return ObservationError(f"cannot be read: {type(error).__name__}: {error}", path)


def read_observations(
    tasks: Sequence[tuple[int, ObservationFiles]], align: str, executor: Executor | None = None, workers: int = 1
) -> Iterator[Observation | ObservationError]:
    """Read observations in their order, some ahead of their turn if there is an executor.

    Parameters
    ----------
    tasks : sequence of (int, ObservationFiles)
        Observations.
    align : {"ALTAZ", "RADEC"}
        Orientation of the field of view.
    executor : concurrent.futures.Executor, optional
        Where to read; in this process if not given.
    workers : int
        Number of workers of the executor.

    Yields
    ------
    Observation or ObservationError
        One for each task.
    """
    if executor is None:
        yield from (read_or_error(obs_id, files, align) for obs_id, files in tasks)
        return
    pending: deque[Future[Observation | ObservationError]] = deque()
    for obs_id, files in tasks:
        pending.append(executor.submit(read_or_error, obs_id, files, align))
        if len(pending) > READ_AHEAD * workers:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


@dataclass(eq=False)
class _Sums:
    """What grows while observations are filled; all arrays stay on the device."""

    counts: Array
    tallies: list[Array] = field(default_factory=list)
    n_read: list[int] = field(default_factory=list)
    livetimes: list[float] = field(default_factory=list)
    ontimes: list[float] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)


def fill_group(
    rows: Sequence[LedgerRow],
    observations: Iterable[Observation | ObservationError],
    axes: Axes,
    rule: str,
    backend: Backend,
    on_skip: Callable[[int, ObservationError], str],
    on_progress: Callable[[], None] = lambda: None,
) -> FilledGroup:
    """Fill the counts and livetime cubes of a group.

    Parameters
    ----------
    rows : sequence of LedgerRow
        Ledger of the observations of the group.
    observations : iterable of Observation or ObservationError
        The observations themselves, in the same order.
    axes : tuple of Axis
        Axes of the cubes.
    rule : {"share", "edge", "2015"}
        What to do with the energy bin that a threshold cuts.
    backend : Backend
        Where to count.
    on_skip : function (int, ObservationError) -> str
        Called with the OBS_ID and the error for each observation that cannot be used; gives the reason for the ledger.
    on_progress : function ()
        Called after each observation.

    Returns
    -------
    FilledGroup
        Cubes on the device, and the ledger.

    Raises
    ------
    LedgerError
        Counts were lost, which is a bug.
    """
    xp = backend.xp
    edges = tuple(backend.asarray(axis.edges) for axis in axes)
    shape = tuple(axis.n_bins for axis in axes)
    sums = _Sums(xp.zeros(shape, dtype=xp.int64, device=backend.device))
    filled_rows: list[LedgerRow] = []
    for row, observation in zip(rows, observations, strict=True):
        if isinstance(observation, ObservationError):
            reason = on_skip(row.obs_id, observation)
            filled_rows.append(replace(row, status="skipped", reason=reason))
        else:
            _add_observation(sums, observation, edges, rule, backend)
            filled_rows.append(replace(row, livetime=observation.livetime, ontime=observation.ontime))
        on_progress()
    return _collect(sums, filled_rows, axes, edges, rule, backend)


def _add_observation(sums: _Sums, observation: Observation, edges: Any, rule: str, backend: Backend) -> None:
    xp = backend.xp
    energy = backend.asarray(observation.energy)
    good = backend.asarray(observation.good)
    detx, dety = _fov_coordinates(observation, backend)
    energy = xp.where(good, energy, xp.nan)
    threshold = backend.asarray([observation.threshold], dtype=xp.float64)
    cut = THRESHOLD_RULES[rule].cut(threshold, edges[0])[0]
    fills, tally = tally_fates(energy, dety, detx, xp.zeros_like(good), cut, edges)
    sums.counts = sums.counts + histogramdd((fillable(energy, fills), dety, detx), edges)
    sums.tallies.append(tally)
    sums.n_read.append(len(observation.energy))
    sums.livetimes.append(observation.livetime)
    sums.ontimes.append(observation.ontime)
    sums.thresholds.append(observation.threshold)


def _fov_coordinates(observation: Observation, backend: Backend) -> tuple[Array, Array]:
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


def _collect(sums: _Sums, rows: list[LedgerRow], axes: Axes, edges: Any, rule: str, backend: Backend) -> FilledGroup:
    xp = backend.xp
    total = xp.reshape(xp.sum(sums.counts, dtype=xp.int64), (1,))
    numbers = to_host(xp.concat([total, *sums.tallies]))
    rows = _with_tallies(rows, sums.n_read, numbers[1:].reshape(-1, len(FATES)))
    n_filled = sum(row.n_filled for row in rows)
    if int(numbers[0]) != n_filled:
        raise LedgerError(f"cube holds {numbers[0]} counts, but {n_filled} events were filled")
    livetime, ontime = (
        _time_cube(times, sums.thresholds, axes, edges, rule, backend) for times in (sums.livetimes, sums.ontimes)
    )
    return FilledGroup(Cube(axes, sums.counts), livetime, ontime, rows)


def _with_tallies(rows: list[LedgerRow], n_read: list[int], tallies: np.ndarray) -> list[LedgerRow]:
    remaining = zip(n_read, tallies.tolist(), strict=True)
    result = []
    for row in rows:
        if row.status != "used":
            result.append(row)
            continue
        number, tally = next(remaining)
        fates = {f"n_{fate}": number for fate, number in zip(FATES, tally, strict=True)}
        result.append(replace(row, n_read=number, **fates))
    return result


def _time_cube(
    times: list[float], thresholds: list[float], axes: Axes, edges: Any, rule: str, backend: Backend
) -> Cube:
    xp = backend.xp
    shape = tuple(axis.n_bins for axis in axes)
    time, threshold = (backend.asarray(values, dtype=xp.float64) for values in (times, thresholds))
    per_bin = livetime_per_bin(time, threshold, edges[0], rule)
    return Cube(axes, xp.broadcast_to(per_bin[:, None, None], shape) + 0.0, "s")
