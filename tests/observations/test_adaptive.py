"""Bins in zenith angle that the observations decide: each has the minimum, there are as many as can be."""

from __future__ import annotations

import logging
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from gpucube.errors import DataError, OptionError
from gpucube.observations.adaptive import AdaptiveGroups
from gpucube.observations.catalog import SourceCatalog, near_source
from gpucube.observations.group_axis import ObservationGroupAxis
from gpucube.observations.groups import ObservationGroups
from gpucube.observations.table import ObservationTable

EAST_WEST = ObservationGroupAxis("AZ", edges=(0, 180, 360), unit="deg")
# Target offsets of four wobble positions.
WOBBLES = [(0.0, 0.5), (0.0, -0.5), (0.7, 0.0), (-0.7, 0.0)]

# Few different altitudes, so that some observations share one; nanoseconds of difference must not matter.
altitudes = st.sampled_from([0.0, 12.5, 40.0, 40.1, 60.0, 60.0000001, 89.0, 90.0]) | st.floats(0, 90)
observations = st.lists(
    st.tuples(altitudes, st.sampled_from([90.0, 270.0]), st.integers(1, 40), st.sampled_from(WOBBLES)),
    min_size=0,
    max_size=9,
)
minima = st.tuples(st.integers(0, 60), st.integers(0, 4)).filter(any)


def table_of(rows: list[tuple]) -> Table:
    alt, az, minutes, wobble = (np.array([row[i] for row in rows]) for i in range(4))
    wobble = wobble.reshape(-1, 2).astype(float)
    return Table(
        {
            "ALT_PNT": alt.astype(float) * u.deg,
            "AZ_PNT": az.astype(float) * u.deg,
            "LIVETIME": minutes.astype(float) * 60 * u.s,
            "RA_OBJ": np.full(len(rows), 30.0) * u.deg,
            "DEC_OBJ": np.full(len(rows), 0.0) * u.deg,
            "RA_PNT": 30.0 + wobble[:, 0],
            "DEC_PNT": wobble[:, 1],
        }
    )


def parts_of(rows: list[tuple], split: bool, per_wobble: bool) -> list[object]:
    """What the minimum must hold for, of each observation."""
    return [(row[1] if split else None, row[3] if per_wobble else None) for row in rows]


def enough(rows: list[tuple], members: list[int], minimum: tuple[int, int]) -> bool:
    return sum(rows[i][2] for i in members) >= minimum[0] and len(members) >= minimum[1]


def most_bins(rows: list[tuple], parts: list[object], wanted: set[object], minimum: tuple[int, int]) -> int:
    """Try all cuts between different altitudes."""
    # The last bin is closed on both sides.
    altitudes = sorted({min(row[0], np.nextafter(90, 0)) for row in rows})
    best = 1
    for n_cuts in range(1, len(altitudes)):
        for cuts in combinations(altitudes[1:], n_cuts):
            bins = np.searchsorted(cuts, [row[0] for row in rows], side="right")
            if all(
                enough(rows, [i for i in range(len(rows)) if bins[i] == b and parts[i] == part], minimum)
                for b in range(n_cuts + 1)
                for part in wanted
            ):
                best = n_cuts + 1
    return best


@given(rows=observations, minimum=minima, split=st.booleans(), per_wobble=st.booleans(), data=st.data())
def test_bins_have_the_minimum_and_are_as_many_as_can_be(
    rows: list[tuple], minimum: tuple[int, int], split: bool, per_wobble: bool, data: st.DataObject
) -> None:
    adaptive = AdaptiveGroups((EAST_WEST,) if split else (), minimum[0] * 60.0, minimum[1], per_wobble)
    groups = adaptive.groups_for(table_of(rows))
    ids = groups.group_ids(table_of(rows))
    assert (ids >= 0).all()
    n_bins = groups.shape[0]
    bins = ids // (2 if split else 1)
    parts = parts_of(rows, split, per_wobble)
    occurring = set(
        parts_of([(0, az, 0, w) for az in {r[1] for r in rows} for w in {r[3] for r in rows}], split, per_wobble)
    )
    reached = {p for p in occurring if enough(rows, [i for i in range(len(rows)) if parts[i] == p], minimum)}
    for b in range(n_bins if reached else 0):
        for part in reached:
            assert enough(rows, [i for i in range(len(rows)) if bins[i] == b and parts[i] == part], minimum)
    assert n_bins == (most_bins(rows, parts, reached, minimum) if reached else 1)
    assert adaptive.groups_for(table_of(data.draw(st.permutations(rows)))) == groups


@given(rows=observations, minimum=minima)
def test_edges_lie_between_observations_and_cover_all(rows: list[tuple], minimum: tuple[int, int]) -> None:
    axis = AdaptiveGroups((), minimum[0] * 60.0, minimum[1]).groups_for(table_of(rows)).axes[0]
    assert (axis.name, axis.unit, axis.edges[0], axis.edges[-1]) == ("ALT", "deg", 0.0, 90.0)
    found = sorted(row[0] for row in rows)
    for edge in axis.edges[1:-1]:
        assert found[0] < edge <= found[-1]


def test_bins_are_about_even() -> None:
    # Filled one after the other, all would hold two but for the last or first.
    rows = [(30.0 + 5 * i, 90.0, 30, WOBBLES[0]) for i in range(11)]
    groups = AdaptiveGroups((), 3600.0).groups_for(table_of(rows))
    assert np.bincount(groups.group_ids(table_of(rows))).tolist() == [2, 2, 3, 2, 2]


