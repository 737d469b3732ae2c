"""Fit a model to the counts of its observation outside the exclusion regions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpucube.arrays.backend import get_backend
from gpucube.arrays.exposure import THRESHOLD_RULES, spectral_index
from gpucube.arrays.fov import fov_offset
from gpucube.arrays.tally import tally_fates
from gpucube.attach.settings import AttachSettings
from gpucube.cubes.background import BackgroundModel
from gpucube.errors import ObservationError
from gpucube.observations.events import Observation
from gpucube.observations.regions import ExclusionRegions
from gpucube.observations.store import DataStore
from gpucube.pipeline.fill import fov_coordinates
from gpucube.pipeline.mask import Mask, masked

__all__ = ["counts_and_prediction", "fit_norm", "fit_tilt", "normalised"]

# A tilt beyond this is no correction of a model.
LARGEST_TILT = 5.0
ITERATIONS = 50


def normalised(
    model: BackgroundModel, store: DataStore, obs_id: int, mask: Mask | None, settings: AttachSettings
) -> tuple[BackgroundModel, float, float]:
    """Fit a model to the counts of its observation.

    Parameters
    ----------
    model : BackgroundModel
        Rate per livetime, positive everywhere.
    store : DataStore
        Where the observation is.
    obs_id : int
        Observation.
    mask : Mask, optional
        What to leave out.
    settings : AttachSettings
        Of these, `normalise` and `norm_range`.

    Returns
    -------
    model : BackgroundModel
        The rate times norm * (E / TeV)^-tilt, with E the centre of its energy bin.
    norm, tilt : float
        What was fitted.

    Raises
    ------
    ObservationError
        The observation cannot be read, or there are no counts to fit to.
    """
    observation = store.read(obs_id, model.fov_align, with_sky=True)
    counts, predicted = counts_and_prediction(model, observation, mask or Mask(ExclusionRegions.empty()))
    edges = model.axes[0].edges_in("TeV")
    low, high = settings.norm_range or (0.0, np.inf)
    # An edge as typed and one of a logarithmic axis differ by rounding.
    inside = (edges[:-1] >= low * (1 - 1e-6)) & (edges[1:] <= high * (1 + 1e-6)) & (predicted > 0)
    if not counts[inside].sum():
        raise ObservationError("no counts to normalise to outside the exclusion regions, above threshold and in range")
    energy = np.sqrt(edges[1:] * edges[:-1])
    fit = fit_tilt if settings.normalise == "tilt" else fit_norm
    norm, tilt = fit(counts[inside], predicted[inside], energy[inside])
    factor = (norm * energy**-tilt).reshape(-1, *[1] * (len(model.axes) - 1))
    return replace(model, rate=model.rate.with_data(model.rate.data * factor)), norm, tilt


def counts_and_prediction(
    model: BackgroundModel, observation: Observation, mask: Mask
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Count the events of an observation in energy, and predict their numbers.

    Parameters
    ----------
    model : BackgroundModel
        Rate per livetime, positive everywhere.
    observation : Observation
        Observation, read with its `sky`.
    mask : Mask
        What to leave out.

    Returns
    -------
    counts : numpy.ndarray of int64, shape (n_energy,)
        Events above threshold, outside the regions and inside the field of view of the model.
    predicted : numpy.ndarray of float64, shape (n_energy,)
        Their expected numbers.

    Raises
    ------
    ObservationError
        The regions of this observation are not defined.
    """
    backend = get_backend("numpy")
    edges = tuple(axis.edges for axis in model.axes)
    excluded, fraction = masked(observation, mask, model.axes[1:], backend)
    detx, dety = fov_coordinates(observation, backend)
    position = (fov_offset(detx, dety),) if len(edges) == 2 else (dety, detx)
    threshold = np.array([observation.threshold])
    rule = THRESHOLD_RULES["share"]
    energy = np.where(observation.good, observation.energy, np.nan)
    fills, _ = tally_fates(energy, position, excluded, rule.cut(threshold, edges[0])[0], edges)
    counts = np.histogram(energy[fills].astype(np.float64), edges[0])[0]
    index = spectral_index(counts, np.array([observation.livetime]), threshold, edges[0])
    share = rule.share(threshold, edges[0], index)[0]
    per_cell = model.rate.data * model.rate.bin_volume * (1.0 if fraction is None else fraction)
    predicted = observation.livetime * share * per_cell.reshape(len(share), -1).sum(axis=1)
    return counts.astype(np.int64), predicted


def fit_norm(
    counts: NDArray[np.int64], predicted: NDArray[np.float64], energy: NDArray[np.float64]
) -> tuple[float, float]:
    """Fit a norm by Poisson maximum likelihood.

    Parameters
    ----------
    counts, predicted, energy : numpy.ndarray, shape (n,)
        Numbers of events, expected numbers (positive), and energies in TeV.

    Returns
    -------
    norm, tilt : float
        Sum of the counts over the sum of the expected numbers, and 0.
    """
    return float(np.sum(counts) / np.sum(predicted)), 0.0


def fit_tilt(
    counts: NDArray[np.int64], predicted: NDArray[np.float64], energy: NDArray[np.float64]
) -> tuple[float, float]:
    """Fit a norm and a tilt by Poisson maximum likelihood.

    Parameters
    ----------
    counts, predicted, energy : numpy.ndarray, shape (n,)
        Numbers of events, expected numbers (positive), and energies in TeV.

    Returns
    -------
    norm, tilt : float
        Those of norm * (E / TeV)^-tilt; the tilt is within +-5.

    Notes
    -----
    At the maximum the mean ln E of the expected numbers is that of the counts. It falls with the tilt, so that
    bisection finds it; the norm follows as in `fit_norm`.
    """
    x = np.log(energy)
    wanted = float(np.sum(counts * x) / np.sum(counts))
    low, high = -LARGEST_TILT, LARGEST_TILT
    for _ in range(ITERATIONS):
        tilt = 0.5 * (low + high)
        tilted = predicted * np.exp(-tilt * (x - wanted))
        low, high = (tilt, high) if np.sum(tilted * x) / np.sum(tilted) > wanted else (low, tilt)
    return fit_norm(counts, predicted * energy**-tilt, energy)[0], tilt
