"""Count the events of the observations of a group, and add up their livetime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gpucube.arrays.backend import Array, Backend, to_host
from gpucube.arrays.exposure import THRESHOLD_RULES, exposure_cube, spectral_index
from gpucube.arrays.fov import fov_offset, interpolate_rotation, sky_to_fov
from gpucube.arrays.histogram import histogramdd
from gpucube.arrays.tally import FATES, fillable, tally_fates
from gpucube.cubes.axis import Axis
from gpucube.cubes.cube import Cube
from gpucube.errors import ObservationError
from gpucube.observations.events import Observation
from gpucube.pipeline.ledger import LedgerError, LedgerRow
from gpucube.pipeline.mask import Mask, masked

__all__ = ["Axes", "FilledGroup", "fill_group", "fov_coordinates"]

Axes = tuple[Axis, ...]
Edges = tuple[Array, ...]
Masked = tuple[Array, Array | None]
OnSkip = Callable[[int, ObservationError], str]


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


@dataclass(eq=False)
class _Sums:
    """What grows while observations are filled; all arrays stay on the device."""

    counts: Array
    tallies: list[Array] = field(default_factory=list)
    n_read: list[int] = field(default_factory=list)
    livetimes: list[float] = field(default_factory=list)
    ontimes: list[float] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    open_fractions: list[Array | None] = field(default_factory=list)


def fill_group(
    rows: Sequence[LedgerRow],
    observations: Iterable[Observation | ObservationError],
    axes: Axes,
    rule: str,
    backend: Backend,
    on_skip: OnSkip,
    on_progress: Callable[[], None] = lambda: None,
    mask: Mask | None = None,
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
    mask : Mask, optional
        What to leave out; then observations must have been read with their `sky`.

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
        try:
            if isinstance(observation, ObservationError):
                raise observation
            outside = masked(observation, mask, axes[1:], backend) if mask else None
        except ObservationError as error:
            filled_rows.append(replace(row, status="skipped", reason=on_skip(row.obs_id, error)))
        else:
            _add_observation(sums, observation, outside, edges, rule, backend)
            filled_rows.append(replace(row, livetime=observation.livetime, ontime=observation.ontime))
        on_progress()
    return _collect(sums, filled_rows, axes, edges, rule, backend, on_skip)


def _add_observation(
    sums: _Sums, observation: Observation, outside: Masked | None, edges: Edges, rule: str, backend: Backend
) -> None:
    xp = backend.xp
    energy = backend.asarray(observation.energy)
    good = backend.asarray(observation.good)
    excluded, fraction = outside or (xp.zeros_like(good), None)
    position = _coordinates(*fov_coordinates(observation, backend), n_axes=len(edges) - 1)
    energy = xp.where(good, energy, xp.nan)
    threshold = backend.asarray([observation.threshold], dtype=xp.float64)
    cut = THRESHOLD_RULES[rule].cut(threshold, edges[0])[0]
    fills, tally = tally_fates(energy, position, excluded, cut, edges)
    sums.counts = sums.counts + histogramdd((fillable(energy, fills), *position), edges)
    sums.tallies.append(backend.xp.concat([tally, _sees_something(tally, fraction, backend)]))
    sums.n_read.append(len(observation.energy))
    sums.livetimes.append(observation.livetime)
    sums.ontimes.append(observation.ontime)
    sums.thresholds.append(observation.threshold)
    sums.open_fractions.append(fraction)


def _sees_something(like: Array, fraction: Array | None, backend: Backend) -> Array:
    """1 if there is exposure in any bin, else 0: a tally more, so that nothing waits for the device."""
    seen = backend.xp.ones_like(like[:1])
    return seen if fraction is None else seen * backend.xp.astype(backend.xp.any(fraction > 0), like.dtype)


def _coordinates(detx: Array, dety: Array, n_axes: int) -> tuple[Array, ...]:
    return (fov_offset(detx, dety),) if n_axes == 1 else (dety, detx)


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


def _collect(
    sums: _Sums, rows: list[LedgerRow], axes: Axes, edges: Edges, rule: str, backend: Backend, on_skip: OnSkip
) -> FilledGroup:
    xp = backend.xp
    total = xp.reshape(xp.sum(sums.counts, dtype=xp.int64), (1,))
    numbers = to_host(xp.concat([total, *sums.tallies]))
    rows = _with_tallies(rows, sums.n_read, numbers[1:].reshape(-1, len(FATES) + 1), on_skip)
    n_filled = sum(row.n_filled for row in rows)
    if int(numbers[0]) != n_filled:
        raise LedgerError(f"cube holds {numbers[0]} counts, but {n_filled} events were filled")
    livetime, ontime = _time_cubes(sums, axes, edges, rule, backend)
    return FilledGroup(Cube(axes, sums.counts), livetime, ontime, rows)


def _with_tallies(rows: list[LedgerRow], n_read: list[int], tallies: np.ndarray, on_skip: OnSkip) -> list[LedgerRow]:
    remaining = zip(n_read, tallies.tolist(), strict=True)
    result = []
    for row in rows:
        if row.status != "used":
            result.append(row)
            continue
        number, (*tally, seen) = next(remaining)
        fates = {f"n_{fate}": number for fate, number in zip(FATES, tally, strict=True)}
        filled = replace(row, n_read=number, **fates)
        result.append(filled if seen or filled.n_filled else _without_exposure(row, on_skip))
    return result


def _without_exposure(row: LedgerRow, on_skip: OnSkip) -> LedgerRow:
    reason = on_skip(row.obs_id, ObservationError("exclusion regions cover the whole field of view all the time"))
    return LedgerRow(row.obs_id, row.group_id, "skipped", reason)


def _time_cubes(sums: _Sums, axes: Axes, edges: Edges, rule: str, backend: Backend) -> list[Cube]:
    """Livetime and ontime that each bin was exposed."""
    xp = backend.xp
    livetime, ontime, threshold = (
        backend.asarray(values, dtype=xp.float64) for values in (sums.livetimes, sums.ontimes, sums.thresholds)
    )
    shape = tuple(axis.n_bins for axis in axes)
    per_energy = xp.sum(xp.reshape(sums.counts, (shape[0], -1)), axis=1)
    seen = [xp.ones_like(livetime[0]) if part is None else xp.mean(part) for part in sums.open_fractions]
    index = spectral_index(per_energy, livetime * xp.stack(seen) if seen else livetime, threshold, edges[0])
    share = THRESHOLD_RULES[rule].share(threshold, edges[0], index)
    cubes = (exposure_cube(time, share, sums.open_fractions, len(shape) - 1) for time in (livetime, ontime))
    return [Cube(axes, xp.broadcast_to(cube, shape) + 0.0, "s") for cube in cubes]
