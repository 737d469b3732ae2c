"""Models as Gammapy reads them where it mirrors what it reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpucube.arrays.fov import fov_to_sky, sky_to_fov
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.observations.events import SkyView
from gpucube.observations.pointing import radec_rotation
from gpucube.observations.regions import sample_rotation
from gpucube.observations.store import DataStore
from gpucube.pipeline.mask import field_radius
from gpucube.prediction.stored import MIRRORED

__all__ = ["as_mirrored", "mirrored_radec"]


def as_mirrored(model: BackgroundModel, store: DataStore, obs_id: int) -> BackgroundModel:
    """Turn a model for an observation so that Gammapy, which mirrors it, reads what it was.

    Parameters
    ----------
    model : BackgroundModel
        Model in DETX and DETY, positive everywhere.
    store : DataStore
        Where the observation is.
    obs_id : int
        Observation.

    Returns
    -------
    BackgroundModel
        Model aligned with RADEC, mean over the run, mirrored in longitude.

    Raises
    ------
    ObservationError
        The observation cannot be read.
    """
    observation = store.read(obs_id, model.fov_align, with_sky=True)
    assert observation.sky is not None
    return mirrored_radec(model, observation.sky)


def mirrored_radec(model: BackgroundModel, sky: SkyView) -> BackgroundModel:
    """Turn a model into one that is aligned with RADEC and mirrored in longitude.

    Parameters
    ----------
    model : BackgroundModel
        Model in DETX and DETY on the host, positive everywhere.
    sky : SkyView
        How its field of view turns in the sky.

    Returns
    -------
    BackgroundModel
        Model on the same axes: the mean over the good time of the rate, interpolated in its logarithm, at the place
        in the sky of each cell; DETX increases with right ascension.
    """
    _, dety, detx = model.axes
    y, x = np.meshgrid(_centers(dety), -_centers(detx), indexing="ij")
    lon, lat = fov_to_sky(x.ravel(), y.ravel(), radec_rotation(*sky.pointing).matrices[0])
    half_pixel = 0.5 * min(float(np.diff(axis.edges_in("deg")).min()) for axis in (dety, detx))
    start, stop = sky.intervals.T
    matrices, weights = sample_rotation(sky.rotation, start, stop, field_radius((dety, detx)), half_pixel)
    logarithm = np.log(np.asarray(model.rate.data))
    total = np.zeros_like(logarithm)
    for matrix, weight in zip(matrices, weights, strict=True):
        at_x, at_y = sky_to_fov(lon, lat, matrix)
        values = _bilinear(logarithm, _places(at_y, dety), _places(at_x, detx))
        total += weight * np.exp(values).reshape(total.shape)
    meta = model.meta | {MIRRORED: True}
    return replace(model, rate=model.rate.with_data(total), fov_align="RADEC", meta=meta)


def _centers(axis: Axis) -> NDArray[np.float64]:
    edges = axis.edges_in("deg")
    return 0.5 * (edges[1:] + edges[:-1])


def _places(position: NDArray[np.float64], axis: Axis) -> NDArray[np.float64]:
    """Positions in units of bins, from the centre of the first; beyond the centres at the ends, these."""
    centers = _centers(axis)
    return np.interp(position, centers, np.arange(len(centers)))


def _bilinear(images: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of images (n, n_y, n_x) at places (k,), shape (n, k)."""
    (y0, fy), (x0, fx) = (_split(place, size) for place, size in ((y, images.shape[1]), (x, images.shape[2])))
    y1, x1 = np.minimum(y0 + 1, images.shape[1] - 1), np.minimum(x0 + 1, images.shape[2] - 1)
    low = images[:, y0, x0] * (1 - fx) + images[:, y0, x1] * fx
    high = images[:, y1, x0] * (1 - fx) + images[:, y1, x1] * fx
    return low * (1 - fy) + high * fy


def _split(place: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    whole = np.clip(np.floor(place).astype(np.int64), 0, size - 1)
    return whole, place - whole
