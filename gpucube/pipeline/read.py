"""Read observations in their order, some ahead of their turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future

from gpucube.errors import ObservationError
from gpucube.observations.events import Observation, read_observation
from gpucube.observations.hdus import ObservationFiles

__all__ = ["read_observations"]

# Observations read ahead per worker: enough to keep it busy, and a bound on memory.
READ_AHEAD = 2


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
    tasks: Sequence[tuple[int, ObservationFiles]],
    align: str,
    with_sky: bool = False,
    executor: Executor | None = None,
    workers: int = 1,
) -> Iterator[Observation | ObservationError]:
    """Read observations in their order, some ahead of their turn if there is an executor.

    Parameters
    ----------
    tasks : sequence of (int, ObservationFiles)
        Observations.
    align : {"ALTAZ", "RADEC"}
        Orientation of the field of view.
    with_sky : bool
        Whether to read what exclusion regions need.
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
        yield from (read_or_error(obs_id, files, align, with_sky) for obs_id, files in tasks)
        return
    pending: deque[Future[Observation | ObservationError]] = deque()
    for obs_id, files in tasks:
        pending.append(executor.submit(read_or_error, obs_id, files, align, with_sky))
        if len(pending) > READ_AHEAD * workers:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
