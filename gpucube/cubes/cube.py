"""Cubes: an array of any library with binned axes and a unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import astropy.units as u
import numpy as np

from gpucube.arrays.backend import Array, to_host
from gpucube.cubes.axis import AXIS_NAMES, RADIAL_AXIS_NAMES, Axis

__all__ = ["Cube"]


@dataclass(frozen=True, eq=False)
class Cube:
    """Values in bins of energy, DETY and DETX, or of energy and offset.

    Attributes
    ----------
    axes : tuple of Axis
        Energy, DETY and DETX axis, in that order, or energy and offset axis.
    data : array, shape (n_energy, n_dety, n_detx) or (n_energy, n_offset)
        Values, of any Array API library on any device.
    unit : astropy.units.Unit
        Unit of `data`.

    Raises
    ------
    ValueError
        Axes are not these, or the shape of `data` is not theirs.
    """

    axes: tuple[Axis, ...]
    data: Array
    unit: u.UnitBase = u.dimensionless_unscaled

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", u.Unit(self.unit))
        names = tuple(axis.name for axis in self.axes)
        if names not in (AXIS_NAMES, RADIAL_AXIS_NAMES):
            raise ValueError(f"axes of a cube are {AXIS_NAMES} or {RADIAL_AXIS_NAMES}, not {names}")
        shape = tuple(axis.n_bins for axis in self.axes)
        if tuple(self.data.shape) != shape:
            raise ValueError(f"data of shape {tuple(self.data.shape)} on axes of shape {shape}")

    def __add__(self, other: Cube) -> Cube:
        """Add the values of a cube on the same axes, in this cube's unit."""
        if not all(mine.matches(theirs) for mine, theirs in zip(self.axes, other.axes, strict=True)):
            raise ValueError("cubes on different axes cannot be added")
        factor = other.unit.to(self.unit)
        return self.with_data(self.data + (other.data if factor == 1 else other.data * factor))

    def with_data(self, data: Array, unit: Any = None) -> Cube:
        """Cube on the same axes with other values.

        Parameters
        ----------
        data : array, shape of this cube
            New values.
        unit : astropy.units.Unit, optional
            New unit; this cube's if not given.

        Returns
        -------
        Cube
            New cube.
        """
        return replace(self, data=data, unit=self.unit if unit is None else unit)

    def on_host(self) -> Cube:
        """Copy of this cube whose data is a NumPy array.

        Returns
        -------
        Cube
            Cube on the host.
        """
        return self.with_data(to_host(self.data))

    @property
    def quantity(self) -> u.Quantity:
        """Values with their unit, on the host."""
        return u.Quantity(to_host(self.data), self.unit, copy=False)

    @property
    def bin_volume(self) -> np.ndarray:
        """Energy width times solid angle of each bin in TeV sr, shape of the cube (NumPy).

        The solid angle of a bin on the sphere is dlon * (sin(lat_high) - sin(lat_low)), that of a ring
        2 pi * (cos(offset_low) - cos(offset_high)).
        """
        energy, *field = self.axes
        return np.multiply.outer(np.diff(energy.edges_in("TeV")), _solid_angle(*field))


def _solid_angle(*field: Axis) -> np.ndarray:
    """Solid angle in sr of the bins of the axes of a field of view."""
    if len(field) == 1:
        return -2 * np.pi * np.diff(np.cos(field[0].edges_in("rad")))
    dety, detx = field
    return np.outer(np.diff(np.sin(dety.edges_in("rad"))), np.diff(detx.edges_in("rad")))
