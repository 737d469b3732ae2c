"""Design of a regression in a field of view, whose matrix is a product of two small ones, and what follows from it.

The logarithm of the rate under conditions n in pixel p is the sum over i of coefficient[i] * A[n, k(i)] * B[p, m(i)].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

from gpucube.arrays.penalties import Penalties

__all__ = ["Design", "log_rate", "log_rate_variance"]

Array = Any


@dataclass(frozen=True, eq=False)
class Design:
    """Columns of a regression, and the penalties of its coefficients.

    Attributes
    ----------
    field : array of float64, shape (n_pixels, M)
        Columns B of the place in the field of view.
    k, m : array of int64, shape (Q,)
        Column of the conditions and of the field that belong to each coefficient.
    penalties : Penalties
        Penalties of the coefficients.
    """

    field: Array
    k: Array
    m: Array
    penalties: Penalties


def log_rate(coefficients: Array, conditions: Array, design: Design) -> Array:
    """Logarithm of the rate.

    Parameters
    ----------
    coefficients : array of float64, shape (Q,)
        Coefficients.
    conditions : array of float64, shape (..., K)
        Columns A.
    design : Design
        Columns B and the pairs of columns.

    Returns
    -------
    array of float64, shape (..., n_pixels)
        Logarithm of the rate, in the unit of counts over exposure of the fit.
    """
    xp = array_namespace(coefficients, conditions)
    n_k, n_m = conditions.shape[-1], design.field.shape[1]
    flat = design.k * n_m + design.m
    device = array_api_compat.device(coefficients)
    # Each pair is there once: a sum over comparisons puts coefficients where they belong.
    where = xp.astype(xp.arange(n_k * n_m, dtype=xp.int64, device=device)[:, None] == flat, xp.float64)
    table = xp.reshape(where @ coefficients, (n_k, n_m))
    return conditions @ (table @ xp.matrix_transpose(design.field))


def log_rate_variance(covariance: Array, conditions: Array, design: Design) -> Array:
    """Variance of the logarithm of the rate.

    Parameters
    ----------
    covariance : array of float64, shape (Q, Q)
        Covariance of the coefficients.
    conditions : array of float64, shape (n, K)
        Columns A.
    design : Design
        Columns B and the pairs of columns.

    Returns
    -------
    array of float64, shape (n, n_pixels)
        Variance.
    """
    xp = array_namespace(covariance, conditions)
    device = array_api_compat.device(covariance)
    columns = xp.arange(design.field.shape[1], dtype=xp.int64, device=device)
    of_field = xp.astype(design.m[:, None] == columns, xp.float64)
    rows = []
    for number in range(conditions.shape[0]):
        # The covariance of the factors of the columns B under these conditions
        weights = xp.take(conditions[number, :], design.k)[:, None] * of_field
        small = xp.matrix_transpose(weights) @ (covariance @ weights)
        rows.append(xp.sum((design.field @ small) * design.field, axis=1))
    return xp.clip(xp.stack(rows), 0.0, xp.inf)
