"""Exclusion regions on the sky, and the times at which to look where they are in the field of view."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import angular_separation
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import ArrayLike, NDArray

from gpucube.errors import DataError, OptionError
from gpucube.observations.catalog import SourceCatalog
from gpucube.observations.covering import circles_over
from gpucube.observations.pointing import FovRotation

__all__ = ["ExclusionRegions", "sample_rotation"]

# No sample stands for more than this share of the time. A bin on the edge of a region that crosses M bins is then
# off by M / (8 K^2) with K >= 24 samples.
LARGEST_SHARE = 1 / 24
# A field that turns by less than this part of the largest step is as good as at rest.
AT_REST = 1e-2

SAVE_AS = "save circles in fk5 or icrs as DS9 regions"


@dataclass(frozen=True, eq=False)
class ExclusionRegions:
    """Circles on the sky whose events are left out.

    Parameters
    ----------
    lon, lat : numpy.ndarray of float64, shape (n,)
        Centres (ICRS) in deg.
    radius : numpy.ndarray of float64, shape (n,)
        Radii in deg, 0 to 180.
    origin : str
        Where the regions come from.

    Raises
    ------
    OptionError
        The arrays differ in length, or a value is no position or no radius.
    """

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    radius: NDArray[np.float64]
    origin: str

    def __post_init__(self) -> None:
        if not (self.lon.shape == self.lat.shape == self.radius.shape == (self.lon.size,)):
            shapes = ", ".join(str(values.shape) for values in (self.lon, self.lat, self.radius))
            raise OptionError(f"lon, lat and radius of exclusion regions must be equally long, not {shapes}")
        good = np.isfinite(self.lon) & (np.abs(self.lat) <= 90) & (self.radius >= 0) & (self.radius <= 180)
        if not good.all():
            lon, lat, radius = (values[~good][0] for values in (self.lon, self.lat, self.radius))
            raise OptionError(f"{self.origin}: no circle on the sky: centre ({lon}, {lat}) deg, radius {radius} deg")

    def __len__(self) -> int:
        return len(self.lon)

    def __add__(self, other: ExclusionRegions) -> ExclusionRegions:
        lon, lat, radius = (
            np.concatenate([getattr(self, name), getattr(other, name)]) for name in ("lon", "lat", "radius")
        )
        origins = [regions.origin for regions in (self, other) if len(regions)]
        return ExclusionRegions(lon, lat, radius, ", ".join(dict.fromkeys(origins)) or self.origin)

    @classmethod
    def empty(cls) -> ExclusionRegions:
        """Make no regions, which exclude nothing."""
        return cls.around([], [], [], "none")

    @classmethod
    def around(cls, lon: ArrayLike, lat: ArrayLike, radius: ArrayLike, origin: str = "positions") -> ExclusionRegions:
        """Make circles around positions.

        Parameters
        ----------
        lon, lat : float or array-like, shape (n,)
            Centres (ICRS) in deg.
        radius : float or array-like, shape (n,)
            Radii in deg; one number serves for all.
        origin : str
            Where the positions come from.

        Returns
        -------
        ExclusionRegions
            The circles.

        Raises
        ------
        OptionError
            The numbers of values do not match, or a value is no position or no radius.
        """
        try:
            values = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (lon, lat, radius)))
        except ValueError as error:
            raise OptionError(f"exclusion regions: {error}") from error
        return cls(values[0].copy(), values[1].copy(), values[2].copy(), origin)

    @classmethod
    def from_catalog(cls, catalog: SourceCatalog, radius: float) -> ExclusionRegions:
        """Make circles around the sources of a catalogue.

        Parameters
        ----------
        catalog : SourceCatalog
            Sources.
        radius : float
            Radius in deg to leave out around a point source.

        Returns
        -------
        ExclusionRegions
            One circle per source. Its radius is `radius` plus the size of the source: what the instrument spreads,
            it spreads beyond the edge of an extended source as it does beyond a point.

        Raises
        ------
        OptionError
            `radius` makes no sense.
        """
        if not 0 <= radius <= 180:
            raise OptionError(f"radius of exclusion regions is {radius} deg; it must be from 0 to 180")
        positions = catalog.positions.icrs
        total = np.minimum(radius + catalog.radius.to_value("deg"), 180.0)
        return cls.around(positions.ra.deg, positions.dec.deg, total, catalog.origin)

    @classmethod
    def read(cls, path: str | Path) -> ExclusionRegions:
        """Read a file of sky regions: DS9 or CRTF.

        Parameters
        ----------
        path : path-like
            File with circles, ellipses, rectangles, polygons or rings in any celestial frame. Texts are passed over.

        Returns
        -------
        ExclusionRegions
            The circles in the order of the file; other shapes are covered with circles that reach a little beyond
            them, see `gpucube.observations.covering`.

        Raises
        ------
        OptionError
            The package regions, which reads such files, is not installed.
        DataError
            The file cannot be read, or has anything else: lines, points, shapes in pixels of an image.
        """
        try:
            package = importlib.import_module("regions")
        except ImportError as error:
            raise OptionError(f"{path}: to read region files, install gpucube[regions]") from error
        shapes = [shape for shape in _parse(package, path) if not isinstance(shape, package.TextSkyRegion)]
        try:
            return sum((cls._of_shape(package, shape, path) for shape in shapes), cls.around([], [], [], str(path)))
        except (OptionError, ValueError) as error:
            raise DataError(str(error), path, remedy="cover it with circles") from error

    @classmethod
    def _of_shape(cls, package: Any, shape: Any, path: str | Path) -> ExclusionRegions:
        _refuse_other_shapes(package, shape, path)
        if isinstance(shape, package.CircleSkyRegion):
            centers, radius = shape.center.icrs, shape.radius.to_value(u.deg)
        else:
            centers, radius = circles_over(shape)
        return cls.around(centers.ra.deg, centers.dec.deg, radius, str(path))

    def near(self, lon: float, lat: float, distance: float) -> ExclusionRegions:
        """Keep the circles that come nearer to a position than a distance.

        Parameters
        ----------
        lon, lat : float
            Position (ICRS) in deg, such as a pointing.
        distance : float
            Angle in deg, such as that of the furthest corner of the field of view.

        Returns
        -------
        ExclusionRegions
            Circles that touch the disc of this radius around the position, in their order.
        """
        centers = np.deg2rad(self.lon), np.deg2rad(self.lat)
        separation = np.rad2deg(angular_separation(*centers, np.deg2rad(lon), np.deg2rad(lat)))
        keep = separation <= distance + self.radius
        return ExclusionRegions(self.lon[keep], self.lat[keep], self.radius[keep], self.origin)


def _parse(package: Any, path: str | Path) -> Any:
    """Regions of a file; what the package passes over with a warning would leave a source in the background."""
    options = {} if Path(path).suffix.lower() in (".crtf", ".fits", ".gz") else {"format": "ds9"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyUserWarning)
            shapes = package.Regions.read(path, **options)
    except FileNotFoundError as error:
        raise DataError("no such file", path) from error
    except IsADirectoryError as error:
        raise DataError("is a folder", path, remedy="name a file of regions") from error
    except Exception as error:  # the parsers let through whatever their parts raise
        raise DataError(f"cannot be read: {error}", path, remedy=SAVE_AS) from error
    if not len(shapes):
        raise DataError("has no regions", path, remedy=SAVE_AS)
    return shapes


def _refuse_other_shapes(package: Any, shape: Any, path: str | Path) -> None:
    kind = type(shape).__name__
    if kind.endswith("PixelRegion"):
        raise DataError(f"{kind} is in pixels of an image", path, remedy="save regions in fk5 or icrs")
    if isinstance(shape, (package.PointSkyRegion, package.LineSkyRegion)):
        raise DataError(f"{kind} has no inside", path, remedy="replace it by a circle")
    if not shape.meta.get("include", True):
        raise DataError(f"{kind} is marked as excluded ('-')", path, remedy="regions add up: remove the sign")


def sample_rotation(
    rotation: FovRotation, start: ArrayLike, stop: ArrayLike, field_radius: float, max_step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Choose times at which to look where exclusion regions are in a field of view that turns.

    Parameters
    ----------
    rotation : FovRotation
        Rotation from the sky to the field of view.
    start, stop : float or array-like, shape (m,)
        Good time intervals in s, on the clock of `rotation`.
    field_radius : float
        Angle in deg from the pointing to the furthest corner of the field of view.
    max_step : float
        Angle in deg by which a direction there may move from one time to the next: half a bin.

    Returns
    -------
    matrices : numpy.ndarray of float64, shape (k, 3, 3)
        Rotations in the middle of k spans of time, for `gpucube.arrays.exclusion.open_fraction`.
    weights : numpy.ndarray of float64, shape (k,)
        Share of each span in the good time; the sum is 1.

    Raises
    ------
    OptionError
        There is no good time, or an angle is not positive.
    """
    starts, stops = np.atleast_1d(start).astype(np.float64), np.atleast_1d(stop).astype(np.float64)
    if starts.shape != stops.shape or not starts.size or not (stops > starts).all():
        raise OptionError(f"good time intervals must end after they start: {starts} to {stops} s")
    if not (field_radius > 0 and max_step > 0):
        raise OptionError(f"field radius {field_radius} deg and step {max_step} deg must be positive")
    duration = float(np.sum(stops - starts))
    path = _path(rotation, field_radius) / max_step
    moved = np.sum(np.interp(stops, rotation.times, path) - np.interp(starts, rotation.times, path))
    if moved < AT_REST:
        spans = [np.stack([starts, stops])]
    else:
        intervals = zip(starts, stops, strict=True)
        spans = [_equal_spans(rotation.times, path, LARGEST_SHARE * duration, *interval) for interval in intervals]
    bounds = np.concatenate(spans, axis=1)
    return _matrices_at(rotation, bounds.mean(axis=0)), (bounds[1] - bounds[0]) / duration


