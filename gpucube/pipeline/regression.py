"""The method ``regression``: one fit to all observations, and from it the models of groups."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from gpucube.arrays.backend import Array, Backend
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.errors import GpucubeError, ObservationError
from gpucube.observations.conditions import Conditions, read_conditions
from gpucube.observations.events import Observation
from gpucube.observations.store import DataStore
from gpucube.pipeline.blocks import BlockTask, ObservationTask, block_size, split_into_blocks
from gpucube.pipeline.count import Recipe, count_blocks
from gpucube.pipeline.mask import Mask
from gpucube.pipeline.settings import Settings
from gpucube.regression.fit import ObservationCounts, fit_regression, regression_axes
from gpucube.regression.model import RegressionModel
from gpucube.workers import Workers

__all__ = ["fit_observations", "group_background"]

log = logging.getLogger(__name__)


def fit_observations(
    store: DataStore,
    obs_ids: Sequence[int],
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
    obs_ids : sequence of int
        Observations; those that cannot be used are left out (whoever fills cubes from them says why).
    settings : Settings
        Of these, `align`, `terms`, `energy_edges`, `fov`, `pixels` and `workers`.
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
    for obs_id, observation, counts, fraction in _count_each(store, obs_ids, settings, backend, mask, workers):
        try:
            if isinstance(observation, ObservationError):
                raise observation
            items.append(ObservationCounts(read_conditions(store, obs_id), counts, fraction))
        except ObservationError as error:
            log.debug("observation %d is not part of the regression: %s", obs_id, error)
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
    return regression_axes(settings.energy_edges, settings.fov, settings.pixels)


def _count_each(
    store: DataStore,
    obs_ids: Sequence[int],
    settings: Settings,
    backend: Backend,
    mask: Mask | None,
    workers: Workers,
) -> Iterator[tuple[int, Observation | ObservationError, Array | None, Array | None]]:
    """Count observations block by block, each as a group of its own: its counts and open fraction, on the device."""
    axes = _axes(settings)
    tasks = [
        ObservationTask(obs_id, number, store.files_of(obs_id), max(0, *store.sizes(obs_id)))
        for number, obs_id in enumerate(obs_ids)
    ]
    size = block_size(sum(task.size for task in tasks), workers.number(), on_device=backend.name != "numpy")
    blocks = (BlockTask(part, {task.group_id: axes for task in part}) for part in split_into_blocks(tasks, size))
    recipe = Recipe(settings.align, "share", mask)
    for block in count_blocks(blocks, recipe, workers, backend, settings.backend):
        for number, task in enumerate(block.task.observations):
            arrays = block.counts.get(task.group_id), block.open_fractions[number]
            counts, fraction = (None if values is None else backend.asarray(values) for values in arrays)
            yield task.obs_id, block.observations[number], counts, fraction


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
