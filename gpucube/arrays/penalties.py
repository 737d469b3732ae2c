"""Quadratic penalties of the coefficients of a regression, and their strengths by the restricted likelihood.

A penalty is the number of its first coefficient and a symmetric matrix S of the coefficients from there on; what it
costs is half its strength times c^T S c. Penalties of the same coefficients form a run; runs do not overlap.

References
----------
.. [1] S. N. Wood, M. Fasiolo, A generalized Fellner-Schall method for smoothing parameter optimization with
   application to Tweedie location, scale and shape models, Biometrics 73 (2017), 1071.
.. [2] S. N. Wood, N. Pya, B. Saefken, Smoothing parameter and model selection for general smooth models, Journal of the
   American Statistical Association 111 (2016), 1548.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

__all__ = ["Penalties", "covariance_of_strengths", "penalty_matrix", "renewed_strengths"]

Array = Any
Penalties = Sequence[tuple[int, Array]]

# Strengths change by no more than this factor in a step, and stay between these limits. Of the largest a coefficient
# is still uncertain by 2 %: that data ask for nothing of a term does not prove that it is 0, and errors have to say so.
FASTEST = 8.0
STRENGTHS = (1e-5, 2e3)
# A term without data must not make a matrix singular.
RIDGE = 1e-8
# Standard deviation of the logarithm of a strength of which the data say nothing.
VAGUENESS = 3.0


def penalty_matrix(penalties: Penalties, strengths: Array, n: int) -> Array:
    """Sum of all penalties.

    Parameters
    ----------
    penalties : sequence of (int, array of float64, shape (q, q))
        Penalties.
    strengths : array of float64, shape (n_penalties,)
        Their strengths.
    n : int
        Number of coefficients.

    Returns
    -------
    array of float64, shape (n, n)
        Matrix, with a tiny ridge.
    """
    xp = array_namespace(strengths)
    total = RIDGE * xp.eye(n, dtype=xp.float64, device=array_api_compat.device(strengths))
    for number, (first, matrix) in enumerate(penalties):
        total = total + strengths[number] * _embedded(matrix, first, n, xp=xp)
    return total


def renewed_strengths(penalties: Penalties, strengths: Array, coefficients: Array, covariance: Array) -> Array:
    """Strengths after one step of the method of Fellner and Schall.

    Parameters
    ----------
    penalties : sequence of (int, array of float64, shape (q, q))
        Penalties.
    strengths : array of float64, shape (n_penalties,)
        Their strengths.
    coefficients : array of float64, shape (n,)
        Coefficients.
    covariance : array of float64, shape (n, n)
        Their covariance under these strengths.

    Returns
    -------
    array of float64, shape (n_penalties,)
        New strengths.
    """
    xp = array_namespace(strengths, coefficients, covariance)
    inverses = _inverses(penalties, strengths, xp=xp)
    new = []
    for number, (first, matrix) in enumerate(penalties):
        run = slice(first, first + matrix.shape[0])
        own = coefficients[run]
        wanted = xp.sum(inverses[number] * matrix) - xp.sum(covariance[run, run] * matrix)
        new.append(_renewed(strengths[number], wanted, own @ (matrix @ own), xp=xp))
    return xp.stack(new) if new else strengths


def _renewed(strength: Array, wanted: Array, spent: Array, *, xp: Any) -> Array:
    """One strength after one step: what the penalty is expected to be without it, over what it is."""
    ratio = xp.clip(wanted, 1e-12, xp.inf) / xp.clip(spent, 1e-12, xp.inf)
    return xp.clip(strength * xp.clip(ratio, 1 / FASTEST, FASTEST), *STRENGTHS)


def covariance_of_strengths(penalties: Penalties, strengths: Array, coefficients: Array, covariance: Array) -> Array:
    """Covariance of the coefficients that comes from not knowing the strengths, to first order ([2]_, section 4).

    The second derivatives of the restricted likelihood in the logarithms of the strengths are those of [1]_, without
    the change of the weights.

    Parameters
    ----------
    penalties : sequence of (int, array of float64, shape (q, q))
        Penalties.
    strengths : array of float64, shape (n_penalties,)
        Their strengths.
    coefficients : array of float64, shape (n,)
        Coefficients.
    covariance : array of float64, shape (n, n)
        Their covariance under these strengths.

    Returns
    -------
    array of float64, shape (n, n)
        What is to be added to the covariance.
    """
    xp = array_namespace(strengths, coefficients, covariance)
    if not penalties:
        return xp.zeros_like(covariance)
    n = coefficients.shape[0]
    scaled = [(first, strengths[number] * matrix) for number, (first, matrix) in enumerate(penalties)]
    inverses = _inverses(penalties, strengths, xp=xp)
    matrices = [_embedded(matrix, first, n, xp=xp) for first, matrix in scaled]
    of_prior = [
        _embedded(inverse @ matrix, first, n, xp=xp) for inverse, (first, matrix) in zip(inverses, scaled, strict=True)
    ]
    of_fit = [covariance @ matrix for matrix in matrices]
    pulls = xp.stack([matrix @ coefficients for matrix in matrices], axis=1)
    slopes = covariance @ pulls
    traces = _traces(of_prior, xp=xp) - _traces(of_fit, xp=xp)
    information = 0.5 * traces - xp.matrix_transpose(pulls) @ slopes
    values, vectors = xp.linalg.eigh(0.5 * (information + xp.matrix_transpose(information)))
    spread = slopes @ vectors
    return (spread / (xp.clip(values, 0.0, xp.inf) + VAGUENESS**-2)) @ xp.matrix_transpose(spread)


def _inverses(penalties: Penalties, strengths: Array, *, xp: Any) -> list[Array]:
    """Pseudo-inverse of the sum of the penalties of the run to which each belongs."""
    runs: dict[tuple[int, int], Array] = {}
    keys = [(first, matrix.shape[0]) for first, matrix in penalties]
    for number, (key, (_, matrix)) in enumerate(zip(keys, penalties, strict=True)):
        part = strengths[number] * matrix
        runs[key] = runs[key] + part if key in runs else part
    inverses = {key: xp.linalg.pinv(total) for key, total in runs.items()}
    return [inverses[key] for key in keys]


def _embedded(matrix: Array, first: int, n: int, *, xp: Any) -> Array:
    """Put a small matrix on the diagonal of a large one of zeros."""
    size = matrix.shape[0]
    device = array_api_compat.device(matrix)
    left = xp.zeros((size, first), dtype=xp.float64, device=device)
    right = xp.zeros((size, n - first - size), dtype=xp.float64, device=device)
    above = xp.zeros((first, n), dtype=xp.float64, device=device)
    below = xp.zeros((n - first - size, n), dtype=xp.float64, device=device)
    return xp.concat([above, xp.concat([left, matrix, right], axis=1), below])


def _traces(matrices: list[Array], *, xp: Any) -> Array:
    """Traces of the products of all pairs of matrices."""
    flat = xp.stack([xp.reshape(matrix, (-1,)) for matrix in matrices])
    turned = xp.stack([xp.reshape(xp.matrix_transpose(matrix), (-1,)) for matrix in matrices])
    return flat @ xp.matrix_transpose(turned)
