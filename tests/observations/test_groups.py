"""Groups of observations: each observation lies in one group or in none, and files give the groups back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpucube.errors import DataError, OptionError
from gpucube.observations.catalog import SourceCatalog, near_source
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.observations.table import ObservationTable

ALT_EDGES = [0, 20, 23, 27, 30, 33, 37, 40, 44, 49, 53, 58, 64, 72, 90]

# Few different numbers, so that values fall on edges often; multiples of 1/64, so that turning by 360 deg is exact.
numbers = st.integers(-64 * 8, 64 * 8).map(lambda i: i / 64)
altitudes = st.sampled_from(ALT_EDGES) | st.floats(-1, 91)
azimuths = st.integers(-720 * 64, 720 * 64).map(lambda i: i / 64) | st.sampled_from([-90.0, 0.0, 90.0, 270.0, 360.0])
edge_lists = st.lists(numbers, min_size=2, max_size=6, unique=True).map(sorted)
value_lists = st.one_of(
    st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=5, unique=True),
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=5, unique=True),
    st.lists(
        st.text("abc XYZ-+1.#,'\"é", min_size=1, max_size=6).map(str.strip).filter(bool),
        min_size=1,
        max_size=5,
        unique=True,
    ),
)
units = st.sampled_from(["", "deg", "s", "TeV", "1 / s"])


@st.composite
def axis_lists(draw: st.DrawFn) -> list[ObservationGroupAxis]:
    names = draw(st.lists(st.sampled_from(["ALT", "MUONEFF", "N_TELS", "X"]), min_size=1, max_size=3, unique=True))
    wild = st.lists(st.floats(allow_nan=False), min_size=2, max_size=5, unique=True).map(sorted)
    return [
        ObservationGroupAxis(name, edges=draw(wild | edge_lists), unit=draw(units))
        if draw(st.booleans())
        else ObservationGroupAxis(name, values=draw(value_lists), unit=draw(units))
        for name in names
    ]


def table_of(alt: object, az: object) -> Table:
    return Table({"ALT_PNT": np.array(alt, dtype=float) * u.deg, "AZ_PNT": np.array(az, dtype=float) * u.deg})


# Axes


def test_axis_is_plain_and_comparable() -> None:
    axis = ObservationGroupAxis("ALT", edges=np.array([0, 45, 90]) * u.deg)
    assert axis == ObservationGroupAxis("ALT", edges=[0, 45, 90], unit="deg")
    assert hash(axis) == hash(ObservationGroupAxis("ALT", edges=(0.0, 45.0, 90.0), unit="deg"))
    assert (axis.kind, axis.n_bins, axis.edges) == ("edges", 2, (0.0, 45.0, 90.0))
    assert ObservationGroupAxis("AZ", edges=np.array([0.0, np.pi]) * u.rad, unit="deg").edges == (0, 180)
    values = ObservationGroupAxis("N_TELS", values=np.array([3, 4]))
    assert (values.kind, values.n_bins, values.values) == ("values", 2, (3, 4))


@pytest.mark.parametrize(
    ("name", "arguments", "match"),
    [
        ("ALT", {}, "either edges or values"),
        ("ALT", {"edges": [0, 1], "values": [0]}, "either edges or values"),
        ("ALT", {"edges": [1]}, "do not increase"),
        ("ALT", {"edges": [0, 2, 1]}, "do not increase"),
        ("ALT", {"edges": [0, 1, 1]}, "do not increase"),
        ("ALT", {"edges": [0, np.nan, 2]}, "do not increase"),
        ("ALT", {"edges": ["0", "1"]}, "not numbers"),
        ("ALT", {"edges": [[0, 1]]}, "no list"),
        ("ALT", {"edges": [0, [1]]}, "make no sense"),
        ("ALT", {"edges": 5}, "no list"),
        ("N_TELS", {"values": [3, 3]}, "not all there and different"),
        ("MUONEFF", {"values": [np.nan]}, "not all there"),
        ("TARGET", {"values": ["a", " "]}, "not all there"),
        ("ALT", {"edges": [0, 1], "unit": "nonsense"}, "unit"),
        ("ALT", {"edges": [0, 1] * u.deg, "unit": "TeV"}, "make no sense"),
        ("AZ", {"edges": [0, 1], "unit": "TeV"}, "unit"),
        ("AZ", {"edges": [-90, 90, 271], "unit": "deg"}, "more than once"),
        ("AZ", {"edges": [0, 6.3], "unit": "rad"}, "more than once"),
        ("RA", {"edges": [0, np.inf]}, "more than once"),
    ],
)
def test_axis_refuses_nonsense(name: str, arguments: dict, match: str) -> None:
    with pytest.raises(OptionError, match=match) as error:
        ObservationGroupAxis(name, **arguments)
    assert f"group axis {name}" in str(error.value)


def test_groups_refuse_no_axis_and_equal_axes() -> None:
    axis = ObservationGroupAxis("X", edges=[0, 1])
    with pytest.raises(OptionError, match="at least one"):
        ObservationGroups([])
    with pytest.raises(OptionError, match="X_MAX, X_MIN"):
        ObservationGroups([axis, axis])
    with pytest.raises(OptionError, match="X_MIN"):
        ObservationGroups([axis, ObservationGroupAxis("X_MIN", values=[1])])
    with pytest.raises(OptionError, match="GROUP_ID"):
        ObservationGroups([ObservationGroupAxis("GROUP_ID", values=[1])])


# The groups of 2015


def test_default_groups() -> None:
    groups = ObservationGroups.default()
    assert groups.n_groups == 28
    table = groups.table
    assert table.colnames == ["GROUP_ID", "ALT_MIN", "ALT_MAX", "AZ_MIN", "AZ_MAX"]
    assert table["ALT_MIN"].unit == table["AZ_MAX"].unit == u.deg
    np.testing.assert_array_equal(table["GROUP_ID"], np.arange(28))
    np.testing.assert_array_equal(table["ALT_MIN"], np.repeat(ALT_EDGES[:-1], 2))
    np.testing.assert_array_equal(table["ALT_MAX"], np.repeat(ALT_EDGES[1:], 2))
    np.testing.assert_array_equal(table["AZ_MIN"], np.tile([-90, 90], 14))
    assert groups.describe(18) == "ALT 49..53 deg, AZ -90..90 deg"


def test_test_groups_have_room_for_all_directions() -> None:
    groups = ObservationGroups.test()
    assert groups.n_groups == 4
    alt, az = np.meshgrid([0, 44.9, 45, 90], [-90, 0, 89.9, 90, 180, 269.9, 270, 300, 359.9, 360], indexing="ij")
    ids = groups.group_ids(table_of(alt.ravel(), az.ravel())).reshape(alt.shape)
    north = [0, 0, 0, 1, 1, 1, 0, 0, 0, 0]
    np.testing.assert_array_equal(ids, [north, north, [2 + i for i in north], [2 + i for i in north]])


def test_nan_and_masked_values_belong_to_no_group() -> None:
    table = table_of([50, np.nan, 50, 50, 50], [0, 0, np.nan, np.inf, 0])
    table["ALT_PNT"] = MaskedColumn(table["ALT_PNT"], mask=[False] * 4 + [True])
    assert ObservationGroups.default().group_ids(table).tolist() == [18, -1, -1, -1, -1]


@given(
    alt=hnp.arrays(np.float64, 30, elements=altitudes | st.just(np.nan)),
    az=hnp.arrays(np.float64, 30, elements=azimuths),
)
def test_every_observation_is_in_one_group_or_none(alt: np.ndarray, az: np.ndarray) -> None:
    groups = ObservationGroups.default()
    ids = groups.group_ids(table_of(alt, az))
    assert ids.dtype == np.int64
    rows = groups.table
    for observation, group in enumerate(ids):
        turns = az[observation] + 360 * np.arange(-4, 5)[:, np.newaxis]
        in_az = ((rows["AZ_MIN"] <= turns) & (turns < rows["AZ_MAX"])).any(axis=0)
        in_alt = (rows["ALT_MIN"] <= alt[observation]) & (alt[observation] < rows["ALT_MAX"])
        in_alt |= (rows["ALT_MAX"] == 90) & (alt[observation] == 90)
        assert np.flatnonzero(in_alt & in_az).tolist() == ([] if group < 0 else [group])


@given(
    alt=hnp.arrays(np.float64, 20, elements=altitudes),
    az=hnp.arrays(np.float64, 20, elements=azimuths),
    turns=st.integers(-3, 3),
)
def test_azimuth_goes_round(alt: np.ndarray, az: np.ndarray, turns: int) -> None:
    groups = ObservationGroups.default()
    expected = groups.group_ids(table_of(alt, az))
    np.testing.assert_array_equal(groups.group_ids(table_of(alt, az + 360 * turns)), expected)
    arcmin = ObservationGroupAxis("AZ", edges=[-5400, 5400, 16200], unit="arcmin")
    in_arcmin = ObservationGroups([groups.axes[0], arcmin])
    np.testing.assert_array_equal(in_arcmin.group_ids(table_of(alt, az)), expected)


# Any columns


@given(
    edges=st.tuples(edge_lists, edge_lists, edge_lists),
    values=hnp.arrays(np.float64, (25, 3), elements=numbers | st.sampled_from([np.inf, -np.inf, np.nan])),
    order=st.permutations(range(25)),
)
def test_group_sizes_are_those_of_histogramdd(edges: tuple, values: np.ndarray, order: list[int]) -> None:
    names = ("A", "B", "C")
    groups = ObservationGroups([ObservationGroupAxis(n, edges=e) for n, e in zip(names, edges, strict=True)])
    ids = groups.group_ids(Table(values, names=names))
    sizes = np.bincount(ids[ids >= 0], minlength=groups.n_groups)
    finite = values[np.isfinite(values).all(axis=1)]
    expected, _ = np.histogramdd(finite, [np.array(e) for e in edges])
    np.testing.assert_array_equal(sizes.reshape(expected.shape), expected)
    np.testing.assert_array_equal(groups.group_ids(Table(values[order], names=names)), ids[order])


@given(edges=edge_lists, values=hnp.arrays(np.float64, 25, elements=numbers))
def test_bins_are_those_of_digitize(edges: list[float], values: np.ndarray) -> None:
    index = ObservationGroupAxis("X", edges=edges).indices(Table({"X": values}))
    inside = (values >= edges[0]) & (values < edges[-1])
    np.testing.assert_array_equal(index[inside], np.digitize(values[inside], edges) - 1)
    np.testing.assert_array_equal(index[values == edges[-1]], len(edges) - 2)
    assert (index[(values < edges[0]) | (values > edges[-1])] == -1).all()


@given(
    start=azimuths,
    widths=st.lists(st.integers(1, 64 * 90), min_size=1, max_size=4),
    az=hnp.arrays(np.float64, 20, elements=azimuths),
)
def test_azimuth_bins_from_any_start(start: float, widths: list[int], az: np.ndarray) -> None:
    edges = start + np.cumsum([0, *widths]) / 64
    index = ObservationGroupAxis("AZ", edges=edges).indices(Table({"AZ": az}))
    expected = np.digitize((az - start) % 360, edges - start) - 1
    expected[(az - start) % 360 == edges[-1] - start] = len(widths) - 1
    expected[expected == len(widths)] = -1
    np.testing.assert_array_equal(index, expected)


def test_values_and_units() -> None:
    table = Table({"N_TELS": [4, 3, 2, 4], "TARGET": ["a", "b", "c", ""], "ONTIME": [10, 20, 30, 40] * u.min})
    table["TELS"] = [b"4", b"3", b"", b"4"]
    tels = ObservationGroupAxis("N_TELS", values=[3, 4])
    time = ObservationGroupAxis("ONTIME", edges=[600, 1800], unit="s")
    groups = ObservationGroups([tels, time, ObservationGroupAxis("TARGET", values=["b", "a"])])
    assert tels.indices(table).tolist() == [1, 0, -1, 1]
    assert time.indices(table).tolist() == [0, 0, 0, -1]
    assert groups.group_ids(table).tolist() == [3, 0, -1, -1]
    assert groups.table.colnames == ["GROUP_ID", "N_TELS", "ONTIME_MIN", "ONTIME_MAX", "TARGET"]
    assert groups.describe(3) == "N_TELS 4, ONTIME 600..1800 s, TARGET a"
    assert ObservationGroupAxis("TELS", values=[3, 4]).indices(table).tolist() == [1, 0, -1, 1]
    assert ObservationGroupAxis("TELS", edges=[3, 4]).indices(table).tolist() == [0, 0, -1, 0]


def test_columns_of_2015_and_of_gadf() -> None:
    new = table_of([50, 51], [0, 180])
    old = new.copy()
    old.rename_columns(["ALT_PNT", "AZ_PNT"], ["ALT", "AZ"])
    for table in (new, old):
        assert ObservationGroups.default().group_ids(table).tolist() == [18, 19]


def test_group_ids_refuses_what_is_not_there() -> None:
    groups = ObservationGroups.default()
    table = table_of([1], [2])
    del table["ALT_PNT"]
    with pytest.raises(DataError, match=r"ALT.*AZ_PNT"):
        groups.group_ids(table)
    table["ALT_PNT"] = [1.0] * u.TeV
    with pytest.raises(DataError, match="TeV"):
        groups.group_ids(table)
    table["NAME"] = "Crab"
    with pytest.raises(DataError, match="Crab"):
        ObservationGroups([ObservationGroupAxis("NAME", edges=[0, 1])]).group_ids(table)


@pytest.mark.parametrize("group", [-1, 28])
def test_describe_refuses_other_groups(group: int) -> None:
    with pytest.raises(OptionError, match="0 to 27"):
        ObservationGroups.default().describe(group)


# Files


@given(axes=axis_lists())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_file_gives_the_groups_back(tmp_path: Path, axes: list[ObservationGroupAxis]) -> None:
    groups = ObservationGroups(axes)
    path = tmp_path / "groups.ecsv"
    path.write_text(groups.to_ecsv(), encoding="utf-8")
    found = ObservationGroups.read(path)
    assert found == groups
    assert found.to_ecsv() == groups.to_ecsv()


def test_equal_values_of_different_types_have_their_own_text() -> None:
    whole, real = (ObservationGroups([ObservationGroupAxis("N", values=values)]) for values in ((1, 2), (1.0, 2.0)))
    assert whole == real
    assert "datatype: int64}\n# meta" in whole.to_ecsv()
    assert "datatype: float64}\n# meta" in real.to_ecsv()


def test_read_file_of_2015(tmp_path: Path) -> None:
    for groups in (ObservationGroups.default(), ObservationGroups.test()):
        table = groups.table
        table.meta.clear()
        table.write(tmp_path / "a.ecsv", overwrite=True)
        assert ObservationGroups.read(tmp_path / "a.ecsv") == groups


def test_read_values_without_header(tmp_path: Path) -> None:
    axes = [ObservationGroupAxis("TARGET", values=["b", "a"]), ObservationGroupAxis("N_TELS", values=[4, 2, 3])]
    table = ObservationGroups(axes).table
    table.meta.clear()
    table.write(tmp_path / "a.ecsv")
    assert ObservationGroups.read(tmp_path / "a.ecsv") == ObservationGroups(axes)


def changed(change: str) -> Table:
    table = ObservationGroups.default().table
    if change == "edge":
        table["ALT_MIN"][3] = 21
    elif change == "row":
        table.remove_row(3)
    elif change == "order":
        table.reverse()
    elif change == "column":
        del table["AZ_MIN"]
    elif change == "axes":
        table.meta["axes"] = [{"name": "ALT", "edges": [2, 1]}]
    elif change == "keys":
        table.meta["axes"] = [{"nonsense": 1}]
    elif change == "nothing":
        table = table["GROUP_ID",]
    return table


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("change", ["edge", "row", "order", "column", "axes", "keys", "nothing"])
def test_read_refuses_what_is_no_grid(tmp_path: Path, change: str, header: bool) -> None:
    table = changed(change)
    if not header:
        table.meta.clear()
    table.write(tmp_path / "a.ecsv")
    if not header and change in ("axes", "keys"):
        assert ObservationGroups.read(tmp_path / "a.ecsv") == ObservationGroups.default()
        return
    with pytest.raises(DataError, match=r"a\.ecsv"):
        ObservationGroups.read(tmp_path / "a.ecsv")


def test_read_refuses_a_table_of_something_else(tmp_path: Path) -> None:
    i = np.arange(2000.0)
    Table(dict.fromkeys("abcde", i)).write(tmp_path / "a.ecsv")
    with pytest.raises(DataError, match="not the grid"):
        ObservationGroups.read(tmp_path / "a.ecsv")


# Real data


def test_default_groups_of_hess_dl3_dr1(hess_dl3_dr1: Path) -> None:
    table = ObservationTable.read(hess_dl3_dr1 / "obs-index.fits.gz")
    near, _ = near_source(SourceCatalog.builtin(), table.pointing)
    ids = ObservationGroups.default().group_ids(table[~near])
    assert len(set(ids.tolist())) == 11
    assert (ids >= 0).all()
    tels = ObservationGroupAxis("N_TELS", values=[3, 4])
    np.testing.assert_array_equal(tels.indices(table) + 3, table["N_TELS"])
