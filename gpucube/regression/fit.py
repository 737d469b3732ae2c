"""Fit the regression to the counts of observations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from gpucube.arrays.backend import Array, Backend, to_host
from gpucube.arrays.bootstrap import FEWEST
from gpucube.arrays.design import Design, log_rate
from gpucube.arrays.exposure import SPECTRAL_INDEX
from gpucube.arrays.poisson_regression import Fit, fit_poisson
from gpucube.cubes.axis import Axis
from gpucube.errors import OptionError
from gpucube.observations.conditions import Conditions
from gpucube.regression.bootstrap import Cells, blocks_of_nights, bootstrap_covariance, number_of_blocks
from gpucube.regression.features import Scales, condition_columns, make_design, observation_features
from gpucube.regression.model import RegressionModel
from gpucube.regression.nights import Nights, likeness_in_time
from gpucube.regression.quadrature import energy_nodes
from gpucube.regression.terms import COVARIATE_TERMS, Term, terms_named

__all__ = ["NoCountsError", "ObservationCounts", "fit_regression", "regression_axes"]

log = logging.getLogger(__name__)

BINS_PER_DECADE = 20
PIXEL = 0.25  # deg
FOV = 3.0  # deg
ENERGIES = (0.05, 100.0)  # TeV
# Pixels from which the shape of the spectrum within a bin is taken
SOME_PIXELS = 16
MORE_STEPS = (5,) * 3


class NoCountsError(OptionError):
    """There is nothing to fit a regression to."""


@dataclass(frozen=True, eq=False)
class ObservationCounts:
    """Counts of one observation, and what was exposed.

    Attributes
    ----------
    conditions : Conditions
        The observation.
    counts : array of int64, shape (n_energy, n_dety, n_detx)
        Events above the threshold and outside exclusion regions, on the device.
    open_fraction : array of float64, shape (n_dety, n_detx), or None
        Fraction of time and solid angle outside exclusion regions, on the device; None for 1.
    """

    conditions: Conditions
    counts: Array
    open_fraction: Array | None = None


def regression_axes(
    energy_edges: Sequence[float] | None = None, fov: float | None = None, pixels: int | None = None
) -> tuple[Axis, Axis, Axis]:
    """Axes of the counts: much finer than what is smooth, but for the number of cells.

    Parameters
    ----------
    energy_edges : sequence of float, optional
        Energy edges in TeV.
    fov : float, optional
        Largest DETX and DETY in deg.
    pixels : int, optional
        Bins along DETX and DETY.

    Returns
    -------
    tuple of Axis
        Energy, DETY and DETX axis.
    """
    energy = Axis.energy(*ENERGIES, round(BINS_PER_DECADE * float(np.log10(ENERGIES[1] / ENERGIES[0]))))
    if energy_edges is not None:
        energy = Axis("energy", np.array(energy_edges), energy.unit)
    half_width = fov or FOV
    n_pixels = pixels or max(1, 2 * round(half_width / PIXEL))
    dety, detx = (Axis.field_of_view(name, half_width, n_pixels) for name in ("dety", "detx"))
    return energy, dety, detx


def fit_regression(
    observations: Sequence[ObservationCounts],
    axes: tuple[Axis, Axis, Axis],
    backend: Backend,
    terms: tuple[str, ...] | None = None,
    fov_align: str = "ALTAZ",
    bootstrap: int = 0,
) -> RegressionModel:
    """Fit the regression.

    Parameters
    ----------
    observations : sequence of ObservationCounts
        Observations, each used above its own threshold.
    axes : tuple of Axis
        Energy, DETY and DETX axis of the counts.
    backend : Backend
        Library and device of the counts.
    terms : tuple of str, optional
        Terms, see `gpucube.regression.terms.terms_named`.
    fov_align : {"ALTAZ", "RADEC"}
        Orientation of DETX and DETY.
    bootstrap : int
        Number of samples of the observations from which to take the covariance; 0 for that of the fit.

    Returns
    -------
    RegressionModel
        On the host.

    Raises
    ------
    NoCountsError
        There are no counts.
    OptionError
        There is no such term, or no observation has the number that it asks for.
    """
    chosen = _possible_terms(terms_named(terms), terms or (), observations)
    edges = axes[0].edges_in("TeV")
    per_energy = to_host(backend.xp.sum(backend.xp.stack([item.counts for item in observations]), axis=(0, 2, 3)))
    low, high = _energy_range(edges, observations, per_energy)
    energy, volume = _energies(edges[low : high + 1], observations)
    exposed, pixels = _pixels(axes)
    xp = backend.xp
    counts = xp.stack([_in_field(item.counts[low:high, :, :], pixels, backend) for item in observations])
    fraction = xp.stack([_open_pixels(item, exposed, pixels, backend) for item in observations])
    exposure = backend.asarray(volume)[:, :, None] * fraction[:, None, :]
    reference = float(per_energy.sum()) / float(to_host(xp.sum(exposure)))
    scales = Scales(float(edges[low]), float(edges[high]), float(axes[1].edges_in("deg")[-1]), _means(observations))
    columns = _columns(energy, observations, chosen, scales, backend)
    detx, dety = (backend.asarray(values) for values in _places(axes, pixels))
    design = make_design(detx, dety, chosen, scales, backend)
    used = exposure > 0
    counts = xp.where(used, counts, 0.0)
    mjd = [item.conditions.covariates["MJD"] for item in observations] if _has(chosen, "nights") else None
    likeness = backend.asarray(likeness_in_time(mjd, len(observations)))
    fit = fit_poisson(counts, exposure * reference, columns, design, likeness)
    # Within a bin the rate is no power law, least of all at the threshold: what it is follows from the first fit.
    nodes, weights = _nodes(edges[low : high + 1], observations)
    inner = _columns(nodes, observations, chosen, scales, backend)
    shape = _bin_shape(fit.coefficients, inner, columns, backend.asarray(weights), design)
    cells = Cells(counts, exposure * reference * shape, columns, design, likeness)
    fit = fit_poisson(cells.counts, cells.exposure, columns, design, likeness, MORE_STEPS, fit)
    meta: dict[str, Any] = {"NOBS": len(observations)}
    if bootstrap and (covariance := _bootstrapped(cells, fit, observations, mjd, bootstrap, backend)) is not None:
        fit = replace(fit, covariance=covariance)
        meta |= {"ERRKIND": "BOOTSTRAP", "NBOOT": bootstrap}
    names = ("coefficients", "covariance", "strengths", "freedom")
    return RegressionModel(
        terms=chosen,
        scales=scales,
        reference=reference,
        nights=_nights(fit, observations, mjd),
        fov_align=fov_align,
        meta=meta,
        **{name: to_host(getattr(fit, name)) for name in names},
    )


def _bootstrapped(
    cells: Cells,
    fit: Fit,
    observations: Sequence[ObservationCounts],
    mjd: Sequence[float] | None,
    n_samples: int,
    backend: Backend,
) -> Array | None:
    """Covariance from samples; None where there are too few observations, or weeks of them, to draw from."""
    blocks = blocks_of_nights(mjd, len(observations))
    number = number_of_blocks(blocks, np.array([item.conditions.livetime for item in observations]))
    if number < FEWEST:
        log.warning("%.1f observations or weeks to draw from: errors are those of the fit, without bootstrap", number)
        return None
    return bootstrap_covariance(cells, fit, blocks, number, n_samples, backend)


def _has(terms: tuple[Term, ...], name: str) -> bool:
    return name in {term.name for term in terms}


def _nights(fit: Fit, observations: Sequence[ObservationCounts], mjd: Sequence[float] | None) -> Nights:
    own, *shared = to_host(fit.variances).tolist()
    return Nights(
        obs_ids=np.array([item.conditions.obs_id for item in observations], dtype=np.int64),
        mjd=np.full(len(observations), np.nan) if mjd is None else np.array(mjd),
        effects=to_host(fit.effects),
        errors=to_host(fit.effect_errors),
        slopes=to_host(fit.effect_slopes),
        own=own,
        shared=float(sum(shared)),
    )


def _possible_terms(
    chosen: tuple[Term, ...], asked: tuple[str, ...], observations: Sequence[ObservationCounts]
) -> tuple[Term, ...]:
    """Leave out default terms for which a number is missing; a term that was asked for must be possible."""
    possible = []
    for term in chosen:
        name = COVARIATE_TERMS.get(term.name)
        lacking = [item.conditions.obs_id for item in observations if name and name not in item.conditions.covariates]
        if lacking and term.name in {text.lstrip("+") for text in asked}:
            raise OptionError(f"term {term.name}: no {name} for observation {lacking[0]}")
        if lacking:
            log.info("term %s is left out: no %s for observation %d", term.name, name, lacking[0])
        else:
            possible.append(term)
    return tuple(possible)


def _energy_range(
    edges: NDArray[np.float64], observations: Sequence[ObservationCounts], per_energy: NDArray[np.int64]
) -> tuple[int, int]:
    """First bin above any threshold, and the end of the last that has counts."""
    filled = np.flatnonzero(per_energy)
    if not filled.size:
        raise NoCountsError(
            "no event above a threshold lies in the energy bins and the field of view: nothing to fit a regression to; "
            "choose other --energy-bins or --fov, or other observations"
        )
    lowest = min(item.conditions.threshold for item in observations)
    first = max(int(np.searchsorted(edges, lowest, side="right")) - 1, 0)
    return min(first, int(filled[0])), int(filled[-1]) + 1


def _energies(
    edges: NDArray[np.float64], observations: Sequence[ObservationCounts]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre (TeV) of the part of each bin above the threshold, and the integral of E^-2.7 over it times the livetime.

    Both have the shape (n_obs, n_energy). The power law takes the curvature out of the bins: what remains is smooth.
    """
    threshold = np.array([item.conditions.threshold for item in observations])[:, None]
    livetime = np.array([item.conditions.livetime for item in observations])[:, None]
    low = np.clip(threshold, edges[:-1], edges[1:])
    high = np.broadcast_to(edges[1:], low.shape)
    slope = 1 - SPECTRAL_INDEX
    integral = (high**slope - low**slope) / slope
    return np.sqrt(np.where(low < high, low, edges[:-1]) * high), livetime * integral


