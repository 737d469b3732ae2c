"""Background models: counts, livetime and the rate made from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import astropy.units as u
import numpy as np
from array_api_compat import array_namespace

from gpucube.arrays.backend import Array, Backend
from gpucube.arrays.rate import METHODS
from gpucube.arrays.smoothing import smoothing_passes
from gpucube.cubes.axis import Axis
from gpucube.cubes.cube import Cube

__all__ = ["ALIGNMENTS", "RATE_UNIT", "BackgroundModel", "axes_2015", "make_background_model"]

# What RATEPER may say
RATE_TIMES = ("LIVETIME", "ONTIME")
ALIGNMENTS = ("ALTAZ", "RADEC")
RATE_UNIT = u.Unit("s-1 TeV-1 sr-1")

# 2015 recipes: what is written is never below this rate in 1 / (s TeV sr).
FLOOR_2015 = 1e-10


@dataclass(frozen=True, eq=False, repr=False)
class BackgroundModel:
    """Background rate in the field of view and the cubes that it was made from.

    Attributes
    ----------
    rate : Cube
        Background rate, per energy and solid angle. NaN means no exposure, 0 exposure without counts.
    counts : Cube, optional
        Number of events.
    livetime : Cube, optional
        Livetime in s, each bin with the fraction that lay above thresholds and outside exclusion regions.
    error : Cube, optional
        Statistical error of the rate, from the Poisson errors of the counts through the smoothing: 0 where no
        counts contribute, NaN without exposure. Neighbours that were smoothed share counts, and errors. What else it
        may come from, ``ERRKIND`` of `meta` says.
    fov_align : {"ALTAZ", "RADEC"}
        Orientation of DETX and DETY.
    rate_per : {"LIVETIME", "ONTIME"}
        The time that the rate is per.
    floor : float, optional
        Lowest rate that is written to files, in 1 / (s TeV sr); it also replaces NaN there.
    meta : dict
        Further FITS header keywords and values.
    """

    rate: Cube
    counts: Cube | None = None
    livetime: Cube | None = None
    error: Cube | None = None
    fov_align: str = "ALTAZ"
    rate_per: str = "LIVETIME"
    floor: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        shape = " x ".join(f"{axis.n_bins} {axis.name}" for axis in self.axes)
        return f"<BackgroundModel: {shape}, {self.fov_align}, per {self.rate_per.lower()}>"

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Energy, DETY and DETX axis, or energy and offset axis."""
        return self.rate.axes


def axes_2015(n_observations: int, energy_low: float = 0.1) -> tuple[Axis, Axis, Axis]:
    """Binning of the 2015 recipes, coarser for fewer observations.

    Parameters
    ----------
    n_observations : int
        Number of observations in the group.
    energy_low : float
        First energy edge in TeV.

    Returns
    -------
    tuple of Axis
        Energy axis up to 80 TeV, DETY and DETX axis of +- 0.07 rad.
    """
    fewer = int(n_observations / 10) - 10 if n_observations < 100 else 0
    half_width = float(np.rad2deg(0.07))
    return (
        Axis.energy(energy_low, 80.0, 20 + fewer),
        Axis.field_of_view("dety", half_width, 60 + 4 * fewer),
        Axis.field_of_view("detx", half_width, 60 + 4 * fewer),
    )


def make_background_model(
    counts: Cube,
    livetime: Cube,
    exposure_time: Cube,
    n_counts: int,
    backend: Backend,
    method: str = "default",
    *,
    uniform: bool = False,
) -> BackgroundModel:
    """Make a background model from counts and livetime.

    Parameters
    ----------
    counts : Cube
        Number of events, int64, on the device of `backend`.
    livetime : Cube
        Livetime in s, on the same device.
    exposure_time : Cube
        The time in s that the rate is to be per: `livetime`, or the ontime.
    n_counts : int
        Sum of `counts`, which decides how often to smooth.
    backend : Backend
        Library and device of the cubes.
    method : {"default", "mayer2015"}
        Recipe: divide by the exposure after smoothing, or before it.
    uniform : bool
        Whether the exposure is known to be the same everywhere in the field of view: it is not smoothed then.

    Returns
    -------
    BackgroundModel
        Model whose arrays are on the same device.

    Raises
    ------
    KeyError
        `method` is not one of `gpucube.arrays.rate.METHODS`.
    """
    xp = array_namespace(counts.data)
    volume = backend.asarray(counts.bin_volume)
    # A radial model averages over rings already.
    passes = smoothing_passes(n_counts) if len(counts.axes) == 3 else 0
    numbers = xp.astype(counts.data, xp.float64)
    numbers, time, volume = (_as_images(data) for data in (numbers, exposure_time.data, volume))
    time = time[:, :1, :1] if uniform else time
    rate, error = METHODS[method](numbers, time, volume, passes)
    return BackgroundModel(
        rate=counts.with_data(xp.reshape(rate, counts.data.shape), RATE_UNIT),
        error=counts.with_data(xp.reshape(error, counts.data.shape), RATE_UNIT),
        counts=counts,
        livetime=livetime,
        rate_per="LIVETIME" if exposure_time is livetime else "ONTIME",
        floor=FLOOR_2015,
        meta={"METHOD": method, "NSMOOTH": passes, "ERRKIND": "POISSON"},
    )


def _as_images(data: Array) -> Array:
    """Rings as images of one pixel width."""
    xp = array_namespace(data)
    return data if data.ndim == 3 else xp.reshape(data, (*data.shape, 1))
