"""Catalogues of gamma-ray sources, and the observations that point too near to one of them.

A background model must not contain gamma rays, so observations near known sources are left out. The built-in
catalogue holds the very-high-energy sources of the Fermi-LAT 3FHL catalogue (Ajello et al. 2017, ApJS 232, 18);
`SourceCatalog.read` takes any table with positions, under the spellings of 3FHL, 4FGL, gamma-cat, TeVCat and VizieR.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import Angle, SkyCoord, angular_separation
from astropy.table import Column, Table
from numpy.typing import NDArray

from gpucube.errors import DataError, OptionError
from gpucube.observations.columns import column_floats, column_texts, column_values, read_tables

__all__ = ["SourceCatalog", "near_source"]

log = logging.getLogger(__name__)

# Spellings of columns, the best first, without regard to case and signs: "_RAJ2000", "RA (J2000)" and
# "ra_j2000" are all "raj2000".
_POSITIONS = (
    ("raj2000", "dej2000"),
    ("raj2000", "decj2000"),
    ("raicrs", "deicrs"),
    ("raicrs", "decicrs"),
    ("ra", "dec"),
    ("ra", "de"),
    ("radeg", "decdeg"),
    ("radeg", "dedeg"),
    ("coordra", "coorddec"),
    ("posra", "posdec"),
    ("ra2000", "dec2000"),
    ("rightascension", "declination"),
)
#: Columns of one entry are sizes along two directions; the larger one counts.
_RADII = (
    ("radius",),
    ("morphsigma", "morphsigma2"),
    ("modelsemimajor",),
    ("sizex", "sizey"),
    ("sigma",),
    ("extension",),
    ("extent",),
    ("size",),
    ("r",),
)
_NAMES = ("name", "commonname", "canonicalname", "sourcename", "source", "designation", "3fhl", "4fgl", "mainid", "id")

#: Separations computed at a time: 8 MiB per array, whatever the number of observations.
_BLOCK = 2**20


@dataclass(frozen=True, eq=False)
class SourceCatalog:
    """Positions and sizes of n gamma-ray sources.

    Parameters
    ----------
    names : numpy.ndarray of str
        Names, shape (n,).
    positions : astropy.coordinates.SkyCoord
        ICRS, shape (n,).
    radius : astropy.units.Quantity
        Angular size, shape (n,); 0 for a point.
    origin : str
        Where the catalogue comes from: a file or a citation.
    """

    names: NDArray[np.str_]
    positions: SkyCoord
    radius: u.Quantity
    origin: str

    def __post_init__(self) -> None:
        if not (len(self.names) == len(self.positions) == len(self.radius)):
            raise OptionError("names, positions and radius of a source catalogue must be equally long")

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def empty(cls) -> SourceCatalog:
        """Make a catalogue without sources, which rejects no observation."""
        return cls(np.array([], dtype=str), SkyCoord([], [], unit="deg"), [] * u.deg, "none")

    @classmethod
    @lru_cache(maxsize=1)
    def builtin(cls) -> SourceCatalog:
        """Get the catalogue that comes with gpucube: 133 very-high-energy sources of 3FHL."""
        data = resources.files("gpucube.observations").joinpath("data/vhe_sources_3fhl.ecsv")
        with resources.as_file(data) as path:
            catalog = replace(cls.read(path), origin="built-in catalogue (3FHL, Ajello et al. 2017, ApJS 232, 18)")
        # All who ask get the same.
        catalog.names.flags.writeable = catalog.radius.flags.writeable = False
        return catalog

    @classmethod
    def read(cls, path: str | Path) -> SourceCatalog:
        """Read a catalogue from any table that astropy can read.

        Parameters
        ----------
        path : path-like
            FITS, ECSV, VOTable, CSV or another text table; of several tables the first with positions counts.
            Positions (ICRS or J2000) may be numbers (deg, or the unit of the column) or sexagesimal text (RA in
            hours); a radius, sigma or size (deg, or the unit of the column) and a name are optional.

        Returns
        -------
        SourceCatalog
            Sources in the order of the file, without those that have no position (a warning names them). A missing
            radius is 0.

        Raises
        ------
        DataError
            If the file cannot be read, has no positions, or has positions or sizes that make no sense.
        """
        table, ra, dec = _table_with_positions(path)
        lon = _degrees(table, ra, u.hourangle, path)
        lat = _degrees(table, dec, u.deg, path)
        names, radius = _names(table), _radius(table, path)
        _refuse(names, np.abs(lat) > 90, lat, dec, path)
        _refuse(names, ~(np.isfinite(radius) & (radius >= 0)), radius, "radius", path)
        good = np.isfinite(lon) & np.isfinite(lat)
        if not good.all():
            log.warning("%s: left out, no position: %s", path, ", ".join(names[~good]))
        if not good.any():
            raise DataError("has no source with a position", path, remedy="give another catalogue, or none at all")
        positions = SkyCoord(lon[good], lat[good], unit="deg", frame="icrs")
        return cls(names[good], positions, radius[good] * u.deg, str(path))

    def head(self, n: int) -> SourceCatalog:
        """Keep the first `n` sources (all, if there are no more).

        Parameters
        ----------
        n : int
            Number of sources, at least 0.

        Returns
        -------
        SourceCatalog
            Catalogue of at most `n` sources.

        Raises
        ------
        OptionError
            If `n` is negative.
        """
        if n < 0:
            raise OptionError(f"cannot take {n} sources of a catalogue: give 0 or more")
        return replace(self, names=self.names[:n], positions=self.positions[:n], radius=self.radius[:n])


def _table_with_positions(path: str | Path) -> tuple[Table, str, str]:
    tables = read_tables(path)
    for table in tables:
        found = _columns_by_key(table)
        for ra, dec in _POSITIONS:
            if ra in found and dec in found:
                return table, found[ra], found[dec]
    accepted = ", ".join(f"{ra}/{dec}" for ra, dec in _POSITIONS)
    columns = "; ".join(", ".join(table.colnames) for table in tables)
    remedy = f"name the columns as one of {accepted}, in any case and with any underscores"
    raise DataError(f"no columns with right ascension and declination among: {columns}", path, remedy=remedy)


def _columns_by_key(table: Table) -> dict[str, str]:
    return {re.sub("[^a-z0-9]", "", name.casefold()): name for name in reversed(table.colnames)}


def _degrees(table: Table, name: str, sexagesimal: u.UnitBase, path: str | Path) -> NDArray[np.float64]:
    try:
        column_floats(table[name])
    except ValueError:
        return _from_sexagesimal(table[name], sexagesimal, path)
    # VizieR calls hours of right ascension "h", which is a time for astropy.
    if str(table[name].unit) == "h":
        table[name].unit = u.hourangle
    return column_values(table, name, "deg", path)


def _from_sexagesimal(column: Column, unit: u.UnitBase, path: str | Path) -> NDArray[np.float64]:
    try:
        return np.array([Angle(text, unit).deg if text else np.nan for text in column_texts(column)])
    except (TypeError, ValueError, u.UnitsError) as error:
        remedy = "give degrees, or text such as '05h34m31.9s' and '+22d00m52s'"
        raise DataError(str(error), path, column=column.name, remedy=remedy) from error


def _names(table: Table) -> NDArray[np.str_]:
    found = _columns_by_key(table)
    column = next((found[key] for key in _NAMES if key in found), None)
    texts = column_texts(table[column]) if column else [""] * len(table)
    return np.array([text or f"source {i}" for i, text in enumerate(texts)], dtype=str)


def _radius(table: Table, path: str | Path) -> NDArray[np.float64]:
    found = _columns_by_key(table)
    group = next((group for group in _RADII if group[0] in found), ())
    columns = [found[key] for key in group if key in found]
    log.debug("%s: source sizes from %s", path, " and ".join(columns) or "no column: all are points")
    sizes = [column_values(table, name, "deg", path) for name in columns]
    return np.max([np.where(np.isnan(size), 0, size) for size in sizes], axis=0) if sizes else np.zeros(len(table))


def _refuse(
    names: NDArray[np.str_], bad: NDArray[np.bool_], values: NDArray[np.float64], column: str, path: str | Path
) -> None:
    for name, value in zip(names[bad], values[bad], strict=True):
        raise DataError(f"{value:g} deg of {name} makes no sense", path, column=column, remedy="correct the row")


def near_source(
    catalog: SourceCatalog, pointing: SkyCoord, base: u.Quantity | float = 3.0, factor: float = 2.0
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Find the pointings that are too near to a source.

    A pointing is too near if its separation from a source is less than ``base + factor * radius`` of that source.

    Parameters
    ----------
    catalog : SourceCatalog
        Sources.
    pointing : astropy.coordinates.SkyCoord
        Pointings, shape (n,). One that is NaN is near to no source: look for NaN elsewhere.
    base : astropy.units.Quantity or float (deg)
        Separation to keep from a point source.
    factor : float
        Further separation to keep, in radii of the source.

    Returns
    -------
    near : numpy.ndarray of bool
        Whether a pointing is too near to a source, shape (n,).
    source : numpy.ndarray of int
        Index in `catalog` of the source that it is too near to, of several the one that would have it move furthest;
        -1 if none, shape (n,).
    """
    lon, lat = np.atleast_1d(pointing.icrs.ra.rad), np.atleast_1d(pointing.icrs.dec.rad)
    source = np.full(lon.shape, -1, dtype=np.int64)
    if len(catalog) == 0:
        return source >= 0, source
    limit = (u.Quantity(base, "deg") + factor * catalog.radius).to_value("rad")
    ra, dec = catalog.positions.ra.rad, catalog.positions.dec.rad
    step = max(1, _BLOCK // len(catalog))
    for start in range(0, len(lon), step):
        rows = slice(start, start + step)
        margin = limit - angular_separation(lon[rows, np.newaxis], lat[rows, np.newaxis], ra, dec)
        source[rows] = np.where((margin > 0).any(axis=1), np.argmax(margin, axis=1), -1)
    return source >= 0, source
