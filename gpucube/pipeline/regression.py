"""Methods that fit: ``regression`` to all observations at once, ``smooth`` to those of each group by themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gpucube.arrays.backend import Backend
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.errors import ObservationError
from gpucube.observations.conditions import Conditions, read_conditions
from gpucube.observations.store import DataStore
from gpucube.pipeline.count import Recipe
from gpucube.pipeline.each import count_each
from gpucube.pipeline.fill import FilledGroup
from gpucube.pipeline.mask import Mask
from gpucube.pipeline.settings import Settings
from gpucube.regression.fit import NoCountsError, ObservationCounts, fit_regression, regression_axes
from gpucube.regression.model import RegressionModel
from gpucube.workers import Workers

__all__ = ["GROUP_TERMS", "conditions_or_errors", "fit_groups", "fit_observations", "group_background"]

log = logging.getLogger(__name__)

# What can be told from observations under the same conditions; thresholds may differ. Third powers of the energy are
# left out: with tens of events they run away where there are none.
GROUP_TERMS = (
    "spectrum",
    "turn_on",
    "radial",
    "radial_turn_on",
    "radial_energy",
    "gradient_constant",
    "gradient_energy",
    "gradient_across_energy",
    "quadrupole",
)


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
        Of these, `align`, `terms`, `bootstrap`, `model`, `energy_edges`, `fov` and `pixels`.
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
    NoCountsError
        There are no counts.
    """
    workers = workers or Workers(None, lambda: 1)
    items, failed = [], []
    recipe = Recipe(settings.align, "share", mask)
    obs_ids = [item.obs_id for item in conditions]
    counted = count_each(store, obs_ids, _axes(settings), recipe, workers, backend, settings.backend)
    for item, one in zip(conditions, counted, strict=True):
        if isinstance(one.observation, ObservationError):
            log.debug("observation %d is not part of the regression: %s", one.obs_id, one.observation)
            failed.append(one)
        else:
            items.append(ObservationCounts(item, one.counts, one.open_fraction))
        on_progress()
    if not items:
        first = f"; the first, observation {failed[0].obs_id}: {failed[0].observation}" if failed else ""
        raise NoCountsError(f"none of {len(failed)} observations is left to fit a regression to{first}")
    model = fit_regression(items, _axes(settings), backend, settings.terms, settings.align, settings.bootstrap)
    log.info(
        "regression: %d observations, %.0f effective parameters in %d terms; scatter between observations: %.1f %%",
        len(items),
        model.freedom.sum(),
        len(model.terms),
        100 * model.nights.scatter,
    )
    return replace(model, meta=model.meta | {"MASKED": mask is not None, "MODEL": settings.model})


def _axes(settings: Settings) -> tuple[Axis, Axis, Axis]:
    # A regression is fitted to pixels, whatever is made from it.
    pixels = settings.pixels if settings.model == "3d" else None
    return regression_axes(settings.energy_edges, settings.fov, pixels)


def fit_groups(
    store: DataStore,
    groups: Mapping[int, Sequence[Conditions]],
    settings: Settings,
    backend: Backend,
    mask: Mask | None = None,
    workers: Workers | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> dict[int, RegressionModel]:
    """Fit a regression to the observations of each group, of the terms that have a meaning within one.

    Parameters
    ----------
    store : DataStore
        Where they are.
    groups : mapping of int to sequence of Conditions
        Observations of each group.
    settings : Settings
        As of `fit_observations`; terms are added to `GROUP_TERMS`, or taken away from these.
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
    dict of int to RegressionModel
        The fits; none of a group without counts.
    """
    terms = settings.terms or ()
    if all(name[0] in "+-" for name in terms):
        terms = (*GROUP_TERMS, *terms)
    settings = replace(settings, terms=terms)
    fits = {}
    for group_id, conditions in groups.items():
        try:
            fits[group_id] = fit_observations(store, conditions, settings, backend, mask, workers, on_progress)
        except NoCountsError as error:
            log.debug("group %d: %s", group_id, error)
    return fits


def group_background(
    model: RegressionModel,
    conditions: Sequence[Conditions],
    group: FilledGroup,
    backend: Backend,
    settings: Settings,
) -> BackgroundModel:
    """Background of a group: the mean of what a regression says of its observations.

    Parameters
    ----------
    model : RegressionModel
        The regression.
    conditions : sequence of Conditions
        Observations of the group that are used.
    group : FilledGroup
        Their counts and livetime.
    backend : Backend
        Library and device.
    settings : Settings
        Of these, `method` and `rate_per`.

    Returns
    -------
    BackgroundModel
        On the host. At each energy observations count for the time for which they do in the livetime of the group, and
        alike where none does; their errors are taken as correlated.
    """
    share = np.where(group.share.sum(axis=0) > 0, group.share, 1.0)
    livetime, time = (
        np.array([getattr(item, name) for item in conditions]) for name in ("livetime", settings.rate_per)
    )
    # Counts are rate times livetime, whatever the time that they are divided by.
    weights = livetime[:, None] * share / (time @ share)
    axes = group.counts.axes
    weights = weights.reshape(*weights.shape, *[1] * (len(axes) - 1))
    single = [model.background(_on_any_night(item), axes, backend) for item in conditions]
    rate, error = (
        sum(weight * np.asarray(getattr(item, name).data) for weight, item in zip(weights, single, strict=True))
        for name in ("rate", "error")
    )
    first = single[0]
    return replace(
        first,
        rate=first.rate.with_data(rate),
        error=first.rate.with_data(error),
        counts=group.counts.on_host(),
        livetime=group.livetime.on_host(),
        rate_per=settings.rate_per.upper(),
        meta=first.meta | {"METHOD": settings.method},
    )


def _on_any_night(conditions: Conditions) -> Conditions:
    """The same conditions at no time: a group stands for other nights than those of its observations, too."""
    known = {name: value for name, value in conditions.covariates.items() if name != "MJD"}
    return replace(conditions, covariates=known)
