"""The fitted regression: the background rate under any conditions, and its file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from gpucube.arrays.backend import Array, Backend, get_backend, to_host
from gpucube.arrays.design import Design, log_rate, log_rate_variance
from gpucube.arrays.exposure import SPECTRAL_INDEX
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import ALIGNMENTS, RATE_UNIT, BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.cubes.fits import CREATOR
from gpucube.errors import DataError
from gpucube.files import fits_bytes, open_fits, write_by_name
from gpucube.observations.conditions import Conditions
from gpucube.regression.features import Scales, condition_columns, make_design, observation_features
from gpucube.regression.nights import SHARED_DAYS, NightExpected, Nights
from gpucube.regression.places import places_of
from gpucube.regression.quadrature import energy_nodes
from gpucube.regression.terms import TERMS, Term

__all__ = ["REGRESSION_FILE", "RegressionModel", "is_regression_file", "read_regression_model"]

# Name of the file in a folder of models
REGRESSION_FILE = "bg_regression_model.fits.gz"
MARK = "GPUCUBE_REGRESSION"
BINS_PER_DECADE = 10
PIXEL = 0.2  # deg
CARD_COLUMNS = 20
ERROR_META = ("ERRKIND", "NBOOT")
META = ("NOBS", "MODEL", "THRESRUL", "MASKED", "GPCBSET", *ERROR_META)


@dataclass(frozen=True, eq=False, repr=False)
class RegressionModel:
    """Background rate as a smooth function of energy, place and conditions.

    Attributes
    ----------
    terms : tuple of Term
        What the logarithm of the rate is the sum of.
    scales : Scales
        Numbers that the terms depend on.
    reference : float
        The rate at 1 TeV, in 1 / (s TeV sr), that stands before the exponential.
    coefficients : numpy.ndarray of float64, shape (Q,)
        Coefficients.
    covariance : numpy.ndarray of float64, shape (Q, Q)
        Their covariance.
    strengths : numpy.ndarray of float64, shape (n_penalties,)
        Strengths of the penalties.
    freedom : numpy.ndarray of float64, shape (Q,)
        Effective degrees of freedom.
    nights : Nights
        Rate of each observation of the fit over what its conditions let expect, and how these scatter.
    fov_align : {"ALTAZ", "RADEC"}
        Orientation of DETX and DETY.
    meta : dict
        Further header cards: settings, number of observations.
    """

    terms: tuple[Term, ...]
    scales: Scales
    reference: float
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    strengths: NDArray[np.float64]
    freedom: NDArray[np.float64]
    nights: Nights
    fov_align: str = "ALTAZ"
    meta: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        names = ", ".join(term.name for term in self.terms)
        n_obs, n = self.nights.slopes.shape
        return f"<RegressionModel: {n_obs} observations, {n} coefficients: {names}>"

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        """Axes of a cube that shows all that the model knows."""
        low, high, offset = self.scales.energy_low, self.scales.energy_high, self.scales.offset
        n_energy = max(1, round(BINS_PER_DECADE * float(np.log10(high / low))))
        n_pixels = max(1, 2 * round(offset / PIXEL))
        # Gammapy cannot tell the axes of a cube apart that has as many bins in energy as in DETY.
        n_pixels += n_pixels == n_energy
        dety, detx = (Axis.field_of_view(name, offset, n_pixels) for name in ("dety", "detx"))
        return Axis.energy(low, high, n_energy), dety, detx

    @property
    def radial_axes(self) -> tuple[Axis, Axis]:
        """Axes of a radial model that shows all that the model knows."""
        energy, dety, _ = self.axes
        return energy, Axis.offset(self.scales.offset, (dety.n_bins + 1) // 2)

    def background(
        self, conditions: Conditions, axes: tuple[Axis, ...] | None = None, backend: Backend | None = None
    ) -> BackgroundModel:
        """Background of an observation.

        Parameters
        ----------
        conditions : Conditions
            The observation; the rate is the mean over its steps of time.
        axes : tuple of Axis, optional
            Energy, DETY and DETX axis, or energy and offset axis; `axes` of the model if not given.
        backend : Backend, optional
            Library and device; NumPy if not given.

        Returns
        -------
        BackgroundModel
            On the host. The rate, per livetime, is the mean over each energy bin at the centre of its pixel, or over
            all of its ring, and over observations under the same conditions, whose rates scatter, given those of the
            fit that are near in time where `conditions` has an ``MJD``; the statistical error is that of the model,
            and the scatter of observations about it (header card RUNSCAT, relative) comes on top of it.

        Raises
        ------
        ObservationError
            A term asks for a number that the observation does not have.
        """
        axes = axes or self.axes
        backend = backend or get_backend("numpy")
        places = places_of(axes[1:])
        xp, shape = backend.xp, tuple(axis.n_bins for axis in axes)
        detx, dety, weights = (backend.asarray(values) for values in (places.detx, places.dety, places.weights))
        design = make_design(detx, dety, self.terms, self.scales, backend)
        edges = axes[0].edges_in("TeV")
        energy, of_node = energy_nodes(edges[:-1], edges[1:])
        of_node = of_node / np.diff(edges)[:, None]
        columns = self._columns(conditions, energy.ravel(), backend)
        logs = log_rate(backend.asarray(self.coefficients), columns, design)
        night = self.nights.expected_at(conditions.covariates.get("MJD"))
        # The mean of a rate whose logarithm is normally distributed lies above its median.
        reference = self.reference * float(np.exp(night.effect + 0.5 * night.scatter**2))
        spectrum = reference * energy**-SPECTRAL_INDEX * of_node
        at_nodes = xp.reshape(xp.mean(xp.exp(logs), axis=0), (*energy.shape, *weights.shape))
        parts = xp.sum(backend.asarray(spectrum)[:, :, None, None] * at_nodes, axis=1) * weights
        rate = xp.sum(parts, axis=2)
        middle = xp.mean(columns, axis=0)[energy.shape[1] // 2 :: energy.shape[1], :]
        variance = self._variance(parts / rate[:, :, None], middle, design, night, backend)
        return BackgroundModel(
            rate=Cube(axes, to_host(xp.reshape(rate, shape)), RATE_UNIT),
            error=Cube(axes, to_host(xp.reshape(rate * xp.sqrt(variance), shape)), RATE_UNIT),
            fov_align=self.fov_align,
            meta={"METHOD": "regression", "RUNSCAT": night.scatter} | self._error_meta,
        )

    def _variance(self, shares: Array, columns: Array, design: Design, night: NightExpected, backend: Backend) -> Array:
        """Relative variance of the mean rate of each bin, shape (n_energy, n_bins).

        `shares` has the part of each place in the rate of its bin, shape (n_energy, n_bins, n_places): the derivative
        of the logarithm of a mean is the mean of those of the logarithms, weighted with these.
        """
        xp = backend.xp
        means = xp.matmul(shares[:, :, None, :], xp.reshape(design.field, (*shares.shape[1:], -1)))[:, :, 0, :]
        # The effect of the night falls where a coefficient rises.
        shared = self.covariance @ night.slopes
        covariance, both = backend.asarray(self.covariance), backend.asarray(-2 * shared)
        rows = []
        for i in range(columns.shape[0]):
            here, field = columns[i : i + 1, :], replace(design, field=means[i, :, :])
            rows.append(log_rate_variance(covariance, here, field) + log_rate(both, here, field))
        return xp.clip(xp.concat(rows) + float(shared @ night.slopes + night.variance), 0.0, xp.inf)

    @property
    def _error_meta(self) -> dict[str, Any]:
        """Where errors come from."""
        return {"ERRKIND": "COVARIANCE"} | {key: self.meta[key] for key in ERROR_META if key in self.meta}

    def _columns(self, conditions: Conditions, energy: NDArray[np.float64], backend: Backend) -> Array:
        features = observation_features(conditions, self.terms, self.scales)
        n_times = conditions.altitude.size
        on_device = {name: backend.asarray(np.array(values)[:, None]) for name, values in features.items()}
        threshold = backend.asarray(np.full((n_times, 1), max(conditions.threshold, self.scales.energy_low)))
        energies = backend.asarray(np.broadcast_to(energy, (n_times, energy.size)).copy())
        return condition_columns(energies, threshold, on_device, self.terms, self.scales)

    def write(self, path: str | Path, extra: tuple[fits.BinTableHDU, ...] = ()) -> None:
        """Write the model to a FITS file.

        Parameters
        ----------
        path : path-like
            File to write or replace; compressed if its name ends in ``.gz``.
        extra : tuple of astropy.io.fits.BinTableHDU
            Further HDUs to append.
        """
        path = Path(path)
        primary = fits.PrimaryHDU()
        primary.header["CREATOR"] = CREATOR
        content = fits.HDUList([primary, *_hdus(self), *extra])
        write_by_name(path, fits_bytes(content))


def _hdus(model: RegressionModel) -> list[fits.BinTableHDU]:
    scales = model.scales
    terms = fits.BinTableHDU.from_columns(
        [
            fits.Column("NAME", "24A", array=[term.name for term in model.terms]),
            fits.Column("MEANING", "80A", array=[term.meaning for term in model.terms]),
        ],
        name=MARK,
    )
    terms.header.update(
        {
            "FOVALIGN": model.fov_align,
            "RATEPER": "LIVETIME",
            "REFRATE": _exact(model.reference),
            "REFINDEX": SPECTRAL_INDEX,
            "RATEUNIT": RATE_UNIT.to_string("fits"),
            "RUNSCAT": _exact(model.nights.scatter),
            "OWNVAR": _exact(model.nights.own),
            "SHAREVAR": _exact(model.nights.shared),
            "SHAREFOR": SHARED_DAYS,
            "E_LOW": _exact(scales.energy_low),
            "E_HIGH": _exact(scales.energy_high),
            "OFF_MAX": _exact(scales.offset),
        }
        | {f"MEAN{number}": f"{name} {value!r}" for number, (name, value) in enumerate(scales.means.items(), 1)}
        | model.meta
    )
    for key, unit in (("E_LOW", "TeV"), ("E_HIGH", "TeV"), ("OFF_MAX", "deg"), ("SHAREFOR", "d")):
        terms.header.comments[key] = f"[{unit}]"
    errors = np.sqrt(np.diag(model.covariance))
    columns = {"VALUE": model.coefficients, "ERROR": errors, "FREEDOM": model.freedom}
    coefficients = fits.BinTableHDU.from_columns(
        [fits.Column(name, "D", array=values) for name, values in columns.items()], name="COEFFICIENTS"
    )
    strengths = fits.BinTableHDU.from_columns([fits.Column("STRENGTH", "D", array=model.strengths)], name="STRENGTHS")
    nights = model.nights
    n_coefficients = nights.slopes.shape[1]
    effects = fits.BinTableHDU.from_columns(
        [
            fits.Column("OBS_ID", "K", array=nights.obs_ids),
            fits.Column("MJD", "D", unit="d", array=nights.mjd),
            fits.Column("EFFECT", "D", array=nights.effects),
            fits.Column("ERROR", "D", array=nights.errors),
            fits.Column("SLOPES", f"{n_coefficients}D", array=nights.slopes),
        ],
        name="EFFECTS",
    )
    return [terms, coefficients, fits.ImageHDU(model.covariance, name="COVARIANCE"), strengths, effects]


def _exact(number: float) -> float | str:
    """Value of a card that is read back with all its bits: as a text where a FITS card has too few columns for them."""
    return number if len(repr(number)) <= CARD_COLUMNS else repr(number)


def is_regression_file(path: str | Path) -> bool:
    """Tell whether a file holds a regression, without reading all of it.

    Parameters
    ----------
    path : path-like
        FITS file.

    Returns
    -------
    bool
        True if so; False also if it cannot be read.
    """
    try:
        with open_fits(Path(path)) as hdus:
            return MARK in hdus
    except DataError:
        return False


def read_regression_model(path: str | Path) -> RegressionModel:
    """Read a model that `RegressionModel.write` wrote.

    Parameters
    ----------
    path : path-like
        FITS file, compressed or not.

    Returns
    -------
    RegressionModel
        The model.

    Raises
    ------
    DataError
        The file is no regression, or one of another version of gpucube whose terms are others.
    """
    path = Path(path)
    with open_fits(path) as hdus:
        if MARK not in hdus:
            raise DataError(f"no HDU {MARK}: not a regression", path)
        table, header = hdus[MARK].data, hdus[MARK].header
        names = [str(name).strip() for name in table["NAME"]]
        if unknown := [name for name in names if name not in TERMS]:
            problem = f"terms that this version of gpucube does not know: {', '.join(unknown)}"
            raise DataError(problem, path, MARK, "NAME", "fit the regression again, or use the version that wrote it")
        model = RegressionModel(
            terms=tuple(TERMS[name] for name in names),
            scales=_read_scales(header, path),
            reference=_finite(header["REFRATE"], "REFRATE", path),
            coefficients=_column(hdus["COEFFICIENTS"], "VALUE"),
            covariance=np.array(hdus["COVARIANCE"].data, dtype=np.float64),
            strengths=_column(hdus["STRENGTHS"], "STRENGTH"),
            freedom=_column(hdus["COEFFICIENTS"], "FREEDOM"),
            nights=_read_nights(hdus["EFFECTS"], header, path),
            fov_align=str(header["FOVALIGN"]),
            meta={key: header[key] for key in META if key in header},
        )
    _check(model, path)
    return model


def _read_nights(hdu: fits.BinTableHDU, header: fits.Header, path: Path) -> Nights:
    mjd, effects, errors, slopes = (_column(hdu, name) for name in ("MJD", "EFFECT", "ERROR", "SLOPES"))
    own, shared = (_finite(header[key], key, path) for key in ("OWNVAR", "SHAREVAR"))
    return Nights(np.array(hdu.data["OBS_ID"], dtype=np.int64), mjd, effects, errors, slopes, own, shared)


def _column(hdu: fits.BinTableHDU, name: str) -> NDArray[np.float64]:
    return np.array(hdu.data[name], dtype=np.float64)


def _read_scales(header: fits.Header, path: Path) -> Scales:
    means = {}
    for key in header:
        if key.startswith("MEAN"):
            name, text = f"{header[key]} ".split(" ", 1)
            means[name] = _finite(text.strip(), key, path)
    low, high, offset = (_finite(header[key], key, path) for key in ("E_LOW", "E_HIGH", "OFF_MAX"))
    return Scales(low, high, offset, means)


def _finite(value: object, key: str, path: Path) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise DataError(f"{value!r} is no finite number", path, MARK, key)
    return number


def _check(model: RegressionModel, path: Path) -> None:
    nights = model.nights
    for hdu, column, values in (
        ("COEFFICIENTS", "VALUE", model.coefficients),
        ("COVARIANCE", None, model.covariance),
        ("EFFECTS", "EFFECT", nights.effects),
        ("EFFECTS", "ERROR", nights.errors),
        ("EFFECTS", "SLOPES", nights.slopes),
    ):
        if wrong := np.count_nonzero(~np.isfinite(values)):
            problem = f"{wrong} of {values.size} are no finite numbers"
            raise DataError(problem, path, hdu, column, "fit the regression again")
    zero = np.zeros(1)
    design = make_design(zero, zero, model.terms, model.scales, get_backend("numpy"))
    n = design.k.size
    if model.coefficients.size != n:
        problem = f"{model.coefficients.size} coefficients where its terms have {n} in this version of gpucube"
        remedy = "fit the regression again, or use the version that wrote it"
        raise DataError(problem, path, "COEFFICIENTS", "VALUE", remedy)
    if model.covariance.shape != (n, n):
        raise DataError(f"shape {model.covariance.shape} where there are {n} coefficients", path, "COVARIANCE")
    if nights.slopes.shape[1:] != (n,):
        raise DataError(f"shape {nights.slopes.shape} where there are {n} coefficients", path, "EFFECTS", "SLOPES")
    if model.fov_align not in ALIGNMENTS:
        raise DataError(f"FOVALIGN is {model.fov_align!r}", path, MARK, "FOVALIGN")
