"""Poisson regression of counts in a field of view, with smooth terms and a random rate of each observation.

The logarithm of the expected counts of observation o in energy bin e and pixel p is

    log exposure[o, e, p] + u[o] + sum over i of coefficient[i] * A[o, e, k(i)] * B[p, m(i)]

with columns A of the conditions (energy, threshold, zenith angle, ...) and columns B of the place in the field. The
design matrix is never held: the sums that a fit needs are products of the two small ones. Coefficients have quadratic
penalties and u has a normal distribution whose covariance is a sum of given matrices; the strengths and the variances
maximise the restricted likelihood, by the method of Fellner and Schall in the form of [1]_, one step after each
step of the iteratively reweighted least squares.
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

from gpucube.arrays.design import Design, log_rate
from gpucube.arrays.penalties import covariance_of_strengths, penalty_matrix, renewed_strengths
from gpucube.arrays.random_effects import effect_precision, renewed_variances

__all__ = ["Fit", "fit_poisson", "refit_coefficients"]

Array = Any

STEPS = 60
# Numbers in the largest intermediate array of a block of observations.
BLOCK = 2**21
# Largest change of a logarithm in one step: the exponential must not run away from a poor start.
LONGEST_STEP = 2.0
# Variance of the effects at the start, and that of a single observation, which tells nothing of how others differ
VARIANCE, NO_VARIANCE = 1.0, 1e-8
# Of the variance that comes from the scatter of few observations
LARGEST_INFLATION = 3.0


@dataclass(frozen=True, eq=False)
class Fit:
    """Result of a fit.

    Attributes
    ----------
    coefficients : array of float64, shape (Q,)
        Coefficients.
    covariance : array of float64, shape (Q, Q)
        Their covariance, with what the uncertain strengths of the penalties and the uncertain scatter add.
    given_strengths : array of float64, shape (Q, Q)
        Their covariance if these were known.
    strengths : array of float64, shape (n_penalties,)
        Strengths of the penalties.
    effects : array of float64, shape (n_obs,)
        Logarithm of the rate of each observation over that which its conditions let expect.
    effect_errors : array of float64, shape (n_obs,)
        Statistical error of `effects` if the coefficients were known.
    effect_slopes : array of float64, shape (n_obs, Q)
        By how much each effect falls when a coefficient rises.
    variances : array of float64, shape (n_components,)
        Variance of `effects` that belongs to each matrix of `likeness`.
    change : array of float64, shape ()
        Largest change of the logarithm of an expected count in the last step.
    freedom : array of float64, shape (Q,)
        Effective degrees of freedom of each coefficient, 0 to 1.
    """

    coefficients: Array
    covariance: Array
    given_strengths: Array
    strengths: Array
    effects: Array
    effect_errors: Array
    effect_slopes: Array
    variances: Array
    change: Array
    freedom: Array


def fit_poisson(
    counts: Array,
    exposure: Array,
    conditions: Array,
    design: Design,
    likeness: Array | None = None,
    steps: int = STEPS,
    start: Fit | None = None,
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
    likeness : array of float64, shape (n_components, n_obs, n_obs), optional
        Correlations between the rates of observations, each with a variance of its own; the first is the unit matrix.
        That alone if not given.
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
    if likeness is None:
        likeness = xp.eye(n_obs, dtype=xp.float64, device=device)[None, ...]
    state = _State(
        coefficients=xp.zeros((n_coefficients,), dtype=xp.float64, device=device),
        effects=xp.zeros((n_obs,), dtype=xp.float64, device=device),
        strengths=xp.ones((len(design.penalties),), dtype=xp.float64, device=device),
        variances=xp.full(
            (likeness.shape[0],), VARIANCE if n_obs > 1 else NO_VARIANCE, dtype=xp.float64, device=device
        ),
    )
    if start is not None:
        state = _State(start.coefficients, start.effects, start.strengths, start.variances)
    data = (counts, _log_exposure(exposure, xp=xp), conditions)
    for _ in range(steps):
        sums = _add_up(*data, state, design, xp=xp)
        solved = _solve(sums, state, likeness, design, xp=xp)
        state = _step(solved, state, conditions, design, xp=xp)
        state = _renew(solved, state, likeness, design, xp=xp)
    return Fit(
        coefficients=state.coefficients,
        covariance=_whole_covariance(sums, solved, state, design, xp=xp),
        given_strengths=solved.covariance,
        strengths=state.strengths,
        effects=state.effects,
        effect_errors=xp.sqrt(solved.given_coefficients),
        effect_slopes=solved.slopes,
        variances=state.variances,
        change=state.change,
        freedom=xp.sum(solved.covariance * solved.information, axis=1),
    )


def refit_coefficients(
    counts: Array, exposure: Array, conditions: Array, design: Design, likeness: Array, start: Fit, steps: int
) -> Array:
    """Fit the coefficients to other counts, with the strengths and variances of a fit.

    Parameters
    ----------
    counts, exposure : array of float64, shape (n_obs, n_energy, n_pixels)
        Counts and exposure as of `fit_poisson`.
    conditions : array of float64, shape (n_obs, n_energy, K)
        Columns A.
    design : Design
        Columns B, the pairs of columns and the penalties.
    likeness : array of float64, shape (n_components, n_obs, n_obs)
        Covariance of the rates of observations for each variance.
    start : Fit
        Where to begin, with an effect for each of these observations.
    steps : int
        Number of steps.

    Returns
    -------
    array of float64, shape (Q,)
        Coefficients.
    """
    xp = array_namespace(counts, exposure, conditions)
    state = _State(start.coefficients, start.effects, start.strengths, start.variances)
    log_exposure = _log_exposure(exposure, xp=xp)
    for _ in range(steps):
        sums = _add_up(counts, log_exposure, conditions, state, design, xp=xp)
        state = _step(_solve(sums, state, likeness, design, xp=xp), state, conditions, design, xp=xp)
    return state.coefficients


def _log_exposure(exposure: Array, *, xp: Any) -> Array:
    """Logarithm of the exposure, minus infinity where there is none."""
    used = exposure > 0
    return xp.where(used, xp.log(xp.where(used, exposure, 1.0)), -xp.inf)


@dataclass(frozen=True, eq=False)
class _State:
    coefficients: Array
    effects: Array
    strengths: Array
    variances: Array
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
    information: Array
    slopes: Array  # of the effects against the coefficients, (n_obs, Q)
    given_coefficients: Array  # variance of the effects if these were known, (n_obs,)
    effect_covariance: Array
    precision: Array  # of the effects without counts


def _add_up(counts: Array, log_exposure: Array, conditions: Array, state: _State, design: Design, *, xp: Any) -> _Sums:
    """Sums over all cells, a block of observations at a time."""
    n_obs, n_energy, n_pixels = counts.shape
    n_k, n_m = conditions.shape[2], design.field.shape[1]
    products = _pairs(design.field, xp=xp)
    n_pairs = n_k * (n_k + 1) // 2, n_m * (n_m + 1) // 2
    step = max(1, BLOCK // (n_energy * max(n_pixels, *n_pairs)))
    blocks = [slice(first, min(first + step, n_obs)) for first in range(0, n_obs, step)]
    field_gradient, gram, of_effects = 0.0, 0.0, []
    for rows in blocks:
        mean = _expected(log_exposure[rows, ...], conditions[rows, ...], state, rows, design, xp=xp)
        left = xp.reshape(conditions[rows, ...], (-1, n_k))
        residual = counts[rows, ...] - mean
        in_field = xp.reshape(residual @ design.field, (-1, n_m))
        field_gradient = field_gradient + xp.matrix_transpose(left) @ in_field
        weights = xp.reshape(mean, (-1, n_pixels)) @ products
        gram = gram + xp.matrix_transpose(_pairs(left, xp=xp)) @ weights
        of_effects.append(_of_effects(residual, mean, conditions[rows, ...], design, xp=xp))
    gradient, hessian, cross = (xp.concat(list(parts)) for parts in zip(*of_effects, strict=True))
    k, m = design.k, design.m
    flat = _place_of_pair(k, n_k, xp=xp) * n_pairs[1] + _place_of_pair(m, n_m, xp=xp)
    return _Sums(
        gradient=xp.take(xp.reshape(field_gradient, (-1,)), k * n_m + m),
        hessian=xp.reshape(xp.take(xp.reshape(gram, (-1,)), xp.reshape(flat, (-1,))), flat.shape),
        effect_gradient=gradient,
        effect_hessian=hessian,
        cross=cross,
    )


def _pairs(columns: Array, *, xp: Any) -> Array:
    """Products of all pairs of columns, each once: shape (n, n_columns * (n_columns + 1) / 2)."""
    return xp.concat([columns[:, i : i + 1] * columns[:, i:] for i in range(columns.shape[1])], axis=1)


def _place_of_pair(numbers: Array, n: int, *, xp: Any) -> Array:
    """Where `_pairs` of n columns has the product of each two of these."""
    first, second = xp.minimum(numbers[:, None], numbers), xp.maximum(numbers[:, None], numbers)
    return first * (2 * n - first - 1) // 2 + second


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


def _solve(sums: _Sums, state: _State, likeness: Array, design: Design, *, xp: Any) -> _Solved:
    """Newton step; the effects of observations, which meet only the coefficients, are eliminated first."""
    penalty = penalty_matrix(design.penalties, state.strengths, design.k.shape[0])
    precision = effect_precision(state.variances, likeness)
    given = _inverse(precision + _diagonal(sums.effect_hessian, xp=xp), xp=xp)
    effect_gradient = sums.effect_gradient - precision @ state.effects
    slopes = given @ sums.cross
    across = xp.matrix_transpose(slopes)
    information = sums.hessian - across @ sums.cross
    gradient = sums.gradient - penalty @ state.coefficients - across @ effect_gradient
    covariance = _inverse(information + penalty, xp=xp)
    step = covariance @ gradient
    return _Solved(
        step=step,
        effect_step=given @ effect_gradient - slopes @ step,
        covariance=covariance,
        information=information,
        slopes=slopes,
        given_coefficients=xp.linalg.diagonal(given),
        effect_covariance=given + slopes @ (covariance @ across),
        precision=precision,
    )


def _diagonal(values: Array, *, xp: Any) -> Array:
    return values[:, None] * xp.eye(values.shape[0], dtype=xp.float64, device=array_api_compat.device(values))


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
        variances=state.variances,
        change=change,
    )


def _renew(solved: _Solved, state: _State, likeness: Array, design: Design, *, xp: Any) -> _State:
    return _State(
        coefficients=state.coefficients,
        effects=state.effects,
        strengths=renewed_strengths(design.penalties, state.strengths, state.coefficients, solved.covariance),
        variances=(
            renewed_variances(state.variances, likeness, solved.precision, state.effects, solved.effect_covariance)
            if state.effects.shape[0] > 1
            else state.variances
        ),
        change=state.change,
    )


def _whole_covariance(sums: _Sums, solved: _Solved, state: _State, design: Design, *, xp: Any) -> Array:
    """Covariance of the coefficients, with what is not known about the strengths and about the scatter."""
    penalty = penalty_matrix(design.penalties, state.strengths, design.k.shape[0])
    of_counts = _inverse(sums.hessian + penalty, xp=xp)
    # The part that comes from the scatter of observations has the variance of Student's t: its scale is estimated, too.
    known = state.effects.shape[0] - xp.sum(solved.precision * solved.effect_covariance)
    inflation = known / xp.clip(known - 2, 1.0, xp.inf)
    total = of_counts + xp.clip(inflation, 1.0, LARGEST_INFLATION) * (solved.covariance - of_counts)
    return total + covariance_of_strengths(design.penalties, state.strengths, state.coefficients, solved.covariance)
