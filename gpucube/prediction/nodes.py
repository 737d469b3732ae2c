"""Rates at bin centres from mean rates in bins, so that Gammapy's interpolation keeps the number of events.

Gammapy takes the mean rate of a bin for the rate at its centre, and interpolates its logarithm linearly in the
logarithm of the energy and in the field of view. Of a falling spectrum in wide bins it then predicts too many events,
and too few where the rates of neighbouring bins scatter, because the mean of logarithms is below the logarithm of the
mean: up to 10 % in an energy bin of real models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpucube.cubes.axis import Axis

__all__ = ["node_rates"]

Numbers = NDArray[np.float64]

# The correction of an energy depends a little on that of its neighbours.
ROUNDS = 6
# Gauss-Legendre, 2 points in each half of a bin: the interpolation has kinks at the centres only.
POINTS, WEIGHTS = (0.5 - 0.5 / np.sqrt(3), 0.5 + 0.5 / np.sqrt(3)), (0.5, 0.5)
# Variable in which Gammapy interpolates, and the measure of the integral in it
VARIABLE: dict[str, tuple[str, Callable[[Numbers], Numbers], Callable[[Numbers], Numbers]]] = {
    "energy": ("TeV", np.log, np.exp),
    "dety": ("rad", np.asarray, np.cos),
    "detx": ("rad", np.asarray, np.ones_like),
    "offset": ("rad", np.asarray, np.sin),
}


@dataclass(frozen=True, eq=False)
class _Quadrature:
    """Points along an axis: a matrix that interpolates to them from bin centres, and their weights per bin."""

    matrix: Numbers
    weights: Numbers


def node_rates(rate: Numbers, axes: tuple[Axis, ...]) -> Numbers:
    """Scale each energy bin so that the interpolated rate integrates to the events of the bin.

    Parameters
    ----------
    rate : numpy.ndarray of float64, shape (n_energy, n_dety, n_detx) or (n_energy, n_offset)
        Mean rates in bins, positive.
    axes : tuple of Axis
        Energy, DETY and DETX axis, or energy and offset axis.

    Returns
    -------
    numpy.ndarray of float64, shape of `rate`
        Rates at the centres of the bins: those of an energy times one number.
    """
    quadratures = [_quadrature(axis) for axis in axes]
    expected = _events(rate, [quadrature.weights.sum(axis=1) for quadrature in quadratures])
    weights = [quadrature.weights.ravel() for quadrature in quadratures]
    nodes = np.array(rate)
    for _ in range(ROUNDS):
        values = np.log(nodes)
        for number, quadrature in enumerate(quadratures):
            values = np.moveaxis(np.tensordot(quadrature.matrix, values, axes=(1, number)), 0, number)
        found = _events(np.exp(values), weights).reshape(len(nodes), -1).sum(axis=1)
        nodes *= (expected / found).reshape(-1, *([1] * (nodes.ndim - 1)))
    return nodes


def _quadrature(axis: Axis) -> _Quadrature:
    unit, variable, measure = VARIABLE[axis.name]
    edges = variable(axis.edges_in(unit))
    centers = 0.5 * (edges[1:] + edges[:-1])
    halves = np.sort(np.concatenate([edges, centers]))
    points = (halves[:-1, None] + np.diff(halves)[:, None] * POINTS).ravel()
    weights = (np.diff(halves)[:, None] * WEIGHTS).ravel() * measure(points)
    return _Quadrature(_interpolation(centers, points), weights.reshape(len(centers), -1))


def _interpolation(centers: Numbers, points: Numbers) -> Numbers:
    """Matrix of linear interpolation, and beyond the ends extrapolation, shape (n_points, n_centers)."""
    if len(centers) == 1:
        return np.ones((len(points), 1))
    left = np.clip(np.searchsorted(centers, points) - 1, 0, len(centers) - 2)
    weight = (points - centers[left]) / (centers[left + 1] - centers[left])
    matrix = np.zeros((len(points), len(centers)))
    row = np.arange(len(points))
    matrix[row, left], matrix[row, left + 1] = 1 - weight, weight
    return matrix


def _events(values: Numbers, weights: list[Numbers]) -> Numbers:
    """Sum over the field of view, shape (n_energy,)."""
    energy, *field = weights
    for weight in reversed(field):
        values = values @ weight
    return values * energy
