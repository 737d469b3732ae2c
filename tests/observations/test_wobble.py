"""Wobble positions: the same side of any target is the same position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from gpucube.errors import DataError
from gpucube.observations.table import ObservationTable
from gpucube.observations.wobble import wobble_positions

SIDES = {"north": 0, "east": 90, "south": 180, "west": 270}


def table_of(targets: SkyCoord, sides: list[str], offsets: list[float]) -> Table:
    pointing = targets.directional_offset_by([SIDES[side] for side in sides] * u.deg, offsets * u.deg)
    return Table(
        {"RA_PNT": pointing.ra, "DEC_PNT": pointing.dec, "RA_OBJ": targets.ra, "DEC_OBJ": targets.dec},
    )


@given(
    rows=st.lists(
        st.tuples(st.floats(0, 360), st.floats(-85, 85), st.sampled_from(sorted(SIDES)), st.sampled_from([0.5, 0.7])),
        min_size=1,
        max_size=12,
    ),
    data=st.data(),
)
def test_sides_are_told_apart_whatever_the_target(rows: list[tuple], data: st.DataObject) -> None:
    ra, dec, sides, offsets = (list(column) for column in zip(*rows, strict=True))
    table = table_of(SkyCoord(ra, dec, unit="deg"), sides, offsets)
    indices, labels = wobble_positions(table)
    assert len(labels) == len(set(sides))
    assert {side: set(indices[np.array(sides) == side].tolist()) for side in sides} == {
        side: {int(indices[sides.index(side)])} for side in sides
    }
    order = data.draw(st.permutations(range(len(rows))))
    shuffled, labels_of_shuffled = wobble_positions(table[order])
    assert labels_of_shuffled == labels
    np.testing.assert_array_equal(shuffled, indices[order])


def test_labels() -> None:
    targets = SkyCoord([10, 200, 10], [0, 60, 0], unit="deg")
    indices, labels = wobble_positions(table_of(targets, ["north", "south", "east"], [0.5, 0.5, 0.7]))
    assert [labels[i] for i in indices] == [f"wobble {xy} deg" for xy in ("+0.00 +0.50", "+0.00 -0.50", "+0.70 +0.00")]


def test_pointings_count_where_there_is_no_target() -> None:
    table = Table({"RA_PNT": [359.9, 0.1, 83.6, 359.95], "DEC_PNT": [0.0, 0.0, 22.0, 0.5]}, units=["deg", "deg"])
    assert wobble_positions(table)[0].tolist() == [0, 0, 1, 2]


def test_no_position_is_no_wobble() -> None:
    table = table_of(SkyCoord([10.0] * 4, [0.0] * 4, unit="deg"), ["north"] * 4, [0.5] * 4)
    table["RA_OBJ"][0], table["DEC_OBJ"][1], table["DEC_PNT"][2] = np.nan, 91, np.inf
    indices, labels = wobble_positions(table)
    assert indices.tolist() == [-1, -1, -1, 0]
    assert len(labels) == 1
    assert wobble_positions(table[:0])[1] == []
    with pytest.raises(DataError, match="RA_PNT"):
        wobble_positions(table["DEC_PNT", "RA_OBJ"])


def test_real_wobbles(hess_dl3_dr1: Path) -> None:
    table = ObservationTable.read(hess_dl3_dr1 / "obs-index.fits.gz")
    indices, labels = wobble_positions(table)
    # North, south, east and west by 0.5 or 0.7 deg, on target, and Crab runs 1.5 deg east and west of it.
    assert sorted(np.bincount(indices).tolist()) == [1, 1, 3, 5, 8, 12, 14]
    assert sum("1.50" in label for label in labels) == 2