def _nodes(
    edges: NDArray[np.float64], observations: Sequence[ObservationCounts]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energies (TeV) in the part of each bin above the threshold and their weights in the mean over E^-2.7.

    Their shapes are (n_obs, n_energy * n_nodes) and (n_obs, n_energy, n_nodes).
    """
    threshold = np.array([item.conditions.threshold for item in observations])[:, None]
    low = np.clip(threshold, edges[:-1], edges[1:])
    low = np.where(low < edges[1:], low, edges[:-1])
    energy, weights = energy_nodes(low, np.broadcast_to(edges[1:], low.shape))
    weights = weights * energy**-SPECTRAL_INDEX
    return energy.reshape(len(energy), -1), weights / weights.sum(axis=2, keepdims=True)


def _bin_shape(coefficients: Array, inner: Array, columns: Array, weights: Array, design: Design) -> Array:
    """Mean rate, relative to E^-2.7, in each bin over that at its centre: shape (n_obs, n_energy, 1).

    It is taken from some pixels all over the field, where it hardly differs.
    """
    xp = array_namespace(coefficients, inner)
    some = replace(design, field=design.field[:: max(1, design.field.shape[0] // SOME_PIXELS), :])
    middle = log_rate(coefficients, columns, some)
    n_pixels = middle.shape[2]
    at_nodes = xp.reshape(log_rate(coefficients, inner, some), (*weights.shape, n_pixels))
    ratio = xp.exp(at_nodes - middle[:, :, None, :]) * weights[:, :, :, None]
    return xp.mean(xp.sum(ratio, axis=2), axis=2, keepdims=True)


def _pixels(axes: tuple[Axis, Axis, Axis]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Solid angle (sr) and number of each pixel within the largest offset."""
    dety, detx = axes[1:]
    solid = np.outer(np.diff(np.sin(dety.edges_in("rad"))), np.diff(detx.edges_in("rad"))).ravel()
    y, x = np.meshgrid(dety.centers, detx.centers, indexing="ij")
    inside = np.flatnonzero(np.hypot(x, y).ravel() <= detx.edges[-1])
    return solid[inside], inside


def _places(axes: tuple[Axis, Axis, Axis], pixels: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    y, x = np.meshgrid(axes[1].centers, axes[2].centers, indexing="ij")
    return x.ravel()[pixels], y.ravel()[pixels]


def _in_field(cube: Array, pixels: NDArray[np.int64], backend: Backend) -> Array:
    xp = backend.xp
    flat = xp.reshape(xp.astype(cube, xp.float64), (cube.shape[0], -1))
    return xp.take(flat, backend.asarray(pixels), axis=1)


def _open_pixels(
    item: ObservationCounts, solid: NDArray[np.float64], pixels: NDArray[np.int64], backend: Backend
) -> Array:
    """Solid angle (sr) of each pixel that is open."""
    area = backend.asarray(solid)
    if item.open_fraction is None:
        return area
    return area * backend.xp.take(backend.xp.reshape(item.open_fraction, (-1,)), backend.asarray(pixels))


def _means(observations: Sequence[ObservationCounts]) -> dict[str, float]:
    """Mean of each covariate that all observations have, with what a term can be taken relative to."""
    names = {name for item in observations for name in item.conditions.covariates}
    known = [name for name in sorted(names) if all(name in item.conditions.covariates for item in observations)]
    return {name: float(np.mean([item.conditions.covariates[name] for item in observations])) for name in known}


def _columns(
    energy: NDArray[np.float64],
    observations: Sequence[ObservationCounts],
    terms: tuple[Term, ...],
    scales: Scales,
    backend: Backend,
) -> Array:
    """Columns of the conditions, each function of an observation at the mean over its time."""
    features = [observation_features(item.conditions, terms, scales) for item in observations]
    means = {name: np.array([[values[name].mean()] for values in features]) for name in features[0]}
    on_device = {name: backend.asarray(values) for name, values in means.items()}
    threshold = [[max(item.conditions.threshold, scales.energy_low)] for item in observations]
    return condition_columns(backend.asarray(energy), backend.asarray(np.array(threshold)), on_device, terms, scales)
