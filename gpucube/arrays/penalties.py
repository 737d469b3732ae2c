"""Quadratic penalties of the coefficients of a regression, and their strengths by the restricted likelihood.

A penalty is a symmetric matrix S; what it costs is half its strength times c^T S c. All penalties have the same
eigenvectors, as those of a product of two functions have, each along one of the two: between these eigenvectors all
that follows from them is a product of numbers.

References
----------
.. [1] S. N. Wood, M. Fasiolo, A generalized Fellner-Schall method for smoothing parameter optimization with
   application to Tweedie location, scale and shape models, Biometrics 73 (2017), 1071.
.. [2] S. N. Wood, N. Pya, B. Saefken, Smoothing parameter and model selection for general smooth models, Journal of the
   American Statistical Association 111 (2016), 1548.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

__all__ = ["Penalties", "covariance_of_strengths", "penalty_matrix", "renewed_strengths"]

Array = Any

# Strengths change by no more than this factor in a step, and stay between these limits. Of the largest a coefficient
# is still uncertain by 2 %: that data ask for nothing of a term does not prove that it is 0, and errors have to say so.
FASTEST = 8.0
STRENGTHS = (1e-5, 2e3)
# A term without data must not make a matrix singular.
RIDGE = 1e-8
# Standard deviation of the logarithm of a strength of which the data say nothing.
VAGUENESS = 3.0


@dataclass(frozen=True, eq=False)
class Penalties:
    """Penalties with the same eigenvectors.

    Attributes
    ----------
    vectors : array of float64, shape (Q, Q)
        Orthonormal eigenvectors, one in each column.
    values : array of float64, shape (n_penalties, Q)
        Eigenvalues of each penalty, 0 where it has no part.
    """

    vectors: Array
    values: Array


def penalty_matrix(penalties: Penalties, strengths: Array) -> Array:
    """Sum of all penalties.

    Parameters
    ----------
    penalties : Penalties
        Penalties.
    strengths : array of float64, shape (n_penalties,)
        Their strengths.

    Returns
    -------
    array of float64, shape (Q, Q)
        Matrix, with a tiny ridge.
    """
    xp = array_namespace(strengths)
    vectors = penalties.vectors
    return (vectors * (strengths @ penalties.values + RIDGE)) @ xp.matrix_transpose(vectors)


def renewed_strengths(penalties: Penalties, strengths: Array, coefficients: Array, covariance: Array) -> Array:
    """Strengths after one step of the method of Fellner and Schall.

    Parameters
    ----------
    penalties : Penalties
        Penalties.
    strengths : array of float64, shape (n_penalties,)
        Their strengths.
    coefficients : array of float64, shape (Q,)
        Coefficients.
    covariance : array of float64, shape (Q, Q)
        Their covariance under these strengths.

    Returns
    -------
    array of float64, shape (n_penalties,)
        New strengths: for each what it is expected to cost without it, over what it costs.
    """
    xp = array_namespace(strengths, coefficients, covariance)
    vectors, values = penalties.vectors, penalties.values
    along = xp.matrix_transpose(vectors) @ coefficients
    spread = xp.sum(vectors * (covariance @ vectors), axis=0)
    wanted = values @ (_inverse_values(penalties, strengths, xp=xp) - spread)
    ratio = xp.clip(wanted, 1e-12, xp.inf) / xp.clip(values @ along**2, 1e-12, xp.inf)
    return xp.clip(strengths * xp.clip(ratio, 1 / FASTEST, FASTEST), *STRENGTHS)


def covariance_of_strengths(penalties: Penalties, strengths: Array, coefficients: Array, covariance: Array) -> Array:
    """Covariance of the coefficients that comes from not knowing the strengths, to first order ([2]_, section 4).

    The second derivatives of the restricted likelihood in the logarithms of the strengths are those of [1]_, without
    the change of the weights.

    Parameters
    ----------
    penalties : Penalties
        Penalties.
    strengths : array of float64, shape (n_penalties,)
        Their strengths.
    coefficients : array of float64, shape (Q,)
        Coefficients.
    covariance : array of float64, shape (Q, Q)
        Their covariance under these strengths.

    Returns
    -------
    array of float64, shape (Q, Q)
        What is to be added to the covariance.
    """
    xp = array_namespace(strengths, coefficients, covariance)
    vectors, values = penalties.vectors, strengths[:, None] * penalties.values
    turned = xp.matrix_transpose(vectors) @ (covariance @ vectors)
    of_prior = values * _inverse_values(penalties, strengths, xp=xp)
    traces = of_prior @ xp.matrix_transpose(of_prior) - values @ (turned**2 @ xp.matrix_transpose(values))
    pulls = xp.matrix_transpose(values * (xp.matrix_transpose(vectors) @ coefficients))
    slopes = turned @ pulls
    information = 0.5 * traces - xp.matrix_transpose(pulls) @ slopes
    of_information, directions = xp.linalg.eigh(0.5 * (information + xp.matrix_transpose(information)))
    spread = vectors @ (slopes @ directions)
    return (spread / (xp.clip(of_information, 0.0, xp.inf) + VAGUENESS**-2)) @ xp.matrix_transpose(spread)


def _inverse_values(penalties: Penalties, strengths: Array, *, xp: Any) -> Array:
    """Eigenvalues of the pseudo-inverse of the sum of all penalties."""
    total = strengths @ penalties.values
    return xp.where(total > 0, 1 / xp.where(total > 0, total, 1.0), 0.0)
