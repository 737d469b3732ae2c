"""Synthetic events of one observation.

Energies and directions are sampled on the device by functions that give the same bits on every array library;
only the number of events and the assembly are done on the host.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpucube.arrays.backend import Array, Backend, get_backend, to_host
from gpucube.arrays.random import uniform
from gpucube.arrays.sampling import EventShape, sample_background
from gpucube.errors import OptionError
from gpucube.observations.events import Observation
from gpucube.synthetic.model import BackgroundDescription, describe
from gpucube.synthetic.streams import Stream, host_generator, random_key

__all__ = ["make_test_eventlist", "sample_events"]

# No two triggers come closer than this, in s: the times in a file are different, in spite of rounding.
SHORTEST_GAP = 1e-6


def sample_events(
    n: int, key: tuple[int, int], description: BackgroundDescription, *, start: int = 0, xp: Any, device: Any
) -> tuple[Array, Array, Array]:
    """Sample energies and directions.

    Parameters
    ----------
    n : int
        Number of events.
    key : tuple of two int
        (seed, observation), each in [0, 2^64).
    description : BackgroundDescription
        The background.
    start : int, default 0
        Number of the first event: a chunk is equal to that slice of the whole.
    xp : module
        Array API namespace of the result.
    device : object
        Device of the result, as the creation functions of `xp` take it.

    Returns
    -------
    energy : array of float64, shape (n,)
        Energies in TeV.
    dety, detx : array of float64, shape (n,)
        Field-of-view latitude and longitude in deg.

    Raises
    ------
    ValueError
        `n` or `start` is negative, or `key` is not two integers of 64 bits.
    """
    shape = EventShape(
        index=description.spectral_index,
        low=description.energy_low,
        high=description.energy_high,
        sigma=description.sigma,
        center=description.center,
        sections=(Stream.ENERGY.start, Stream.DETX.start, Stream.DETY.start),
    )
    return sample_background(n, key, shape, start=start, xp=xp, device=device)


def make_test_eventlist(
    obs_id: int = 1,
    altitude: float = 70.0,
    livetime: float = 1500.0,
    *,
    ontime: float | None = None,
    tstart: float = 0.0,
    threshold: float = 0.1,
    sigma: float | None = None,
    spectral_index: float | None = None,
    trigger_rate: float | None = None,
    description: BackgroundDescription | None = None,
    seed: int = 0,
    backend: Backend | None = None,
) -> Observation:
    """Make the events of one observation.

    Parameters
    ----------
    obs_id : int
        Observation identifier; with `seed` the key of the random numbers.
    altitude : float
        Altitude of the pointing in deg, which the rate depends on.
    livetime : float
        Livetime in s; the number of events is a Poisson number of mean rate * livetime.
    ontime : float, optional
        Duration in s, over which the events are spread; default: the livetime.
    tstart : float
        Start in s after the reference time.
    threshold : float
        Energy threshold of the observation in TeV; events below it are there all the same, as in real data.
    sigma, spectral_index, trigger_rate : float, optional
        Instead of those in `description`, see `BackgroundDescription`.
    description : BackgroundDescription, optional
        The background; default: that of 2015.
    seed : int
        Seed of the random numbers.
    backend : Backend, optional
        Library and device that sample; default: NumPy. The result does not depend on it.

    Returns
    -------
    Observation
        Events on the host, in order of their times, as if read from a file: float32 energies (TeV), DETX and DETY
        (deg), all good.

    Raises
    ------
    OptionError
        An argument makes no sense.
    """
    description = describe(description, sigma=sigma, spectral_index=spectral_index, trigger_rate=trigger_rate)
    key = random_key(seed, obs_id)
    ontime = livetime if ontime is None else ontime
    _check_times(livetime, ontime, tstart, threshold)
    backend = get_backend("numpy") if backend is None else backend
    place = {"xp": backend.xp, "device": backend.device}
    n = int(host_generator(key, Stream.NUMBER).poisson(description.rate_at(altitude) * livetime))
    sampled = (*sample_events(n, key, description, **place), uniform(n, key, start=Stream.TIME.start, **place))
    energy, dety, detx, phase = (to_host(values) for values in sampled)
    # Event lists hold float32; rounded here, the list in memory is the list in the file.
    energy, dety, detx = (values.astype(np.float32) for values in (energy, dety, detx))
    time = _event_times(phase, tstart, ontime)
    return Observation(obs_id, livetime, ontime, threshold, energy, detx, dety, np.ones(n, dtype=bool), time)


def _check_times(livetime: float, ontime: float, tstart: float, threshold: float) -> None:
    if not (math.isfinite(livetime) and livetime > 0):
        raise OptionError(f"livetime must be a positive number of seconds, not {livetime}")
    if not (math.isfinite(ontime) and ontime >= livetime):
        raise OptionError(f"ontime = {ontime} s must not be less than livetime = {livetime} s")
    if not math.isfinite(tstart):
        raise OptionError(f"tstart must be a finite number, not {tstart}")
    if not (math.isfinite(threshold) and threshold >= 0):
        raise OptionError(f"threshold must not be negative, not {threshold} TeV")


def _event_times(phase: np.ndarray, tstart: float, ontime: float) -> np.ndarray:
    """Increasing times in s, uniform in [tstart, tstart + ontime] but for the gap between triggers."""
    n = phase.size
    gap = min(SHORTEST_GAP, 0.5 * ontime / (n + 1))
    time = tstart + np.sort(phase) * (ontime - gap * (n + 1)) + gap * np.arange(1, n + 1)
    return np.minimum(time, tstart + ontime)
