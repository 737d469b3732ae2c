"""Poisson regression of counts in a field of view, with smooth terms and a random rate of each observation.

The logarithm of the expected counts of observation o in energy bin e and pixel p is

    log exposure[o, e, p] + u[o] + sum over i of coefficient[i] * A[o, e, k(i)] * B[p, m(i)]

with columns A of the conditions (energy, threshold, zenith angle, ...) and columns B of the place in the field. The
design matrix is never held: the sums that a fit needs are products of the two small ones. Coefficients have quadratic
penalties and u has a normal distribution whose covariance is a sum of given matrices; the strengths and the variances
maximise the restricted likelihood, by the method of Fellner and Schall in the form of [1]_, some steps of it after each
step of the iteratively reweighted least squares: only the latter go through all cells.
The number of steps is fixed, so that nothing waits for the host.

References
----------
.. [1] S. N. Wood, M. Fasiolo, A generalized Fellner-Schall method for smoothing parameter optimization with
   application to Tweedie location, scale and shape models, Biometrics 73 (2017), 1071.
.. [2] S. N. Wood, Generalized Additive Models: An Introduction with R, 2nd ed., CRC Press, 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

from gpucube.arrays.design import Design, log_rate
from gpucube.arrays.penalties import covariance_of_strengths, penalty_matrix, renewed_strengths
from gpucube.arrays.random_effects import effect_covariance, renewed_variances, seen_precision
from gpucube.arrays.regression_sums import Sums, add_up, add_up_samples, log_of_exposure

__all__ = ["Fit", "fit_poisson", "resampled_coefficients"]

Array = Any

# How often strengths and variances are renewed in each step: once on the way from the start, where more of it can run
# to weak penalties and stay there; then until they stay where they are
STEPS = (1,) * 8 + (13,) * 4
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
    steps: Sequence[int] = STEPS,
    start: Fit | None = None,
) -> Fit:
    """Fit the coefficients to counts.

    Parameters
    ----------
    counts : array of float64, shape (n_obs, n_energy, n_pixels)
        Counts; 0 where there is no exposure.
    exposure : array of float64, shape (n_obs, n_energy, n_pixels)
        Exposure; 0 where a bin is not used.
    conditions : array of float64, shape (n_obs, n_energy, K)
        Columns A.
    design : Design
        Columns B, the pairs of columns and the penalties.
    likeness : array of float64, shape (n_components, n_obs, n_obs), optional
        Correlations between the rates of observations, each with a variance of its own; the first is the unit matrix.
        That alone if not given.
    steps : sequence of int
        How often strengths and variances are renewed in each step.
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
        effects=_rates(counts, exposure, xp=xp),
        strengths=xp.ones((design.penalties.values.shape[0],), dtype=xp.float64, device=device),
        variances=xp.full(
            (likeness.shape[0],), VARIANCE if n_obs > 1 else NO_VARIANCE, dtype=xp.float64, device=device
        ),
    )
    if start is not None:
        state = _State(start.coefficients, start.effects, start.strengths, start.variances)
    data = (counts, log_of_exposure(exposure), conditions, design)
    for renewals in steps:
        sums = add_up(*data, state.coefficients, state.effects)
        solved = _solve(sums, state, likeness, design, xp=xp)
        change = _change(solved, conditions, design, xp=xp)
        state = _renew(solved, state, change, likeness, design, xp=xp)
        for _ in range(renewals - 1):
            solved = _solve(sums, state, likeness, design, xp=xp)
            state = _renew(solved, state, change, likeness, design, xp=xp)
        state = _step(solved, state, change, xp=xp)
    return Fit(
        coefficients=state.coefficients,
        covariance=_whole_covariance(sums, solved, state, design, xp=xp),
        given_strengths=solved.covariance,
        strengths=state.strengths,
        effects=state.effects,
        effect_errors=xp.sqrt(_variance_of_effects(solved, xp=xp)),
        effect_slopes=solved.prior @ solved.slopes,
        variances=state.variances,
        change=change,
        freedom=xp.sum(solved.covariance * solved.information, axis=1),
    )


def resampled_coefficients(
    counts: Array, exposure: Array, conditions: Array, design: Design, likeness: Array, fit: Fit, weights: Array
) -> Array:
    """Coefficients of fits to samples of the observations, one step from the fit to all of them.

    An observation that is drawn w times is w observations under the same conditions: its counts and its exposure count
    w times, and the variance of what it has of its own is a w-th. Strengths and variances are those of the fit.

    Parameters
    ----------
    counts, exposure : array of float64, shape (n_obs, n_energy, n_pixels)
        Counts and exposure as of `fit_poisson`.
    conditions : array of float64, shape (n_obs, n_energy, K)
        Columns A.
    design : Design
        Columns B, the pairs of columns and the penalties.
    likeness : array of float64, shape (n_components, n_obs, n_obs)
        Correlations as of `fit_poisson`.
    fit : Fit
        The fit to all observations.
    weights : array of float64, shape (n_samples, n_obs)
        How often each observation is drawn.

    Returns
    -------
    array of float64, shape (n_samples, Q)
        Coefficients.
    """
    xp = array_namespace(counts, exposure, conditions)
    state = _State(fit.coefficients, fit.effects, fit.strengths, fit.variances)
    data = (counts, log_of_exposure(exposure), conditions, design)
    gradients, hessians, sums = add_up_samples(weights, *data, state.coefficients, state.effects)
    found = []
    for number in range(weights.shape[0]):
        times = weights[number, :]
        sample = Sums(
            gradient=gradients[number, :],
            hessian=hessians[number, :, :],
            effect_gradient=times * sums.effect_gradient,
            effect_hessian=times * sums.effect_hessian,
            cross=times[:, None] * sums.cross,
        )
        own = (likeness[0, :, :] / xp.clip(times, 1.0, xp.inf))[None, ...]
        solved = _solve(sample, state, xp.concat([own, likeness[1:, :, :]]), design, xp=xp)
        found.append(state.coefficients + solved.step)
    return xp.stack(found)


