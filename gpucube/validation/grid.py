"""Cells in which observed and predicted counts are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from gpucube.cubes.axis import Axis
from gpucube.errors import OptionError

__all__ = ["ScoreGrid"]

# A rate is summed over this many parts of a cell, along the energy and along each axis of the field of view.
ENERGY_PARTS = 6
FIELD_PARTS = 4


@dataclass(frozen=True, eq=False)
class ScoreGrid:
    """Cells in energy, DETY and DETX within an offset from the pointing.

    Attributes
    ----------
    axes : tuple of Axis
        Energy, DETY and DETX axis.
    max_offset : float
        Largest offset in deg of the centre of a cell.
    """

    axes: tuple[Axis, Axis, Axis]
    max_offset: float

    @classmethod
    def make(
        cls,
        energy_range: tuple[float, float] = (0.25, 20.0),
        max_offset: float = 2.0,
        bins_per_decade: int = 6,
        cell: float = 0.5,
    ) -> ScoreGrid:
        """Cells of about equal size.

        Parameters
        ----------
        energy_range : tuple of float
            Lowest and highest energy in TeV.
        max_offset : float
            Largest offset in deg.
        bins_per_decade : int
            Energy bins in a factor of ten, about.
        cell : float
            Width of a cell in deg, about.

        Returns
        -------
        ScoreGrid
            Cells; a whole number of them fits into the range.

        Raises
        ------
        OptionError
            A number makes no sense.
        """
        low, high = energy_range
        if not 0 < low < high < math.inf:
            raise OptionError(f"energy range {low:g} to {high:g} TeV: the first must be positive and below the second")
        if not 0 < max_offset < 90:
            raise OptionError(f"largest offset is {max_offset:g} deg; it must be above 0 and below 90")
        if bins_per_decade < 1 or not 0 < cell <= 2 * max_offset:
            raise OptionError(f"cells of {cell:g} deg and 1/{bins_per_decade:g} decade do not fit into the range")
        n_energy = max(round(bins_per_decade * math.log10(high / low)), 1)
        n_field = max(round(2 * max_offset / cell), 1)
        dety, detx = (Axis.field_of_view(name, max_offset, n_field) for name in ("dety", "detx"))
        return cls((Axis.energy(low, high, n_energy), dety, detx), max_offset)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of cells in energy, DETY and DETX."""
        n_energy, n_dety, n_detx = (axis.n_bins for axis in self.axes)
        return n_energy, n_dety, n_detx

    @property
    def parts(self) -> tuple[Axis, Axis]:
        """DETY and DETX axis of the parts of the cells."""
        dety, detx = (Axis(axis.name, _divided(axis.edges_in("deg"), FIELD_PARTS), u.deg) for axis in self.axes[1:])
        return dety, detx

    @property
    def offset(self) -> NDArray[np.float64]:
        """Offset in deg of the centre of each cell, shape (n_dety, n_detx)."""
        dety, detx = (np.deg2rad(axis.centers) for axis in self.axes[1:])
        return np.asarray(np.rad2deg(np.arccos(np.clip(np.outer(np.cos(dety), np.cos(detx)), -1, 1))))

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Cells that count, shape (n_dety, n_detx)."""
        return self.offset <= self.max_offset


def _divided(edges: NDArray[np.float64], parts: int) -> NDArray[np.float64]:
    """Edges of equal parts of each bin."""
    places = np.arange(edges.size * parts - parts + 1) / parts
    return np.interp(places, np.arange(edges.size), edges)
