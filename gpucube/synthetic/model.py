"""The background that synthetic events are drawn from, and its true model.

The trigger rate falls linearly with the altitude. Energies follow a power law. DETX and DETY are
Gaussian, with the same width, which grows with energy as a power law. The numbers are those of 2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import astropy.units as u
import numpy as np

from gpucube.arrays.backend import Array
from gpucube.arrays.random import MAX_LOG_RATIO
from gpucube.arrays.sampling import width_at
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import ALIGNMENTS, RATE_UNIT, BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.errors import OptionError

__all__ = ["BackgroundDescription", "make_test_background_model"]

# No normal number of `gpucube.arrays.random` is farther from 0.
FARTHEST_SIGMA = 8.6
# Integrals are exact to about 1e-12 for spectra as steep as 10 in one bin of three decades.
N_NODES = 32


@dataclass(frozen=True)
class BackgroundDescription:
    """Rate, spectrum and shape of a synthetic background.

    Attributes
    ----------
    trigger_rate : float
        Rate of all events at the zenith in Hz. At the horizon it is half of this.
    energy_low, energy_high : float
        Ends of the spectrum in TeV.
    spectral_index : float
        Spectral index G: dN/dE is proportional to E^-G.
    sigma : float
        Width of the Gaussian in DETX and DETY at `energy_high`, in deg. At `energy_low` it is half of this.
    center : tuple of two float
        DETX and DETY of the centre of the Gaussian in deg.
    align : {"ALTAZ", "RADEC"}
        Orientation of DETX and DETY: the field in which the background stands still.

    Raises
    ------
    OptionError
        A value is not finite, not positive where it must be, or so large that events leave the sphere, or the
        alignment is not known.
    """

    trigger_rate: float = 300.0
    energy_low: float = 0.1
    energy_high: float = 100.0
    spectral_index: float = 2.7
    sigma: float = 5.0
    center: tuple[float, float] = (0.0, 0.0)
    align: str = "ALTAZ"

    def __post_init__(self) -> None:
        if self.align not in ALIGNMENTS:
            raise OptionError(f"align must be one of {', '.join(ALIGNMENTS)}, not {self.align!r}")
        for name in ("trigger_rate", "energy_low", "energy_high", "sigma"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise OptionError(f"{name} must be a positive number, not {value}")
        self._check_spectrum()
        reach = FARTHEST_SIGMA * self.sigma
        if len(self.center) != 2 or not all(abs(place) + reach < 90 for place in self.center):
            raise OptionError(
                f"sigma = {self.sigma} deg and center = {self.center} deg put events outside the field of view: "
                f"{FARTHEST_SIGMA} * sigma + |center| must be less than 90 deg"
            )

    def _check_spectrum(self) -> None:
        if not self.energy_low < self.energy_high:
            raise OptionError(f"energy_low = {self.energy_low} TeV is not below energy_high = {self.energy_high} TeV")
        span = max(1.0, abs(1.0 - self.spectral_index)) * (math.log(self.energy_high) - math.log(self.energy_low))
        if not (math.isfinite(self.spectral_index) and span <= MAX_LOG_RATIO):
            raise OptionError(f"spectral_index = {self.spectral_index} is extreme or no number")

    def rate_at(self, altitude: float) -> float:
        """Rate of all events.

        Parameters
        ----------
        altitude : float
            Altitude of the pointing in deg.

        Returns
        -------
        float
            Rate in 1/s.

        Raises
        ------
        OptionError
            The altitude is not from 0 to 90 deg.
        """
        if not 0 <= altitude <= 90:
            raise OptionError(f"altitude must be from 0 to 90 deg, not {altitude}")
        return self.trigger_rate * 0.5 * (1.0 + altitude / 90.0)

    def width(self, energy: Array) -> Array:
        """Width of the Gaussian in DETX and DETY, with the same bits on every array library.

        Parameters
        ----------
        energy : array of float64, any shape
            Energies in TeV.

        Returns
        -------
        array of float64, shape of `energy`
            Widths in deg.
        """
        return width_at(energy, self.energy_low, self.energy_high, self.sigma)

    def expected_counts(
        self, axes: tuple[Axis, Axis, Axis], altitude: float, livetime: float, threshold: float = 0.0
    ) -> np.ndarray:
        """Expected number of events in bins, integrated over each bin.

        Parameters
        ----------
        axes : tuple of Axis
            Energy, DETY and DETX axis.
        altitude : float
            Altitude of the pointing in deg.
        livetime : float
            Livetime in s.
        threshold : float
            Energy in TeV below which no events count.

        Returns
        -------
        numpy.ndarray of float64, shape (n_energy, n_dety, n_detx)
            Expected counts.

        Raises
        ------
        OptionError
            The altitude is not from 0 to 90 deg, or the livetime is not positive.
        """
        if not (math.isfinite(livetime) and livetime > 0):
            raise OptionError(f"livetime must be a positive number of seconds, not {livetime}")
        energy, dety, detx = axes
        nodes, weights = self._energy_nodes(energy.edges_in("TeV"), threshold)
        width = self.width(nodes)
        # Shape (n_energy, n_nodes, n_dety) and (n_energy, n_nodes, n_detx)
        in_y = _gaussian_share(dety.edges_in("deg"), self.center[1], width)
        in_x = _gaussian_share(detx.edges_in("deg"), self.center[0], width)
        share = np.swapaxes(weights[:, :, None] * in_y, 1, 2) @ in_x
        return self.rate_at(altitude) * livetime * share

    def _energy_nodes(self, edges: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Energies at which to evaluate each bin, and their shares of the spectrum; both (n_energy, n_nodes).

        Gauss-Legendre quadrature in the logarithm of the energy, in which everything is smooth.
        """
        low, high = self.energy_low, self.energy_high
        # Bins without spectrum get the width 0.
        ends = np.log(np.clip(edges, min(max(low, threshold), high), high) / low)
        x, weights = np.polynomial.legendre.leggauss(N_NODES)
        half = 0.5 * np.diff(ends)[:, None]
        nodes = 0.5 * (ends[1:] + ends[:-1])[:, None] + half * x
        slope, span = 1.0 - self.spectral_index, math.log(high / low)
        norm = span * (math.expm1(slope * span) / (slope * span) if slope else 1.0)
        return low * np.exp(nodes), half * weights * np.exp(slope * nodes) / norm


