"""Files that appear whole or not at all, and whose bytes depend on their content only."""

from __future__ import annotations

import io
import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from gpucube.errors import DataError, OutputError
from gpucube.gzipped import GZIP_MAGIC, compress, decompress

__all__ = [
    "PARTIAL_SUFFIX",
    "fits_bytes",
    "make_folder",
    "named_errors",
    "open_fits",
    "write_by_name",
    "write_whole",
]

PARTIAL_SUFFIX = ".gpucube-partial"
# What astropy and the decompression raise on damaged files
READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    zlib.error,
    fits.VerifyError,
)


def make_folder(folder: Path) -> None:
    """Make a folder to write to, if it is not there.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.

    Raises
    ------
    OutputError
        It cannot be made, or nothing may be written to it.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror or error}; name another folder") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: nothing may be written to this folder; name another one")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then move it to its place.

    Parameters
    ----------
    path : pathlib.Path
        Destination; replaced if it exists.
    content : bytes
        What to write.

    Raises
    ------
    OutputError
        The disk is full, or the folder cannot be written to.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def write_by_name(path: Path, content: bytes) -> None:
    """Write a file whole, compressed if its name ends in ``.gz``.

    Parameters
    ----------
    path : pathlib.Path
        Destination; replaced if it exists.
    content : bytes
        What it holds.

    Raises
    ------
    OutputError
        The disk is full, or the folder cannot be written to.
    """
    write_whole(path, compress(content) if path.suffix == ".gz" else content)


def fits_bytes(hdus: fits.HDUList) -> bytes:
    """Serialise HDUs.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        What to serialise.

    Returns
    -------
    bytes
        Content of a FITS file, the same for the same HDUs.
    """
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    return buffer.getvalue()


@contextmanager
def open_fits(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file for reading in a ``with`` statement, compressed or not.

    A compressed file is decompressed whole, so that its checksum is verified.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Yields
    ------
    astropy.io.fits.HDUList
        Open file; HDUs are parsed when they are asked for.

    Raises
    ------
    DataError
        The file is missing, damaged or not FITS, also where that shows only inside the ``with`` statement.
    """
    with named_errors(path), warnings.catch_warnings():
        # Either only filling is missing at the end, or an error follows.
        warnings.simplefilter("ignore", AstropyUserWarning)
        # Opened here, because astropy leaves a file open when it cannot read its first header.
        with path.open("rb") as file:
            is_compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            source = io.BytesIO(decompress(file.read())) if is_compressed else file
            with fits.open(source, memmap=False) as hdus:
                yield hdus


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn what a damaged FITS file makes libraries raise into an error that names it, in a ``with`` statement.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    DataError
        The file is missing, damaged or not FITS.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DataError("no such file", path) from error
    except IsADirectoryError as error:
        raise DataError("is a folder, not a FITS file", path) from error
    except READ_ERRORS as error:
        # Astropy goes on to recommend options of its own.
        text = "it does not begin as one" if "No SIMPLE card" in str(error) else f"{type(error).__name__}: {error}"
        problem = f"cannot be read as FITS: {text}"
        raise DataError(problem, path, remedy="is it damaged? copy it again") from error
