"""Read observations, and work in other processes and threads ahead of its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

from gpucube.errors import ObservationError
from gpucube.observations.events import Observation, read_observation
from gpucube.observations.hdus import ObservationFiles

__all__ = ["in_order", "read_observations", "read_or_error"]

Task = TypeVar("Task")
Result = TypeVar("Result")

# Tasks given out ahead of their turn per worker: enough to keep it busy, and a bound on memory.
AHEAD = 2


def read_or_error(obs_id: int, files: ObservationFiles, align: str, with_sky: bool) -> Observation | ObservationError:
    """Read an observation, or give the reason why it cannot be used.

    Parameters
    ----------
    obs_id : int
        Observation identifier.
    files : ObservationFiles
        Where its parts are.
    align : {"ALTAZ", "RADEC"}
        Orientation of the field of view.
    with_sky : bool
        Whether exclusion regions will be asked for.

    Returns
    -------
    Observation or ObservationError
        An error is a value here: it has to come back from other processes in its turn.
    """
    try:
        return read_observation(obs_id, files, align, with_sky)
    except ObservationError as error:
        return error
    except Exception as error:
        # Whatever a damaged file makes a library raise, it must not cost the other observations.
        path = files.events.path if files.events else None
        return ObservationError(f"cannot be read: {type(error).__name__}: {error}", path)


def read_observations(
    tasks: Iterable[tuple[int, ObservationFiles]], align: str, with_sky: bool = False
) -> Iterator[Observation | ObservationError]:
    """Read observations one by one, in this process.

    Parameters
    ----------
    tasks : iterable of (int, ObservationFiles)
        Observations.
    align : {"ALTAZ", "RADEC"}
        Orientation of the field of view.
    with_sky : bool
        Whether to read what exclusion regions need.

    Yields
    ------
    Observation or ObservationError
        One for each task.
    """
    yield from (read_or_error(obs_id, files, align, with_sky) for obs_id, files in tasks)


def in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], executor: Executor | None, workers: Callable[[], int]
) -> Iterator[Result]:
    """Call a function for each task; with an executor, for some ahead of their turn.

    Parameters
    ----------
    function : function (task)
        What to call; with an executor of processes, it and what it takes and gives go to these.
    tasks : iterable
        Its arguments.
    executor : concurrent.futures.Executor, optional
        Where to call it; in this process if not given.
    workers : function () -> int
        Number of workers that the executor has at the moment.

    Yields
    ------
    object
        Results in the order of the tasks.
    """
    if executor is None:
        yield from map(function, tasks)
        return
    pending: deque[Future[Result]] = deque()
    for task in tasks:
        pending.append(executor.submit(function, task))
        if len(pending) > AHEAD * workers():
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
