"""Interpolation of rates between the centres of bins.

On a grid, linear interpolation is a product of one matrix per axis; that of the logarithm follows steep spectra.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

__all__ = ["interpolate_log", "interpolation_matrix"]

Array = Any


def interpolation_matrix(points: Array, nodes: Array, low: float, high: float) -> Array:
    """Weights of nodes by which values between them follow.

    Parameters
    ----------
    points : array of float64, shape (n_points,)
        Where values are wanted.
    nodes : array of float64, shape (n_nodes,)
        Increasing places of the values that are known.
    low, high : float
        Ends of the axis. Values beyond the first and last node follow the line through the nearest two.

    Returns
    -------
    array of float64, shape (n_points, n_nodes)
        Weights; NaN for points that are not on the axis.
    """
    xp = array_namespace(points, nodes)
    on_axis = ((points >= low) & (points <= high))[:, None]
    number = xp.arange(nodes.shape[0], dtype=xp.int64, device=array_api_compat.device(nodes))
    if nodes.shape[0] == 1:
        return xp.where(on_axis, xp.ones_like(points)[:, None], xp.nan)
    left = xp.astype(xp.searchsorted(nodes, points, side="right"), xp.int64) - 1
    left = xp.clip(left, 0, nodes.shape[0] - 2)
    start, stop = xp.take(nodes, left), xp.take(nodes, left + 1)
    weight = ((points - start) / (stop - start))[:, None]
    is_left, is_right = number == left[:, None], number == left[:, None] + 1
    weights = xp.where(is_left, 1 - weight, xp.where(is_right, weight, 0.0))
    return xp.where(on_axis, weights, xp.nan)


def interpolate_log(rate: Array, matrices: Sequence[Array], floor: float) -> Array:
    """Interpolate the logarithm of a rate on a grid.

    Parameters
    ----------
    rate : array of float64, shape (n_1, n_2, ...)
        Rate at the nodes; NaN where it is not known.
    matrices : sequence of array of float64, shape (m_i, n_i)
        Weights for each axis, see `interpolation_matrix`.
    floor : float
        Positive rate that stands for all lower ones: there is no logarithm of 0.

    Returns
    -------
    array of float64, shape (m_1, m_2, ...)
        Rate at the points; NaN outside of an axis, and where a node that is not known has a part in it.
    """
    xp = array_namespace(rate, *matrices)
    unknown = xp.isnan(rate)
    values = xp.log(xp.clip(xp.where(unknown, floor, rate), floor, None))
    missing = xp.astype(unknown, xp.float64)
    for matrix in matrices:
        # The first axis is summed over and comes back as the last: after all of them their order is as it was.
        values = xp.tensordot(values, matrix, axes=((0,), (1,)))
        missing = xp.tensordot(missing, xp.abs(matrix), axes=((0,), (1,)))
    return xp.where(missing > 0, xp.nan, xp.exp(values))
