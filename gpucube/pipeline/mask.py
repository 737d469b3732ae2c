"""Exclusion regions of an observation: which events lie in one, and what they leave of the exposure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

from gpucube.arrays.backend import Array, Backend
from gpucube.arrays.exclusion import inside_circles, open_fraction
from gpucube.cubes.axis import Axis
from gpucube.errors import ObservationError
from gpucube.observations.events import Observation, SkyView
from gpucube.observations.regions import ExclusionRegions, sample_rotation

__all__ = ["Mask", "excluded_events", "field_radius", "masked", "open_bins"]

# Takes the pointing (the first axis of a field of view) to the north pole: rings around it are parallels.
TO_POLE = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
# Where the pointing is the target, half of the field of view is not defined (deg).
AT_TARGET = 0.05


@dataclass(frozen=True, eq=False)
class Mask:
    """What to leave out of observations.

    Attributes
    ----------
    regions : ExclusionRegions
        Regions that are the same for all observations.
    target_radius : float
        Radius in deg of a circle around the target of each observation that has one; 0 for none.
    wobble : bool
        Whether to leave out the half of the field of view in which the target is.
    """

    regions: ExclusionRegions
    target_radius: float = 0.0
    wobble: bool = False

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the mask."""
        digest = hashlib.sha256(f"{self.target_radius} {self.wobble}".encode())
        for values in (self.regions.lon, self.regions.lat, self.regions.radius):
            digest.update(values.tobytes())
        return digest.hexdigest()[:16]

    def regions_of(self, sky: SkyView, field_radius: float) -> ExclusionRegions:
        """Regions that come near the field of view of an observation.

        Parameters
        ----------
        sky : SkyView
            What the observation sees.
        field_radius : float
            Angle in deg from the pointing to the furthest corner of the field of view.

        Returns
        -------
        ExclusionRegions
            The regions.

        Raises
        ------
        ObservationError
            Half of the field of view is asked for, but which half is not known.
        """
        regions = self.regions
        if self.target_radius and sky.target:
            regions = regions + ExclusionRegions.around(*sky.target, self.target_radius, "target")
        if self.wobble:
            regions = regions + _half_of_target(sky)
        return regions.near(*sky.pointing, min(field_radius + sky.drift, 180.0))


def _half_of_target(sky: SkyView) -> ExclusionRegions:
    """Hemisphere around the point at 90 deg from the pointing, in the direction of the target."""
    if sky.target is None:
        raise ObservationError("no target position, so that half of the field cannot be left out", column="RA_OBJ")
    pointing, target = (SkyCoord(*position, unit="deg") for position in (sky.pointing, sky.target))
    if sky.drift:
        raise ObservationError(
            "the pointing moves, so that no half of the field is without the target", column="RA_OBJ"
        )
    if pointing.separation(target).deg < AT_TARGET:
        raise ObservationError("points at its target, so that no half of the field is without it", column="RA_OBJ")
    center = pointing.directional_offset_by(pointing.position_angle(target), 90 * u.deg)
    return ExclusionRegions.around(center.ra.deg, center.dec.deg, 90.0, "half of the target")


def excluded_events(sky: SkyView, regions: ExclusionRegions, backend: Backend) -> Array:
    """Tell which events lie in a region.

    Parameters
    ----------
    sky : SkyView
        Where the events come from.
    regions : ExclusionRegions
        Regions.
    backend : Backend
        Where to compute.

    Returns
    -------
    array of bool, shape (n_events,)
        On the device.
    """
    circles = (backend.asarray(values) for values in (regions.lon, regions.lat, regions.radius))
    return inside_circles(backend.asarray(sky.ra), backend.asarray(sky.dec), *circles)


def open_bins(sky: SkyView, regions: ExclusionRegions, field: tuple[Axis, ...], backend: Backend) -> Array:
    """Fraction of time and solid angle of each bin of a field of view outside all regions.

    Parameters
    ----------
    sky : SkyView
        How the field of view turns, and when.
    regions : ExclusionRegions
        Regions.
    field : tuple of Axis
        DETY and DETX axis, or offset axis.
    backend : Backend
        Where to compute.

    Returns
    -------
    array of float64, shape (n_dety, n_detx) or (n_offset,)
        On the device, see `gpucube.arrays.exclusion.open_fraction`.
    """
    edges = [axis.edges_in("deg") for axis in field]
    half_bin = 0.5 * min(float(np.diff(values).min()) for values in edges)
    start, stop = sky.intervals.T
    # A field that only turns moves most at its edge; one that drifts moves everywhere.
    reach = 90.0 if sky.drift else field_radius(field)
    matrices, weights = sample_rotation(sky.rotation, start, stop, reach, half_bin)
    circles = (backend.asarray(values) for values in (regions.lon, regions.lat, regions.radius))
    if len(edges) == 1:
        matrices, edges = TO_POLE @ matrices, [90.0 - edges[0][::-1], np.array([-180.0, 180.0])]
    fraction = open_fraction(*(backend.asarray(v) for v in (*edges, matrices, weights)), *circles)
    return backend.xp.flip(fraction[:, 0]) if len(field) == 1 else fraction


def field_radius(field: tuple[Axis, ...]) -> float:
    """Angle from the pointing to the furthest corner of a field of view.

    Parameters
    ----------
    field : tuple of Axis
        DETY and DETX axis, or offset axis.

    Returns
    -------
    float
        Angle in deg, or a little more.
    """
    return float(np.hypot.reduce([np.abs(axis.edges_in("deg")).max() for axis in field]))


def masked(
    observation: Observation, mask: Mask, field: tuple[Axis, ...], backend: Backend
) -> tuple[Array, Array | None]:
    """Apply a mask to an observation.

    Parameters
    ----------
    observation : Observation
        Observation, read with its `sky`.
    mask : Mask
        What to leave out.
    field : tuple of Axis
        DETY and DETX axis, or offset axis.
    backend : Backend
        Where to compute.

    Returns
    -------
    excluded : array of bool, shape (n_events,)
        Whether an event lies in a region.
    fraction : array of float64, shape of the field of view, or None
        What is open of each bin; None if no region comes near.

    Raises
    ------
    ObservationError
        The regions of this observation are not defined.
    """
    assert observation.sky is not None
    regions = mask.regions_of(observation.sky, field_radius(field))
    excluded = excluded_events(observation.sky, regions, backend)
    return excluded, open_bins(observation.sky, regions, field, backend) if len(regions) else None
