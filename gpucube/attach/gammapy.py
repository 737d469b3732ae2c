"""Rates as Gammapy reads them: it takes what GADF calls the rate of a bin for that at its centre, and interpolates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpucube.cubes.background import BackgroundModel

__all__ = ["bin_means", "nodes_from_means"]

ITERATIONS = 30


def nodes_from_means(model: BackgroundModel) -> BackgroundModel:
    """Turn the mean rate of energy bins into rates at their centres whose power laws give these means.

    Parameters
    ----------
    model : BackgroundModel
        Model on the host, positive everywhere; each bin has its mean rate.

    Returns
    -------
    BackgroundModel
        The same with one factor per energy bin, so that its spectrum, interpolated between the centres by power
        laws, has the mean rate of each bin. The mean of a steep spectrum in a wide bin is several percent above
        the rate at its centre.
    """
    energy = model.axes[0]
    rate = np.asarray(model.rate.data)
    if energy.n_bins < 2:
        return model
    field = model.rate.bin_volume.reshape(energy.n_bins, -1)[0]
    mean = rate.reshape(energy.n_bins, -1) @ (field / field.sum())
    edges = energy.edges_in("TeV")
    nodes = mean
    for _ in range(ITERATIONS):
        nodes = nodes * mean / bin_means(nodes, edges)
    factor = (nodes / mean).reshape(-1, *[1] * (rate.ndim - 1))
    return replace(model, rate=model.rate.with_data(rate * factor))


def bin_means(nodes: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean in each bin of a spectrum that is a power law from centre to centre.

    Parameters
    ----------
    nodes : numpy.ndarray of float64, shape (n,), n >= 2
        Rates at the (geometric) centres of the bins, positive.
    edges : numpy.ndarray of float64, shape (n + 1,)
        Edges in TeV.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
        Means; the first and the last half bin continue the power law beside them.
    """
    x = np.log(edges)
    at, y = 0.5 * (x[1:] + x[:-1]), np.log(nodes)
    slope = np.diff(y) / np.diff(at)
    left, right = np.append(slope[0], slope), np.append(slope, slope[-1])
    half = 0.5 * np.diff(x)
    # The integral of exp(y + s (t - at)) dE with dE = exp(t) dt, over each half bin.
    center = np.exp(y + at)
    below, above = _power(-(left + 1) * half), _power((right + 1) * half)
    return center * half * (below + above) / np.diff(edges)


def _power(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """(exp(z) - 1) / z."""
    small = np.abs(z) < 1e-8
    safe = np.where(small, 1.0, z)
    return np.where(small, 1.0 + z / 2, np.expm1(safe) / safe)
