"""The method ``regression``: one fit to all observations, and from it the models of groups."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from gpucube.arrays.backend import Backend
from gpucube.arrays.histogram import histogramdd
from gpucube.arrays.tally import fillable, tally_fates
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.errors import GpucubeError, ObservationError
from gpucube.observations.conditions import Conditions, read_conditions
from gpucube.observations.events import Observation
from gpucube.observations.store import DataStore
from gpucube.pipeline.fill import fov_coordinates
from gpucube.pipeline.mask import Mask, masked
from gpucube.pipeline.read import read_observations
from gpucube.pipeline.settings import Settings
from gpucube.regression.fit import ObservationCounts, fit_regression, regression_axes
from gpucube.regression.model import RegressionModel

__all__ = ["fit_observations", "group_background", "observation_counts"]

log = logging.getLogger(__name__)


def fit_observations(
    store: DataStore,
    obs_ids: Sequence[int],
    settings: Settings,
    backend: Backend,
    mask: Mask | None = None,
    executor: Executor | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> RegressionModel:
    """Fit the regression to observations.

    Parameters
    ----------
    store : DataStore
        Where they are.
    obs_ids : sequence of int
        Observations; those that cannot be used are left out (whoever fills cubes from them says why).
    settings : Settings
        Of these, `align`, `terms`, `energy_edges`, `fov`, `pixels` and `workers`.
    backend : Backend
        Where to fit.
    mask : Mask, optional
        What to leave out of observations.
    executor : concurrent.futures.Executor, optional
        Where to read files; in this process if not given.
    on_progress : function ()
        Called after each observation.

    Returns
    -------
    RegressionModel
        The fit.

    Raises
    ------
    GpucubeError
        There are no counts.
    """
    axes = regression_axes(settings.energy_edges, settings.fov, settings.pixels)
    tasks = [(obs_id, store.files_of(obs_id)) for obs_id in obs_ids]
    items = []
    stream = read_observations(tasks, settings.align, mask is not None, executor, settings.workers)
    for obs_id, observation in zip(obs_ids, stream, strict=True):
        try:
            if isinstance(observation, ObservationError):
                raise observation
            items.append(observation_counts(observation, read_conditions(store, obs_id), axes, backend, mask))
        except ObservationError as error:
            log.debug("observation %d is not part of the regression: %s", obs_id, error)
        on_progress()
    if not items:
        raise GpucubeError("no observation is left to fit a regression to")
    model = fit_regression(items, axes, backend, settings.terms, settings.align)
    log.info(
        "regression: %d observations, %.0f effective parameters in %d terms; scatter between observations: %.1f %%",
        len(items),
        model.freedom.sum(),
        len(model.terms),
        100 * model.scatter,
    )
    return model


def observation_counts(
    observation: Observation, conditions: Conditions, axes: tuple[Axis, ...], backend: Backend, mask: Mask | None = None
) -> ObservationCounts:
    """Count the events of an observation above its threshold and outside exclusion regions.

    Parameters
    ----------
    observation : Observation
        Observation, read with its `sky` if there is a mask.
    conditions : Conditions
        Its conditions.
    axes : tuple of Axis
        Energy, DETY and DETX axis.
    backend : Backend
        Where to count.
    mask : Mask, optional
        What to leave out.

    Returns
    -------
    ObservationCounts
        Arrays on the device.

    Raises
    ------
    ObservationError
        The regions of this observation are not defined.
    """
    xp = backend.xp
    edges = tuple(backend.asarray(axis.edges) for axis in axes)
    good = backend.asarray(observation.good)
    excluded, fraction = masked(observation, mask, axes[1:], backend) if mask else (xp.zeros_like(good), None)
    detx, dety = fov_coordinates(observation, backend)
    energy = xp.where(good, backend.asarray(observation.energy), xp.nan)
    cut = backend.asarray(np.array(observation.threshold))
    fills, _ = tally_fates(energy, (dety, detx), excluded, cut, edges)
    return ObservationCounts(conditions, histogramdd((fillable(energy, fills), dety, detx), edges), fraction)


def group_background(
    model: RegressionModel,
    conditions: Sequence[Conditions],
    counts: Cube,
    livetime: Cube,
    backend: Backend,
    rate_per: str = "livetime",
) -> BackgroundModel:
    """Background of a group: the mean of what the regression says of its observations.

    Parameters
    ----------
    model : RegressionModel
        The regression.
    conditions : sequence of Conditions
        Observations of the group.
    counts, livetime : Cube
        Their counts and livetime, on the device, on three axes.
    backend : Backend
        Library and device.
    rate_per : {"livetime", "ontime"}
        The time that the rate is to be per.

    Returns
    -------
    BackgroundModel
        On the host; errors of observations are taken as correlated.
    """
    total = sum(getattr(item, rate_per) for item in conditions)
    # Counts are rate times livetime, whatever the time that they are divided by.
    weights = np.array([item.livetime for item in conditions]) / total
    single = [model.background(item, counts.axes, backend) for item in conditions]
    rate, error = (
        sum(weight * np.asarray(getattr(item, name).data) for weight, item in zip(weights, single, strict=True))
        for name in ("rate", "error")
    )
    first = single[0]
    return replace(
        first,
        rate=first.rate.with_data(rate),
        error=first.rate.with_data(error),
        counts=counts.on_host(),
        livetime=livetime.on_host(),
        rate_per=rate_per.upper(),
    )
