"""Blocks of observations: what is read, counted and sent together.

A block takes consecutive observations, of one group or several, until their files have a certain size, so that memory
does not grow with their number. Which observations share a block changes no result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gpucube.cubes.axis import Axis
from gpucube.errors import ObservationError
from gpucube.observations.events import Observation
from gpucube.observations.hdus import ObservationFiles
from gpucube.observations.pointing import FovRotation

__all__ = [
    "Axes",
    "BlockTask",
    "EventBatch",
    "EventBlock",
    "ObservationTask",
    "block_size",
    "pack_events",
    "split_into_blocks",
]

Axes = tuple[Axis, ...]
Parts = tuple[np.ndarray, ...]

# Observations of a block at most: each group in it has a cube of its own while it is counted.
MOST_OBSERVATIONS = 64
# Bytes of event files in a block: what is made of them stays near the cores, and to send a worker a block and take its
# counts costs some ms. A device wants more at once, 2 ms of launches, but while it counts one block the next is read.
HOST_BLOCK, DEVICE_BLOCK = 2**21, 2**25
# Blocks per worker at least, so that all of them have work until the end, or a device while others are read.
BLOCKS_PER_WORKER = 4


@dataclass(frozen=True, eq=False)
class ObservationTask:
    """An observation to be read and counted.

    Attributes
    ----------
    obs_id, group_id : int
        Observation, and its group.
    files : ObservationFiles
        Where its parts are.
    size : int
        Size of its event file in bytes.
    """

    obs_id: int
    group_id: int
    files: ObservationFiles
    size: int


@dataclass(frozen=True, eq=False)
class BlockTask:
    """Observations to be read and counted together.

    Attributes
    ----------
    observations : tuple of ObservationTask
        Observations.
    axes : dict of int to tuple of Axis
        Axes of the cubes of their groups.
    """

    observations: tuple[ObservationTask, ...]
    axes: dict[int, Axes]


def block_size(total: int, workers: int, *, on_device: bool) -> int:
    """Size of the blocks of a run.

    Parameters
    ----------
    total : int
        Size in bytes of all event files.
    workers : int
        Number of workers.
    on_device : bool
        Whether the main process counts on a device such as a GPU.

    Returns
    -------
    int
        Size in bytes of the event files of a block.
    """
    largest = DEVICE_BLOCK if on_device else HOST_BLOCK
    return min(largest, total // (BLOCKS_PER_WORKER * workers)) if workers > 1 or on_device else largest


def split_into_blocks(tasks: Iterable[ObservationTask], block_size: int) -> Iterator[tuple[ObservationTask, ...]]:
    """Split observations into blocks.

    Parameters
    ----------
    tasks : iterable of ObservationTask
        Observations.
    block_size : int
        Size in bytes that the files of a block must not exceed, unless it is one file.

    Yields
    ------
    tuple of ObservationTask
        Consecutive observations, at most `MOST_OBSERVATIONS`.
    """
    block: list[ObservationTask] = []
    size = 0
    for task in tasks:
        if block and (size + task.size > block_size or len(block) == MOST_OBSERVATIONS):
            yield tuple(block)
            block, size = [], 0
        block.append(task)
        size += task.size
    if block:
        yield tuple(block)


@dataclass(frozen=True, eq=False)
class EventBatch:
    """Events of observations whose cubes have the same axes, on the host: one array of each observation for a quantity.

    Attributes
    ----------
    members : tuple of int
        Observations, as numbers within the block.
    axes : tuple of Axis
        Axes of their cubes.
    owner : tuple of numpy.ndarray of int32, shape (n_events,)
        Observation of each event, as a number within `members`.
    energy : tuple of numpy.ndarray of float32 or float64, shape (n_events,)
        Energies in TeV.
    lon, lat : tuple of numpy.ndarray of float32 or float64, shape (n_events,)
        DETX and DETY in deg; with `rotations`, RA and DEC in deg.
    good : tuple of numpy.ndarray of bool, shape (n_events,)
        Whether an event is in a good time interval.
    turns : tuple of tuple of numpy.ndarray
        Rotations, shape (k, 3, 3), the node of all rotations before each event, and how far it is to the next:
        arguments of `gpucube.arrays.fov.sky_to_fov_between`. Empty where `lon` and `lat` need no rotation.
    """

    members: tuple[int, ...]
    axes: Axes
    owner: Parts
    energy: Parts
    lon: Parts
    lat: Parts
    good: Parts
    turns: tuple[Parts, ...]


@dataclass(frozen=True, eq=False)
class EventBlock:
    """Observations that were read together.

    Attributes
    ----------
    task : BlockTask
        What was to be read.
    observations : tuple of Observation or ObservationError
        The observations without their events, or why they cannot be used.
    sizes : tuple of int
        Number of events of each.
    batches : tuple of EventBatch
        Their events.
    """

    task: BlockTask
    observations: tuple[Observation | ObservationError, ...]
    sizes: tuple[int, ...]
    batches: tuple[EventBatch, ...]


def pack_events(task: BlockTask, observations: Sequence[Observation | ObservationError]) -> EventBlock:
    """Put observations together whose events can be counted together; their arrays are joined on the way to the device.

    Parameters
    ----------
    task : BlockTask
        The block.
    observations : sequence of Observation or ObservationError
        Its observations, as they were read.

    Returns
    -------
    EventBlock
        The same events.
    """
    alike: dict[tuple[object, ...], list[int]] = {}
    for number, (its_task, observation) in enumerate(zip(task.observations, observations, strict=True)):
        if isinstance(observation, Observation):
            axes = task.axes[its_task.group_id]
            key = (*(axis.edges.tobytes() for axis in axes), observation.rotation is None)
            alike.setdefault(key, []).append(number)
    batches = [
        _batch(members, [observations[number] for number in members], task.axes[task.observations[members[0]].group_id])
        for members in alike.values()
    ]
    sizes = tuple(0 if isinstance(one, ObservationError) else len(one.energy) for one in observations)
    return EventBlock(task, tuple(map(_without_events, observations)), sizes, tuple(batches))


def _without_events(observation: Observation | ObservationError) -> Observation | ObservationError:
    if isinstance(observation, ObservationError):
        return observation
    nothing = np.zeros(0)
    return replace(observation, energy=nothing, lon=nothing, lat=nothing, good=nothing, time=None, rotation=None)


def _batch(members: Sequence[int], found: Sequence[Observation | ObservationError], axes: Axes) -> EventBatch:
    observations = [observation for observation in found if isinstance(observation, Observation)]
    energy, lon, lat, good = (
        tuple(getattr(observation, name) for observation in observations) for name in ("energy", "lon", "lat", "good")
    )
    # One number that looks like many: it takes no memory until it is copied.
    owner = tuple(np.broadcast_to(np.int32(number), len(events)) for number, events in enumerate(energy))
    return EventBatch(tuple(members), axes, owner, energy, lon, lat, good, _turns(observations))


def _turns(observations: Sequence[Observation]) -> tuple[Parts, ...]:
    matrices, nodes, weights, first = [], [], [], 0
    for observation in observations:
        rotation = observation.rotation
        if rotation is None:
            return ()
        node, weight = _between_nodes(observation.time, len(observation.energy), rotation)
        matrices.append(rotation.matrices)
        nodes.append((node + first).astype(np.int32))
        weights.append(weight)
        first += len(rotation.times)
    return tuple(matrices), tuple(nodes), tuple(weights)


def _between_nodes(time: np.ndarray | None, n_events: int, rotation: FovRotation) -> tuple[np.ndarray, np.ndarray]:
    """Node before each event, and how far it is to the next; here, where the result cannot depend on the block."""
    if time is None:
        return np.zeros(n_events, dtype=np.intp), np.zeros(n_events)
    # Seconds since the first node: event times since 2001 would leave float64 few digits for their difference.
    time, nodes = time - rotation.times[0], rotation.times - rotation.times[0]
    # Without the nodes at the ends, none is before the first or after the last but one.
    before = np.searchsorted(nodes[1:-1], time, side="right")
    return before, (time - nodes.take(before)) / np.diff(nodes).take(before)
