"""Settings of a run of `make_models`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from gpucube._version import __version__
from gpucube.arrays.backend import BACKENDS
from gpucube.arrays.exposure import THRESHOLD_RULES
from gpucube.arrays.rate import METHODS
from gpucube.cubes.background import ALIGNMENTS
from gpucube.errors import OptionError

__all__ = ["RATE_PER", "Settings"]

RATE_PER = ("livetime", "ontime")


@dataclass(frozen=True)
class Settings:
    """What to make, and how.

    Attributes
    ----------
    method : {"default", "mayer2015"}
        Recipe.
    catalog : str or pathlib.Path
        ``builtin``, ``none``, or the path of a table of sources.
    backend : {"auto", "numpy", "cupy", "torch", "array_api_strict"}
        Array library, see `gpucube.arrays.backend.get_backend`.
    align : {"ALTAZ", "RADEC"}
        Orientation of the field of view.
    threshold : {"share", "edge", "2015"}
        What to do with the energy bin that a threshold cuts.
    rate_per : {"livetime", "ontime"}
        The time that rates are per.
    workers : int
        Processes that read files; 1 reads in this process.
    test : bool
        Whether to take a quick look: 100 observations, four groups and five sources at most.
    overwrite : bool
        Whether to replace models that gpucube wrote to the output folder.
    resume : bool
        Whether to keep finished groups of an interrupted run with the same settings.
    strict : bool
        Whether to stop at the first observation that cannot be used.

    Raises
    ------
    OptionError
        A value is not one of those listed.
    """

    method: str = "default"
    catalog: str = "builtin"
    backend: str = "auto"
    align: str = "ALTAZ"
    threshold: str = "share"
    rate_per: str = "livetime"
    workers: int = 1
    test: bool = False
    overwrite: bool = False
    resume: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        choices: dict[str, Sequence[str]] = {
            "method": tuple(METHODS),
            "backend": ("auto", *BACKENDS),
            "align": ALIGNMENTS,
            "threshold": tuple(THRESHOLD_RULES),
            "rate_per": RATE_PER,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise OptionError(f"{name} is {getattr(self, name)!r}; choose from {', '.join(allowed)}")
        object.__setattr__(self, "catalog", str(self.catalog))
        if self.workers < 1:
            raise OptionError(f"workers is {self.workers}; it must be at least 1")
        if self.overwrite and self.resume:
            raise OptionError("overwrite and resume exclude each other: one discards what is there, one keeps it")

    def fingerprint(self, group: tuple[int, str], observations: Sequence[tuple[int, ...]]) -> str:
        """Identify everything that the model of a group depends on.

        Parameters
        ----------
        group : tuple of int and str
            Number of the group and what it contains.
        observations : sequence of tuple of int
            OBS_ID and sizes in bytes of the files of each observation of the group. Times of files would make
            models differ that were made of copies of the same data.

        Returns
        -------
        str
            16 hexadecimal digits.
        """
        parts = [__version__, self.method, self.align, self.threshold, self.rate_per, group, *observations]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
