"""Rates as Gammapy reads them: it takes what GADF calls the rate of a bin for that at its centre, and interpolates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.cube import Cube

__all__ = ["center_over_mean", "interpolated", "rates_at_centers"]


def rates_at_centers(model: BackgroundModel) -> BackgroundModel:
    """Turn mean rates of bins into rates at their centres, such that interpolation between these keeps the counts.

    Parameters
    ----------
    model : BackgroundModel
        Model on the host, positive everywhere; each bin has its mean rate.

    Returns
    -------
    BackgroundModel
        The same with one factor per energy bin, from the spectrum of the whole field, and from the sum over the field
        of the interpolated rate.
    """
    rate = np.asarray(model.rate.data)
    counts = _per_energy(model.rate)
    edges = model.axes[0].edges_in("TeV")
    factor = center_over_mean(counts / np.diff(edges), edges) * counts / _per_energy(interpolated(model.rate))
    return replace(model, rate=model.rate.with_data(rate * factor.reshape(-1, *[1] * (rate.ndim - 1))))


def interpolated(rate: Cube) -> Cube:
    """Interpolate the logarithm of a rate in the field of view, as Gammapy does.

    Parameters
    ----------
    rate : Cube
        Rate on the host, positive everywhere.

    Returns
    -------
    Cube
        Rate at the centres of bins of half the width in each axis of the field of view.
    """
    values = np.log(np.asarray(rate.data))
    axes = [rate.axes[0]]
    for number, axis in enumerate(rate.axes[1:], start=1):
        middle = 0.5 * (axis.edges[1:] + axis.edges[:-1])
        axes.append(Axis(axis.name, np.sort(np.append(axis.edges, middle)), axis.unit))
        if axis.n_bins > 1:
            values = _between(values, number, axis.centers, axes[-1].centers)
        else:
            values = np.repeat(values, 2, axis=number)
    return Cube(tuple(axes), np.exp(values), rate.unit)


def _between(
    values: NDArray[np.float64], number: int, centers: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Linear interpolation along an axis, and extrapolation in the outer halves of the bins at its ends."""
    index = np.clip(np.searchsorted(centers, at) - 1, 0, len(centers) - 2)
    weight = (at - centers[index]) / (centers[index + 1] - centers[index])
    weight = weight.reshape(-1, *[1] * (values.ndim - 1 - number))
    return values.take(index, number) * (1 - weight) + values.take(index + 1, number) * weight


def _per_energy(rate: Cube) -> NDArray[np.float64]:
    return np.sum((rate.data * rate.bin_volume).reshape(len(rate.data), -1), axis=1)


def center_over_mean(mean: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratio of the rate at the centre of each energy bin to its mean in the bin.

    Parameters
    ----------
    mean : numpy.ndarray of float64, shape (n,)
        Mean rates of a spectrum per energy, positive.
    edges : numpy.ndarray of float64, shape (n + 1,)
        Edges in TeV.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
        Ratio for the power law through the neighbours of each bin: exact for a power law, and noise of one bin
        is not amplified, as it would be by spectra that give back every mean. A spectrum E^-3 in bins that
        double the energy is 5 percent higher in the mean than at the centre.
    """
    if len(mean) < 2:
        return np.ones_like(mean)
    x = np.log(edges)
    slope = np.gradient(np.log(mean), 0.5 * (x[1:] + x[:-1]))
    half = 0.5 * np.diff(x)
    # With t = ln(E / centre): mean / centre = integral of exp((slope + 1) t) dt / integral of exp(t) dt.
    return _sinhc(half) / _sinhc((slope + 1) * half)


def _sinhc(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """sinh(z) / z."""
    small = np.abs(z) < 1e-6
    safe = np.where(small, 1.0, z)
    return np.where(small, 1.0, np.sinh(safe) / safe)
