"""Which random numbers belong to what.

The stream of a key (seed, OBS_ID) is cut into sections of 2^40 words, one for each quantity of the
observation. Any number of events below 2^40 can be drawn without one quantity meeting another, and
the first events of an observation are the same however many follow.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from gpucube.errors import OptionError

__all__ = ["Stream", "host_generator", "random_key"]

SECTION = 2**40  # words
WORDS_PER_BLOCK = 4


class Stream(IntEnum):
    """Sections of the random stream of an observation, in this order."""

    ENERGY = 0
    DETX = 1
    DETY = 2
    TIME = 3
    NUMBER = 4
    POINTING = 5

    @property
    def start(self) -> int:
        """Number of the first word of the section, for the functions of `gpucube.arrays.random`."""
        return self.value * SECTION


def random_key(seed: int, obs_id: int) -> tuple[int, int]:
    """Key of the random numbers of an observation.

    Parameters
    ----------
    seed : int
        Seed of the data set.
    obs_id : int
        Observation identifier.

    Returns
    -------
    tuple of two int
        (seed, observation).

    Raises
    ------
    OptionError
        One of them is negative or has more than 64 bits.
    """
    for name, value in (("seed", seed), ("obs_id", obs_id)):
        if not 0 <= value < 2**64:
            raise OptionError(f"{name} must be an integer from 0 to 2^64 - 1, not {value}")
    return int(seed), int(obs_id)


def host_generator(key: tuple[int, int], stream: Stream) -> np.random.Generator:
    """NumPy's generator at the start of a section, for the few numbers that are drawn on the host.

    Parameters
    ----------
    key : tuple of two int
        From `random_key`.
    stream : Stream
        Section.

    Returns
    -------
    numpy.random.Generator
        Generator on Philox; its first words are those of `gpucube.arrays.random.random_bits` there.
    """
    counter = stream.start // WORDS_PER_BLOCK
    return np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64), counter=counter))