def _path(rotation: FovRotation, field_radius: float) -> NDArray[np.float64]:
    """Angle in deg that the edge of the field has moved until each node."""
    # The Frobenius norm of the difference of rotations by the angle a is 2 sqrt(2) sin(a / 2), also for small a.
    norm = np.linalg.norm(np.diff(rotation.matrices, axis=0), axis=(1, 2))
    angle = 2 * np.arcsin(np.clip(norm / np.sqrt(8), 0, 1))
    steps = np.rad2deg(angle) * np.sin(np.deg2rad(min(field_radius, 90.0)))
    return np.concatenate([[0.0], np.cumsum(steps)])


def _equal_spans(
    times: NDArray[np.float64], path: NDArray[np.float64], longest: float, start: float, stop: float
) -> NDArray[np.float64]:
    """Starts and stops, shape (2, k), of spans that see one step of the path, or the longest time, or some of both."""
    nodes = np.concatenate([[start], times[(times > start) & (times < stop)], [stop]])
    fullness = np.interp(nodes, times, path) + (nodes - start) / longest
    k = int(np.ceil(fullness[-1] - fullness[0]))
    bounds = np.interp(np.linspace(fullness[0], fullness[-1], k + 1), fullness, nodes)
    return np.stack([bounds[:-1], bounds[1:]])


def _matrices_at(rotation: FovRotation, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotations, linear between the nodes and those of the first and last beyond."""
    nodes = rotation.times
    times = np.clip(times, nodes[0], nodes[-1])
    index = np.clip(np.searchsorted(nodes, times, side="right") - 1, 0, len(nodes) - 2)
    weight = ((times - nodes[index]) / (nodes[index + 1] - nodes[index]))[:, None, None]
    return rotation.matrices[index] * (1 - weight) + rotation.matrices[index + 1] * weight
