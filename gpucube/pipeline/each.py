"""Count observations one by one, where their sum is not enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpucube.arrays.backend import Array, Backend
from gpucube.errors import ObservationError
from gpucube.observations.events import Observation
from gpucube.observations.store import DataStore
from gpucube.pipeline.blocks import Axes, BlockTask, ObservationTask, block_size, split_into_blocks
from gpucube.pipeline.count import Recipe, count_blocks
from gpucube.pipeline.fill import on_device
from gpucube.workers import Workers

__all__ = ["CountedObservation", "count_each", "observation_task"]


@dataclass(frozen=True, eq=False)
class CountedObservation:
    """One observation and its counts.

    Attributes
    ----------
    obs_id : int
        Observation.
    observation : Observation or ObservationError
        The observation without its events, or why it cannot be used.
    counts : array of int64, shape of the axes, or None
        Counts on the device; None if it cannot be used.
    open_fraction : array of float64, shape of the field of view, or None
        What exclusion regions leave of each bin of the field of view, on the device; None for nothing to be left out.
    """

    obs_id: int
    observation: Observation | ObservationError
    counts: Array | None
    open_fraction: Array | None


def observation_task(store: DataStore, obs_id: int, group_id: int) -> ObservationTask:
    """Make the task of reading and counting an observation.

    Parameters
    ----------
    store : DataStore
        Where it is.
    obs_id, group_id : int
        Observation, and the group whose cube it is counted into.

    Returns
    -------
    ObservationTask
        The task.
    """
    size = max(store.sizes(obs_id), default=0)
    return ObservationTask(obs_id, group_id, store.files_of(obs_id), max(size, 0))


def count_each(
    store: DataStore,
    obs_ids: Sequence[int],
    axes: Axes,
    recipe: Recipe,
    workers: Workers,
    backend: Backend,
    backend_name: str,
) -> Iterator[CountedObservation]:
    """Count observations block by block, each as a group of its own.

    Parameters
    ----------
    store : DataStore
        Where they are.
    obs_ids : sequence of int
        Observations.
    axes : tuple of Axis
        Axes of their cubes.
    recipe : Recipe
        How to read and count them.
    workers : Workers
        Who reads and counts.
    backend : Backend
        Library and device of this process.
    backend_name : str
        What workers with devices of their own count on.

    Yields
    ------
    CountedObservation
        Each observation, in the order of `obs_ids`.
    """
    tasks = [observation_task(store, obs_id, number) for number, obs_id in enumerate(obs_ids)]
    size = block_size(sum(task.size for task in tasks), workers.number(), on_device=backend.name != "numpy")
    blocks = (BlockTask(part, {task.group_id: axes for task in part}) for part in split_into_blocks(tasks, size))
    for block in count_blocks(blocks, recipe, workers, backend, backend_name):
        for number, task in enumerate(block.task.observations):
            arrays = block.counts.get(task.group_id), block.open_fractions[number]
            counts, fraction = (on_device(values, backend) for values in arrays)
            yield CountedObservation(task.obs_id, block.observations[number], counts, fraction)
