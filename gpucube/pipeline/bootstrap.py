"""Errors of the model of a group from samples of its observations."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from gpucube.arrays.backend import Array, Backend
from gpucube.arrays.bootstrap import bootstrap_error, resampling_weights
from gpucube.arrays.rate import RATES
from gpucube.cubes.background import RATE_UNIT, BackgroundModel
from gpucube.errors import ObservationError
from gpucube.observations.store import DataStore
from gpucube.pipeline.count import Recipe
from gpucube.pipeline.each import CountedObservation, count_each
from gpucube.pipeline.fill import FilledGroup
from gpucube.pipeline.settings import Settings
from gpucube.workers import Workers

__all__ = ["with_bootstrap_error"]

log = logging.getLogger(__name__)

# First half of the key of the random numbers, of which the group is the other: far from the seeds of synthetic data.
SEED = 0x626F_6F74_7374_7261


def with_bootstrap_error(
    model: BackgroundModel,
    group_id: int,
    group: FilledGroup,
    store: DataStore,
    recipe: Recipe,
    settings: Settings,
    backend: Backend,
    workers: Workers,
    on_progress: Callable[[], None] = lambda: None,
) -> BackgroundModel:
    """Replace the Poisson error of a model by that of the bootstrap over its observations.

    The observations are read once more, and each is counted for itself. Samples depend on the number of the group and
    on how many observations it has, not on who counts them.

    Parameters
    ----------
    model : BackgroundModel
        Model of the group, with its Poisson error, on the device.
    group_id : int
        The group.
    group : FilledGroup
        Its counts, livetime and observations.
    store : DataStore
        Where these are.
    recipe : Recipe
        How they were read and counted.
    settings : Settings
        Of these, `bootstrap`, `recipe`, `rate_per` and `backend`.
    backend : Backend
        Library and device.
    workers : Workers
        Who reads and counts.
    on_progress : function ()
        Called after each observation.

    Returns
    -------
    BackgroundModel
        The same with another error. At energies with exposure of fewer than two observations, or of one that outweighs
        all others, the Poisson error is left; so it is of a model without any other.

    Raises
    ------
    ObservationError
        An observation of the model cannot be read any more.
    """
    used = [row for row in group.rows if row.status == "used"]
    if len(used) < 2:
        log.warning("group %d: one observation tells nothing of others; its errors are those of Poisson", group_id)
        for _ in group.rows:
            on_progress()
        return model
    axes, xp = group.counts.axes, backend.xp
    found = []
    for one in count_each(store, [row.obs_id for row in used], axes, recipe, workers, backend, settings.backend):
        found.append(_checked(one, backend))
        on_progress()
    for _ in range(len(group.rows) - len(used)):
        on_progress()
    time = backend.asarray([getattr(row, settings.rate_per) for row in used], dtype=xp.float64)
    error = bootstrap_error(
        _as_images(xp.stack([one.counts for one in found]), 4),
        time[:, None] * backend.asarray(group.share),
        _open_fractions(found, backend),
        _as_images(backend.asarray(group.counts.bin_volume), 3),
        resampling_weights(settings.bootstrap, len(used), (SEED, group_id), xp=xp, device=backend.device),
        RATES[settings.recipe],
        int(model.meta["NSMOOTH"]),
    )
    error = xp.reshape(error, model.rate.data.shape)
    poisson = model.error.data if model.error is not None else error
    cards = {"ERRKIND": "BOOTSTRAP", "NBOOT": settings.bootstrap}
    both = group.counts.with_data(xp.where(xp.isnan(error), poisson, error), RATE_UNIT)
    return replace(model, error=both, meta=model.meta | cards)


def _checked(one: CountedObservation, backend: Backend) -> CountedObservation:
    """Keep the counts of an observation in half of the memory."""
    if isinstance(one.observation, ObservationError):
        raise one.observation
    return replace(one, counts=backend.xp.astype(one.counts, backend.xp.int32))


def _open_fractions(found: list[CountedObservation], backend: Backend) -> Array:
    xp = backend.xp
    if all(one.open_fraction is None for one in found):
        return xp.ones((len(found), 1, 1), dtype=xp.float64, device=backend.device)
    shape = next(one.open_fraction.shape for one in found if one.open_fraction is not None)
    everything = xp.ones(shape, dtype=xp.float64, device=backend.device)
    fractions = [everything if one.open_fraction is None else one.open_fraction for one in found]
    return _as_images(xp.stack(fractions), 3)


def _as_images(data: Array, n_axes: int) -> Array:
    """Rings as images of one pixel width."""
    return data if data.ndim == n_axes else data[..., None]
