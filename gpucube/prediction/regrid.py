"""Bring a rate to other axes, so that models of different binning can be averaged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpucube.arrays.exposure import SPECTRAL_INDEX
from gpucube.cubes.axis import Axis
from gpucube.cubes.cube import Cube

__all__ = ["regrid"]

# A new cell is known if more than this part of it is.
ENOUGH = 0.5


def regrid(rate: Cube, axes: tuple[Axis, ...]) -> Cube:
    """Average a rate over the cells of other axes.

    Parameters
    ----------
    rate : Cube
        Rate per energy on the host; NaN is unknown.
    axes : tuple of Axis
        Axes of the same names.

    Returns
    -------
    Cube
        Mean over the known part of each new cell, of a spectrum that falls within each old bin as E^-2.7: numbers
        of counts are kept. NaN where half of a cell or more is not known. The rate itself on its own axes.
    """
    if all(mine.matches(new) for mine, new in zip(rate.axes, axes, strict=True)):
        return rate
    old, new = ([_measure(axis) for axis in cube_axes] for cube_axes in (rate.axes, axes))
    known = np.isfinite(rate.data)
    amplitude = np.where(known, rate.data * _per_energy(rate.axes[0], len(axes) - 1), 0.0)
    share = known.astype(np.float64)
    for number, (old_edges, new_edges) in enumerate(zip(old, new, strict=True)):
        matrix = _overlaps(new_edges, old_edges)
        amplitude, share = (
            np.moveaxis(np.tensordot(matrix, values, (1, number)), 0, number) for values in (amplitude, share)
        )
    data = np.where(share > ENOUGH, amplitude / np.where(share > 0, share, 1.0), np.nan)
    return Cube(axes, data / _per_energy(axes[0], len(axes) - 1), rate.unit)


def _measure(axis: Axis) -> NDArray[np.float64]:
    """Edges, in energy as the increasing integral of a power law."""
    if axis.name == "energy":
        return -(axis.edges_in("TeV") ** (1 - SPECTRAL_INDEX))
    return axis.edges_in("deg")


def _per_energy(axis: Axis, n_field_axes: int) -> NDArray[np.float64]:
    """Energy width over the measure of each energy bin, as a column of a cube."""
    ratio = np.diff(axis.edges_in("TeV")) / np.diff(_measure(axis))
    return ratio.reshape(-1, *[1] * n_field_axes)


def _overlaps(new: NDArray[np.float64], old: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each new bin that lies in each old one, shape (n_new, n_old)."""
    low, high = np.maximum(new[:-1, None], old[:-1]), np.minimum(new[1:, None], old[1:])
    return np.maximum(high - low, 0.0) / np.diff(new)[:, None]
