"""Columns of the regression: functions of the conditions of observations and of the place in the field of view.

All are dimensionless and of the order of 1, so that the penalties on their sizes mean the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from gpucube.arrays.backend import Array, Backend
from gpucube.arrays.bsplines import bspline_basis, difference_penalty
from gpucube.arrays.design import Design
from gpucube.arrays.penalties import Penalties
from gpucube.errors import ObservationError
from gpucube.observations.conditions import Conditions
from gpucube.regression.terms import COVARIATE_TERMS, Term

__all__ = ["Scales", "condition_columns", "make_design", "observation_features"]

# Offset (deg) whose square is 1 in the polynomials of the field.
UNIT_OFFSET = 2.0
# Energy over threshold, in decades, above which the threshold no longer matters.
TURN_ON_RANGE = 1.6
# How far below a threshold, in decades, functions go on
BELOW_RANGE = 0.2
TURN_ON_FUNCTIONS, TURN_ON_COARSE = 14, 5
ABOVE_RANGE = 1.0
FUNCTIONS_PER_DECADE = 5.0
RADIAL_FUNCTIONS = 8
MEAN_AIRMASS = 1.15
# Rates may differ by a tenth between directions at 45 deg even if the data ask for nothing: few observations hardly
# can, and the penalty of a single coefficient would call an effect of two errors 0, with too small an error.
AZIMUTH_UNIT = 0.2
GALACTIC_SCALE = 15.0  # deg
# Dead time over livetime in the middle of those that are met, and how far from it a logarithm counts.
USUAL_DEAD_TIME = 0.07
DEAD_TIME_RANGE = (-0.9, 0.7)
LEAST_MUONEFF = 1e-3
# Part of the largest eigenvalue below which one is 0 but for rounding.
NO_CURVATURE = 1e-12
YEAR = 365.25 * 86400.0
# A pointing at the horizon has no gradient that another could tell.
LARGEST_AIRMASS = 6.0


@dataclass(frozen=True)
class Scales:
    """Numbers that the columns depend on; they belong to the model.

    Attributes
    ----------
    energy_low, energy_high : float
        Ends of the splines in energy in TeV.
    offset : float
        End of the splines in offset in deg.
    means : dict of str to float
        Mean of each covariate over the observations of the fit.
    """

    energy_low: float
    energy_high: float
    offset: float
    means: dict[str, float]

    @property
    def n_energy(self) -> int:
        """Number of functions of energy."""
        return 3 + max(2, round(FUNCTIONS_PER_DECADE * math.log10(self.energy_high / self.energy_low)))


def observation_features(conditions: Conditions, terms: Sequence[Term], scales: Scales) -> dict[str, NDArray[Any]]:
    """Functions of the conditions of one observation that do not depend on energy.

    Parameters
    ----------
    conditions : Conditions
        The observation.
    terms : sequence of Term
        Terms that will be asked for.
    scales : Scales
        Numbers of the model.

    Returns
    -------
    dict of str to numpy.ndarray of float64, shape (n_times,)
        Values by name.

    Raises
    ------
    ObservationError
        A term asks for a number that the observation does not have.
    """
    sine = np.sin(np.deg2rad(np.clip(conditions.altitude, 0.0, 90.0)))
    airmass = 1 / np.maximum(sine, 1 / LARGEST_AIRMASS)
    tilt = np.sqrt(np.maximum(airmass**2 - 1, 0.0))
    azimuth = np.deg2rad(conditions.azimuth)
    features: dict[str, Any] = {
        "airmass": airmass - MEAN_AIRMASS,
        "tilt": tilt,
        "north": tilt * np.cos(azimuth) / AZIMUTH_UNIT,
        "east": tilt * np.sin(azimuth) / AZIMUTH_UNIT,
        "dead_time": _dead_time(conditions),
    }
    if any(term.name == "galactic" for term in terms):
        # A hundred times as slow as all the others
        features["galactic"] = _galactic(conditions.pointing)
    for term in terms:
        name = COVARIATE_TERMS.get(term.name)
        if name is not None and term.conditions and name not in conditions.covariates:
            raise ObservationError(
                f"no {name}, which the term {term.name} of the model needs",
                column=name,
                remedy=f"add it to the observation table, or make the model with --terms=-{term.name}",
            )
    features |= _covariates(conditions, scales)
    return {name: np.broadcast_to(value, airmass.shape) for name, value in features.items()}


def _dead_time(conditions: Conditions) -> float:
    # Every trigger costs the same time: the dead time per livetime is the rate of triggers, but for a constant.
    ratio = max(conditions.ontime / conditions.livetime - 1, 1e-6) / USUAL_DEAD_TIME
    return min(max(math.log(ratio), DEAD_TIME_RANGE[0]), DEAD_TIME_RANGE[1])


def _galactic(pointing: tuple[float, float]) -> float:
    latitude = float(SkyCoord(*pointing, unit="deg").galactic.b.deg)
    return math.exp(-abs(latitude) / GALACTIC_SCALE)


def _covariates(conditions: Conditions, scales: Scales) -> dict[str, float]:
    known, means = conditions.covariates, scales.means
    found: dict[str, float] = {}
    if "MUONEFF" in known and "MUONEFF" in means:
        found["muon"] = math.log(max(known["MUONEFF"], LEAST_MUONEFF) / max(means["MUONEFF"], LEAST_MUONEFF))
    if "NSBLEVEL" in known and "NSBLEVEL" in means:
        # Where it is not filled in, it is 0.
        mean = means["NSBLEVEL"]
        found["nsb"] = (known["NSBLEVEL"] - mean) / (mean if mean > 0 else 1.0)
    if "N_TELS" in known and "N_TELS" in means:
        found["telescopes"] = known["N_TELS"] - means["N_TELS"]
    if "TSTART" in known and "TSTART" in means:
        years = (known["TSTART"] - means["TSTART"]) / YEAR
        found |= {"time": years, "season_cos": math.cos(math.tau * years), "season_sin": math.sin(math.tau * years)}
    return found


def condition_columns(
    energy: Array, threshold: Array, features: dict[str, Array], terms: Sequence[Term], scales: Scales
) -> Array:
    """Columns A of the conditions.

    Parameters
    ----------
    energy : array of float64, shape (n, n_energy)
        Energies in TeV.
    threshold : array of float64, shape (n, 1)
        Energy thresholds in TeV.
    features : dict of str to array of float64, shape (n, 1)
        From `observation_features`.
    terms : sequence of Term
        Terms.
    scales : Scales
        Numbers of the model.

    Returns
    -------
    array of float64, shape (n, n_energy, K)
        Columns, the constant 1 first.
    """
    xp = array_namespace(energy)
    values = {
        "1": xp.ones_like(energy),
        "~energy": xp.log10(energy),
        # Beyond the counts the spectrum goes on, but nothing is known of how the rest changes with energy.
        "energy": xp.log10(xp.clip(energy, scales.energy_low / 10**BELOW_RANGE, scales.energy_high)),
        "turn_on": xp.log10(energy / threshold),
    }
    values["above"] = xp.clip(values["turn_on"], 0.0, ABOVE_RANGE)
    values["turn_on"] = xp.clip(values["turn_on"], -BELOW_RANGE, TURN_ON_RANGE)
    values |= {name: xp.broadcast_to(value, energy.shape) for name, value in features.items()}
    columns = [_condition_function(name, values, scales) for name in _condition_names(terms)]
    return xp.concat(columns, axis=-1)


def _condition_names(terms: Sequence[Term]) -> list[str]:
    """Functions of the conditions, each once, the constant first."""
    return list(dict.fromkeys(["1", *(name for term in terms for name in term.conditions)]))


def _condition_function(name: str, values: dict[str, Array], scales: Scales) -> Array:
    factors = [
        SPLINES[factor](values, scales) if factor in SPLINES else values[factor][..., None]
        for factor in name.split("*")
    ]
    return math.prod(factors[1:], start=factors[0])


def _energy_splines(values: dict[str, Array], scales: Scales) -> Array:
    ends = math.log10(scales.energy_low), math.log10(scales.energy_high)
    return bspline_basis(values["~energy"], *ends, scales.n_energy)


SPLINES: dict[str, Callable[[dict[str, Array], Scales], Array]] = {
    "~energy": _energy_splines,
    "~turn_on": lambda values, scales: bspline_basis(values["turn_on"], 0.0, TURN_ON_RANGE, TURN_ON_FUNCTIONS),
    "~~turn_on": lambda values, scales: bspline_basis(values["turn_on"], 0.0, TURN_ON_RANGE, TURN_ON_COARSE),
}


def _n_condition_functions(name: str, scales: Scales) -> int:
    sizes = {"~energy": scales.n_energy, "~turn_on": TURN_ON_FUNCTIONS, "~~turn_on": TURN_ON_COARSE}
    return math.prod(sizes.get(factor, 1) for factor in name.split("*"))


def _field_columns(detx: Array, dety: Array, scales: Scales) -> dict[str, Array]:
    """Columns B of the place in the field, each of shape (n_pixels, number of functions)."""
    xp = array_namespace(detx, dety)
    x, y = detx / UNIT_OFFSET, dety / UNIT_OFFSET
    offset2 = x**2 + y**2
    radial = bspline_basis(offset2, 0.0, (scales.offset / UNIT_OFFSET) ** 2, RADIAL_FUNCTIONS)
    # Their sum is 1, which is a column already: without the last one nothing is there twice.
    simple = {
        "1": xp.ones_like(x),
        "x": x,
        "y": y,
        "x*offset2": x * offset2,
        "y*offset2": y * offset2,
        "quadrupole": x**2 - y**2,
        "cross": 2 * x * y,
    }
    return {name: column[:, None] for name, column in simple.items()} | {"~radial": radial[:, :-1]}


def make_design(detx: Array, dety: Array, terms: Sequence[Term], scales: Scales, backend: Backend) -> Design:
    """Columns B of the field of view, pairs of columns, and penalties.

    Parameters
    ----------
    detx, dety : array of float64, shape (n_pixels,)
        Centres of the pixels in deg, on the device.
    terms : sequence of Term
        Terms.
    scales : Scales
        Numbers of the model.
    backend : Backend
        Library and device.

    Returns
    -------
    Design
        All that `gpucube.arrays.poisson_regression` needs beside the columns of the conditions.
    """
    xp = backend.xp
    field = _field_columns(detx, dety, scales)
    k_start = _starts({name: _n_condition_functions(name, scales) for name in _condition_names(terms)})
    m_start = _starts({name: column.shape[1] for name, column in field.items()})
    pairs: list[tuple[int, int]] = []
    vectors: list[NDArray[Any]] = []
    values: list[NDArray[Any]] = []
    for term in terms:
        for k_name in term.conditions:
            for m_name in term.field:
                n_k, n_m = _n_condition_functions(k_name, scales), field[m_name].shape[1]
                basis, of_basis = _penalties(k_name, m_name, n_k, n_m, term.smooth)
                vectors.append(basis)
                values.append(of_basis)
                pairs += [(k_start[k_name] + i, m_start[m_name] + j) for i in range(n_k) for j in range(n_m)]
    k, m = (backend.asarray(np.array(numbers, dtype=np.int64)) for numbers in zip(*pairs, strict=True))
    penalties = Penalties(backend.asarray(_on_diagonal(*vectors)), backend.asarray(_on_diagonal(*values)))
    return Design(xp.concat(list(field.values()), axis=1), k, m, penalties)


def _starts(sizes: dict[str, int]) -> dict[str, int]:
    return dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist(), strict=False))


def _on_diagonal(*blocks: NDArray[Any]) -> NDArray[Any]:
    """Matrix with these blocks on its diagonal."""
    whole = np.zeros(np.sum([block.shape for block in blocks], axis=0))
    row = column = 0
    for block in blocks:
        n_rows, n_columns = block.shape
        whole[row : row + n_rows, column : column + n_columns] = block
        row, column = row + n_rows, column + n_columns
    return whole


def _penalties(k_name: str, m_name: str, n_k: int, n_m: int, smooth: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Penalties of the coefficients of a product: curvature along each spline, and size.

    Returns their eigenvectors, of shape (n_k * n_m, n_k * n_m), and their eigenvalues, one row for each penalty.
    """
    of_k, along_k = _curvature(n_k, n_k) if "~" in k_name else _no_curvature(n_k)
    # The last radial function is left out: its coefficient is 0.
    of_m, along_m = _curvature(n_m + 1, n_m) if "~" in m_name else _no_curvature(n_m)
    values = []
    if "~" in k_name:
        values.append(np.repeat(of_k, n_m))
    if "~" in m_name:
        values.append(np.tile(of_m, n_k))
    if not smooth:
        values.append(np.ones(n_k * n_m))
    return np.kron(along_k, along_m), np.array(values).reshape(-1, n_k * n_m)


def _curvature(n: int, n_used: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Eigenvalues and eigenvectors of the penalty on the curvature of a spline: of its first functions."""
    matrix = difference_penalty(n, 2, xp=np, device="cpu")[:n_used, :n_used]
    values, vectors = np.linalg.eigh(matrix)
    return np.where(values > NO_CURVATURE * values[-1], values, 0.0), vectors


def _no_curvature(n: int) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.zeros(n), np.eye(n)
