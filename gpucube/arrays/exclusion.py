"""Exclusion regions: which events lie in one, and how much of each bin lies outside all of them.

Regions are circles on the sphere. The open fraction f(y, x) of a bin is an integral over longitude,
latitude and time. Along a parallel of latitude a circle covers one interval of longitude, and the union
of intervals is known exactly, so only latitude and time are sampled. Nothing depends on the values:
neither shapes nor the order of operations, so a device never waits for the host.
"""

from __future__ import annotations

import math
from typing import Any

import array_api_compat
from array_api_compat import array_namespace

from gpucube.arrays.fov import directions, sky_to_fov

__all__ = ["inside_circles", "open_fraction"]

Array = Any

DEGREE = math.pi / 180

# Rounding must not decide about a point on the edge: an angle (deg) far below the precision of any position.
EDGE = 1e-10
# Numbers per intermediate array: they stay in the cache of a CPU, and memory is bounded.
BLOCK = 2**16
# Latitudes per row and time, and times at the least (repeated if there are fewer). Measured with regions whose edges
# run along the bins, which is the worst case, in a field that turns by 1 to 40 deg and moves by half a bin from one
# time to the next: f is off by 3e-4 at most for radii up to 0.4 deg, 7e-4 for 2 deg and 2e-3 for 5 to 40 deg (a
# quarter of a bin), on average by 2e-5; without rotation by 1e-5.
LATITUDES = 16
MIN_TIMES = 16
# A fraction below this is the rounding error of a bin that is covered all the time.
ROUNDING = 1e-12


