"""Files of observations as bytes: one HDU is exchanged, all others stay what they are to the last bit."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from gpucube.cubes.fits import CREATOR
from gpucube.errors import DataError
from gpucube.files import READ_ERRORS, fits_bytes
from gpucube.gzipped import GZIP_MAGIC, decompress
from gpucube.observations.mirrored import MIRRORING, is_mirrored

__all__ = ["RawHdu", "file_bytes", "join", "signed", "split", "with_background"]

BACKGROUND_KIND = "RESPONSE BKG"


@dataclass(frozen=True)
class RawHdu:
    """An HDU as it stands in a file.

    Attributes
    ----------
    name : str
        EXTNAME in capitals.
    kind : str
        HDUCLAS1 and HDUCLAS2 in capitals, with a blank between.
    header, data : bytes
        Both parts, with their filling.
    """

    name: str
    kind: str
    header: bytes
    data: bytes


def file_bytes(path: Path) -> bytes:
    """Read a file, decompressed.

    Parameters
    ----------
    path : pathlib.Path
        File, compressed or not.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    DataError
        The file is missing or damaged.
    """
    try:
        content = path.read_bytes()
        return decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read: {error}", path, remedy="is it damaged? copy it again") from error


def split(content: bytes, path: Path) -> list[RawHdu]:
    """Split the content of a FITS file into its HDUs.

    Parameters
    ----------
    content : bytes
        Decompressed content.
    path : pathlib.Path
        Where it is from, for the message.

    Returns
    -------
    list of RawHdu
        HDUs, with nothing between them.

    Raises
    ------
    DataError
        It is no FITS file, or it ends too early.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyUserWarning)
            with fits.open(io.BytesIO(content), memmap=False) as hdus:
                found = [_raw(hdu, content) for hdu in hdus]
                end = hdus[-1].fileinfo()["datLoc"] + hdus[-1].fileinfo()["datSpan"]
    except READ_ERRORS as error:
        raise DataError(f"cannot be read as FITS: {error}", path, remedy="is it damaged? copy it again") from error
    if end != len(content):
        problem = "the file ends too early, or something follows its last HDU"
        raise DataError(problem, path, remedy="is it damaged? copy it again")
    return found


def _raw(hdu: fits.hdu.base.ExtensionHDU, content: bytes) -> RawHdu:
    place = hdu.fileinfo()
    start, end = place["datLoc"], place["datLoc"] + place["datSpan"]
    kind = f"{hdu.header.get('HDUCLAS1', '')} {hdu.header.get('HDUCLAS2', '')}".upper()
    return RawHdu(hdu.name.upper(), kind, content[place["hdrLoc"] : start], content[start:end])


def join(hdus: Sequence[RawHdu]) -> bytes:
    """Join HDUs to the content of a file.

    Parameters
    ----------
    hdus : sequence of RawHdu
        HDUs, the primary one first.

    Returns
    -------
    bytes
        The content.
    """
    return b"".join(part for hdu in hdus for part in (hdu.header, hdu.data))


def with_background(hdus: list[RawHdu], background: fits.BinTableHDU, old: tuple[str, ...]) -> list[RawHdu]:
    """Put a background in the place of the old one, or behind all others.

    Parameters
    ----------
    hdus : list of RawHdu
        HDUs of a file.
    background : astropy.io.fits.BinTableHDU
        The new one.
    old : tuple of str
        Names in capitals of the one or ones to replace; an empty name means any background.

    Returns
    -------
    list of RawHdu
        HDUs of the new file.
    """
    content = fits_bytes(fits.HDUList([fits.PrimaryHDU(), background]))
    new = split(content, Path(background.name))[1]
    places = [n for n, hdu in enumerate(hdus) if n and (hdu.name in old or ("" in old and hdu.kind == BACKGROUND_KIND))]
    if not places:
        return [*hdus, new]
    return [new if n == places[0] else hdu for n, hdu in enumerate(hdus) if n not in places[1:]]


def signed(hdu: RawHdu) -> RawHdu:
    """Say in the header of an event list that it was rewritten, if Gammapy would mirror its background.

    Parameters
    ----------
    hdu : RawHdu
        HDU ``EVENTS``.

    Returns
    -------
    RawHdu
        The same with another CREATOR; the old one is in HISTORY.
    """
    header = fits.Header.fromstring(hdu.header)
    if not is_mirrored(header):
        return hdu
    header.set("CREATOR", CREATOR, "program that attached the background")
    header.add_history(f"CREATOR of the event list: {MIRRORING['CREATOR']}")
    # It would be wrong now; DATASUM is still right.
    header.remove("CHECKSUM", ignore_missing=True)
    return replace(hdu, header=header.tostring().encode("ascii"))
