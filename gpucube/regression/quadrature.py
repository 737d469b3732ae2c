"""Energies at which a rate is taken for its mean over energy bins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["energy_nodes"]

NODES = 3
# Over so many decades the rate is smooth enough for these nodes, but at a threshold.
WIDEST = 0.25


def energy_nodes(low: NDArray[Any], high: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energies in bins, and what they stand for in an integral.

    Parameters
    ----------
    low, high : numpy.ndarray of float64, any shape
        Ends of the bins, low < high.

    Returns
    -------
    energy, weights : numpy.ndarray of float64, shape (..., n_nodes)
        The integral of f over a bin is the sum of `weights` times f(`energy`). The number of nodes is odd, so that the
        middle one is the geometric mean of the bin, and grows with the width of the widest bin.

    Notes
    -----
    Gauss-Legendre quadrature in the logarithm of the energy, in which rates are smooth, on equal parts of the bin.
    """
    low, high = np.broadcast_arrays(low, high)
    widest = float(np.log10(high / low).max())
    n_parts = 2 * math.ceil(max(widest / WIDEST - 1, 0) / 2 - 1e-9) + 1
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    places = ((nodes + 1 + 2 * np.arange(n_parts)[:, None]) / n_parts - 1).ravel()
    half = 0.5 * np.log(high / low)[..., None]
    energy = np.sqrt(low * high)[..., None] * np.exp(half * places)
    return energy, half * np.tile(weights / n_parts, n_parts) * energy
