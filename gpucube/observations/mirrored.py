"""Observations whose background is mirrored: the DETX of their files grows with right ascension, against GADF."""

from __future__ import annotations

from astropy.io import fits

__all__ = ["MIRRORING", "is_mirrored"]

# Gammapy from 1.3 on takes the background of an observation whose EVENTS header has these cards as aligned with RA and
# DEC and mirrored in longitude, whatever its own header says: right for H.E.S.S. DL3 DR1, the only known such files.
MIRRORING = {"CREATOR": "SASH FITS::EventListWriter", "HDUVERS": "0.2"}


def is_mirrored(header: fits.Header) -> bool:
    """Tell whether the background of an observation is mirrored, as Gammapy decides it.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of its ``EVENTS`` HDU.

    Returns
    -------
    bool
        True if so.
    """
    return all(str(header.get(key, "")).strip() == value for key, value in MIRRORING.items())
