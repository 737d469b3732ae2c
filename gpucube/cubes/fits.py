"""Background models as FITS files: GADF ``BKG_3D`` and ``BKG_2D`` tables, images for DS9, and files of 2015.

References
----------
.. [1] Gamma Astro Data Formats, BKG_2D and BKG_3D,
   https://gamma-astro-data-formats.readthedocs.io/en/latest/irfs/full_enclosure/bkg/index.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits

from gpucube._version import __version__
from gpucube.arrays.backend import to_host
from gpucube.cubes.axis import AXIS_NAMES, RADIAL_AXIS_NAMES, Axis, unit_factor
from gpucube.cubes.background import ALIGNMENTS, RATE_TIMES, RATE_UNIT, BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.errors import DataError, OptionError
from gpucube.files import open_fits, write_by_name
from gpucube.fits_writer import Column, hdu_bytes, image_bytes, table_bytes

__all__ = ["CREATOR", "background_hdu", "read_background_model", "write_image", "write_table"]

log = logging.getLogger(__name__)

CREATOR = f"gpucube {__version__}"
FILE_RATE_UNIT = u.Unit("s-1 MeV-1 sr-1")
COLUMN_OF_AXIS = {"energy": "ENERG", "dety": "DETY", "detx": "DETX", "offset": "THETA"}
AXIS_OF_COLUMN = {column: name for name, column in COLUMN_OF_AXIS.items()}
FILE_UNIT = {"energy": "TeV", "dety": "deg", "detx": "deg", "offset": "deg"}
# HDU class of a cube, and its axes as TDIM counts them: the first runs fastest.
GADF_ORDER = {AXIS_NAMES: ("energy", "detx", "dety"), RADIAL_AXIS_NAMES: ("energy", "offset")}
GADF_CLASS = {AXIS_NAMES: "BKG_3D", RADIAL_AXIS_NAMES: "BKG_2D"}
ORDER_2015 = ("detx", "dety", "energy")
# GADF files without CREFn that have the energy last; the events of H.E.S.S. DR1 say that this is meant there.
ORDER_DR1 = ("dety", "detx", "energy")
COLUMN_2015 = "Bgd"
# Header keywords of a model that are read back.
META = ("GROUP_ID", "GROUP", "NOBS", "METHOD", "NSMOOTH", "THRESRUL", "MASKED")
# Those that say where the error comes from, and are in its HDU
ERROR_META = ("ERRKIND", "NBOOT")
RATE_COLUMNS = ("BKG", "BGD", COLUMN_2015)
POSITIONS = {"DETX_LO", "THETA_LO"}
GADF_CARDS = {
    "HDUCLASS": "GADF",
    "HDUDOC": "https://github.com/open-gamma-ray-astro/gamma-astro-data-formats",
    "HDUVERS": "0.3",
    "HDUCLAS1": "RESPONSE",
    "HDUCLAS2": "BKG",
    "HDUCLAS3": "FULL-ENCLOSURE",
}


def write_table(model: BackgroundModel, path: str | Path, extra: Sequence[bytes | fits.BinTableHDU] = ()) -> None:
    """Write a model as FITS tables: ``BACKGROUND`` (GADF ``BKG_3D`` or ``BKG_2D``), its error, counts and livetime.

    Parameters
    ----------
    model : BackgroundModel
        Model on any device.
    path : path-like
        File to write or replace; compressed if its name ends in ``.gz``.
    extra : sequence of bytes or astropy.io.fits.BinTableHDU
        Further HDUs to append, as from `gpucube.fits_writer.table_bytes` or astropy.
    """
    path = Path(path)
    if len(model.axes) == 3 and model.axes[0].n_bins == model.axes[1].n_bins:
        log.warning("%s: as many bins in energy as in DETY: Gammapy cannot tell the axes of such a cube apart", path)
    hdus = [image_bytes(None, {"CREATOR": CREATOR}), _background_table(model)]
    if model.error is not None:
        error = model.error.on_host().data * unit_factor(model.error.unit, FILE_RATE_UNIT)
        cards = {key: model.meta[key] for key in ERROR_META if key in model.meta}
        hdus.append(_table_of_cube("ERROR", "ERROR", model.axes, error, FILE_RATE_UNIT, cards))
    for name, cube in (("COUNTS", model.counts), ("LIVETIME", model.livetime)):
        if cube is not None:
            hdus.append(_table_of_cube(name, name, cube.axes, to_host(cube.data), cube.unit))
    hdus += (hdu if isinstance(hdu, bytes) else hdu_bytes(hdu) for hdu in extra)
    write_by_name(path, b"".join(hdus))


def background_hdu(model: BackgroundModel) -> fits.BinTableHDU:
    """Make the GADF ``BKG_3D`` or ``BKG_2D`` table of a model.

    Parameters
    ----------
    model : BackgroundModel
        Model on any device.

    Returns
    -------
    astropy.io.fits.BinTableHDU
        HDU ``BACKGROUND``.
    """
    # A copy that can be written to
    return fits.BinTableHDU.fromstring(_background_table(model)).copy()


def _background_table(model: BackgroundModel) -> bytes:
    rate = _rate_to_write(model)
    cards = {"HDUCLAS4": GADF_CLASS[_names(model.axes)], "FOVALIGN": model.fov_align, "RATEPER": model.rate_per}
    return _table_of_cube("BACKGROUND", "BKG", model.axes, rate, FILE_RATE_UNIT, GADF_CARDS | cards | _rate_meta(model))


def _rate_meta(model: BackgroundModel) -> dict[str, object]:
    return {key: value for key, value in model.meta.items() if key not in ERROR_META}


def _names(axes: tuple[Axis, ...]) -> tuple[str, ...]:
    return tuple(axis.name for axis in axes)


def write_image(model: BackgroundModel, path: str | Path) -> None:
    """Write the rate of a model as a primary image with a WCS and an ``EBOUNDS`` table.

    Parameters
    ----------
    model : BackgroundModel
        Model on any device, with bins of equal width in DETY and DETX.
    path : path-like
        File to write or replace; compressed if its name ends in ``.gz``.

    Raises
    ------
    ValueError
        DETY or DETX bins differ in width, which an image cannot show.
    """
    cards: dict[str, object] = {"CREATOR": CREATOR, "FOVALIGN": model.fov_align, "RATEPER": model.rate_per}
    cards |= _rate_meta(model)
    cards["BUNIT"] = _unit_text(FILE_RATE_UNIT)
    for number, axis in ((1, model.axes[2]), (2, model.axes[1])):
        cards |= _linear_wcs(number, axis)
    cards |= {"CTYPE3": "EBIN", "CRPIX3": 1.0, "CRVAL3": 0.0, "CDELT3": 1.0}
    edges = model.axes[0].edges_in("TeV")
    bounds = [
        Column("CHANNEL", np.arange(edges.size - 1, dtype=np.int32)),
        Column("E_MIN", edges[:-1], "TeV"),
        Column("E_MAX", edges[1:], "TeV"),
    ]
    image = image_bytes(_rate_to_write(model), cards)
    write_by_name(Path(path), image + table_bytes("EBOUNDS", bounds))


def read_background_model(path: str | Path) -> BackgroundModel:
    """Read a model that gpucube wrote, any GADF ``BKG_3D`` or ``BKG_2D``, or a table file of 2015.

    Parameters
    ----------
    path : path-like
        FITS file, compressed or not.

    Returns
    -------
    BackgroundModel
        Model on the host; `error`, `counts` and `livetime` are None where the file has none.

    Raises
    ------
    DataError
        The file is no background model, the order of its axes is ambiguous, or a rate is negative or infinite.
    """
    path = Path(path)
    with open_fits(path) as hdus:
        hdu = _background_hdu(hdus, path)
        column = next(name for name in RATE_COLUMNS if name in hdu.columns.names)
        error, counts, livetime = (
            _read_cube(hdus[name], _column_like(hdus[name], name), path) if name in hdus else None
            for name in ("ERROR", "COUNTS", "LIVETIME")
        )
        return BackgroundModel(
            rate=_possible(_read_cube(hdu, column, path), hdu.name, column, path),
            counts=counts,
            livetime=livetime,
            error=error,
            fov_align=_read_alignment(hdu, path),
            rate_per=_read_rate_per(hdu, column, path),
            meta=_read_meta(hdus, hdu),
        )


def _read_meta(hdus: fits.HDUList, background: fits.BinTableHDU) -> dict[str, object]:
    found = {key: background.header[key] for key in META if key in background.header}
    error = hdus["ERROR"].header if "ERROR" in hdus else {}
    return found | {key: error[key] for key in ERROR_META if key in error}


def _rate_to_write(model: BackgroundModel) -> np.ndarray:
    """Rate in the unit of the files, and not below the floor."""
    rate, unit = model.rate.on_host().data, model.rate.unit
    if model.floor is not None:
        floor = model.floor * unit_factor(RATE_UNIT, unit)
        rate = np.where(rate >= floor, rate, floor)
    return rate * unit_factor(unit, FILE_RATE_UNIT)


# All models have the same few units.
@lru_cache(maxsize=64)
def _unit_text(unit: u.UnitBase) -> str:
    return str(unit.to_string("fits"))


def _table_of_cube(
    name: str,
    column: str,
    axes: tuple[Axis, ...],
    data: np.ndarray,
    unit: u.UnitBase,
    cards: Mapping[str, object] | None = None,
) -> bytes:
    """One-row table of a cube in GADF order."""
    by_name, names = {axis.name: axis for axis in axes}, _names(axes)
    order = GADF_ORDER[names]
    columns = []
    for axis_name in order:
        edges = by_name[axis_name].edges_in(FILE_UNIT[axis_name])
        for end, values in (("LO", edges[:-1]), ("HI", edges[1:])):
            columns.append(Column(f"{COLUMN_OF_AXIS[axis_name]}_{end}", values[None], FILE_UNIT[axis_name]))
    in_order = np.transpose(data, [names.index(axis_name) for axis_name in reversed(order)])
    columns.append(Column(column, in_order[None], _unit_text(unit) or None))
    pairs = (f"{COLUMN_OF_AXIS[axis]}_LO:{COLUMN_OF_AXIS[axis]}_HI" for axis in order)
    reference = {f"CREF{len(columns)}": f"({','.join(pairs)})"}
    return table_bytes(name, columns, reference | dict(cards or {}))


def _linear_wcs(number: int, axis: Axis) -> dict[str, object]:
    if not axis.is_regular:
        raise ValueError(f"{axis.name} bins differ in width; an image needs equal bins")
    edges = axis.edges_in("deg")
    width = (edges[-1] - edges[0]) / axis.n_bins
    return {
        f"CTYPE{number}": axis.name.upper(),
        f"CUNIT{number}": "deg",
        f"CRPIX{number}": 0.5 * (axis.n_bins + 1),
        f"CRVAL{number}": 0.5 * (edges[0] + edges[-1]),
        f"CDELT{number}": width,
    }


def _background_hdu(hdus: fits.HDUList, path: Path) -> fits.BinTableHDU:
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    for hdu in tables:
        if any(name in hdu.columns.names for name in RATE_COLUMNS) and POSITIONS & set(hdu.columns.names):
            return hdu
    if "EBOUNDS" in hdus:
        raise DataError("this is the image of a model", path, remedy="give its table file, ..._table.fits.gz")
    found = ", ".join(hdu.name or "(unnamed)" for hdu in tables) or "none"
    raise DataError(f"no HDU with columns BKG and DETX_LO or THETA_LO: no background model; tables: {found}", path)


def _column_like(hdu: fits.BinTableHDU, name: str) -> str:
    """Column by name, whatever its case: files of 2015 have it in lower case."""
    return next((column for column in hdu.columns.names if column.upper() == name), name)


def _read_cube(hdu: fits.BinTableHDU, column: str, path: Path) -> Cube:
    names = RADIAL_AXIS_NAMES if "THETA_LO" in hdu.columns.names else AXIS_NAMES
    axes = {name: _read_axis(hdu, name, path) for name in names}
    data = np.asarray(hdu.data[column][0])
    if data.ndim != len(names):
        problem = f"array has {data.ndim} axes, not {len(names)}"
        raise DataError(problem, path, hdu.name, column, "add the keyword TDIM")
    order = _axis_order(hdu, column, axes, data.shape, path)
    stored = tuple(reversed(order))
    data = np.transpose(data, [stored.index(name) for name in names])
    unit = hdu.columns[column].unit or ("s-1 MeV-1 sr-1" if column in RATE_COLUMNS else "")
    native = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
    try:
        cube = Cube(tuple(axes.values()), native, u.Unit(unit))
    except ValueError as error:
        raise DataError(str(error), path, hdu.name, column) from error
    if column in RATE_COLUMNS and not cube.unit.is_equivalent(RATE_UNIT):
        raise DataError(f"unit {unit!r} cannot be converted to {RATE_UNIT}", path, hdu.name, column)
    return cube


def _read_axis(hdu: fits.BinTableHDU, name: str, path: Path) -> Axis:
    label = COLUMN_OF_AXIS[name]
    missing = [f"{label}_{end}" for end in ("LO", "HI") if f"{label}_{end}" not in hdu.columns.names]
    if missing:
        raise DataError("column is missing", path, hdu.name, missing[0])
    low, high = (np.asarray(hdu.data[f"{label}_{end}"][0], dtype=float).ravel() for end in ("LO", "HI"))
    if not np.allclose(low[1:], high[:-1], rtol=1e-5, atol=1e-9):
        raise DataError("bins do not touch: each must begin where the one before ends", path, hdu.name, f"{label}_LO")
    try:
        unit = u.Unit(hdu.columns[f"{label}_LO"].unit or FILE_UNIT[name])
        edges = (np.append(low, high[-1]) * unit).to_value(FILE_UNIT[name])
        return Axis(name, edges, u.Unit(FILE_UNIT[name]))
    except (OptionError, ValueError) as error:
        raise DataError(str(error), path, hdu.name, f"{label}_LO") from error


def _axis_order(
    hdu: fits.BinTableHDU, column: str, axes: dict[str, Axis], shape: tuple[int, ...], path: Path
) -> tuple[str, ...]:
    """Axes as TDIM counts them: from CREFn, else the one known order that fits the shape."""
    number = hdu.columns.names.index(column) + 1
    if reference := hdu.header.get(f"CREF{number}"):
        labels = re.findall(r"(\w+)_LO", reference)
        if sorted(labels) != sorted(COLUMN_OF_AXIS[name] for name in axes):
            raise DataError(f"CREF{number} names axes {labels}", path, hdu.name, column)
        return tuple(AXIS_OF_COLUMN[label] for label in labels)
    if "HDUCLAS4" not in hdu.header and column not in ("BKG", "BGD"):
        return ORDER_2015
    orders = (GADF_ORDER[AXIS_NAMES], ORDER_DR1, ORDER_2015) if len(axes) == 3 else (GADF_ORDER[RADIAL_AXIS_NAMES],)
    fitting = [order for order in orders if tuple(axes[name].n_bins for name in reversed(order)) == shape]
    if fitting == [ORDER_DR1, ORDER_2015]:  # as many bins in DETX as in DETY
        return ORDER_DR1
    if len(fitting) != 1:
        raise DataError(
            f"{'ambiguous' if fitting else 'impossible'} order of axes: array of shape {shape}",
            path,
            hdu.name,
            column,
            f"add the keyword CREF{number} that GADF defines",
        )
    return fitting[0]


def _possible(rate: Cube, hdu: str, column: str, path: Path) -> Cube:
    """The rate, in which NaN is no exposure."""
    values = np.asarray(rate.data)
    wrong = (values < 0) | np.isinf(values)
    if wrong.any():
        problem = f"{wrong.sum()} of {wrong.size} cells have a negative or infinite rate, such as {values[wrong][0]}"
        raise DataError(problem, path, hdu, column, "make the model again")
    return rate


def _read_rate_per(hdu: fits.BinTableHDU, column: str, path: Path) -> str:
    default = "LIVETIME" if column == COLUMN_2015 else "ONTIME"
    rate_per = str(hdu.header.get("RATEPER", default)).strip().upper()
    if rate_per not in RATE_TIMES:
        raise DataError(f"RATEPER is {rate_per!r}; known are {', '.join(RATE_TIMES)}", path, hdu.name, "RATEPER")
    return rate_per


def _read_alignment(hdu: fits.BinTableHDU, path: Path) -> str:
    align = str(hdu.header.get("FOVALIGN", "")).strip().upper()
    if not align and "THETA_LO" in hdu.columns.names:
        return "ALTAZ"  # rings have no orientation
    if not align:
        log.warning("%s, HDU %s: no FOVALIGN; read as ALTAZ, the default of GADF", path, hdu.name)
        return "ALTAZ"
    if align not in ALIGNMENTS:
        raise DataError(f"FOVALIGN is {align!r}; known are {', '.join(ALIGNMENTS)}", path, hdu.name, "FOVALIGN")
    return align
