"""The whole way from event lists to models."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

import gpucube.arrays.backend as backend_module
from gpucube.arrays.backend import Backend
from gpucube.cubes.fits import read_background_model
from gpucube.errors import GpucubeError, ObservationError, OptionError, OutputError
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.observations.store import DataStore
from gpucube.pipeline import Settings, make_models
from gpucube.pipeline.ledger import LedgerError, LedgerRow
from tests.stores import DAMAGES, copy_store, edit_events, event_file

QUICK = Settings(backend="numpy", catalog="none", test=True)
ONE_GROUP = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 90), unit="deg")])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def ledger(folder: Path) -> Table:
    return Table.read(folder / "bg_event_ledger.ecsv")


def check_ledger(folder: Path) -> None:
    """Every event is accounted for, and the cubes hold what the ledger says."""
    table = ledger(folder)
    fates = ["INVALID", "EXCLUDED", "BELOW_THRESHOLD", "OUTSIDE_ENERGY", "OUTSIDE_FOV", "FILLED"]
    assert (table["N_READ"] == sum(table[f"N_{fate}"] for fate in fates)).all()
    for path in folder.glob("bg_cube_model_group*_table.fits.gz"):
        with fits.open(path) as hdus:
            group = table["GROUP_ID"] == hdus["BACKGROUND"].header["GROUP_ID"]
            assert hdus["COUNTS"].data["COUNTS"].sum() == table["N_FILLED"][group].sum()


@pytest.fixture(scope="module")
def models(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of the synthetic store, made in one go."""
    out = tmp_path_factory.mktemp("models") / "out"
    make_models(store, out, settings=QUICK)
    return out


def test_files_and_ledger(models: Path, store: Path) -> None:
    names = set(contents(models))
    assert {
        "bg_observation_table.fits.gz",
        "bg_observation_table_grouped.fits.gz",
        "bg_observation_groups.ecsv",
        "bg_event_ledger.ecsv",
    } < names
    check_ledger(models)
    table = ledger(models)
    assert table["OBS_ID"].tolist() == DataStore.open(store).table["OBS_ID"].tolist()
    assert (table["N_READ"] > 0).all()
    for group_id in np.unique(table["GROUP_ID"]):
        assert f"bg_cube_model_group{group_id}_table.fits.gz" in names
        assert f"bg_cube_model_group{group_id}_image.fits.gz" in names


def test_counts_are_those_of_numpy(models: Path, store: Path) -> None:
    table = ledger(models)
    for path in models.glob("*_table.fits.gz"):
        if not path.name.startswith("bg_cube"):
            continue
        model = read_background_model(path)
        expected = 0
        for obs_id in table["OBS_ID"][table["GROUP_ID"] == model.meta["GROUP_ID"]]:
            events = Table.read(event_file(store, obs_id), hdu="EVENTS")
            sample = np.stack([np.asarray(events[name], dtype=float) for name in ("ENERGY", "DETY", "DETX")], axis=1)
            above = sample[:, 0] >= 0.1
            expected += np.histogramdd(sample[above], [axis.edges for axis in model.axes])[0]
        np.testing.assert_array_equal(model.counts.data, expected)


def test_schemes_agree(models: Path, hess_store: Path, tmp_path: Path) -> None:
    make_models(hess_store, tmp_path / "out", "HESS", QUICK)
    for path in models.glob("bg_cube_model_group*_table.fits.gz"):
        here, there = (read_background_model(p) for p in (path, tmp_path / "out" / path.name))
        np.testing.assert_array_equal(here.counts.data, there.counts.data)
        np.testing.assert_array_equal(here.rate.data, there.rate.data)


def test_workers_do_not_matter(models: Path, store: Path, tmp_path: Path) -> None:
    make_models(store, tmp_path / "out", settings=replace(QUICK, workers=2))
    assert contents(tmp_path / "out") == contents(models)


