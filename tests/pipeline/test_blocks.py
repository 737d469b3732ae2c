"""Which observations share a block, a worker or an executor changes nothing; and blocks bound the memory."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table, vstack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpucube.arrays.backend import Backend, get_backend, pack, packed_layout, to_host, unpack
from gpucube.cubes.axis import Axis
from gpucube.observations.hdus import HduLocation, ObservationFiles
from gpucube.observations.store import DataStore
from gpucube.pipeline import Settings, make_models
from gpucube.pipeline.blocks import BlockTask, ObservationTask, block_size, pack_events, split_into_blocks
from gpucube.pipeline.count import Recipe, count_block, count_files, read_block
from gpucube.pipeline.fill import fov_coordinates
from tests.stores import copy_store, edit_events, event_file

QUICK = Settings(backend="numpy", catalog="none", test=True)
AXES = (Axis.energy(0.1, 80.0, 4), Axis.field_of_view("dety", 4.0, 5), Axis.field_of_view("detx", 4.0, 7))
FINER = (Axis.energy(0.2, 50.0, 5), Axis.field_of_view("dety", 3.0, 6), Axis.field_of_view("detx", 3.0, 8))
RINGS = (Axis.energy(0.1, 80.0, 4), Axis.offset(4.0, 5))
NUMPY = get_backend("numpy")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def tasks_of(store: Path, groups: list[int]) -> list[ObservationTask]:
    files = DataStore.open(store).files
    return [ObservationTask(obs_id, group, files[obs_id], 10) for obs_id, group in zip(files, groups, strict=True)]


@pytest.fixture(scope="module")
def mixed_store(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every other observation has no field-of-view coordinates, or float64 energies; one cannot be read."""
    folder = copy_store(store, tmp_path_factory.mktemp("mixed") / "data")

    def without_coordinates(hdus: fits.HDUList) -> None:
        old = hdus["EVENTS"]
        columns = [column for column in old.columns if column.name not in ("DETX", "DETY")]
        hdu = fits.BinTableHDU.from_columns(columns, header=old.header, name="EVENTS")
        hdus[hdus.index_of("EVENTS")] = hdu

    def with_doubles(hdus: fits.HDUList) -> None:
        old = hdus["EVENTS"]
        columns = [c for c in old.columns if c.name != "ENERGY"]
        energy = fits.Column("ENERGY", "D", unit="TeV", array=old.data["ENERGY"].astype("f8") * 1.0000001)
        hdus[hdus.index_of("EVENTS")] = fits.BinTableHDU.from_columns(
            [*columns, energy], header=old.header, name="EVENTS"
        )

    for obs_id in (2, 4, 5):
        edit_events(event_file(folder, obs_id), without_coordinates)
    edit_events(event_file(folder, 7), with_doubles)
    event_file(folder, 6).write_text("nonsense")
    return folder


def models_of(folder: Path, out: Path, **changes: object) -> dict[str, bytes]:
    make_models(folder, out, settings=replace(QUICK, **changes))
    return contents(out)