def _rates(counts: Array, exposure: Array, *, xp: Any) -> Array:
    """Logarithm of the rate of each observation: a start from which no step is long, whatever the unit."""
    seen = xp.sum(exposure, axis=(1, 2))
    return xp.where(seen > 0, xp.log((xp.sum(counts, axis=(1, 2)) + 1) / xp.where(seen > 0, seen, 1.0)), 0.0)


@dataclass(frozen=True, eq=False)
class _State:
    coefficients: Array
    effects: Array
    strengths: Array
    variances: Array


@dataclass(frozen=True, eq=False)
class _Solved:
    """A Newton step, and what it was solved with.

    Effects meet only the coefficients: they are eliminated first, see `gpucube.arrays.random_effects` for W and V.
    """

    step: Array  # (Q,)
    effect_step: Array  # (n_obs,)
    covariance: Array  # of the coefficients, (Q, Q)
    information: Array  # of the coefficients, (Q, Q)
    prior: Array  # V
    seen: Array  # W
    pulls: Array  # V^-1 times the effects after the step, (n_obs,)
    slopes: Array  # by how much pulls fall when a coefficient rises, (n_obs, Q)


def _solve(sums: Sums, state: _State, likeness: Array, design: Design, *, xp: Any) -> _Solved:
    penalty = penalty_matrix(design.penalties, state.strengths)
    weights, prior = sums.effect_hessian, effect_covariance(state.variances, likeness)
    seen = seen_precision(prior, weights)
    inverse = xp.where(weights > 0, 1 / xp.where(weights > 0, weights, 1.0), 0.0)
    # What counts say of the effects, and how it falls when a coefficient rises
    estimates = state.effects + inverse * sums.effect_gradient
    columns = inverse[:, None] * sums.cross
    across = xp.matrix_transpose(columns)
    slopes = seen @ columns
    information = sums.hessian - across @ sums.cross + across @ slopes
    gradient = sums.gradient - penalty @ state.coefficients - across @ (sums.effect_gradient - seen @ estimates)
    covariance = _inverse(information + penalty, xp=xp)
    step = covariance @ gradient
    pulls = seen @ estimates - slopes @ step
    return _Solved(
        step=step,
        effect_step=prior @ pulls - state.effects,
        covariance=covariance,
        information=information,
        prior=prior,
        seen=seen,
        pulls=pulls,
        slopes=slopes,
    )


def _covariance_of_pulls(solved: _Solved, *, xp: Any) -> Array:
    return solved.seen - solved.slopes @ (solved.covariance @ xp.matrix_transpose(solved.slopes))


def _variance_of_effects(solved: _Solved, *, xp: Any) -> Array:
    """Variance of each effect if the coefficients were known."""
    return xp.linalg.diagonal(solved.prior) - xp.sum((solved.prior @ solved.seen) * solved.prior, axis=1)


def _inverse(matrix: Array, *, xp: Any) -> Array:
    """Inverse of a positive matrix whose entries differ by many orders of magnitude."""
    scale = 1 / xp.sqrt(xp.linalg.diagonal(matrix))
    balanced = matrix * scale[:, None] * scale
    return xp.linalg.inv(balanced) * scale[:, None] * scale


def _change(solved: _Solved, conditions: Array, design: Design, *, xp: Any) -> Array:
    """Largest change of the logarithm of an expected count in a step."""
    return xp.max(xp.abs(log_rate(solved.step, conditions, design) + solved.effect_step[:, None, None]))


def _step(solved: _Solved, state: _State, change: Array, *, xp: Any) -> _State:
    part = xp.clip(LONGEST_STEP / xp.where(change > 0, change, 1.0), 0.0, 1.0)
    return replace(
        state,
        coefficients=state.coefficients + part * solved.step,
        effects=state.effects + part * solved.effect_step,
    )


def _renew(solved: _Solved, state: _State, change: Array, likeness: Array, design: Design, *, xp: Any) -> _State:
    """Strengths and variances for the coefficients and effects after a step, unless it is too long to be believed."""
    after = state.coefficients + solved.step
    strengths = renewed_strengths(design.penalties, state.strengths, after, solved.covariance)
    variances = state.variances
    if state.effects.shape[0] > 1:
        variances = renewed_variances(variances, likeness, solved.pulls, _covariance_of_pulls(solved, xp=xp))
    near = change < LONGEST_STEP
    return replace(
        state,
        strengths=xp.where(near, strengths, state.strengths),
        variances=xp.where(near, variances, state.variances),
    )


def _whole_covariance(sums: Sums, solved: _Solved, state: _State, design: Design, *, xp: Any) -> Array:
    """Covariance of the coefficients, with what is not known about the strengths and about the scatter."""
    penalty = penalty_matrix(design.penalties, state.strengths)
    of_counts = _inverse(sums.hessian + penalty, xp=xp)
    # The part that comes from the scatter of observations has the variance of Student's t: its scale is estimated, too.
    known = xp.sum(solved.prior * _covariance_of_pulls(solved, xp=xp))
    inflation = known / xp.clip(known - 2, 1.0, xp.inf)
    total = of_counts + xp.clip(inflation, 1.0, LARGEST_INFLATION) * (solved.covariance - of_counts)
    return total + covariance_of_strengths(design.penalties, state.strengths, state.coefficients, solved.covariance)
