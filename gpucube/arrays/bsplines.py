"""Cubic B-splines on equal intervals, and the penalty that makes a sum of them smooth.

References
----------
.. [1] P. H. C. Eilers, B. D. Marx, Flexible smoothing with B-splines and penalties, Statistical Science 11 (1996), 89.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
from array_api_compat import array_namespace

__all__ = ["DEGREE", "bspline_basis", "difference_penalty"]

Array = Any

DEGREE = 3


def bspline_basis(x: Array, low: float, high: float, n: int) -> Array:
    """Values of cubic B-splines whose sum is 1.

    Parameters
    ----------
    x : array of float64, any shape
        Where; beyond the ends each function goes on along its tangent.
    low, high : float
        Ends of the interval, in the unit of `x`.
    n : int
        Number of functions, at least 4.

    Returns
    -------
    array of float64, shape of `x` and an axis of length n
        Values; coefficients that rise by equal steps give a straight line, also beyond the ends.
    """
    xp = array_namespace(x)
    device = array_api_compat.device(x)
    spacing = (high - low) / (n - DEGREE)
    place = (x - low) / spacing
    inside = xp.clip(place, 0.0, float(n - DEGREE))
    # Distance from the centre of each function, which reaches two intervals to both sides.
    centers = xp.arange(n, dtype=xp.float64, device=device) - (DEGREE - 1) / 2
    distance = inside[..., None] - centers
    return _value(distance, xp=xp) + _slope(distance, xp=xp) * (place - inside)[..., None]


def _value(distance: Array, *, xp: Any) -> Array:
    t = xp.abs(distance)
    near = 2 / 3 - t**2 + t**3 / 2
    far = xp.clip(2 - t, 0.0, 2.0) ** 3 / 6
    return xp.where(t < 1, near, far)


def _slope(distance: Array, *, xp: Any) -> Array:
    t = xp.abs(distance)
    near = -2 * t + 1.5 * t**2
    far = -(xp.clip(2 - t, 0.0, 2.0) ** 2) / 2
    return xp.sign(distance) * xp.where(t < 1, near, far)


def difference_penalty(n: int, order: int, *, xp: Any, device: Any) -> Array:
    """Matrix of the sum of squares of the differences of neighbouring coefficients.

    Parameters
    ----------
    n : int
        Number of coefficients, more than `order`.
    order : int
        Order of the differences: coefficients on a polynomial of a lower degree cost nothing. 0 is the sum of squares.
    xp : module
        Array API namespace of the result.
    device : object
        Device of the result.

    Returns
    -------
    array of float64, shape (n, n)
        Symmetric matrix S: the penalty of coefficients c is c^T S c.
    """
    difference = xp.eye(n, dtype=xp.float64, device=device)
    for _ in range(order):
        difference = difference[1:, :] - difference[:-1, :]
    return xp.matrix_transpose(difference) @ difference
