"""Every backend against NumPy, on events that Hypothesis draws: the promise of one code on CPU and GPU."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpucube.arrays.backend import Backend, get_backend, to_host
from gpucube.arrays.exposure import THRESHOLD_RULES, exposure_cube, spectral_index
from gpucube.arrays.histogram import histogramdd
from gpucube.arrays.rate import METHODS
from gpucube.arrays.tally import FATES, fillable, tally_fates
from gpucube.cubes.axis import Axis
from gpucube.cubes.cube import Cube

NUMPY = get_backend("numpy")
AXES = (Axis.energy(0.1, 80.0, 4), Axis.field_of_view("dety", 4.0, 5), Axis.field_of_view("detx", 4.0, 7))
# TeV; the smallest float32 that no library takes for 0.
LEAST_ENERGY = np.finfo(np.float32).tiny
VOLUME = Cube(AXES, np.zeros((4, 5, 7))).bin_volume


@st.composite
def event_lists(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    """Energy, DETY and DETX with values on edges, outside and invalid, and a flag for excluded events."""
    n = draw(st.integers(0, 40))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    columns = []
    for axis in AXES:
        special = [*axis.edges.tolist(), np.nan, np.inf, -np.inf, 0.0, -1.0, 2.0**-149, 2.0**-126]
        numbers = st.floats(-6, 100, width=32) | st.sampled_from(special)
        columns.append(np.array(draw(st.lists(numbers, min_size=n, max_size=n)), dtype=dtype))
    return (*columns, draw(arrays(bool, n)))


def fill(events: tuple[np.ndarray, ...], cut: float, backend: Backend) -> tuple[np.ndarray, np.ndarray]:
    energy, dety, detx, excluded = (backend.asarray(column) for column in events)
    edges = tuple(backend.asarray(axis.edges) for axis in AXES)
    fills, tallies = tally_fates(energy, (dety, detx), excluded, backend.asarray(cut), edges)
    counts = histogramdd((fillable(energy, fills), dety, detx), [axis.edges for axis in AXES])
    return to_host(counts), to_host(tallies)


def fates_one_by_one(events: tuple[np.ndarray, ...], cut: float) -> list[str]:
    """The first reason that applies to each event, in the order of `FATES`."""
    fates = []
    for energy, dety, detx, excluded in zip(*(column.tolist() for column in events), strict=True):
        inside = [axis.edges[0] <= x <= axis.edges[-1] for axis, x in zip(AXES, (energy, dety, detx), strict=True)]
        if not (np.isfinite([energy, dety, detx]).all() and energy >= LEAST_ENERGY):
            fates.append("invalid")
        elif excluded:
            fates.append("excluded")
        elif energy < cut:
            fates.append("below_threshold")
        elif not inside[0]:
            fates.append("outside_energy")
        else:
            fates.append("filled" if all(inside) else "outside_fov")
    return fates


@given(events=event_lists(), cut=st.floats(0.05, 90.0))
def test_every_event_has_one_fate_and_filled_ones_are_counted(
    backend: Backend, events: tuple[np.ndarray, ...], cut: float
) -> None:
    counts, tallies = fill(events, cut, backend)
    assert tallies.sum() == len(events[0])
    assert counts.sum() == tallies[FATES.index("filled")]
    energy, dety, detx, excluded = events
    valid = np.isfinite(energy) & np.isfinite(dety) & np.isfinite(detx) & (energy >= LEAST_ENERGY)
    kept = valid & ~excluded & (energy.astype(float) >= cut)
    sample = np.stack([column.astype(float) for column in (energy, dety, detx)], axis=1)[kept]
    np.testing.assert_array_equal(counts, np.histogramdd(sample, [axis.edges for axis in AXES])[0])
    assert tallies.tolist() == [fates_one_by_one(events, cut).count(fate) for fate in FATES]
    reference = fill(events, cut, NUMPY)
    np.testing.assert_array_equal(counts, reference[0])
    np.testing.assert_array_equal(tallies, reference[1])


@settings(max_examples=50)
@given(
    counts=arrays(np.int64, (4, 5, 7), elements=st.integers(0, 50)),
    observations=st.lists(st.tuples(st.floats(1.0, 1e4), st.floats(0.0, 100.0)), min_size=1, max_size=8),
    rule=st.sampled_from(sorted(THRESHOLD_RULES)),
    method=st.sampled_from(sorted(METHODS)),
    passes=st.integers(1, 5),
    open_fraction=arrays(np.float64, (5, 7), elements=st.just(0.0) | st.floats(1e-9, 1.0)),
)
def test_livetime_and_rate_agree(
    backend: Backend,
    counts: np.ndarray,
    observations: list[tuple[float, float]],
    rule: str,
    method: str,
    passes: int,
    open_fraction: np.ndarray,
) -> None:
    results = []
    for b in (backend, NUMPY):
        livetime, threshold = (
            b.asarray(list(values), dtype=b.xp.float64) for values in zip(*observations, strict=True)
        )
        edges = b.asarray(AXES[0].edges)
        index = spectral_index(b.asarray(counts.sum(axis=(1, 2))), livetime, threshold, edges)
        share = THRESHOLD_RULES[rule].share(threshold, edges, index)
        fractions = [None] * len(observations)
        fractions[0] = b.asarray(open_fraction)
        per_bin = exposure_cube(livetime, share, fractions)
        cube = b.xp.astype(b.asarray(counts), b.xp.float64)
        rate, error = METHODS[method](cube, per_bin + b.xp.zeros_like(cube), b.asarray(VOLUME), passes)
        results.append(tuple(to_host(array) for array in (index, per_bin, rate, error)))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-300)
