"""Axes of the cubes of a group: those of its method, or what the user asks for instead."""

from __future__ import annotations

import math

import astropy.units as u
import numpy as np

from gpucube.cubes.axis import Axis
from gpucube.cubes.background import axes_2015
from gpucube.pipeline.settings import SMOOTH, Settings
from gpucube.regression.model import BINS_PER_DECADE, RegressionModel

__all__ = ["model_axes", "regression_model_axes"]

# Rings hold more counts than pixels: they need not be coarser for few observations.
RINGS = 20
ENERGIES = (0.1, 80.0)  # TeV


def model_axes(settings: Settings, n_observations: int, energy_low: float | None = None) -> tuple[Axis, ...]:
    """Axes of the cubes of a group.

    Parameters
    ----------
    settings : Settings
        Of these, `model`, `energy_edges`, `fov` and `pixels`.
    n_observations : int
        Number of observations in the group.
    energy_low : float, optional
        First energy edge in TeV of a method that starts at a threshold.

    Returns
    -------
    tuple of Axis
        Energy, DETY and DETX axis, or energy and offset axis.
    """
    energy, dety, _ = axes_2015(n_observations, energy_low) if energy_low else axes_2015(n_observations)
    if settings.energy_edges is not None:
        energy = Axis("energy", np.array(settings.energy_edges), u.TeV)
    half_width = settings.fov or float(dety.edges_in("deg")[-1])
    if settings.model == "2d":
        return energy, Axis.offset(half_width, settings.pixels or RINGS)
    n_pixels = settings.pixels or dety.n_bins
    return energy, *(Axis.field_of_view(name, half_width, n_pixels) for name in ("dety", "detx"))


def regression_model_axes(settings: Settings, model: RegressionModel) -> tuple[Axis, ...]:
    """Axes of the cubes that are made from a regression.

    Parameters
    ----------
    settings : Settings
        Of these, `method`, `model`, `energy_edges`, `fov` and `pixels`.
    model : RegressionModel
        The regression, whose own axes serve where nothing is asked for.

    Returns
    -------
    tuple of Axis
        Energy, DETY and DETX axis, or energy and offset axis.
    """
    energy, *field = model.radial_axes if settings.model == "2d" else model.axes
    if settings.method == SMOOTH:
        # As far as the recipes of 2015, whatever the thresholds and the highest energy in this group
        low, high = min(model.scales.energy_low, ENERGIES[0]), max(model.scales.energy_high, ENERGIES[1])
        n_energy = math.ceil(BINS_PER_DECADE * math.log10(high / low))
        # Gammapy cannot tell the axes of a cube apart that has as many bins in energy as in DETY.
        energy = Axis.energy(low, high, n_energy + (n_energy == (settings.pixels or field[0].n_bins)))
    if settings.energy_edges is not None:
        energy = Axis("energy", np.array(settings.energy_edges), u.TeV)
    half_width = settings.fov or float(field[0].edges_in("deg")[-1])
    n_bins = settings.pixels or field[0].n_bins
    if settings.model == "2d":
        return energy, Axis.offset(half_width, n_bins)
    return energy, *(Axis.field_of_view(axis.name, half_width, n_bins) for axis in field)
