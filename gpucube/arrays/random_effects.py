"""Random effects of observations: normally distributed, with a covariance that is a sum of given matrices.

The covariance is V = sum over j of variance[j] K[j]. For K[0] = 1 alone observations are independent; another K
makes those alike that are near in time.

References
----------
.. [1] R. Schall, Estimation in generalized linear models with random effects, Biometrika 78 (1991), 719.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
from array_api_compat import array_namespace

__all__ = ["effect_precision", "effects_expected", "renewed_variances"]

Array = Any

# Variances change by no more than this factor in a step, and stay between these limits.
FASTEST = 8.0
VARIANCES = (1e-8, 1e5)


def effect_precision(variances: Array, likeness: Array) -> Array:
    """Inverse of the covariance of the effects.

    Parameters
    ----------
    variances : array of float64, shape (n_components,)
        Variances.
    likeness : array of float64, shape (n_components, n_obs, n_obs)
        Correlation matrices K.

    Returns
    -------
    array of float64, shape (n_obs, n_obs)
        Inverse of V.
    """
    xp = array_namespace(variances, likeness)
    return xp.linalg.inv(_covariance(variances, likeness, xp=xp))


def _covariance(variances: Array, likeness: Array, *, xp: Any) -> Array:
    return xp.sum(variances[:, None, None] * likeness, axis=0)


def renewed_variances(variances: Array, likeness: Array, precision: Array, effects: Array, covariance: Array) -> Array:
    """Variances after one step of the method of [1]_, for the restricted likelihood.

    Parameters
    ----------
    variances : array of float64, shape (n_components,)
        Variances.
    likeness : array of float64, shape (n_components, n_obs, n_obs)
        Correlation matrices K.
    precision : array of float64, shape (n_obs, n_obs)
        Inverse of V under these variances.
    effects : array of float64, shape (n_obs,)
        Effects as fitted.
    covariance : array of float64, shape (n_obs, n_obs)
        Their covariance given the counts.

    Returns
    -------
    array of float64, shape (n_components,)
        New variances: for each the sum of squares of its part of the effects over its degrees of freedom.
    """
    xp = array_namespace(variances, likeness, precision)
    pulls = precision @ effects
    known = precision - precision @ (covariance @ precision)
    spent = xp.sum((likeness @ pulls) * pulls, axis=1)
    wanted = xp.sum(likeness * known, axis=(1, 2))
    ratio = xp.clip(spent, 1e-12, xp.inf) / xp.clip(wanted, 1e-12, xp.inf)
    return xp.clip(variances * xp.clip(ratio, 1 / FASTEST, FASTEST), *VARIANCES)


def effects_expected(own: Array, shared: Array, among: Array, toward: Array) -> tuple[Array, Array]:
    """How effects that were fitted tell another one.

    Parameters
    ----------
    own, shared : array of float64, shape ()
        Variance of what each observation has of its own, and of what is shared by those that are alike.
    among : array of float64, shape (n_obs, n_obs)
        Correlations of the shared part between observations of the fit.
    toward : array of float64, shape (n_obs,)
        Its correlations with the other observation.

    Returns
    -------
    weights : array of float64, shape (n_obs,)
        The effect that is expected is their product with the effects of the fit.
    variance : array of float64, shape ()
        Variance about it.
    """
    xp = array_namespace(among, toward)
    likeness = xp.stack([xp.eye(among.shape[0], dtype=xp.float64, device=array_api_compat.device(among)), among])
    weights = shared * (effect_precision(xp.stack([own, shared]), likeness) @ toward)
    return weights, own + shared * (1 - xp.sum(weights * toward))
