"""Files that appear whole or not at all, and whose bytes depend on their content only."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from pathlib import Path

from astropy.io import fits

from gpucube.errors import DataError

__all__ = ["PARTIAL_SUFFIX", "fits_bytes", "open_fits", "write_whole"]

PARTIAL_SUFFIX = ".gpucube-partial"
GZIP_MAGIC = b"\x1f\x8b"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then move it to its place.

    Parameters
    ----------
    path : pathlib.Path
        Destination; replaced if it exists.
    content : bytes
        What to write.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def fits_bytes(hdus: fits.HDUList, *, compress: bool) -> bytes:
    """Serialise HDUs.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        What to serialise.
    compress : bool
        Whether to gzip it, without a time stamp.

    Returns
    -------
    bytes
        Content of a FITS file, the same for the same HDUs.
    """
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    return gzip.compress(buffer.getvalue(), compresslevel=6, mtime=0) if compress else buffer.getvalue()


def open_fits(path: Path) -> fits.HDUList:
    """Open a FITS file for reading, compressed or not.

    A compressed file is decompressed whole, so that its checksum is verified.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    astropy.io.fits.HDUList
        Open file; HDUs are parsed when they are asked for.

    Raises
    ------
    DataError
        The file is missing, damaged or not FITS.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == GZIP_MAGIC
        source = io.BytesIO(gzip.decompress(path.read_bytes())) if compressed else path
        return fits.open(source, memmap=False)
    except FileNotFoundError as error:
        raise DataError("no such file", path) from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"cannot be read as FITS: {error}", path, remedy="is it damaged? copy it again") from error