def test_backends_agree(
    backend: Backend, models: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = []
    original = backend_module.to_host

    def counting(array: object) -> np.ndarray:
        copies.append(array)
        return original(array)

    for name, module in sys.modules.items():
        if name.startswith("gpucube.") and getattr(module, "to_host", None) is original:
            monkeypatch.setattr(module, "to_host", counting)
    summary = make_models(store, tmp_path / "out", settings=replace(QUICK, backend=backend.name))
    for path in summary.models.values():
        reference, model = (read_background_model(p) for p in (models / path.name, path))
        np.testing.assert_array_equal(model.counts.data, reference.counts.data)
        np.testing.assert_allclose(model.livetime.data, reference.livetime.data, rtol=1e-12)
        np.testing.assert_allclose(model.rate.data, reference.rate.data, rtol=1e-12)
        np.testing.assert_allclose(model.error.data, reference.error.data, rtol=1e-12)
    assert (tmp_path / "out" / "bg_event_ledger.ecsv").read_bytes() == (models / "bg_event_ledger.ecsv").read_bytes()
    on_device = [array for array in copies if not isinstance(array, np.ndarray)]
    if backend.name != "numpy":
        # Per group: the numbers of events, and the four cubes that are written.
        assert len(on_device) == 5 * len(summary.models)


def test_counts_of_parts_add(store: Path, tmp_path: Path) -> None:
    whole = make_models(store, tmp_path / "whole", settings=QUICK, groups=ONE_GROUP)
    parts = []
    for name, rows in (("first", slice(None, 4)), ("second", slice(4, None))):
        part = copy_store(store, tmp_path / name)
        index = Table.read(part / "obs-index.fits.gz")[rows]
        index.write(part / "obs-index.fits.gz", overwrite=True)
        summary = make_models(part, tmp_path / f"{name}-out", settings=QUICK, groups=ONE_GROUP)
        parts.append(read_background_model(summary.models[0]))
    model = read_background_model(whole.models[0])
    np.testing.assert_array_equal((parts[0].counts + parts[1].counts).data, model.counts.data)
    np.testing.assert_allclose((parts[0].livetime + parts[1].livetime).data, model.livetime.data, rtol=1e-14)


def test_gammapy_reads_the_models(models: Path) -> None:
    irf = pytest.importorskip("gammapy.irf")
    for path in models.glob("bg_cube_model_group*_table.fits.gz"):
        ours, theirs = read_background_model(path), irf.Background3D.read(path)
        energy, dety, detx = (axis.centers * axis.unit for axis in ours.axes)
        values = theirs.evaluate(energy=energy[:, None, None], fov_lat=dety[None, :, None], fov_lon=detx[None, None, :])
        np.testing.assert_allclose(values.to_value("s-1 TeV-1 sr-1"), ours.rate.quantity.to_value("s-1 TeV-1 sr-1"))
        assert theirs.fov_alignment.value == "ALTAZ"


@pytest.mark.parametrize("damage", DAMAGES)
def test_bad_observation_is_skipped(damage: str, store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    damaged = copy_store(store, tmp_path / "data")
    break_it, word = DAMAGES[damage]
    break_it(event_file(damaged, 3))
    summary = make_models(damaged, tmp_path / "out", settings=QUICK)
    table = ledger(tmp_path / "out")
    bad = table[table["OBS_ID"] == 3][0]
    assert bad["STATUS"] == "skipped"
    assert word in bad["REASON"]
    assert event_file(damaged, 3).name in bad["REASON"]
    assert (table["STATUS"] == "used").sum() == len(table) - 1
    assert summary.n_skipped == 1
    assert len([record for record in caplog.records if "observation 3 skipped" in record.message]) == 1
    check_ledger(tmp_path / "out")
    with pytest.raises(ObservationError, match="observation 3"):
        make_models(damaged, tmp_path / "strict", settings=replace(QUICK, strict=True))


def test_bad_rows_of_the_table_are_skipped(store: Path, tmp_path: Path) -> None:
    damaged = copy_store(store, tmp_path / "data")
    index = Table.read(damaged / "obs-index.fits.gz")
    index["RA_PNT"][1] = np.nan
    index["AZ_PNT"][4] = np.nan
    index.add_row(index[2])
    index.write(damaged / "obs-index.fits.gz", overwrite=True)
    make_models(damaged, tmp_path / "out", settings=QUICK)
    table = ledger(tmp_path / "out")
    skipped = [index for index, status in enumerate(table["STATUS"]) if status == "skipped"]
    assert skipped == [1, 4, 8]
    assert all("pointing" in table["REASON"][index] for index in skipped[:2])
    assert "duplicate OBS_ID" in table["REASON"][-1]
    check_ledger(tmp_path / "out")


def test_observations_outside_all_groups(store: Path, tmp_path: Path) -> None:
    groups = ObservationGroups([ObservationGroupAxis("ALT", edges=(60, 70), unit="deg")])
    altitude = np.asarray(DataStore.open(store).table["ALT_PNT"])
    make_models(store, tmp_path / "out", settings=QUICK, groups=groups)
    table = ledger(tmp_path / "out")
    inside = (altitude >= 60) & (altitude <= 70)
    assert 0 < inside.sum() < len(inside)
    assert ((table["STATUS"] == "used") == inside).all()
    assert (table["GROUP_ID"][~inside] == -1).all()


def test_nothing_left(store: Path, tmp_path: Path) -> None:
    groups = ObservationGroups([ObservationGroupAxis("ALT", edges=(1, 2), unit="deg")])
    with pytest.raises(GpucubeError, match="8 ungrouped"):
        make_models(store, tmp_path / "out", settings=QUICK, groups=groups)
    assert set(ledger(tmp_path / "out")["STATUS"]) == {"ungrouped"}


def test_nothing_is_overwritten_unasked(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make_models(store, out, settings=QUICK)
    (out / "notes.txt").write_text("mine")
    before = contents(out)
    with pytest.raises(OutputError, match=r"--overwrite .*Settings\(overwrite=True\).*--resume .resume=True"):
        make_models(store, out, settings=QUICK)
    assert contents(out) == before
    make_models(store, out, settings=replace(QUICK, overwrite=True), groups=ONE_GROUP)
    after = contents(out)
    assert after["notes.txt"] == b"mine"
    assert [name for name in after if name.startswith("bg_cube")] == [
        "bg_cube_model_group0_image.fits.gz",
        "bg_cube_model_group0_table.fits.gz",
    ]


@pytest.mark.parametrize("name", ["bg_cube_model_group1_table.fits.gz", "bg_event_ledger.ecsv"])
def test_foreign_file_is_never_deleted(name: str, store: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text("somebody else's")
    with pytest.raises(OutputError, match="did not write it"):
        make_models(store, tmp_path, settings=replace(QUICK, overwrite=True))
    assert (tmp_path / name).read_text() == "somebody else's"


def test_models_do_not_go_into_the_data(store: Path) -> None:
    with pytest.raises(OutputError, match="data store itself"):
        make_models(store, store, settings=QUICK)


def test_resume_goes_on_from_finished_groups(
    models: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    written = []

    def interrupted(model: object, path: Path, extra: object = ()) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        original(model, path, extra)

    module = sys.modules["gpucube.pipeline.make_models"]
    original = module.write_table
    monkeypatch.setattr(module, "write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_models(store, out, settings=QUICK)
    monkeypatch.undo()
    assert not list(out.glob(".*"))
    times = {path: path.stat().st_mtime_ns for path in written}
    make_models(store, out, settings=replace(QUICK, resume=True))
    assert contents(out) == contents(models)
    assert all(path.stat().st_mtime_ns == when for path, when in times.items())
    with pytest.raises(OutputError, match="other settings"):
        make_models(store, out, settings=replace(QUICK, resume=True, align="RADEC"))


def test_resume_notices_other_data(store: Path, tmp_path: Path) -> None:
    data = copy_store(store, tmp_path / "data")
    make_models(data, tmp_path / "out", settings=QUICK)
    path = event_file(data, 2)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1))
    with pytest.raises(OutputError, match="other settings"):
        make_models(data, tmp_path / "out", settings=replace(QUICK, resume=True))


def test_resume_refuses_models_of_other_groups(store: Path, tmp_path: Path) -> None:
    make_models(store, tmp_path / "out", settings=QUICK)
    before = contents(tmp_path / "out")
    for changes, groups in (({}, ONE_GROUP), ({"test": False}, None)):
        with pytest.raises(OutputError, match="other settings or observations"):
            make_models(store, tmp_path / "out", settings=replace(QUICK, resume=True, **changes), groups=groups)
        assert contents(tmp_path / "out") == before


def test_resume_makes_damaged_models_again(models: Path, store: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(models, tmp_path / "out"))
    table, *_ = sorted(out.glob("*group*_table.fits.gz"))
    table.write_bytes(table.read_bytes()[:5000])
    sorted(out.glob("*_image.fits.gz"))[-1].unlink()
    make_models(store, out, settings=replace(QUICK, resume=True))
    assert contents(out) == contents(models)


def test_path_of_any_characters(store: Path, tmp_path: Path) -> None:
    data = copy_store(store, tmp_path / "données")
    event_file(data, 3).unlink()
    make_models(data, tmp_path / "sortie é", settings=QUICK)
    before = contents(tmp_path / "sortie é")
    make_models(data, tmp_path / "sortie é", settings=replace(QUICK, resume=True))
    assert contents(tmp_path / "sortie é") == before
    reason = ledger(tmp_path / "sortie é")["REASON"][2]
    assert reason.startswith("data/")


def test_threshold_beyond_the_cube_does_not_stop_others(store: Path, tmp_path: Path) -> None:
    data = copy_store(store, tmp_path / "data")
    edit_events(event_file(data, 1), lambda hdus: hdus["AEFF"].header.set("LO_THRES", 300.0))
    for method in ("default", "mayer2015"):
        groups = ObservationGroups([ObservationGroupAxis("OBS_ID", values=tuple(range(1, 9)))])
        settings = replace(QUICK, method=method)
        summary = make_models(data, tmp_path / method, settings=settings, groups=groups)
        assert len(summary.models) == 8
        assert summary.rows[0].n_filled == 0
        check_ledger(tmp_path / method)


def test_same_events_are_not_counted_twice(store: Path, tmp_path: Path) -> None:
    data = copy_store(store, tmp_path / "data")
    index = Table.read(data / "hdu-index.fits.gz")
    index["FILE_NAME"][index["OBS_ID"] == 2] = index["FILE_NAME"][index["OBS_ID"] == 1][0]
    index.write(data / "hdu-index.fits.gz", overwrite=True)
    make_models(data, tmp_path / "out", settings=QUICK)
    row = ledger(tmp_path / "out")[1]
    assert row["STATUS"] == "skipped"
    assert "those of observation 1" in row["REASON"]


def test_two_answers_of_the_index_are_none(store: Path, tmp_path: Path) -> None:
    data = copy_store(store, tmp_path / "data")
    index = Table.read(data / "hdu-index.fits.gz")
    row = dict(index[0])
    index.add_row(row | {"FILE_NAME": "obs_000002.fits.gz"})
    index.write(data / "hdu-index.fits.gz", overwrite=True)
    make_models(data, tmp_path / "out", settings=QUICK)
    assert "or several" in ledger(tmp_path / "out")["REASON"][0]


def test_unforeseen_error_costs_one_observation(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["gpucube.pipeline.read"]
    original = module.read_observation

    def fragile(obs_id: int, *arguments: object) -> object:
        if obs_id == 4:
            raise AttributeError("size")
        return original(obs_id, *arguments)

    monkeypatch.setattr(module, "read_observation", fragile)
    summary = make_models(store, tmp_path / "out", settings=QUICK)
    assert [row.obs_id for row in summary.rows if row.status == "skipped"] == [4]


def test_killed_run_leaves_no_workers(store: Path, tmp_path: Path) -> None:
    code = "from gpucube.workers import process_pool\nimport time\n"
    code += "if __name__ == '__main__':\n    with process_pool(2) as pool:\n"
    code += "        pool.submit(time.sleep, 0).result()\n"
    code += "        print(*pool._processes, flush=True)\n        time.sleep(60)"
    script = tmp_path / "script.py"
    script.write_text(code)
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in process.stdout.readline().split()]
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(workers) == 2
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_killed_run_leaves_whole_leaves_whole_files(models: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-c",
        "from gpucube.cli import main; main()",
        "make-models",
        str(store),
        "auto",
        str(out),
    ]
    command += ["--test", "--catalog", "none", "--backend", "numpy"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(out.glob("bg_cube_model_*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for path in out.glob("bg_*.fits.gz"):
        with fits.open(path) as hdus:
            assert all(hdu.header is not None for hdu in hdus)
    make_models(store, out, settings=replace(QUICK, resume=True))
    assert contents(out) == contents(models)


def test_settings_are_checked() -> None:
    for wrong in ({"method": "best"}, {"align": "GALACTIC"}, {"workers": 0}, {"overwrite": True, "resume": True}):
        with pytest.raises(OptionError):
            Settings(**wrong)


def test_ledger_refuses_lost_events() -> None:
    with pytest.raises(LedgerError, match="observation 7"):
        LedgerRow(7, n_read=10, n_filled=9)


def test_rate_per_ontime(models: Path, store: Path, tmp_path: Path) -> None:
    summary = make_models(store, tmp_path / "out", settings=replace(QUICK, rate_per="ontime"))
    for path in summary.models.values():
        per_livetime, per_ontime = (read_background_model(p) for p in (models / path.name, path))
        assert (per_livetime.rate_per, per_ontime.rate_per) == ("LIVETIME", "ONTIME")
        above = per_ontime.rate.data > 1.1e-16
        np.testing.assert_allclose((per_ontime.rate.data / per_livetime.rate.data)[above], 1500 / 1800, rtol=1e-9)


def test_mayer2015_starts_at_the_lowest_threshold(store: Path, tmp_path: Path) -> None:
    summary = make_models(store, tmp_path / "out", settings=replace(QUICK, method="mayer2015"))
    for path in summary.models.values():
        model = read_background_model(path)
        assert model.meta["METHOD"] == "mayer2015"
        np.testing.assert_allclose(model.axes[0].edges[0], 0.1, rtol=1e-6)
    check_ledger(tmp_path / "out")


class TestRealData:
    """The 44 observations of the H.E.S.S. DL3 DR1 that come with the tests' data."""

    def test_whole_run(self, hess_dl3_dr1: Path, tmp_path: Path) -> None:
        summary = make_models(hess_dl3_dr1, tmp_path / "out", "GADF", Settings(backend="numpy"))
        table = ledger(tmp_path / "out")
        assert len(table) == 44
        assert (table["STATUS"] == "used").sum() == 25
        assert len(summary.models) == 11
        assert table["N_READ"].sum() == 215_454
        on_source = np.asarray(DataStore.open(hess_dl3_dr1).table["TARGET_NAME"]).astype(str) != "Off data"
        assert (table["STATUS"][on_source] == "near_source").all()
        check_ledger(tmp_path / "out")
        test_gammapy_reads_the_models(tmp_path / "out")

    @pytest.mark.parametrize(
        "settings",
        [Settings(method="mayer2015"), Settings(test=True), Settings(align="RADEC"), Settings(threshold="edge")],
    )
    def test_options(self, settings: Settings, hess_dl3_dr1: Path, tmp_path: Path) -> None:
        summary = make_models(hess_dl3_dr1, tmp_path / "out", "GADF", replace(settings, backend="numpy"))
        assert summary.models
        assert summary.n_skipped == 0
        check_ledger(tmp_path / "out")
