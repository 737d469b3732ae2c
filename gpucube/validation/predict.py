"""Predict the counts of observations in cells."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from gpucube.arrays.backend import Array, Backend
from gpucube.arrays.interpolation import interpolate_log, interpolation_matrix
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import FLOOR_2015, RATE_UNIT, BackgroundModel
from gpucube.errors import GpucubeError, ObservationError, OptionError
from gpucube.observations.conditions import Conditions, read_conditions
from gpucube.observations.store import DataStore
from gpucube.prediction.predictor import Predictor
from gpucube.validation.cells import ObservedCells, sum_parts
from gpucube.validation.grid import ENERGY_PARTS, ScoreGrid
from gpucube.validation.predictors import BackgroundError

__all__ = ["expected_counts", "model_rate", "predict_cells", "predict_usable_cells", "predicted_alignment"]

log = logging.getLogger(__name__)


def predicted_alignment(predictor: Predictor, store: DataStore, obs_ids: Sequence[int]) -> str:
    """Alignment of the field of view of what is predicted.

    Parameters
    ----------
    predictor : Predictor
        Models.
    store : DataStore
        Observations.
    obs_ids : sequence of int
        Which of them; they are tried until there is a prediction for one.

    Returns
    -------
    {"ALTAZ", "RADEC"}
        The alignment.

    Raises
    ------
    ObservationError
        There is a prediction for none; the error is that of the last.
    """
    problem = ObservationError("there is no observation to predict", store.path)
    for obs_id in obs_ids:
        try:
            return predictor.predict(read_conditions(store, obs_id)).fov_align
        except ObservationError as error:
            problem = error
    raise problem


def predict_cells(predictor: Predictor, cells: ObservedCells) -> Array:
    """Predict the counts of observations in the cells in which they were counted.

    Parameters
    ----------
    predictor : Predictor
        Models with rates at the centres of bins, as Gammapy reads them: `gpucube.validation.AttachedModels`, or
        others in `gpucube.validation.AsAttached`.
    cells : ObservedCells
        The observations.

    Returns
    -------
    array of float64, shape (n_obs, n_energy, n_dety, n_detx)
        Expected counts, on the device of the cells; NaN where the models say nothing.

    Raises
    ------
    BackgroundError
        An observation has no background that can be read.
    OptionError
        The field of view of a model is turned against that of the cells.
    """
    return cells.backend.xp.stack([_expected(predictor, cells, number) for number in range(len(cells.conditions))])


def predict_usable_cells(predictor: Predictor, cells: ObservedCells) -> tuple[ObservedCells, Array]:
    """Predict the counts of those observations whose background can be read.

    Parameters
    ----------
    predictor : Predictor
        Models, as for `predict_cells`.
    cells : ObservedCells
        The observations.

    Returns
    -------
    cells : ObservedCells
        Those that are left; the others are among the skipped ones.
    expected : array of float64, shape (n_obs, n_energy, n_dety, n_detx)
        Their expected counts, as `predict_cells` gives them.

    Raises
    ------
    GpucubeError
        None is left.
    OptionError
        The field of view of a model is turned against that of the cells.
    """
    expected: list[Array] = []
    skipped: dict[int, str] = {}
    for number, obs_id in enumerate(cells.obs_ids):
        try:
            expected.append(_expected(predictor, cells, number))
        except BackgroundError as error:
            log.warning("observation %d skipped: %s", obs_id, error)
            skipped[obs_id] = str(error)
    if not expected:
        raise GpucubeError(f"none of {len(skipped)} backgrounds can be read")
    if skipped:
        cells = replace(cells.select(set(cells.obs_ids) - set(skipped)), skipped=cells.skipped | skipped)
    return cells, cells.backend.xp.stack(expected)


def _expected(predictor: Predictor, cells: ObservedCells, number: int) -> Array:
    xp, conditions = cells.backend.xp, cells.conditions[number]
    try:
        model = predictor.predict(conditions)
    except BackgroundError:
        raise
    except ObservationError:
        return xp.full(cells.grid.shape, xp.nan, dtype=xp.float64, device=cells.backend.device)
    if len(model.axes) == 3 and model.fov_align != cells.align:
        raise OptionError(f"a model is aligned with {model.fov_align}, but events were counted in {cells.align}")
    return expected_counts(model, cells.grid, conditions, cells.solid_angle[number, :, :], cells.backend)


def expected_counts(
    model: BackgroundModel, grid: ScoreGrid, conditions: Conditions, solid_angle: Array, backend: Backend
) -> Array:
    """Integrate a rate over the cells, in energy from the threshold on.

    Parameters
    ----------
    model : BackgroundModel
        Rate per livetime at the centres of bins.
    grid : ScoreGrid
        The cells.
    conditions : Conditions
        The observation.
    solid_angle : array of float64, shape (n_dety * parts, n_detx * parts)
        Open solid angle in sr of the parts of the cells.
    backend : Backend
        Where to compute.

    Returns
    -------
    array of float64, shape (n_energy, n_dety, n_detx)
        Expected counts; NaN where the model says nothing.
    """
    xp = backend.xp
    centers, widths = _energy_parts(grid.axes[0], conditions.threshold)
    dety, detx = grid.parts
    rate = model_rate(model, centers.ravel(), dety.centers, detx.centers, backend)
    weight = backend.asarray(widths.ravel())[:, None, None] * solid_angle
    # Neither below the threshold nor in a closed cell does it matter that nothing is known.
    counts = xp.where(weight > 0, rate * weight, 0.0) * conditions.livetime
    per_part = xp.reshape(counts, (grid.shape[0], ENERGY_PARTS, *counts.shape[1:]))
    return sum_parts(xp.sum(per_part, axis=1), backend)


def _energy_parts(axis: Axis, threshold: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and widths in TeV of equal parts, in the logarithm, of what is above the threshold of each bin."""
    edges = axis.edges_in("TeV")
    low, high = edges[:-1], edges[1:]
    low = np.clip(threshold, low, high)
    steps = low[:, None] * (high / low)[:, None] ** (np.arange(ENERGY_PARTS + 1) / ENERGY_PARTS)
    return np.sqrt(steps[:, :-1] * steps[:, 1:]), np.where((low < high)[:, None], np.diff(steps, axis=1), 0.0)


