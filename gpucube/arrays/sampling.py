"""Energies and directions of background events, with the same bits on every Array API library.

Energies follow a power law. DETX and DETY are Gaussian, with the same width, which grows with the
energy as a power law and doubles from the low to the high end of the spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

from gpucube.arrays.dispatch import fastest
from gpucube.arrays.elementary import HALF_LN2, SQRT_2, exp, exp_between, log
from gpucube.arrays.random import WORDS_PER_BLOCK, check_spectrum, check_stream, log_powerlaw, standard_normal, uniform

__all__ = ["EventShape", "background_events", "sample_background", "width_at"]

Array = Any


@dataclass(frozen=True)
class EventShape:
    """Spectrum and shape of the events, and where their random numbers are.

    Attributes
    ----------
    index : float
        Spectral index G: dN/dE is proportional to E^-G.
    low, high : float
        Ends of the spectrum in TeV.
    sigma : float
        Width of the Gaussian in DETX and DETY at `high`, in deg. At `low` it is half of this.
    center : tuple of two float
        DETX and DETY of the centre of the Gaussian in deg.
    sections : tuple of three int
        Numbers of the words in the random stream with which energies, DETX and DETY begin; multiples of 4.

    Raises
    ------
    ValueError
        Not 0 < low < high, a value is not finite, the span or the index is extreme, or a section is negative or not a
        multiple of 4.
    """

    index: float
    low: float
    high: float
    sigma: float
    center: tuple[float, float]
    sections: tuple[int, int, int]

    def __post_init__(self) -> None:
        check_spectrum(self.index, self.low, self.high)
        if any(section < 0 or section % WORDS_PER_BLOCK for section in self.sections):
            raise ValueError(f"sections must be multiples of {WORDS_PER_BLOCK}, not {self.sections}")


def sample_background(
    n: int, key: tuple[int, int], shape: EventShape, *, start: int = 0, xp: Any, device: Any
) -> tuple[Array, Array, Array]:
    """Sample energies and directions.

    Parameters
    ----------
    n : int
        Number of events.
    key : tuple of two int
        (seed, observation), each in [0, 2^64).
    shape : EventShape
        Spectrum and shape.
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
    n, key, start = check_stream(n, key, start)
    return fastest(background_events, xp)(n, key, shape, start=start, xp=xp, device=device)


def background_events(
    n: int, key: tuple[int, int], shape: EventShape, *, start: int = 0, xp: Any, device: Any
) -> tuple[Array, Array, Array]:
    """Sample energies and directions, with arguments that `sample_background` has checked, on any library.

    Parameters
    ----------
    n : int
        Number of events.
    key : tuple of two int
        (seed, observation), each in [0, 2^64).
    shape : EventShape
        Spectrum and shape.
    start : int, default 0
        Number of the first event.
    xp : module
        Array API namespace of the result.
    device : object
        Device of the result, as the creation functions of `xp` take it.

    Returns
    -------
    energy, dety, detx : array of float64, shape (n,)
        As `sample_background` describes them.
    """
    place = {"xp": xp, "device": device}
    of_energy, of_detx, of_dety = (section + start for section in shape.sections)
    u = uniform(n, key, start=of_energy, **place)
    log_energy = log_powerlaw(u, shape.index, shape.high / shape.low)
    energy = xp.clip(exp(log_energy) * shape.low, shape.low, shape.high)
    # The middle of the range, where the width is sigma / sqrt(2), is in the middle of what `exp_between` takes.
    relative = log_energy * _slope(shape.low, shape.high, like=u, xp=xp) - HALF_LN2
    width = exp_between(relative) * (shape.sigma / SQRT_2)
    detx = standard_normal(n, key, start=of_detx, **place) * width + shape.center[0]
    dety = standard_normal(n, key, start=of_dety, **place) * width + shape.center[1]
    return energy, dety, detx


def width_at(energy: Array, low: float, high: float, sigma: float) -> Array:
    """Width of the Gaussian in DETX and DETY.

    Parameters
    ----------
    energy : array of float64, any shape
        Energies in the unit of `low` and `high`.
    low, high : float
        Ends of the spectrum.
    sigma : float
        Width at `high`, in any unit; half of it is the width at `low`.

    Returns
    -------
    array of float64, shape of `energy`
        Widths in the unit of `sigma`.
    """
    xp = array_namespace(energy)
    return exp(log(energy * (1.0 / low)) * _slope(low, high, like=energy, xp=xp)) * (0.5 * sigma)


def _slope(low: float, high: float, *, like: Array, xp: Any) -> Array:
    """Power of the energy with which the width grows."""
    logs = log(xp.asarray([2.0, high / low], dtype=xp.float64, device=array_api_compat.device(like)))
    return logs[0] / logs[1]
