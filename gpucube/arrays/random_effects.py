"""Random effects of observations: normally distributed, with a covariance that is a sum of given matrices.

The covariance is V = sum over j of variance[j] K[j]. For K[0] = 1 alone observations are independent; another K
makes those alike that are near in time. With the information D (diagonal) that counts have of the effects, what is seen
of an effect has the covariance V + 1/D, whose inverse W is all that a fit needs.

References
----------
.. [1] R. Schall, Estimation in generalized linear models with random effects, Biometrika 78 (1991), 719.
.. [2] C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press, 2006, section 3.4.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
from array_api_compat import array_namespace

__all__ = ["effect_covariance", "effects_expected", "renewed_variances", "seen_precision"]

Array = Any

# Variances change by no more than this factor in a step, and stay between these limits.
FASTEST = 8.0
VARIANCES = (1e-8, 1e5)


def effect_covariance(variances: Array, likeness: Array) -> Array:
    """Covariance V of the effects.

    Parameters
    ----------
    variances : array of float64, shape (n_components,)
        Variances.
    likeness : array of float64, shape (n_components, n_obs, n_obs)
        Correlation matrices K.

    Returns
    -------
    array of float64, shape (n_obs, n_obs)
        V.
    """
    xp = array_namespace(variances, likeness)
    return xp.sum(variances[:, None, None] * likeness, axis=0)


def seen_precision(covariance: Array, information: Array) -> Array:
    """Inverse W of the covariance of what is seen of the effects.

    Parameters
    ----------
    covariance : array of float64, shape (n_obs, n_obs)
        Covariance V of the effects.
    information : array of float64, shape (n_obs,)
        Inverse variance D of what counts say of each effect; 0 where they say nothing.

    Returns
    -------
    array of float64, shape (n_obs, n_obs)
        The inverse of V + 1/D, in the form of [2]_ that needs neither 1/D nor 1/V.
    """
    xp = array_namespace(covariance, information)
    root = xp.sqrt(information)
    unit = xp.eye(root.shape[0], dtype=xp.float64, device=array_api_compat.device(root))
    return root[:, None] * xp.linalg.inv(unit + root[:, None] * covariance * root) * root


def renewed_variances(variances: Array, likeness: Array, pulls: Array, known: Array) -> Array:
    """Variances after one step of the method of [1]_, for the restricted likelihood.

    Parameters
    ----------
    variances : array of float64, shape (n_components,)
        Variances.
    likeness : array of float64, shape (n_components, n_obs, n_obs)
        Correlation matrices K.
    pulls : array of float64, shape (n_obs,)
        The inverse of V under these variances, times the effects as fitted.
    known : array of float64, shape (n_obs, n_obs)
        Covariance of the pulls.

    Returns
    -------
    array of float64, shape (n_components,)
        New variances: for each the sum of squares of its part of the effects over its degrees of freedom.
    """
    xp = array_namespace(variances, likeness, pulls)
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
    unit = xp.eye(among.shape[0], dtype=xp.float64, device=array_api_compat.device(among))
    weights = shared * (xp.linalg.inv(own * unit + shared * among) @ toward)
    return weights, own + shared * (1 - xp.sum(weights * toward))
