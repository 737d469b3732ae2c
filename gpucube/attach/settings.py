"""Settings of a run of `attach_models`."""

from __future__ import annotations

from dataclasses import dataclass

from gpucube.errors import OptionError
from gpucube.pipeline.settings import MODELS
from gpucube.prediction.groups import INTERPOLATIONS

__all__ = ["NORMALISATIONS", "AttachSettings"]

NORMALISATIONS = ("none", "norm", "tilt")


@dataclass(frozen=True)
class AttachSettings:
    """What to attach to observations, and how.

    Attributes
    ----------
    interpolate : {"none", "linear", "log"}
        How to go from group to group, see `gpucube.prediction.GroupModels`.
    time_step : float, optional
        Longest time in s for which the pointing in the sky is taken as fixed; the whole run if not given.
    leave_out_target : bool
        Whether to use no model of which an observation saw the same target.
    normalise : {"none", "norm", "tilt"}
        What to fit to the observation's own counts: nothing, the norm, or the norm and a tilt in energy.
    norm_range : tuple of float, optional
        Energies in TeV between which to fit; all above threshold if not given.
    model : {"3d", "2d"}, optional
        What to make of a regression; what `make_models` was asked for if not given.
    link : bool
        Whether to write new files with the background alone, and index files that name the old ones.
    workers : int
        Number of processes.
    overwrite : bool
        Whether to replace the files of an earlier run.
    strict : bool
        Whether to stop at the first observation that cannot be used.

    Raises
    ------
    OptionError
        A value is not one of those listed.
    """

    interpolate: str = "none"
    time_step: float | None = None
    leave_out_target: bool = False
    normalise: str = "none"
    norm_range: tuple[float, float] | None = None
    model: str | None = None
    link: bool = False
    workers: int = 1
    overwrite: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (
            ("interpolate", INTERPOLATIONS),
            ("normalise", NORMALISATIONS),
            ("model", (None, *MODELS)),
        ):
            if getattr(self, name) not in allowed:
                raise OptionError(f"{name} is {getattr(self, name)!r}; choose from {', '.join(map(str, allowed))}")
        if self.time_step is not None and not self.time_step >= 1:
            raise OptionError(f"time_step is {self.time_step} s; it must be at least 1")
        if self.norm_range is not None and not 0 <= self.norm_range[0] < self.norm_range[1]:
            raise OptionError(f"norm_range is {self.norm_range} TeV; give the lower end first")
        if self.norm_range is not None and self.normalise == "none":
            raise OptionError("norm_range has no meaning without normalise")
        if self.workers < 1:
            raise OptionError(f"workers is {self.workers}; it must be at least 1")
