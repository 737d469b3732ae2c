"""Poisson regression of counts in a field of view, with smooth terms and a random rate of each observation.

The logarithm of the expected counts of observation o in energy bin e and pixel p is

    log exposure[o, e, p] + u[o] + sum over i of coefficient[i] * A[o, e, k(i)] * B[p, m(i)]

with columns A of the conditions (energy, threshold, zenith angle, ...) and columns B of the place in the field. The
design matrix is never held: the sums that a fit needs are products of the two small ones. Coefficients have quadratic
penalties and u has a normal distribution; their strengths maximise the restricted likelihood, by the method of
Fellner and Schall in the form of [1]_, one step after each step of the iteratively reweighted least squares.
The number of steps is fixed, so that nothing waits for the host.

References
----------
.. [1] S. N. Wood, M. Fasiolo, A generalized Fellner-Schall method for smoothing parameter optimization with
   application to Tweedie location, scale and shape models, Biometrics 73 (2017), 1071.
.. [2] S. N. Wood, Generalized Additive Models: An Introduction with R, 2nd ed., CRC Press, 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

from gpucube.arrays.penalties import (
    Penalties,
    covariance_of_strengths,
    penalty_matrix,
    renewed,
    renewed_strengths,
)

__all__ = ["Design", "Fit", "fit_poisson", "log_rate", "log_rate_variance"]

Array = Any

STEPS = 60
# Numbers in the largest intermediate array of a block of observations.
BLOCK = 2**24
# Largest change of a logarithm in one step: the exponential must not run away from a poor start.
LONGEST_STEP = 2.0
# Strength of the effect of a single observation, which tells nothing of how others differ: none.
SCATTERLESS = 1e8
# Of the variance that comes from the scatter of few observations
LARGEST_INFLATION = 3.0


@dataclass(frozen=True, eq=False)
class Design:
    """Columns of a regression, and the penalties of its coefficients.

    Attributes
    ----------
    field : array of float64, shape (n_pixels, M)
        Columns B of the place in the field of view.
    k, m : array of int64, shape (Q,)
        Column of the conditions and of the field that belong to each coefficient.
    penalties : sequence of (int, array of float64, shape (q, q))
        First coefficient of a run of q neighbours, and the matrix of one of their penalties.
    """

    field: Array
    k: Array
    m: Array
    penalties: Penalties


@dataclass(frozen=True, eq=False)
class Fit:
    """Result of a fit.

    Attributes
    ----------
    coefficients : array of float64, shape (Q,)
        Coefficients.
    covariance : array of float64, shape (Q, Q)
        Their covariance, with what the uncertain strengths of the penalties and the uncertain scatter add.
    strengths : array of float64, shape (n_penalties,)
        Strengths of the penalties.
    effects : array of float64, shape (n_obs,)
        Logarithm of the rate of each observation over that which its conditions let expect.
    scatter : array of float64, shape ()
        Standard deviation of the distribution of `effects`.
    change : array of float64, shape ()
        Largest change of the logarithm of an expected count in the last step.
    freedom : array of float64, shape (Q,)
        Effective degrees of freedom of each coefficient, 0 to 1.
    """

    coefficients: Array
    covariance: Array
    strengths: Array
    effects: Array
    scatter: Array
    change: Array
    freedom: Array


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


def fit_poisson(
    counts: Array, exposure: Array, conditions: Array, design: Design, steps: int = STEPS, start: Fit | None = None
) -> Fit:
    """Fit the coefficients to counts.

    Parameters
    ----------
    counts : array of float64, shape (n_obs, n_energy, n_pixels)
        Counts; 0 where there is no exposure.
    exposure : array of float64, shape (n_obs, n_energy, n_pixels)
        Exposure; 0 where a bin is not used. In such a unit that rates are of the order of 1: the fit starts there.
    conditions : array of float64, shape (n_obs, n_energy, K)
        Columns A.
    design : Design
        Columns B, the pairs of columns and the penalties.
    steps : int
        Number of steps.
    start : Fit, optional
        A fit to nearly the same data, from which fewer steps are enough.

    Returns
    -------
    Fit
        The fit, on the same device.
    """
    xp = array_namespace(counts, exposure, conditions)
    device = array_api_compat.device(counts)
    n_obs, n_coefficients = counts.shape[0], design.k.shape[0]
    used = exposure > 0
    log_exposure = xp.log(xp.where(used, exposure, 1.0))
    state = _State(
        coefficients=xp.zeros((n_coefficients,), dtype=xp.float64, device=device),
        effects=xp.zeros((n_obs,), dtype=xp.float64, device=device),
        strengths=xp.ones((len(design.penalties),), dtype=xp.float64, device=device),
        effect_strength=xp.full((), SCATTERLESS if n_obs == 1 else 1.0, dtype=xp.float64, device=device),
    )
    if start is not None:
        state = _State(start.coefficients, start.effects, start.strengths, start.scatter**-2)
    data = (counts, xp.where(used, log_exposure, -xp.inf), conditions)
    for _ in range(steps):
        sums = _add_up(*data, state, design, xp=xp)
        solved = _solve(sums, state, design, xp=xp)
        state = _step(solved, state, conditions, design, xp=xp)
        state = _renew_strengths(solved, state, design, xp=xp)
    return Fit(
        coefficients=state.coefficients,
        covariance=_whole_covariance(sums, solved, state, design, xp=xp),
        strengths=state.strengths,
        effects=state.effects,
        scatter=1 / xp.sqrt(state.effect_strength),
        change=state.change,
        freedom=xp.sum(solved.covariance * solved.information, axis=1),
    )


@dataclass(frozen=True, eq=False)
class _State:
    coefficients: Array
    effects: Array
    strengths: Array
    effect_strength: Array
    change: Array = None


@dataclass(frozen=True, eq=False)
class _Sums:
    """Gradient and (negative) second derivatives of the log-likelihood."""

    gradient: Array  # (Q,)
    hessian: Array  # (Q, Q)
    effect_gradient: Array  # (n_obs,)
    effect_hessian: Array  # (n_obs,)
    cross: Array  # (n_obs, Q)


@dataclass(frozen=True, eq=False)
class _Solved:
    step: Array
    effect_step: Array
    covariance: Array
    effect_variance: Array
    information: Array


def _add_up(counts: Array, log_exposure: Array, conditions: Array, state: _State, design: Design, *, xp: Any) -> _Sums:
    """Sums over all cells, a block of observations at a time."""
    n_obs, n_energy, n_pixels = counts.shape
    n_k, n_m = conditions.shape[2], design.field.shape[1]
    products = xp.reshape(design.field[:, :, None] * design.field[:, None, :], (n_pixels, n_m * n_m))
    per_observation = n_energy * max(n_pixels, n_m * n_m, n_k * n_k)
    step = max(1, BLOCK // per_observation)
    blocks = [slice(first, min(first + step, n_obs)) for first in range(0, n_obs, step)]
    field_gradient, gram, of_effects = 0.0, 0.0, []
    for rows in blocks:
        mean = _expected(log_exposure[rows, ...], conditions[rows, ...], state, rows, design, xp=xp)
        left = xp.reshape(conditions[rows, ...], (-1, n_k))
        residual = counts[rows, ...] - mean
        in_field = xp.reshape(residual @ design.field, (-1, n_m))
        field_gradient = field_gradient + xp.matrix_transpose(left) @ in_field
        weights = xp.reshape(mean @ products, (-1, n_m * n_m))
        pairs = xp.reshape(left[:, :, None] * left[:, None, :], (-1, n_k * n_k))
        gram = gram + xp.matrix_transpose(pairs) @ weights
        of_effects.append(_of_effects(residual, mean, conditions[rows, ...], design, xp=xp))
    gradient, hessian, cross = (xp.concat(list(parts)) for parts in zip(*of_effects, strict=True))
    k, m = design.k, design.m
    flat = (k[:, None] * n_k + k) * (n_m * n_m) + m[:, None] * n_m + m
    return _Sums(
        gradient=xp.take(xp.reshape(field_gradient, (-1,)), k * n_m + m),
        hessian=xp.reshape(xp.take(xp.reshape(gram, (-1,)), xp.reshape(flat, (-1,))), flat.shape),
        effect_gradient=gradient,
        effect_hessian=hessian,
        cross=cross,
    )


def _expected(log_exposure: Array, conditions: Array, state: _State, rows: slice, design: Design, *, xp: Any) -> Array:
    """Expected counts; where there is no exposure, the logarithm is minus infinity."""
    rate = log_rate(state.coefficients, conditions, design)
    return xp.exp(log_exposure + rate + state.effects[rows, None, None])


def _of_effects(
    residual: Array, mean: Array, conditions: Array, design: Design, *, xp: Any
) -> tuple[Array, Array, Array]:
    in_field = mean @ design.field  # (n_obs, n_energy, M)
    both = xp.matrix_transpose(conditions) @ in_field  # (n_obs, K, M)
    n_m = design.field.shape[1]
    cross = xp.take(xp.reshape(both, (both.shape[0], -1)), design.k * n_m + design.m, axis=1)
    return xp.sum(residual, axis=(1, 2)), xp.sum(mean, axis=(1, 2)), cross


def _solve(sums: _Sums, state: _State, design: Design, *, xp: Any) -> _Solved:
    """Newton step; the effects of observations, which meet only the coefficients, are eliminated first."""
    penalty = penalty_matrix(design.penalties, state.strengths, design.k.shape[0])
    diagonal = sums.effect_hessian + state.effect_strength
    effect_gradient = sums.effect_gradient - state.effect_strength * state.effects
    scaled = sums.cross / diagonal[:, None]
    information = sums.hessian - xp.matrix_transpose(scaled) @ sums.cross
    gradient = sums.gradient - penalty @ state.coefficients - xp.matrix_transpose(scaled) @ effect_gradient
    covariance = _inverse(information + penalty, xp=xp)
    step = covariance @ gradient
    return _Solved(
        step=step,
        effect_step=effect_gradient / diagonal - scaled @ step,
        covariance=covariance,
        effect_variance=1 / diagonal + xp.sum((scaled @ covariance) * scaled, axis=1),
        information=information,
    )


def _inverse(matrix: Array, *, xp: Any) -> Array:
    """Inverse of a positive matrix whose entries differ by many orders of magnitude."""
    scale = 1 / xp.sqrt(xp.linalg.diagonal(matrix))
    balanced = matrix * scale[:, None] * scale
    return xp.linalg.inv(balanced) * scale[:, None] * scale


def _step(solved: _Solved, state: _State, conditions: Array, design: Design, *, xp: Any) -> _State:
    change = xp.max(xp.abs(log_rate(solved.step, conditions, design) + solved.effect_step[:, None, None]))
    part = xp.clip(LONGEST_STEP / xp.where(change > 0, change, 1.0), 0.0, 1.0)
    return _State(
        coefficients=state.coefficients + part * solved.step,
        effects=state.effects + part * solved.effect_step,
        strengths=state.strengths,
        effect_strength=state.effect_strength,
        change=change,
    )


def _renew_strengths(solved: _Solved, state: _State, design: Design, *, xp: Any) -> _State:
    n_obs = state.effects.shape[0]
    wanted = n_obs / state.effect_strength - xp.sum(solved.effect_variance)
    return _State(
        coefficients=state.coefficients,
        effects=state.effects,
        strengths=renewed_strengths(design.penalties, state.strengths, state.coefficients, solved.covariance),
        effect_strength=(
            renewed(state.effect_strength, wanted, xp.sum(state.effects**2)) if n_obs > 1 else state.effect_strength
        ),
        change=state.change,
    )


def _whole_covariance(sums: _Sums, solved: _Solved, state: _State, design: Design, *, xp: Any) -> Array:
    """Covariance of the coefficients, with what is not known about the strengths and about the scatter."""
    penalty = penalty_matrix(design.penalties, state.strengths, design.k.shape[0])
    of_counts = _inverse(sums.hessian + penalty, xp=xp)
    # The part that comes from the scatter of observations has the variance of Student's t: its scale is estimated, too.
    known = xp.sum(1 - state.effect_strength * solved.effect_variance)
    inflation = known / xp.clip(known - 2, 1.0, xp.inf)
    total = of_counts + xp.clip(inflation, 1.0, LARGEST_INFLATION) * (solved.covariance - of_counts)
    return total + covariance_of_strengths(design.penalties, state.strengths, state.coefficients, solved.covariance)
