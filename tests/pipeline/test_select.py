"""Selection: every observation ends in one group, or in the ledger with the reason why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucube.errors import OutputError
from gpucube.observations.events import ObservationFiles
from gpucube.observations.group_by import groups_by
from gpucube.observations.store import DataStore
from gpucube.observations.table import ObservationTable
from gpucube.pipeline import Settings, make_models
from gpucube.pipeline.select import select_observations
from tests.stores import copy_store

QUICK = Settings(backend="numpy", catalog="none")

rows = st.lists(
    st.tuples(
        st.sampled_from([-1.0, 20.0, 45.0, 60.0, 90.0, 91.0, np.nan]),
        st.sampled_from([-10.0, 90.0, 270.0, 400.0, np.nan]),
        st.sampled_from([0.3, 0.5, 0.7, np.nan]),
        st.integers(1, 5),
        st.sampled_from([600.0, 1700.0, np.nan]),
    ),
    min_size=1,
    max_size=12,
)
groupings = st.sampled_from(
    [
        groups_by(["ALT:0,45,90", "MUONEFF:0.4,0.6"]),
        groups_by(["N_TELS=3,4", "AZ:0,90,180"]),
        groups_by(["zenith", "MUONEFF:0.4,0.8"], min_livetime="1"),
        groups_by(["zenith", "east-west", "N_TELS=3,4"], min_observations=2, per_wobble=True),
    ]
)


def store_of(rows: list[tuple], order: list[int]) -> DataStore:
    alt, az, muon, tels, livetime = (np.array(column) for column in zip(*rows, strict=True))
    n = np.arange(len(rows))
    columns = {"OBS_ID": n, "RA_PNT": n * 3.0 * u.deg, "DEC_PNT": (n % 2 - 0.5) * u.deg, "RA_OBJ": n * 3.0 * u.deg}
    columns |= {"DEC_OBJ": np.zeros(len(n)) * u.deg, "ALT_PNT": alt * u.deg, "AZ_PNT": az * u.deg}
    columns |= {"MUONEFF": muon, "N_TELS": tels, "LIVETIME": livetime * u.s}
    files = {int(i): ObservationFiles(None, None) for i in n}
    return DataStore(Path("nowhere"), "GADF", ObservationTable(columns)[order], files)


@given(rows=rows, groups=groupings, data=st.data())
@settings(max_examples=40)
def test_every_observation_has_one_group_or_a_reason(rows: list[tuple], groups: object, data: st.DataObject) -> None:
    selection = select_observations(store_of(rows, list(range(len(rows)))), QUICK, groups)
    assert [row.obs_id for row in selection.rows] == list(range(len(rows)))
    for row in selection.rows:
        assert (row.status == "used") == (0 <= row.group_id < selection.groups.n_groups) == (row.reason == "")
    used = [index for members in selection.indices_by_group().values() for index in members]
    assert sorted(used) == [row.obs_id for row in selection.rows if row.status == "used"]
    others = select_observations(store_of(rows, data.draw(st.permutations(range(len(rows))))), QUICK, groups)
    assert others.groups == selection.groups
    # As text: NaN is not equal to itself.
    assert sorted(map(repr, others.rows)) == sorted(map(repr, selection.rows))


def test_reason_names_axis_and_value(store: Path, tmp_path: Path) -> None:
    data = copy_store(store, tmp_path / "data")
    index = Table.read(data / "obs-index.fits.gz")
    index["MUONEFF"] = np.linspace(0.5, 1.2, len(index))
    index["MUONEFF"][1] = np.nan
    index.write(data / "obs-index.fits.gz", overwrite=True)
    make_models(data, tmp_path / "out", settings=QUICK, groups=groups_by(["MUONEFF:0.5,0.7,1"]))
    table = Table.read(tmp_path / "out" / "bg_event_ledger.ecsv")
    ungrouped = table[table["STATUS"] == "ungrouped"]
    assert ungrouped["OBS_ID"].tolist() == [2, 7, 8]
    assert ungrouped["REASON"].tolist() == [
        "MUONEFF is NaN",
        "MUONEFF 1.1 is outside 0.5..1",
        "MUONEFF 1.2 is outside 0.5..1",
    ]


def test_resume_notices_other_minimum(store: Path, tmp_path: Path) -> None:
    two, three = (groups_by(["zenith"], min_observations=n) for n in (2, 3))
    make_models(store, tmp_path / "out", settings=QUICK, groups=two)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*_table.fits.gz")}
    make_models(store, tmp_path / "out", settings=replace(QUICK, resume=True), groups=two)
    models = [path for path in before if "cube_model" in path.name]
    assert len(models) == 4
    assert all(path.stat().st_mtime_ns == before[path] for path in models)
    with pytest.raises(OutputError, match="other settings or observations"):
        make_models(store, tmp_path / "out", settings=replace(QUICK, resume=True), groups=three)


def test_zenith_bins_of_real_data(hess_dl3_dr1: Path, tmp_path: Path) -> None:
    groups = groups_by(["zenith"], min_livetime="2")
    summary = make_models(hess_dl3_dr1, tmp_path / "out", "GADF", Settings(backend="numpy"), groups)
    used = [row for row in summary.rows if row.status == "used"]
    assert len(used) == 25
    for group_id in range(summary.groups.n_groups):
        assert sum(row.livetime for row in used if row.group_id == group_id) >= 7200
    assert len(summary.models) == summary.groups.n_groups == 5
