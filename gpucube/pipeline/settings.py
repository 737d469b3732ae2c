"""Settings of a run of `make_models`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

from gpucube._version import __version__
from gpucube.arrays.backend import BACKENDS
from gpucube.arrays.exposure import THRESHOLD_RULES
from gpucube.arrays.rate import METHODS
from gpucube.cubes.background import ALIGNMENTS
from gpucube.errors import OptionError
from gpucube.regression.terms import DEFAULT, TERMS, terms_named

__all__ = ["FITTED", "MODELS", "MOST_BINS", "RATE_PER", "REGRESSION", "SMOOTH", "Settings"]

RATE_PER = ("livetime", "ontime")
MODELS = ("3d", "2d")
REGRESSION, SMOOTH = "regression", "smooth"
# Methods that fit smooth functions, to all observations or to those of each group
FITTED = (REGRESSION, SMOOTH)

# Along an axis: what is above is a slip of the pen, and would take all memory.
MOST_BINS = 1000

# What a model does not depend on, or by way of its observations and regions alone
NOT_OF_THE_MODEL = {
    "catalog",
    "backend",
    "workers",
    "scheduler",
    "test",
    "overwrite",
    "resume",
    "strict",
    "mask_regions",
}


@dataclass(frozen=True)
class Settings:
    """What to make, and how.

    Attributes
    ----------
    method : {"default", "mayer2015", "regression", "smooth"}
        Recipe of 2015, one regression over all observations, or one for each group.
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
    model : {"3d", "2d"}
        Rate in energy, DETY and DETX, or in energy and offset from the pointing.
    energy_edges : tuple of float, optional
        Energy edges in TeV; those of the method if not given.
    fov : float, optional
        Largest DETX, DETY or offset in deg; 0.07 rad if not given.
    pixels : int, optional
        Bins along DETY, DETX or the offset; those of the method, or 20 rings, if not given.
    terms : tuple of str, optional
        Terms of a regression, see `gpucube.regression.terms.terms_named`.
    bootstrap : int
        Number of samples of the observations of each group from which to take the errors; 0 for Poisson errors.
    mask : bool
        Whether to cut sources out of observations instead of leaving out observations near sources.
    mask_radius : float
        Radius in deg to cut out around point sources and targets; the size of extended sources is added.
    mask_target : bool
        With a mask, whether to cut out the target of each observation, too.
    mask_regions : str or pathlib.Path, optional
        File of further regions to cut out; it implies `mask`.
    wobble_mask : bool
        Whether to cut out the half of the field of view that the target is in; it implies `mask`.
    workers : int
        Processes that read and count; 1 does so in this process. With a GPU they read, and this process counts.
    scheduler : str, optional
        Address of a Dask scheduler whose workers read and count instead, each on its own `backend`.
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
    model: str = "3d"
    energy_edges: tuple[float, ...] | None = None
    fov: float | None = None
    pixels: int | None = None
    terms: tuple[str, ...] | None = None
    bootstrap: int = 0
    mask: bool = False
    mask_radius: float = 0.4
    mask_target: bool = True
    mask_regions: str | None = None
    wobble_mask: bool = False
    workers: int = 1
    scheduler: str | None = None
    test: bool = False
    overwrite: bool = False
    resume: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        choices: dict[str, Sequence[str]] = {
            "method": (*METHODS, *FITTED),
            "backend": ("auto", *BACKENDS),
            "align": ALIGNMENTS,
            "threshold": tuple(THRESHOLD_RULES),
            "rate_per": RATE_PER,
            "model": MODELS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise OptionError(f"{name} is {getattr(self, name)!r}; choose from {', '.join(allowed)}")
        object.__setattr__(self, "catalog", str(self.catalog))
        if self.mask_regions is not None:
            object.__setattr__(self, "mask_regions", str(self.mask_regions))
        object.__setattr__(self, "mask", self.mask or self.wobble_mask or self.mask_regions is not None)
        if not 0 < self.mask_radius <= 180:
            raise OptionError(f"mask_radius is {self.mask_radius} deg; it must be above 0 and at most 180")
        if self.fov is not None and not 0 < self.fov < 90:
            raise OptionError(f"fov is {self.fov} deg; it must be above 0 and below 90")
        if self.pixels is not None and not 1 <= self.pixels <= MOST_BINS:
            raise OptionError(f"pixels is {self.pixels}; it must be at least 1 and at most {MOST_BINS}")
        if self.energy_edges is not None and len(self.energy_edges) > MOST_BINS + 1:
            raise OptionError(f"there are {len(self.energy_edges) - 1} energy bins; at most {MOST_BINS} make sense")
        if self.terms is not None:
            object.__setattr__(self, "terms", tuple(self.terms))
            terms_named(self.terms)
        if self.terms is not None and self.method not in FITTED:
            raise OptionError(f"terms are those of the methods {' and '.join(FITTED)}, not of {self.method}")
        if self.bootstrap < 0 or self.bootstrap == 1:
            raise OptionError(f"bootstrap is {self.bootstrap}; it must be at least 2 samples, or 0 for Poisson errors")
        if self.workers < 1:
            raise OptionError(f"workers is {self.workers}; it must be at least 1")
        if self.scheduler and self.workers > 1:
            raise OptionError("workers and scheduler exclude each other: a cluster has its own workers")
        if self.overwrite and self.resume:
            raise OptionError("overwrite and resume exclude each other: one discards what is there, one keeps it")

    @property
    def recipe(self) -> str:
        """How a rate is made of counts alone; of methods that fit, where there is nothing to fit to."""
        return "default" if self.method in FITTED else self.method

    def fingerprint(self, group: tuple[int, str], observations: Sequence[tuple[int, ...]], mask: str = "") -> str:
        """Identify everything that the model of a group depends on.

        Parameters
        ----------
        group : tuple of int and str
            Number of the group and what it contains.
        observations : sequence of tuple of int
            OBS_ID and sizes in bytes of the files of each observation of the group. Times of files would make
            models differ that were made of copies of the same data.
        mask : str
            Fingerprint of the exclusion regions.

        Returns
        -------
        str
            16 hexadecimal digits.
        """
        names = (field.name for field in fields(self) if field.name not in NOT_OF_THE_MODEL)
        own = {name: getattr(self, name) for name in names}
        if self.method in FITTED:
            # Between two releases a term of the same name may come to mean something else.
            own["definitions"] = [DEFAULT, {name: (term.conditions, term.field) for name, term in TERMS.items()}]
        parts = [__version__, own, mask, group, *observations]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
