"""Time functions in turns and compare medians."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from benchmarks.table import Row

__all__ = ["Times", "compare", "interleaved"]

# Seconds of each timed call, by function.
Times = Mapping[str, list[float]]


def interleaved(
    functions: Mapping[str, Callable[[], Any]], repeats: int, synchronize: Callable[[], None] = lambda: None
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Call each function once to warm up, then all of them in turns.

    Parameters
    ----------
    functions : mapping of str to function
        What to time, by name.
    repeats : int
        Number of timed turns.
    synchronize : function, optional
        Waits for the device, before and after each call.

    Returns
    -------
    times : dict of str to list of float
        Seconds of each timed call.
    answers : dict of str to object
        What each function returned when it warmed up.
    """
    answers = {name: function() for name, function in functions.items()}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            synchronize()
            start = time.perf_counter()
            function()
            synchronize()
            times[name].append(time.perf_counter() - start)
    return times, answers


def compare(
    work: str,
    times: Times,
    ours: str,
    peer: str,
    *,
    goal: float | None = None,
    goal_kind: str = "at least",
    note: str = "",
) -> Row:
    """Row from the ratio of two functions in each turn."""
    pairs = list(zip(times[ours], times[peer], strict=True))
    ratios = [theirs / own if goal_kind == "at least" else own / theirs for own, theirs in pairs]
    return Row(work, ours, peer, median(times[ours]), median(times[peer]), median(ratios), goal, goal_kind, note)
