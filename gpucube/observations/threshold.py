"""Energy threshold of an observation, from the first place that gives one.

1. LO_THRES in the header of the effective area.
2. SAFE_ENERGY_LO in the observation index.
3. The effective area itself: the threshold is where it reaches a tenth of its maximum at the pointing, which is also
   what Gammapy's safe mask ``aeff-max`` does [1]_.

References
----------
.. [1] Gammapy, SafeMaskMaker, https://docs.gammapy.org
"""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.io import fits

from gpucube.errors import DataError
from gpucube.fits_reader import open_tables
from gpucube.observations.hdus import HduLocation, ObservationFiles, blame, column_name, find_hdu, require
from gpucube.observations.headers import comment_unit, header_number, parse_unit

__all__ = ["FROM_AREA", "FROM_INDEX", "find_threshold", "is_threshold", "read_threshold"]

LOWEST_THRESHOLD = 1e-6  # TeV: Cherenkov light needs more
# Share of the largest effective area that is reached at the threshold.
SHARE_OF_MAXIMUM = 0.1

FROM_INDEX = "no LO_THRES: energy threshold is SAFE_ENERGY_LO of the observation index"
FROM_AREA = f"no LO_THRES: energy threshold is where the effective area reaches {SHARE_OF_MAXIMUM:.0%} of its maximum"


def read_threshold(files: ObservationFiles) -> float:
    """Energy threshold of an observation.

    Parameters
    ----------
    files : ObservationFiles
        Where the parts of the observation are.

    Returns
    -------
    float
        Threshold in TeV.

    Raises
    ------
    ObservationError
        There is none, or it makes no sense.
    """
    return find_threshold(files)[0]


def find_threshold(files: ObservationFiles, opened: fits.HDUList | None = None) -> tuple[float, str | None]:
    """Energy threshold of an observation, and where it is from.

    Parameters
    ----------
    files : ObservationFiles
        Where the parts of the observation are.
    opened : astropy.io.fits.HDUList, optional
        Its file of events, which may be that of its effective area, too.

    Returns
    -------
    threshold : float
        Threshold in TeV.
    note : str or None
        Where it is from, unless from LO_THRES.

    Raises
    ------
    ObservationError
        There is none, or it makes no sense.
    """
    if files.effective_area is None and files.safe_energy is not None:
        return files.safe_energy, FROM_INDEX
    area = require(files.effective_area, "AEFF")
    if opened is not None and files.events is not None and files.events.path == area.path:
        return _threshold_in(opened, area, files.safe_energy)
    with blame(area.path), open_tables(area.path) as hdus:
        return _threshold_in(hdus, area, files.safe_energy)


def is_threshold(value: float) -> bool:
    """Say whether a number can be an energy threshold.

    Parameters
    ----------
    value : float
        Energy in TeV.

    Returns
    -------
    bool
        True for 0, which means that all energies are safe, and for energies that Cherenkov telescopes can see.
    """
    return value == 0 or LOWEST_THRESHOLD <= value < np.inf


def _threshold_in(hdus: fits.HDUList, location: HduLocation, safe_energy: float | None) -> tuple[float, str | None]:
    area = _area_hdu(hdus, location)
    if "LO_THRES" in area.header:
        return _from_header(area.header), None
    if safe_energy is not None:
        return safe_energy, FROM_INDEX
    try:
        return _from_area(area), FROM_AREA
    except DataError as error:
        problem = f"no energy threshold: no LO_THRES, no SAFE_ENERGY_LO in the observation index, and {error.problem}"
        remedy = "add LO_THRES to the effective area"
        raise DataError(problem, hdu=area.name, column="LO_THRES", remedy=remedy) from error


def _area_hdu(hdus: fits.HDUList, location: HduLocation) -> fits.BinTableHDU:
    try:
        return find_hdu(hdus, location, "AEFF")
    except DataError:
        # Files of 2015 name it in many ways.
        holder = next((hdu for hdu in hdus if "LO_THRES" in hdu.header), None)
        if location.hdu or holder is None:
            raise
        return holder


def _from_header(header: fits.Header) -> float:
    unit = parse_unit(
        comment_unit(header.comments["LO_THRES"]) or "TeV", u.TeV, hdu=header.get("EXTNAME"), column="LO_THRES"
    )
    value = header_number(header, "LO_THRES") * unit.to(u.TeV)
    if not is_threshold(value):
        raise DataError(f"{value:g} TeV is no energy threshold", hdu=header.get("EXTNAME"), column="LO_THRES")
    return float(value)


def _from_area(hdu: fits.BinTableHDU) -> float:
    """Lower edge of the first energy bin whose effective area at the smallest offset is large enough."""
    low, theta, area = (_cell(hdu, name) for name in ("ENERG_LO", "THETA_LO", "EFFAREA"))
    energy = low.ravel() * _unit_of(hdu, "ENERG_LO", u.TeV)
    if area.size != energy.size * theta.size:
        raise DataError(f"EFFAREA has the shape {area.shape} for {energy.size} energies and {theta.size} offsets")
    # GADF has (offset, energy) in the order of NumPy; files with the other order differ in shape, unless square.
    transposed = area.shape == (energy.size, theta.size) and energy.size != theta.size
    at_pointing = (area.T if transposed else area.reshape(theta.size, energy.size))[np.argmin(theta)]
    at_pointing = np.where(np.isfinite(at_pointing), at_pointing, 0.0)
    if at_pointing.max() <= 0:
        raise DataError("EFFAREA is nowhere positive")
    threshold = float(energy[np.argmax(at_pointing >= SHARE_OF_MAXIMUM * at_pointing.max())])
    if not is_threshold(threshold):
        raise DataError(f"ENERG_LO gives {threshold:g} TeV")
    return threshold


def _cell(hdu: fits.BinTableHDU, name: str) -> np.ndarray:
    """Array in the only row of a table of an instrument response."""
    spelling = column_name(hdu, name)
    if spelling is None:
        raise DataError(f"there is no column {name}")
    values = np.asarray(hdu.data[spelling])
    if len(values) != 1 or values.dtype.kind not in "fiu":
        raise DataError(f"{name} is not one array of numbers")
    return values[0].astype(np.float64)


def _unit_of(hdu: fits.BinTableHDU, name: str, default: u.UnitBase) -> float:
    text = hdu.columns[column_name(hdu, name)].unit
    return float(parse_unit(text, default, hdu=hdu.name, column=name).to(default)) if text else 1.0