def inside_circles(lon: Array, lat: Array, center_lon: Array, center_lat: Array, radius: Array) -> Array:
    """Tell which directions lie inside any of several circles on the sphere.

    Parameters
    ----------
    lon, lat : array of float64, shape (n,)
        Directions in deg, in the frame of the circles.
    center_lon, center_lat : array of float64, shape (n_circles,)
        Centres of the circles in deg.
    radius : array of float64, shape (n_circles,)
        Radii in deg, 0 to 180.

    Returns
    -------
    array of bool, shape (n,)
        Whether a direction is inside a circle or on its edge; False for NaN.
    """
    xp = array_namespace(lon, lat, center_lon, center_lat, radius)
    device = array_api_compat.device(lon)
    n, n_circles = lon.shape[0], center_lon.shape[0]
    if n == 0 or n_circles == 0:
        return xp.zeros((n,), dtype=xp.bool, device=device)
    centers = directions(center_lon, center_lat)
    half = xp.clip(radius + EDGE, 0.0, 180.0) * (DEGREE / 2)
    step = max(1, BLOCK // n_circles)
    blocks = [slice(start, min(start + step, n)) for start in range(0, n, step)]
    return xp.concat([_inside_any(directions(lon[rows], lat[rows]), centers, half, xp=xp) for rows in blocks])


def _inside_any(points: tuple[Array, ...], centers: tuple[Array, ...], half: Array, *, xp: Any) -> Array:
    """Whether unit vectors are within an angle 2 `half` of any centre.

    For unit vectors at the angle d, |a - b| / |a + b| = tan(d / 2), which is precise at all angles
    (W. Kahan, How Futile are Mindless Assessments of Roundoff, 2006, section 12).
    """
    pairs = [(a[:, None], b[None, :]) for a, b in zip(points, centers, strict=True)]
    difference = sum((a - b) ** 2 for a, b in pairs)
    total = sum((a + b) ** 2 for a, b in pairs)
    return xp.any(difference * xp.cos(half) ** 2 <= total * xp.sin(half) ** 2, axis=1)


def open_fraction(
    dety_edges: Array,
    detx_edges: Array,
    rotations: Array,
    weights: Array,
    center_lon: Array,
    center_lat: Array,
    radius: Array,
) -> Array:
    """Fraction of time and of solid angle of each bin that lies outside all of several circles.

    Parameters
    ----------
    dety_edges : array of float64, shape (n_dety + 1,)
        Increasing edges in field-of-view latitude in deg, within -90 and 90.
    detx_edges : array of float64, shape (n_detx + 1,)
        Increasing edges in field-of-view longitude in deg, within -180 and 180.
    rotations : array of float64, shape (k, 3, 3)
        Rotations from the sky frame to the field of view at k >= 1 times, see `gpucube.arrays.fov`. From one
        time to the next, circles in the field should move by no more than half a bin.
    weights : array of float64, shape (k,)
        Share of the time that each rotation stands for: positive, in any common unit.
    center_lon, center_lat : array of float64, shape (n_circles,)
        Centres of the circles in the sky frame in deg.
    radius : array of float64, shape (n_circles,)
        Radii in deg, 0 to 180. Time and memory grow with the number of circles: leave out those that
        cannot touch the field of view.

    Returns
    -------
    array of float64, shape (n_dety, n_detx)
        Fractions in [0, 1]: exactly 1 where no circle comes, exactly 0 where there are circles all the time, in
        between right to 1e-3 (2e-3 in single bins on the edge of circles of more than 2 deg). Overlapping
        circles count once; more circles never raise it, but for this error.

    Notes
    -----
    The latitudes are those of each time's row edges and of the northern and southern ends of the circles,
    where the covered length changes like a square root, and between these the nodes of a midpoint rule
    after the substitution y = -cos(pi u), which removes both. The nodes are shifted from time to time so that
    times and latitudes together form a lattice rule (I. H. Sloan, S. Joe, Lattice Methods for Multiple
    Integration, Oxford, 1994): what does not move is sampled at all the different latitudes.
    """
    xp = array_namespace(dety_edges, detx_edges, rotations, weights, center_lon, center_lat, radius)
    device = array_api_compat.device(rotations)
    n_y, n_x, n_circles = dety_edges.shape[0] - 1, detx_edges.shape[0] - 1, center_lon.shape[0]
    if n_circles == 0:
        return xp.ones((n_y, n_x), dtype=xp.float64, device=device)
    repeats = -(-MIN_TIMES // rotations.shape[0])
    lon, lat = sky_to_fov(center_lon, center_lat, rotations[:, None, :, :])
    lon, lat, weights = (xp.repeat(values, repeats, axis=0) for values in (lon, lat, weights))
    shifts = _lattice_shifts(weights.shape[0], device, xp=xp)
    radius = xp.clip(radius, 0.0, 180.0)
    covered = xp.zeros((n_y, n_x), dtype=xp.float64, device=device)
    total = xp.zeros((n_y, 1), dtype=xp.float64, device=device)
    step = max(1, BLOCK // ((n_y + 2 * n_circles) * LATITUDES * (n_x + 1)))
    for start in range(0, weights.shape[0], step):
        times = slice(start, min(start + step, weights.shape[0]))
        bounds = _latitude_bounds(dety_edges, lat[times, :], radius, xp=xp)
        nodes, areas = _latitude_nodes(bounds, shifts[times], weights[times], xp=xp)
        intervals = _covered_intervals(nodes, lon[times, :], lat[times, :], radius, xp=xp)
        lengths = _covered_lengths(detx_edges, *intervals, xp=xp)
        in_row = _rows_of_intervals(bounds, dety_edges, xp=xp)
        covered = covered + xp.sum(in_row @ xp.sum(lengths * areas[..., None], axis=2), axis=0)
        total = total + xp.sum(in_row @ xp.sum(areas, axis=2)[..., None], axis=0)
    fraction = 1.0 - covered / (total * xp.diff(detx_edges))
    return xp.where(fraction < ROUNDING, 0.0, fraction)


def _lattice_shifts(n: int, device: Any, *, xp: Any) -> Array:
    """Each of (j + 1/2) / n once, in an order in which neighbours are far apart: steps near the golden section."""
    step = next(m for m in range(round(n / ((1 + math.sqrt(5)) / 2)), n + 2) if math.gcd(m, n) == 1)
    order = (xp.arange(n, dtype=xp.int64, device=device) * step) % n
    return (xp.astype(order, xp.float64) + 0.5) / n


def _latitude_bounds(dety_edges: Array, lat: Array, radius: Array, *, xp: Any) -> Array:
    """Latitudes between which the covered length is smooth, but for kinks: shape (times, n_y + 2 n_circles + 1)."""
    # A circle around a pole covers whole parallels beyond the point where it would have crossed the pole.
    north = 90 - xp.abs(90 - (lat + radius))
    south = xp.abs(lat - radius + 90) - 90
    ends = xp.clip(xp.concat([north, south], axis=1), dety_edges[0], dety_edges[-1])
    edges = xp.broadcast_to(dety_edges, (lat.shape[0], dety_edges.shape[0]))
    return xp.sort(xp.concat([edges, ends], axis=1), axis=1)


def _latitude_nodes(bounds: Array, shifts: Array, weights: Array, *, xp: Any) -> tuple[Array, Array]:
    """Latitudes at which to sample, and the time and solid angle that each stands for: (times, intervals, nodes)."""
    number = xp.arange(LATITUDES, dtype=xp.float64, device=array_api_compat.device(bounds))
    angle = (number + shifts[:, None, None]) * (math.pi / LATITUDES)
    share = xp.sin(angle)
    share = share / xp.sum(share, axis=2, keepdims=True)
    low, high = bounds[:, :-1, None], bounds[:, 1:, None]
    nodes = (low + high) / 2 - (high - low) / 2 * xp.cos(angle)
    return nodes, weights[:, None, None] * (high - low) * share * xp.cos(nodes * DEGREE)


def _covered_intervals(nodes: Array, lon: Array, lat: Array, radius: Array, *, xp: Any) -> tuple[Array, Array]:
    """Starts and ends (deg) of disjoint intervals of longitude: (times, intervals, nodes, n_circles + 2)."""
    lon, lat, nodes = lon[:, None, None, :], lat[:, None, None, :], nodes[..., None]
    # sin^2(h / 2) from the law of haversines, with a difference of squares that keeps its precision.
    sines = xp.sin((radius + lat - nodes) * (DEGREE / 2)) * xp.sin((radius - lat + nodes) * (DEGREE / 2))
    cosines = xp.clip(xp.cos(lat * DEGREE) * xp.cos(nodes * DEGREE), 1e-30, 1.0)
    half = xp.asin(xp.sqrt(xp.clip(sines / cosines, 0.0, 1.0))) * (2 / DEGREE)
    starts, ends = lon - half, lon + half
    # What goes beyond 180 deg on one side comes back on the other.
    returning_end = xp.max(ends, axis=3, keepdims=True) - 360
    returning_start = xp.min(starts, axis=3, keepdims=True) + 360
    far = xp.full_like(returning_end, 540.0)
    return _disjoint(
        xp.concat([-far, starts, returning_start], axis=3), xp.concat([returning_end, ends, far], axis=3), xp=xp
    )


def _disjoint(starts: Array, ends: Array, *, xp: Any) -> tuple[Array, Array]:
    """Disjoint intervals with the same union, along the last axis."""
    # How many intervals cover a point follows from the starts and the ends alone, whichever belong together.
    starts, ends = xp.sort(starts, axis=-1), xp.sort(ends, axis=-1)
    first, later = starts[..., :1], xp.minimum(xp.maximum(starts[..., 1:], ends[..., :-1]), ends[..., 1:])
    return xp.concat([first, later], axis=-1), ends


def _covered_lengths(detx_edges: Array, starts: Array, ends: Array, *, xp: Any) -> Array:
    """Length (deg) of each bin in longitude that disjoint intervals cover: (times, intervals, nodes, n_x)."""
    below = 0.0  # covered length below each edge, but for a constant
    for circle in range(starts.shape[3]):
        start, end = starts[..., circle, None], ends[..., circle, None]
        below = below + xp.minimum(xp.maximum(detx_edges, start), end)
    return xp.diff(below, axis=-1)


def _rows_of_intervals(bounds: Array, dety_edges: Array, *, xp: Any) -> Array:
    """Matrix that adds up the intervals of each row: 1 where one lies in it, shape (times, n_y, intervals)."""
    middle = ((bounds[:, 1:] + bounds[:, :-1]) / 2)[:, None, :]
    low, high = dety_edges[:-1, None], dety_edges[1:, None]
    return xp.astype((middle >= low) & (middle < high), xp.float64)
