"""Synthetic background events: energies and directions, with the same bits on every library."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.device import copy_bandwidth, open_device
from benchmarks.table import Row, Settings, missing
from benchmarks.timing import compare, interleaved
from gpucube.arrays.backend import get_backend
from gpucube.arrays.sampling import EventShape, background_events

__all__ = ["sampling", "sampling_cpu"]

GPU_EVENTS = 10**9
# The portable way holds some twenty arrays of eight bytes per event at a time.
PORTABLE_EVENTS = 10**7
# Energy, DETY and DETX in float64.
BYTES_PER_EVENT = 24
KEY = (2015, 1)
SHAPE = EventShape(index=2.7, low=0.1, high=100.0, sigma=5.0, center=(0.0, 0.0), sections=(0, 2**40, 2**41))


def _same_bits(first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours.view(np.int64), theirs.view(np.int64))


def sampling(settings: Settings) -> list[Row]:
    """Fused kernel against writing its events at copy bandwidth, and against the portable way."""
    device = open_device()
    if isinstance(device, str):
        return [missing("GPU: synthetic events", "writing the events", why=device, goal=4.0, goal_kind="at most")]
    sample = device.native(background_events)
    place: dict[str, Any] = {"xp": device.xp, "device": "cpu" if device.is_rehearsal else None}
    n = device.n_events(GPU_EVENTS, settings.events, 2 * BYTES_PER_EVENT)
    bandwidth = copy_bandwidth(device)
    times, answers = interleaved(
        {"native": partial(sample, n, KEY, SHAPE, **place)}, settings.repeats, device.synchronize
    )
    last = tuple(device.to_host(values[-1001:]) for values in answers.pop("native"))
    host = get_backend("numpy")
    _same_bits(last, background_events(1001, KEY, SHAPE, start=n - 1001, xp=host.xp, device=host.device))
    writing = BYTES_PER_EVENT * n / bandwidth
    times = {**times, "writing the events": [writing] * settings.repeats}
    work = f"{device.label}: {n:.0e} synthetic events"
    note = f"{BYTES_PER_EVENT} bytes/event at {bandwidth / 1e12:.3g} TB/s copy bandwidth; same bits as NumPy"
    goal = device.goal(4.0)
    rows = [compare(work, times, "native", "writing the events", goal=goal, goal_kind="at most", note=note)]
    device.release()

    n = device.n_events(PORTABLE_EVENTS, settings.events, 30 * 8)
    functions = {"native": sample, "portable": background_events}
    times, answers = interleaved(
        {name: partial(function, n, KEY, SHAPE, **place) for name, function in functions.items()},
        settings.repeats,
        device.synchronize,
    )
    _same_bits(*(tuple(map(device.to_host, values)) for values in answers.values()))
    work = f"{device.label}: {n:.0e} synthetic events"
    return [*rows, compare(work, times, "native", "portable", note="same bits")]


def sampling_cpu(settings: Settings) -> list[Row]:
    """Portable way on NumPy against NumPy's own distributions, which promise no bits."""
    n = min(settings.events or 10**6, 10**6)
    host, rng = get_backend("numpy"), np.random.default_rng(1)

    def numpy() -> Any:
        energy = 0.1 * (1 - rng.random(n) * (1 - 1000.0**-1.7)) ** (-1 / 1.7)
        width = 2.5 * (energy / 0.1) ** (np.log(2) / np.log(1000))
        return energy, rng.standard_normal(n) * width, rng.standard_normal(n) * width

    functions = {
        "portable on NumPy": partial(background_events, n, KEY, SHAPE, xp=host.xp, device=host.device),
        "numpy.random": numpy,
    }
    times, answers = interleaved(functions, settings.repeats)
    for ours, theirs in zip(*answers.values(), strict=True):
        # Energies have no finite variance.
        np.testing.assert_allclose(np.median(np.abs(ours)), np.median(np.abs(theirs)), rtol=0.05)
    note = "the price of the same bits on every backend"
    return [compare(f"CPU: {n:.0e} synthetic events", times, *functions, note=note)]
