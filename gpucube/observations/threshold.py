"""Energy threshold of an observation."""

from __future__ import annotations

import astropy.units as u
from astropy.io import fits

from gpucube.errors import DataError
from gpucube.fits_reader import open_tables
from gpucube.observations.hdus import HduLocation, ObservationFiles, blame, find_hdu, require
from gpucube.observations.headers import comment_unit, header_number, parse_unit

__all__ = ["read_threshold", "threshold_in"]

LOWEST_THRESHOLD = 1e-6  # TeV: Cherenkov light needs more


def read_threshold(files: ObservationFiles) -> float:
    """Energy threshold of an observation: LO_THRES in the header of its effective area.

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
        There is none, or its unit is not one of energy.
    """
    location = require(files.effective_area, "AEFF")
    with blame(location.path), open_tables(location.path) as hdus:
        return threshold_in(hdus, location)


def threshold_in(hdus: fits.HDUList, location: HduLocation) -> float:
    """Energy threshold in an open file, see `read_threshold`.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        Open file.
    location : HduLocation
        Where the effective area is in it.

    Returns
    -------
    float
        Threshold in TeV.

    Raises
    ------
    DataError
        There is none, or it makes no sense.
    """
    candidates = [find_hdu(hdus, location, "AEFF")] if location.hdu else list(hdus)
    header = next((hdu.header for hdu in candidates if "LO_THRES" in hdu.header), None)
    if header is None:
        remedy = "add LO_THRES to the effective area"
        raise DataError("no energy threshold", hdu=location.hdu, column="LO_THRES", remedy=remedy)
    text = comment_unit(header.comments["LO_THRES"]) or "TeV"
    unit = parse_unit(text, u.TeV, hdu=header.get("EXTNAME"), column="LO_THRES")
    value = header_number(header, "LO_THRES") * unit.to(u.TeV)
    if value < 0 or 0 < value < LOWEST_THRESHOLD:
        raise DataError(f"{value:g} TeV is no energy threshold", hdu=header.get("EXTNAME"), column="LO_THRES")
    return float(value)