def test_edge_is_round_and_in_the_middle_of_the_cosine() -> None:
    rows = [(10.0, 90.0, 30, WOBBLES[0]), (80.0, 90.0, 30, WOBBLES[0]), (80.04, 90.0, 30, WOBBLES[0])]
    groups = AdaptiveGroups((), min_observations=1).groups_for(table_of(rows))
    # (sin 10 deg + sin 80 deg) / 2 = sin 35.4 deg
    assert groups.axes[0].edges == (0.0, 35.0, 80.02, 90.0)


def test_wobbles_of_several_targets_count_together() -> None:
    rows = [(40.0 + i, 90.0, 30, WOBBLES[i % 2]) for i in range(8)]
    table = table_of(rows)
    for i in range(4):
        table["RA_OBJ"][2 * i : 2 * i + 2] += 20 * i
        table["RA_PNT"][2 * i : 2 * i + 2] += 20 * i
    adaptive = AdaptiveGroups((), min_observations=1, per_wobble=True)
    assert adaptive.groups_for(table).n_groups == 4
    assert AdaptiveGroups((), min_observations=1).groups_for(table).n_groups == 8


def test_what_lacks_the_minimum_is_named_and_costs_nobody_a_bin(caplog: pytest.LogCaptureFixture) -> None:
    rows = [(40.0 + i, 90.0, 30, WOBBLES[i % 2]) for i in range(8)] + [(50.0, 270.0, 30, WOBBLES[0])]
    groups = AdaptiveGroups((EAST_WEST,), min_observations=2).groups_for(table_of(rows))
    assert groups.shape == (4, 2)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "AZ 180..360 deg: " in warnings[0]
    assert "1 observation" in warnings[0]
    assert "AZ 0..180 deg" not in warnings[0]


def test_too_few_observations_are_one_bin_and_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    rows = [(40.0 + i, 90.0, 30, WOBBLES[0]) for i in range(3)]
    groups = AdaptiveGroups((), min_livetime=36000.0).groups_for(table_of(rows))
    assert groups.axes[0].edges == (0.0, 90.0)
    assert "all observations: 1.5 h" in caplog.text
    assert "less than 10 h even" in caplog.text


def test_warning_stays_readable(caplog: pytest.LogCaptureFixture) -> None:
    rows = [(40.0, 90.0, 30, (float(i), 0.0)) for i in range(13)]
    AdaptiveGroups((), min_observations=2, per_wobble=True).groups_for(table_of(rows))
    assert caplog.text.count("1 observation") == 10
    assert "and 3 more" in caplog.text


def test_observations_without_numbers_do_not_count(caplog: pytest.LogCaptureFixture) -> None:
    rows = [(40.0 + i, 90.0, 30, WOBBLES[0]) for i in range(6)]
    table = table_of(rows)
    table["ALT_PNT"][0], table["ALT_PNT"][1] = np.nan, 95.0
    table["LIVETIME"][2], table["LIVETIME"][3] = np.nan, -1e9
    assert AdaptiveGroups((), min_observations=1).groups_for(table).n_groups == 4
    assert AdaptiveGroups((), min_livetime=1800.0).groups_for(table).n_groups == 2
    table["DEC_OBJ"][5] = np.nan
    assert AdaptiveGroups((), min_observations=1, per_wobble=True).groups_for(table).n_groups == 3
    assert "wobble position: 1 obs" in caplog.text


def test_missing_columns_are_named() -> None:
    table = table_of([(40.0, 90.0, 30, WOBBLES[0])])
    for column, adaptive in (
        ("LIVETIME", AdaptiveGroups((), min_livetime=3600.0)),
        ("MUONEFF", AdaptiveGroups((ObservationGroupAxis("MUONEFF", edges=(0, 1)),), min_observations=1)),
    ):
        if column in table.colnames:
            del table[column]
        with pytest.raises(DataError, match=rf"{column}.*ALT_PNT"):
            adaptive.groups_for(table)
    assert AdaptiveGroups((), min_observations=1).groups_for(table).n_groups == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"min_livetime": -1.0},
        {"min_livetime": np.nan},
        {"min_livetime": np.inf},
        {"min_observations": -1},
        {"min_observations": 1, "axes": (EAST_WEST, EAST_WEST)},
        {"min_observations": 1, "axes": (ObservationGroupAxis("ALT", edges=(0, 90)),)},
    ],
)
def test_nonsense_is_refused(arguments: dict) -> None:
    with pytest.raises(OptionError):
        AdaptiveGroups(**arguments)


def test_groups_of_any_other_kind_do_not_look_at_observations() -> None:
    groups = ObservationGroups.default()
    assert groups.groups_for(table_of([])) is groups


def test_real_observations(hess_dl3_dr1: Path) -> None:
    table = ObservationTable.read(hess_dl3_dr1 / "obs-index.fits.gz")
    table = table[~near_source(SourceCatalog.builtin(), table.pointing)[0]]
    groups = AdaptiveGroups((), min_livetime=2 * 3600.0).groups_for(table)
    ids = groups.group_ids(table)
    assert (ids >= 0).all()
    livetime = np.bincount(ids, weights=table["LIVETIME"], minlength=groups.n_groups)
    assert (livetime >= 7200).all()
    assert groups.n_groups == 5
