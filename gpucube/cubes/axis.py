"""Binned axes of cubes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import astropy.units as u
import numpy as np

from gpucube.errors import OptionError

__all__ = ["AXIS_NAMES", "RADIAL_AXIS_NAMES", "Axis", "unit_factor"]

# Order of the axes of every cube, and of those that depend on the offset from the pointing alone
AXIS_NAMES = ("energy", "dety", "detx")
RADIAL_AXIS_NAMES = ("energy", "offset")


# All models have the same few units, and to find the factor takes longer than to apply it.
@lru_cache(maxsize=64)
def unit_factor(unit: u.UnitBase, to: str | u.UnitBase) -> float:
    """Factor between two units.

    Parameters
    ----------
    unit : astropy.units.Unit
        Unit of values.
    to : str or astropy.units.Unit
        Unit wanted.

    Returns
    -------
    float
        By what to multiply the values.
    """
    return float(unit.to(to))


@dataclass(frozen=True, eq=False)
class Axis:
    """Bin edges with a name and a unit.

    Attributes
    ----------
    name : str
        One of `AXIS_NAMES` or `RADIAL_AXIS_NAMES`.
    edges : numpy.ndarray of float64, shape (n_bins + 1,)
        Increasing bin edges.
    unit : astropy.units.Unit
        Unit of `edges`.

    Raises
    ------
    OptionError
        The edges are not finite, increasing numbers, or energies are not positive.
    """

    name: str
    edges: np.ndarray
    unit: u.UnitBase

    def __post_init__(self) -> None:
        edges = np.array(self.edges, dtype=np.float64)
        edges.setflags(write=False)
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "unit", u.Unit(self.unit))
        if edges.ndim != 1 or edges.size < 2 or not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
            raise OptionError(f"{self.name} axis: edges must be at least two finite, increasing numbers, not {edges}")
        if self.name == "energy" and edges[0] <= 0:
            raise OptionError(f"energy axis: edges must be positive, not {edges[0]} {self.unit}")
        if self.name == "offset" and edges[0] < 0:
            raise OptionError(f"offset axis: edges must not be negative, not {edges[0]} {self.unit}")

    @classmethod
    @lru_cache(maxsize=64)  # an axis cannot be changed, and many groups have the same
    def energy(cls, low: float, high: float, n_bins: int) -> Axis:
        """Logarithmic energy axis.

        Parameters
        ----------
        low, high : float
            First and last edge in TeV.
        n_bins : int
            Number of bins.

        Returns
        -------
        Axis
            Axis in TeV.
        """
        return cls("energy", np.geomspace(low, high, n_bins + 1), u.TeV)

    @classmethod
    @lru_cache(maxsize=64)  # an axis cannot be changed, and many groups have the same
    def field_of_view(cls, name: str, half_width: float, n_bins: int) -> Axis:
        """Linear field-of-view axis, symmetric about 0.

        Parameters
        ----------
        name : {"dety", "detx"}
            Which axis.
        half_width : float
            Last edge in deg.
        n_bins : int
            Number of bins.

        Returns
        -------
        Axis
            Axis in deg.
        """
        return cls(name, np.linspace(-half_width, half_width, n_bins + 1), u.deg)

    @classmethod
    def offset(cls, largest: float, n_bins: int) -> Axis:
        """Linear axis of the angle from the pointing, from 0.

        Parameters
        ----------
        largest : float
            Last edge in deg.
        n_bins : int
            Number of bins.

        Returns
        -------
        Axis
            Axis in deg.
        """
        return cls("offset", np.linspace(0.0, largest, n_bins + 1), u.deg)

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return self.edges.size - 1

    @property
    def centers(self) -> np.ndarray:
        """Bin centres, shape (n_bins,): geometric means for energy, else arithmetic."""
        low, high = self.edges[:-1], self.edges[1:]
        return np.sqrt(low * high) if self.name == "energy" else 0.5 * (low + high)

    @property
    def is_regular(self) -> bool:
        """Whether all bins are equally wide to one part in 1e6."""
        widths = np.diff(self.edges)
        return bool(np.ptp(widths) <= 1e-6 * widths.mean())

    def edges_in(self, unit: str | u.UnitBase) -> np.ndarray:
        """Edges in another unit.

        Parameters
        ----------
        unit : str or astropy.units.Unit
            Unit of the result.

        Returns
        -------
        numpy.ndarray of float64, shape (n_bins + 1,)
            Edges.
        """
        return self.edges * unit_factor(self.unit, unit)

    def matches(self, other: Axis) -> bool:
        """Whether another axis has the same name, unit dimension and edges (to 1e-9).

        Parameters
        ----------
        other : Axis
            Axis to compare with.

        Returns
        -------
        bool
            True if they are the same.
        """
        same_shape = self.name == other.name and self.n_bins == other.n_bins
        return same_shape and bool(np.allclose(self.edges, other.edges_in(self.unit), rtol=1e-9, atol=1e-12))