@pytest.fixture(scope="module")
def mixed_models(mixed_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return models_of(mixed_store, tmp_path_factory.mktemp("mixed") / "out")


@given(most=st.integers(1, 9), size=st.integers(1, 200_000))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_do_not_matter(
    most: int,
    size: int,
    mixed_store: Path,
    mixed_models: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["gpucube.pipeline.blocks"], "MOST_OBSERVATIONS", most)
        patch.setattr(sys.modules["gpucube.pipeline.blocks"], "HOST_BLOCK", size)
        assert models_of(mixed_store, tmp_path_factory.mktemp("blocks") / "out") == mixed_models


def test_executors_do_not_matter(mixed_store: Path, mixed_models: dict[str, bytes], tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as executor:
        make_models(mixed_store, tmp_path / "threads", settings=replace(QUICK, workers=3), executor=executor)
    assert contents(tmp_path / "threads") == mixed_models
    assert models_of(mixed_store, tmp_path / "processes", workers=2) == mixed_models


@pytest.mark.parametrize("groups", [[0] * 8, [0, 0, 1, 1, 1, 2, 2, 2]])
@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_counts_of_a_block_are_those_of_its_events(
    backend: Backend, groups: list[int], align: str, mixed_store: Path
) -> None:
    """Groups with different axes, observations with and without coordinates: against numpy.histogramdd one by one."""
    axes = {0: AXES, 1: FINER, 2: RINGS}
    task = BlockTask(tuple(tasks_of(mixed_store, groups)), {group: axes[group] for group in groups})
    found = count_block(read_block(task, Recipe(align, "share")), Recipe(align, "share"), backend)
    expected = {group: np.zeros([axis.n_bins for axis in axes[group]], dtype=np.int64) for group in task.axes}
    n_filled = []
    for one in task.observations:
        if one.obs_id == 6:
            continue
        observation = DataStore.open(mixed_store).read(one.obs_id, align)
        detx, dety = (to_host(values) for values in fov_coordinates(observation, NUMPY))
        x, y = np.deg2rad(detx.astype(float)), np.deg2rad(dety.astype(float))
        place = [dety, detx] if one.group_id < 2 else [np.rad2deg(np.arccos(np.cos(x) * np.cos(y)))]
        sample = np.stack([values.astype(float) for values in (observation.energy, *place)], axis=1)
        sample = sample[observation.good & (observation.energy >= observation.threshold)]
        counts = np.histogramdd(sample, [axis.edges for axis in axes[one.group_id]])[0]
        expected[one.group_id] += counts.astype(np.int64)
        n_filled.append(counts.sum())
    assert min(n_filled) > 0
    for group, cube in expected.items():
        np.testing.assert_array_equal(to_host(found.counts[group]), cube)
    np.testing.assert_array_equal(to_host(found.fates)[:, -1], n_filled)
    np.testing.assert_array_equal(to_host(found.fates).sum(axis=1), [size for size in found.sizes if size])
    assert found.sizes[5] == 0
    there = count_files(task, Recipe(align, "share"), backend.name)
    np.testing.assert_array_equal(there.fates, to_host(found.fates))


def test_one_launch_fills_many_observations_and_groups(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two histograms, of events and of their fates, whatever the number of observations."""
    module, calls = sys.modules["gpucube.pipeline.count"], []
    original = module.histogramdd
    monkeypatch.setattr(module, "histogramdd", lambda *arguments: calls.append(1) or original(*arguments))
    task = BlockTask(tuple(tasks_of(store, [0, 0, 1, 1, 2, 2, 3, 3])), dict.fromkeys(range(4), AXES))
    count_block(read_block(task, Recipe("ALTAZ", "share")), Recipe("ALTAZ", "share"), NUMPY)
    assert len(calls) == 2


@given(sizes=st.lists(st.integers(0, 50), max_size=200), limit=st.integers(0, 100))
def test_blocks_are_bounded_and_in_order(sizes: list[int], limit: int) -> None:
    nowhere = ObservationFiles(HduLocation(Path("x")), None)
    tasks = [ObservationTask(number, 0, nowhere, size) for number, size in enumerate(sizes)]
    blocks = list(split_into_blocks(tasks, limit))
    assert [task for block in blocks for task in block] == tasks
    assert all(len(block) == 1 or sum(task.size for task in block) <= limit for block in blocks)
    assert all(1 <= len(block) <= 64 for block in blocks)


def test_every_worker_has_blocks() -> None:
    assert block_size(1000, 5, on_device=False) == 50
    assert block_size(10**12, 5, on_device=False) == block_size(10**12, 1, on_device=False)
    assert block_size(1000, 1, on_device=True) == 250
    assert block_size(10**12, 1, on_device=True) > block_size(10**12, 1, on_device=False)


def test_nothing_to_pack() -> None:
    assert pack_events(BlockTask((), {}), []).batches == ()


KINDS = st.sampled_from(["f4", "f8", ">f8", "i4", "?"])


@st.composite
def columns_in_parts(draw: st.DrawFn) -> list[list[np.ndarray]]:
    """Arrays in parts, of any byte order, some of one number that is repeated."""
    rng, columns = np.random.default_rng(1), []
    for _ in range(draw(st.integers(0, 4))):
        kind, rest = draw(KINDS), draw(st.lists(st.integers(0, 4), max_size=2))
        shapes = [(n, *rest) for n in draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))]
        parts = [rng.integers(0, 2, shape).astype(kind) for shape in shapes]
        columns.append([*parts, np.broadcast_to(np.ones((), kind), shapes[0])])
    return columns


@given(columns=columns_in_parts())
def test_arrays_packed_for_one_transfer(columns: list[list[np.ndarray]]) -> None:
    """What goes to a GPU in one copy comes out as it was, here in the memory of the host."""
    places, n_bytes = packed_layout(columns)
    buffer = np.full(n_bytes, 7, dtype=np.uint8)
    pack(columns, places, buffer)
    for parts, found in zip(columns, unpack(buffer, places), strict=True):
        assert found.dtype == parts[0].dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, np.concatenate(parts))


@given(columns=columns_in_parts())
def test_uploaded_arrays_are_joined(backend: Backend, columns: list[list[np.ndarray]]) -> None:
    for parts, found in zip(columns, backend.upload(columns), strict=True):
        on_host = to_host(found)
        assert on_host.dtype == parts[0].dtype.newbyteorder("=")
        np.testing.assert_array_equal(on_host, np.concatenate(parts))
        if found.size:
            on_host[...] = 0  # it shares no memory with what it was made of
    assert all((part == 1).all() for *_, part in columns)


def test_parts_of_two_precisions_keep_the_higher(backend: Backend) -> None:
    parts = [np.array([1.5], dtype=">f4"), np.array([1.1])]
    np.testing.assert_array_equal(to_host(backend.upload([parts])[0]), [1.5, 1.1])


PEAK = """
import resource, sys
from gpucube.pipeline import Settings, make_models
make_models(sys.argv[1], sys.argv[2], settings=Settings(backend="numpy", catalog="none"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def repeated(store: Path, to: Path, times: int) -> Path:
    """Data store with copies of all observations."""
    copy_store(store, to)
    for name in ("obs-index.fits.gz", "hdu-index.fits.gz"):
        index = Table.read(to / name)
        parts = []
        for number in range(times):
            part = index.copy()
            part["OBS_ID"] += 1000 * number
            if "FILE_NAME" in part.colnames:
                part["FILE_NAME"] = [f"{number}_{str(file).strip()}" for file in index["FILE_NAME"]]
            parts.append(part)
        vstack(parts, metadata_conflicts="silent").write(to / name, overwrite=True)
    for row in Table.read(store / "hdu-index.fits.gz"):
        file = to / str(row["FILE_DIR"]).strip() / str(row["FILE_NAME"]).strip()
        for number in range(times):
            file.with_name(f"{number}_{file.name}").write_bytes(file.read_bytes())
    return to


def test_memory_does_not_grow_with_the_number_of_observations(store: Path, tmp_path: Path) -> None:
    """Ten times as many observations need less than a tenth more."""
    peaks = []
    for times in (3, 30):
        data = repeated(store, tmp_path / f"data{times}", times)
        command = [sys.executable, "-W", "ignore", "-c", PEAK, str(data), str(tmp_path / f"out{times}")]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(result.stdout))
    assert peaks[1] < 1.1 * peaks[0]