def _gaussian_share(edges: np.ndarray, center: float, width: np.ndarray) -> np.ndarray:
    """Share of a Gaussian in each bin, shape of `width` and one more axis for the bins."""
    scaled = (edges - center) / (math.sqrt(2.0) * width[..., None])
    erf = np.asarray(np.frompyfunc(math.erf, 1, 1)(scaled), dtype=np.float64)
    return 0.5 * np.diff(erf, axis=-1)


def describe(description: BackgroundDescription | None, **values: float | None) -> BackgroundDescription:
    """Description with the values that are not None put into it."""
    changes: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    return replace(description or BackgroundDescription(), **changes)


def make_test_background_model(
    axes: tuple[Axis, Axis, Axis] | None = None,
    altitude: float = 70.0,
    livetime: float = 1500.0,
    *,
    sigma: float | None = None,
    spectral_index: float | None = None,
    trigger_rate: float | None = None,
    description: BackgroundDescription | None = None,
    apply_mask: bool = False,
) -> BackgroundModel:
    """Make the true background model of synthetic observations.

    Parameters
    ----------
    axes : tuple of Axis, optional
        Energy, DETY and DETX axis. Default: 14 bins from 0.1 to 100 TeV, 24 x 24 bins of +- 10 deg.
    altitude : float
        Altitude of the pointing in deg.
    livetime : float
        Livetime in s.
    sigma, spectral_index, trigger_rate : float, optional
        Instead of those in `description`, see `BackgroundDescription`.
    description : BackgroundDescription, optional
        The background; default: that of 2015.
    apply_mask : bool
        Leave the quarter of the image with positive DETX and DETY without exposure.

    Returns
    -------
    BackgroundModel
        Model on the host: `rate` is the mean over each bin, `counts` the expected number (float64), `livetime` the
        same in all bins. Without exposure they are NaN, 0 and 0.
    """
    if axes is None:
        axes = (
            Axis.energy(0.1, 100.0, 14),
            Axis.field_of_view("dety", 10.0, 24),
            Axis.field_of_view("detx", 10.0, 24),
        )
    exposed = np.ones([axis.n_bins for axis in axes], dtype=bool)
    if apply_mask:
        exposed &= ~((axes[1].centers > 0)[:, None] & (axes[2].centers > 0))
    description = describe(description, sigma=sigma, spectral_index=spectral_index, trigger_rate=trigger_rate)
    expected = description.expected_counts(axes, altitude, livetime)
    counts = Cube(axes, np.where(exposed, expected, 0.0))
    rate = np.where(exposed, expected / (livetime * counts.bin_volume), np.nan)
    return BackgroundModel(
        rate=Cube(axes, rate, RATE_UNIT),
        counts=counts,
        livetime=Cube(axes, np.where(exposed, livetime, 0.0), u.s),
        fov_align=description.align,
    )
