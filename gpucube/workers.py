"""Pools of worker processes that end with the program that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from gpucube.errors import GpucubeError

__all__ = ["process_pool"]

WATCH_INTERVAL = 2.0  # s


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
    with ProcessPoolExecutor(workers, context, initializer=_end_with_parent, initargs=(os.getpid(),)) as executor:
        try:
            _start_all(executor, workers)
            yield executor
        except BrokenProcessPool as error:
            raise GpucubeError(
                "a worker process died: out of memory? In a script of your own, start work under "
                "if __name__ == '__main__', or with one worker"
            ) from error
        except BaseException:
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


def _end_with_parent(parent: int) -> None:
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_INTERVAL)
    os._exit(1)
