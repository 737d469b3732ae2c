"""Sums over cells that a Poisson regression needs: derivatives of the likelihood by coefficients and effects.

The design matrix, see `gpucube.arrays.design`, is never held: its sums are products of the two small ones, a block of
observations at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from gpucube.arrays.design import Design, log_rate

__all__ = ["Sums", "add_up", "add_up_samples", "log_of_exposure"]

Array = Any

# Numbers in the largest intermediate array of a block of observations.
BLOCK = 2**21


@dataclass(frozen=True, eq=False)
class Sums:
    """Gradient and (negative) second derivatives of the log-likelihood.

    Attributes
    ----------
    gradient : array of float64, shape (Q,)
        Derivatives by the coefficients.
    hessian : array of float64, shape (Q, Q)
        Second derivatives by these.
    effect_gradient, effect_hessian : array of float64, shape (n_obs,)
        The same by the effect of each observation.
    cross : array of float64, shape (n_obs, Q)
        Second derivatives by an effect and a coefficient.
    """

    gradient: Array
    hessian: Array
    effect_gradient: Array
    effect_hessian: Array
    cross: Array


def log_of_exposure(exposure: Array) -> Array:
    """Logarithm of the exposure, minus infinity where there is none.

    Parameters
    ----------
    exposure : array of float64, shape (n_obs, n_energy, n_pixels)
        Exposure.

    Returns
    -------
    array of float64, same shape
        Logarithm.
    """
    xp = array_namespace(exposure)
    used = exposure > 0
    return xp.where(used, xp.log(xp.where(used, exposure, 1.0)), -xp.inf)


def add_up(
    counts: Array, log_exposure: Array, conditions: Array, design: Design, coefficients: Array, effects: Array
) -> Sums:
    """Sums over all cells.

    Parameters
    ----------
    counts, log_exposure : array of float64, shape (n_obs, n_energy, n_pixels)
        Counts, and the logarithm of the exposure.
    conditions : array of float64, shape (n_obs, n_energy, K)
        Columns A.
    design : Design
        Columns B and the pairs of columns.
    coefficients : array of float64, shape (Q,)
        Coefficients.
    effects : array of float64, shape (n_obs,)
        Effects.

    Returns
    -------
    Sums
        The sums.
    """
    xp = array_namespace(counts, log_exposure)
    n_k, n_m = conditions.shape[2], design.field.shape[1]
    products, n_pairs = _pairs(design.field, xp=xp), n_m * (n_m + 1) // 2
    gradient, gram, of_effects = 0.0, 0.0, []
    for block in _blocks(counts, log_exposure, conditions, design, coefficients, effects, xp=xp):
        left = xp.reshape(block.conditions, (-1, n_k))
        in_field = xp.reshape(block.residual @ design.field, (-1, n_m))
        gradient = gradient + xp.matrix_transpose(left) @ in_field
        weights = xp.reshape(block.mean @ products, (-1, n_pairs))
        gram = gram + xp.matrix_transpose(_pairs(left, xp=xp)) @ weights
        of_effects.append(_of_effects(block, design, xp=xp))
    places = _places_of_pairs(design, n_k, xp=xp)
    n = design.k.shape[0]
    return Sums(
        xp.take(xp.reshape(gradient, (-1,)), design.k * n_m + design.m),
        xp.reshape(xp.take(xp.reshape(gram, (-1,)), places), (n, n)),
        *(xp.concat(list(parts)) for parts in zip(*of_effects, strict=True)),
    )


def add_up_samples(
    samples: Array,
    counts: Array,
    log_exposure: Array,
    conditions: Array,
    design: Design,
    coefficients: Array,
    effects: Array,
) -> tuple[Array, Array, Sums]:
    """Sums over the cells of samples of the observations, all in one pass.

    Parameters
    ----------
    samples : array of float64, shape (n_samples, n_obs)
        How often each observation is in a sample.
    counts, log_exposure : array of float64, shape (n_obs, n_energy, n_pixels)
        Counts, and the logarithm of the exposure.
    conditions : array of float64, shape (n_obs, n_energy, K)
        Columns A.
    design : Design
        Columns B and the pairs of columns.
    coefficients : array of float64, shape (Q,)
        Coefficients.
    effects : array of float64, shape (n_obs,)
        Effects.

    Returns
    -------
    gradients : array of float64, shape (n_samples, Q)
        Derivatives by the coefficients.
    hessians : array of float64, shape (n_samples, Q, Q)
        Second derivatives by these.
    sums : Sums
        Of each observation once, all that is by effects; without those by the coefficients alone.
    """
    xp = array_namespace(counts, log_exposure)
    n, n_k = design.k.shape[0], conditions.shape[2]
    products, places = _pairs(design.field, xp=xp), _places_of_pairs(design, n_k, xp=xp)
    gradients, hessians, of_effects = 0.0, 0.0, []
    for block in _blocks(counts, log_exposure, conditions, design, coefficients, effects, xp=xp):
        drawn = samples[:, block.rows]
        gradients = gradients + drawn @ _by_coefficients(block.residual, block.conditions, design, xp=xp)
        weights = block.mean @ products
        each = []
        for row in range(weights.shape[0]):
            gram = xp.matrix_transpose(_pairs(block.conditions[row, :, :], xp=xp)) @ weights[row, :, :]
            each.append(xp.take(xp.reshape(gram, (-1,)), places))
        hessians = hessians + drawn @ xp.stack(each)
        of_effects.append(_of_effects(block, design, xp=xp))
    by_effects = (xp.concat(list(parts)) for parts in zip(*of_effects, strict=True))
    return gradients, xp.reshape(hessians, (-1, n, n)), Sums(None, None, *by_effects)


@dataclass(frozen=True, eq=False)
class _Block:
    """Some observations."""

    rows: slice
    conditions: Array
    mean: Array  # expected counts
    residual: Array  # observed minus expected


def _blocks(
    counts: Array,
    log_exposure: Array,
    conditions: Array,
    design: Design,
    coefficients: Array,
    effects: Array,
    *,
    xp: Any,
) -> Iterator[_Block]:
    n_obs, n_energy, n_pixels = counts.shape
    n_pairs = (n * (n + 1) // 2 for n in (conditions.shape[2], design.field.shape[1]))
    step = max(1, BLOCK // (n_energy * max(n_pixels, *n_pairs)))
    for first in range(0, n_obs, step):
        rows = slice(first, min(first + step, n_obs))
        logs = log_rate(coefficients, conditions[rows, ...], design) + effects[rows, None, None]
        # Where there is no exposure, the logarithm is minus infinity.
        mean = xp.exp(log_exposure[rows, ...] + logs)
        yield _Block(rows, conditions[rows, ...], mean, counts[rows, ...] - mean)


def _of_effects(block: _Block, design: Design, *, xp: Any) -> tuple[Array, Array, Array]:
    """First and second derivatives by the effect of each observation, and those by it and the coefficients."""
    cross = _by_coefficients(block.mean, block.conditions, design, xp=xp)
    return xp.sum(block.residual, axis=(1, 2)), xp.sum(block.mean, axis=(1, 2)), cross


def _by_coefficients(values: Array, conditions: Array, design: Design, *, xp: Any) -> Array:
    """Sums over the cells of each observation of these values times the columns: shape (n_obs, Q)."""
    both = xp.matrix_transpose(conditions) @ (values @ design.field)  # (n_obs, K, M)
    return xp.take(xp.reshape(both, (both.shape[0], -1)), design.k * design.field.shape[1] + design.m, axis=1)


def _pairs(columns: Array, *, xp: Any) -> Array:
    """Products of all pairs of columns, each once: shape (n, n_columns * (n_columns + 1) / 2)."""
    return xp.concat([columns[:, i : i + 1] * columns[:, i:] for i in range(columns.shape[1])], axis=1)


def _places_of_pairs(design: Design, n_k: int, *, xp: Any) -> Array:
    """Where the products of two `_pairs`, of conditions and of the field, have those of two coefficients: (Q * Q,)."""
    n_m = design.field.shape[1]
    places = _place_of_pair(design.k, n_k, xp=xp) * (n_m * (n_m + 1) // 2) + _place_of_pair(design.m, n_m, xp=xp)
    return xp.reshape(places, (-1,))


def _place_of_pair(numbers: Array, n: int, *, xp: Any) -> Array:
    """Where `_pairs` of n columns has the product of each two of these."""
    first, second = xp.minimum(numbers[:, None], numbers), xp.maximum(numbers[:, None], numbers)
    return first * (2 * n - first - 1) // 2 + second
