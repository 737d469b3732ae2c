"""Count the events of a block, on any device: the map of map-and-add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from gpucube.arrays.backend import Array, Backend, get_backend, to_host
from gpucube.arrays.exposure import THRESHOLD_RULES
from gpucube.arrays.fov import fov_offset, sky_to_fov_between
from gpucube.arrays.histogram import histogramdd
from gpucube.arrays.tally import FATES, FILLED, event_fates, fillable
from gpucube.errors import ObservationError
from gpucube.observations.events import Observation
from gpucube.observations.hdus import ObservationFiles
from gpucube.pipeline.blocks import Axes, BlockTask, EventBatch, EventBlock, ObservationTask, pack_events
from gpucube.pipeline.mask import Mask, masked
from gpucube.pipeline.read import in_order, read_or_error
from gpucube.workers import Workers

__all__ = [
    "BlockCounts",
    "Recipe",
    "count_block",
    "count_blocks",
    "count_events",
    "count_files",
    "field_coordinates",
    "read_block",
]

Masked = tuple[Array | None, Array | None]


@dataclass(frozen=True, eq=False)
class Recipe:
    """How observations are read and counted.

    Attributes
    ----------
    align : {"ALTAZ", "RADEC"}
        Orientation of the field of view.
    rule : {"share", "edge", "2015"}
        What to do with the energy bin that a threshold cuts.
    mask : Mask, optional
        What to leave out.
    """

    align: str
    rule: str
    mask: Mask | None = None


@dataclass(frozen=True, eq=False)
class BlockCounts:
    """Counts of a block.

    Attributes
    ----------
    task : BlockTask
        The block.
    observations : tuple of Observation or ObservationError
        The observations without their events and what they see of the sky, or why they cannot be used.
    sizes : tuple of int
        Number of events of each.
    open_fractions : tuple of array or None
        What exclusion regions leave of each bin of the field of view; None for nothing to be left out.
    fates : array of int64, shape (n_used, 6)
        Number of events of each fate, of each observation that can be used.
    counts : dict of int to array of int64
        Cube of each group.
    """

    task: BlockTask
    observations: tuple[Observation | ObservationError, ...]
    sizes: tuple[int, ...]
    open_fractions: tuple[Array | None, ...]
    fates: Array
    counts: dict[int, Array]


def count_blocks(
    tasks: Iterable[BlockTask], recipe: Recipe, workers: Workers, backend: Backend, backend_name: str
) -> Iterator[BlockCounts]:
    """Read and count blocks, with some help.

    Parameters
    ----------
    tasks : iterable of BlockTask
        The blocks.
    recipe : Recipe
        How to read and count them.
    workers : Workers
        Who reads. They count, too, if they have devices of their own, or if that is the CPU.
    backend : Backend
        Library and device of this process.
    backend_name : str
        What workers with devices of their own count on, see `gpucube.arrays.backend.get_backend`.

    Yields
    ------
    BlockCounts
        Counts of each block, in the order of the tasks.
    """
    if workers.count or (workers.executor is not None and backend.name == "numpy"):
        name = backend_name if workers.count else backend.name
        count = partial(count_files, recipe=recipe, backend_name=name)
        yield from in_order(count, tasks, workers.executor, workers.number)
    else:
        blocks = in_order(partial(read_block, recipe=recipe), tasks, workers.executor, workers.number)
        # Not a loop, whose variable would keep the events of a block while the next one is read
        yield from map(partial(count_block, recipe=recipe, backend=backend), blocks)


def read_block(task: BlockTask, recipe: Recipe) -> EventBlock:
    """Read the observations of a block.

    Parameters
    ----------
    task : BlockTask
        The block.
    recipe : Recipe
        How to read them.

    Returns
    -------
    EventBlock
        Their events, on the host.
    """
    found = [read_or_error(one.obs_id, one.files, recipe.align, recipe.mask is not None) for one in task.observations]
    return pack_events(task, found)


def count_files(task: BlockTask, recipe: Recipe, backend_name: str) -> BlockCounts:
    """Read and count a block where this is called: on a worker with a device of its own.

    Parameters
    ----------
    task : BlockTask
        The block.
    recipe : Recipe
        How to read and count it.
    backend_name : str
        Array library, see `gpucube.arrays.backend.get_backend`.

    Returns
    -------
    BlockCounts
        Counts on the host.
    """
    found = count_block(read_block(task, recipe), recipe, _backend(backend_name))
    return replace(
        found,
        fates=to_host(found.fates),
        counts={group_id: to_host(cube) for group_id, cube in found.counts.items()},
        open_fractions=tuple(None if fraction is None else to_host(fraction) for fraction in found.open_fractions),
    )


_backend = lru_cache(get_backend)


def count_block(block: EventBlock, recipe: Recipe, backend: Backend) -> BlockCounts:
    """Count the events of a block.

    Parameters
    ----------
    block : EventBlock
        Events on the host.
    recipe : Recipe
        How to count them.
    backend : Backend
        Where to count.

    Returns
    -------
    BlockCounts
        Counts on the device; nothing waits for it.
    """
    xp = backend.xp
    observations, outside = _apply_mask(block, recipe.mask, backend)
    group_ids = [task.group_id for task in block.task.observations]
    rows: dict[int, Array] = {}
    counts: dict[int, Array] = {}
    for batch in block.batches:
        groups = list(dict.fromkeys(group_ids[number] for number in batch.members))
        numbers = [groups.index(group_ids[number]) for number in batch.members]
        thresholds = [getattr(observations[number], "threshold", float("inf")) for number in batch.members]
        excluded = xp.concat([outside[number][0] for number in batch.members]) if recipe.mask is not None else None
        fates, cubes = _count_batch(batch, numbers, thresholds, excluded, recipe.rule, backend)
        rows |= {number: fates[i : i + 1, :] for i, number in enumerate(batch.members)}
        for i, group_id in enumerate(groups):
            cube = cubes[i, ...]
            counts[group_id] = counts[group_id] + cube if group_id in counts else cube
    used = [n for n, observation in enumerate(observations) if isinstance(observation, Observation)]
    nothing = xp.zeros((0, len(FATES)), dtype=xp.int64, device=backend.device)
    fates = xp.concat([nothing, *(rows[number] for number in used)])
    fractions = tuple(fraction for _, fraction in outside)
    return BlockCounts(block.task, tuple(map(_without_sky, observations)), block.sizes, fractions, fates, counts)


def _without_sky(observation: Observation | ObservationError) -> Observation | ObservationError:
    """Directions of the events have been looked at, and are many bytes to send."""
    return observation if isinstance(observation, ObservationError) else replace(observation, sky=None)


def count_events(
    observation: Observation, excluded: Array | None, axes: Axes, rule: str, backend: Backend
) -> tuple[Array, Array]:
    """Count the events of one observation, and account for each.

    Parameters
    ----------
    observation : Observation
        Observation.
    excluded : array of bool, shape (n_events,), optional
        Which events are to be left out; None for none.
    axes : tuple of Axis
        Axes of the cube.
    rule : {"share", "edge", "2015"}
        What to do with the energy bin that its threshold cuts.
    backend : Backend
        Where to count.

    Returns
    -------
    counts : array of int64, shape of the axes
        On the device.
    fates : array of int64, shape (6,)
        Number of events of each fate, in the order of `gpucube.arrays.tally.FATES`.
    """
    task = ObservationTask(observation.obs_id, 0, ObservationFiles(None, None), 0)
    batch = pack_events(BlockTask((task,), {0: axes}), [observation]).batches[0]
    fates, cubes = _count_batch(batch, [0], [observation.threshold], excluded, rule, backend)
    return cubes[0, ...], fates[0, :]


def _apply_mask(
    block: EventBlock, mask: Mask | None, backend: Backend
) -> tuple[list[Observation | ObservationError], list[Masked]]:
    """Observations that can be used with a mask, and what it leaves of each; of the others, nothing."""
    observations, outside = list(block.observations), list[Masked]()
    for number, (task, observation) in enumerate(zip(block.task.observations, block.observations, strict=True)):
        found: Masked = None, None
        if mask is not None and isinstance(observation, Observation):
            try:
                found = masked(observation, mask, block.task.axes[task.group_id][1:], backend)
            except ObservationError as error:
                observations[number] = error
                everything = backend.xp.ones((block.sizes[number],), dtype=backend.xp.bool, device=backend.device)
                found = everything, None
        outside.append(found)
    return observations, outside


def _count_batch(
    batch: EventBatch,
    groups: Sequence[int],
    thresholds: Sequence[float],
    excluded: Array | None,
    rule: str,
    backend: Backend,
) -> tuple[Array, Array]:
    """Events of each fate for each observation, and a cube for each group, with two histograms in all."""
    xp, n_tallies = backend.xp, len(groups) * len(FATES)
    events = batch.owner, batch.energy, batch.lon, batch.lat, batch.good, *batch.turns
    # All else are few numbers, which go along: each transfer by itself would take as long as one of many events.
    numbers = (
        THRESHOLD_RULES[rule].cut(np.array(thresholds, dtype=np.float64), batch.axes[0].edges),
        np.array(groups, dtype=np.float32),
        _whole_numbers(n_tallies),
        _whole_numbers(max(groups) + 1),
        *(axis.edges for axis in batch.axes),
    )
    arrays = backend.upload([*events, *((values,) for values in numbers)])
    owner, energy, lon, lat, good, *turns = arrays[: len(events)]
    cuts, group_of_observation, fate_edges, group_edges, *edges = arrays[len(events) :]
    cut, energy = xp.take(cuts, owner), xp.where(good, energy, xp.nan)
    detx, dety = lon, lat
    if turns:
        rotations, node, weight = turns
        # Of other events the place is not asked.
        wanted = xp.astype(energy, xp.float64) >= cut
        detx, dety = sky_to_fov_between(lon, lat, rotations, node, weight, wanted)
    position = field_coordinates(detx, dety, n_axes=len(edges) - 1)
    excluded = xp.zeros_like(good) if excluded is None else excluded
    fates = event_fates(energy, position, excluded, cut, tuple(edges))
    # One number for observation and fate; float32 holds it, and lets a kernel count in it.
    fate_of_one = xp.astype(owner * len(FATES) + xp.astype(fates, owner.dtype), xp.float32)
    tallies = histogramdd((fate_of_one,), (fate_edges,))
    group = xp.take(group_of_observation, owner)
    energy = fillable(energy, fates == FILLED)
    tallies = xp.reshape(tallies, (len(groups), len(FATES)))
    return tallies, histogramdd((group, energy, *position), (group_edges, *edges))


def _whole_numbers(n: int) -> np.ndarray:
    """Edges of bins that hold one whole number each, from 0 to n - 1."""
    return np.arange(n + 1) - 0.5


def field_coordinates(detx: Array, dety: Array, n_axes: int) -> tuple[Array, ...]:
    """Field-of-view coordinates in the order of the axes of a cube.

    Parameters
    ----------
    detx, dety : array, shape (n_events,)
        DETX and DETY in deg.
    n_axes : int
        Number of axes of the field of view.

    Returns
    -------
    tuple of array
        DETY and DETX, or the offset.
    """
    return (fov_offset(detx, dety),) if n_axes == 1 else (dety, detx)
