"""The method ``regression``: one fit to all observations, and from it the models of groups."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from gpucube.arrays.backend import Backend
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.errors import GpucubeError, ObservationError
from gpucube.observations.conditions import Conditions, read_conditions
from gpucube.observations.store import DataStore
from gpucube.pipeline.count import Recipe
from gpucube.pipeline.each import count_each
from gpucube.pipeline.mask import Mask
from gpucube.pipeline.settings import Settings
from gpucube.regression.fit import ObservationCounts, fit_regression, regression_axes
from gpucube.regression.model import RegressionModel
from gpucube.workers import Workers

__all__ = ["conditions_or_errors", "fit_observations", "group_background"]

log = logging.getLogger(__name__)


def conditions_or_errors(store: DataStore, obs_ids: Sequence[int]) -> dict[int, Conditions | ObservationError]:
    """Read the conditions of observations.

    Parameters
    ----------
    store : DataStore
        Where they are.
    obs_ids : sequence of int
        Observations.

    Returns
    -------
    dict of int to Conditions or ObservationError
        Conditions by OBS_ID, or why a regression cannot have the observation: its events alone would be enough for
        other methods.
    """
    found: dict[int, Conditions | ObservationError] = {}
    for obs_id in obs_ids:
        try:
            found[obs_id] = read_conditions(store, obs_id)
        except ObservationError as error:
            found[obs_id] = error
    return found


def fit_observations(
    store: DataStore,
    conditions: Sequence[Conditions],
    settings: Settings,
    backend: Backend,
    mask: Mask | None = None,
    workers: Workers | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> RegressionModel:
    """Fit the regression to observations.

    Parameters
    ----------
    store : DataStore
        Where they are.
    conditions : sequence of Conditions
        Observations; those that cannot be used are left out (whoever fills cubes from them says why).
    settings : Settings
        Of these, `align`, `terms`, `model`, `energy_edges`, `fov` and `pixels`.
    backend : Backend
        Where to fit.
    mask : Mask, optional
        What to leave out of observations.
    workers : Workers, optional
        Who reads and counts; this process if not given.
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
    workers = workers or Workers(None, lambda: 1)
    items = []
    recipe = Recipe(settings.align, "share", mask)
    obs_ids = [item.obs_id for item in conditions]
    counted = count_each(store, obs_ids, _axes(settings), recipe, workers, backend, settings.backend)
    for item, one in zip(conditions, counted, strict=True):
        if isinstance(one.observation, ObservationError):
            log.debug("observation %d is not part of the regression: %s", one.obs_id, one.observation)
        else:
            items.append(ObservationCounts(item, one.counts, one.open_fraction))
        on_progress()
    if not items:
        raise GpucubeError("no observation is left to fit a regression to")
    model = fit_regression(items, _axes(settings), backend, settings.terms, settings.align)
    log.info(
        "regression: %d observations, %.0f effective parameters in %d terms; scatter between observations: %.1f %%",
        len(items),
        model.freedom.sum(),
        len(model.terms),
        100 * model.scatter,
    )
    return model


def _axes(settings: Settings) -> tuple[Axis, Axis, Axis]:
    # A regression is fitted to pixels, whatever is made from it.
    pixels = settings.pixels if settings.model == "3d" else None
    return regression_axes(settings.energy_edges, settings.fov, pixels)


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
        Their counts and livetime, on the device.
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
