"""Workers: processes that end with their parent, a thread that reads, those of a Dask cluster; and threads of BLAS."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.synchronize import Event as EventType
from typing import Any

from threadpoolctl import threadpool_limits

from gpucube.errors import GpucubeError

__all__ = [
    "Workers",
    "dask_workers",
    "local_workers",
    "one_blas_thread",
    "open_workers",
    "process_pool",
    "reach_cluster",
]

WATCH_INTERVAL = 2.0  # s
CONNECT_TIMEOUT = 10.0  # s
# Of which an address must name a host and a port
HOSTED_PROTOCOLS = ("tcp", "tls")


@dataclass(frozen=True)
class Workers:
    """Who does the work that can be done elsewhere.

    Attributes
    ----------
    executor : concurrent.futures.Executor or None
        Where to submit work; None for this process.
    number : function () -> int
        Number of workers at the moment.
    count : bool
        Whether each of them counts on the best device that it has.
    """

    executor: Executor | None
    number: Callable[[], int]
    count: bool = False


def open_workers(
    number: int, cluster: Workers | None = None, executor: Executor | None = None, *, on_device: bool = False
) -> AbstractContextManager[Workers]:
    """Get workers for a ``with`` statement: those of an executor, of a Dask cluster, or of this machine.

    Parameters
    ----------
    number : int
        Number of workers of the executor, or of this machine.
    cluster : Workers, optional
        Those of a Dask cluster, from `reach_cluster`.
    executor : concurrent.futures.Executor, optional
        Executor, which is not shut down.
    on_device : bool
        Whether this process counts on a device such as a GPU.

    Returns
    -------
    context manager
        Of the workers.
    """
    if executor is not None:
        return nullcontext(Workers(executor, lambda: number, count=True))
    return nullcontext(cluster) if cluster else local_workers(number, on_device=on_device)


def reach_cluster(scheduler: str | None) -> AbstractContextManager[Workers | None]:
    """Get the workers of a Dask cluster for a ``with`` statement, where there is one.

    Parameters
    ----------
    scheduler : str or None
        Address of its scheduler.

    Returns
    -------
    context manager
        Of the workers; of None without an address.

    Raises
    ------
    GpucubeError
        On entry, as `dask_workers` says.
    """
    return dask_workers(scheduler) if scheduler else nullcontext()


@contextmanager
def local_workers(number: int, *, on_device: bool) -> Iterator[Workers]:
    """Start processes on this machine for a ``with`` statement.

    Parameters
    ----------
    number : int
        Number of processes; 1 works in this one.
    on_device : bool
        Whether this process counts on a device such as a GPU: one process then has a thread that reads meanwhile, for
        which there is time whenever NumPy copies, and whenever this process waits for the device.

    Yields
    ------
    Workers
        The workers.
    """
    if number > 1:
        with process_pool(number) as executor:
            yield Workers(executor, lambda: number)
    elif on_device:
        with _one_thread() as executor:
            yield Workers(executor, lambda: 1)
    else:
        yield Workers(None, lambda: 1)


@contextmanager
def _one_thread() -> Iterator[Executor]:
    """One thread and no more: filters of warnings, which readers change for a while, belong to the whole process."""
    with ThreadPoolExecutor(1, "gpucube-reader") as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def dask_workers(address: str) -> Iterator[Workers]:
    """Connect to a Dask cluster for a ``with`` statement.

    Work of a worker that dies is done again by another one, and its result counts once.

    Parameters
    ----------
    address : str
        Address of the scheduler, such as ``tcp://node1:8786``.

    Yields
    ------
    Workers
        The workers of the cluster, which may come and go.

    Raises
    ------
    GpucubeError
        Dask is not installed, the address is none, the scheduler does not answer, or work was lost for good.
    """
    try:
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise GpucubeError("--scheduler needs Dask: pip install 'gpucube[dask]'") from error
    _check_address(address)
    try:
        client = distributed.Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, AssertionError) as error:  # the last where its loop does not start within 10 s
        problem = f"no Dask scheduler answers at {address} within {CONNECT_TIMEOUT:g} s"
        raise GpucubeError(f"{problem}: is the address right, and does a firewall stand between?") from error
    with client:
        executor = client.get_executor(pure=False)
        try:
            yield Workers(executor, lambda: max(1, sum(client.nthreads().values())), count=True)
        except (distributed.KilledWorker, distributed.comm.CommClosedError, CancelledError) as error:
            raise GpucubeError(f"work was lost on the cluster at {address}: {error or type(error).__name__}") from error
        except ModuleNotFoundError as error:
            raise GpucubeError(f"a worker at {address} lacks {error.name}: install the same on all workers") from error
        finally:
            executor.shutdown(wait=False)


def _check_address(address: str) -> None:
    """Refuse what is no address at once: a client would try it for a while, and fail once more when it is forgotten."""
    addressing, registry = (importlib.import_module(f"distributed.comm.{name}") for name in ("addressing", "registry"))
    try:
        protocol, place = addressing.parse_address(address)
        registry.get_backend(protocol)
        if protocol in HOSTED_PROTOCOLS:
            addressing.parse_host_port(place)
    except ValueError as error:
        raise GpucubeError(
            f"--scheduler: {error}; give it as the scheduler says it, such as tcp://node1:8786"
        ) from error


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let products of matrices run in one thread, in a ``with`` statement.

    Where many small ones alternate with other work, more threads mostly wait for each other, at full load.

    Yields
    ------
    None
        Nothing.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@contextmanager
def process_pool(workers: int) -> Iterator[Executor]:
    """Start worker processes for a ``with`` statement.

    Parameters
    ----------
    workers : int
        Number of processes.

    Yields
    ------
    concurrent.futures.Executor
        The pool; work that has not begun is dropped if the statement ends with an error.

    Raises
    ------
    GpucubeError
        A worker died.
    """
    # Not forked: a CUDA context does not survive a fork.
    context = multiprocessing.get_context("spawn")
    stopped = context.Event()
    with _Pool(workers, context, initializer=_begin, initargs=(os.getpid(), stopped)) as executor:
        try:
            _start_all(executor, workers)
            yield executor
        except BrokenProcessPool as error:
            raise GpucubeError(
                "a worker process died: out of memory? In a script of your own, start work under "
                "if __name__ == '__main__', or with one worker"
            ) from error
        except BaseException:
            stopped.set()
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _start_all(executor: Executor, workers: int) -> None:
    """Start all processes with SIGINT blocked: Ctrl-C is for the main process, which then ends them."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for _ in range(workers):
            executor.submit(os.getpid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Pool(ProcessPoolExecutor):
    """Processes that begin nothing new once they are to stop: what is on its way to them cannot be cancelled."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(_unless_stopped, fn, *args, **kwargs)


# Set in each worker as it starts.
_stopped: list[EventType] = []


def _unless_stopped(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if _stopped and _stopped[0].is_set():
        raise CancelledError
    return function(*args, **kwargs)


def _begin(parent: int, stopped: EventType) -> None:
    _stopped[:] = [stopped]
    # Each has a core, and no more. Only threads of libraries that are loaded can be limited.
    importlib.import_module("numpy")
    threadpool_limits(limits=1, user_api="blas")
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_INTERVAL)
    os._exit(1)