def model_rate(
    model: BackgroundModel,
    energy: NDArray[np.float64],
    dety: NDArray[np.float64],
    detx: NDArray[np.float64],
    backend: Backend,
) -> Array:
    """Rate of a model on another grid, by interpolation as Gammapy does it.

    Parameters
    ----------
    model : BackgroundModel
        Rates at the centres of bins.
    energy, dety, detx : numpy.ndarray of float64, shape (m,), (n,), (k,)
        Energies in TeV and positions in deg.
    backend : Backend
        Where to compute.

    Returns
    -------
    array of float64, shape (m, n, k)
        Rate in 1 / (s TeV sr): its logarithm is linear in the logarithm of the energy and in the position. NaN
        outside of the axes of the model, and where a bin that is not known has a part in it.
    """
    rate = backend.asarray(np.asarray(model.rate.on_host().data * model.rate.unit.to(RATE_UNIT), dtype=np.float64))
    first, *field = model.axes
    matrices = [_weights(np.log(energy), np.log(first.edges_in("TeV")), backend)]
    if len(field) == 1:
        offset = np.rad2deg(np.arccos(np.clip(np.outer(np.cos(np.deg2rad(dety)), np.cos(np.deg2rad(detx))), -1, 1)))
        matrices.append(_weights(offset.ravel(), field[0].edges_in("deg"), backend))
    else:
        places = zip((dety, detx), field, strict=True)
        matrices += [_weights(points, axis.edges_in(u.deg), backend) for points, axis in places]
    flat = interpolate_log(rate, matrices, FLOOR_2015)
    return backend.xp.reshape(flat, (energy.size, dety.size, detx.size))


def _weights(points: NDArray[np.float64], edges: NDArray[np.float64], backend: Backend) -> Array:
    nodes = 0.5 * (edges[:-1] + edges[1:])
    return interpolation_matrix(backend.asarray(points), backend.asarray(nodes), edges[0].item(), edges[-1].item())
