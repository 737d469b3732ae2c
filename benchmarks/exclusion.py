"""Models of real observations with an exclusion region each, against BAccMod: time, and whether they agree.

The observations are the 30 off-source ones of the H.E.S.S. DL3 DR1 in ``$GAMMAPY_DATA``. Each has a region of 0.4 deg
at 0.7 deg from its pointing; fields overlap, so that some observations see regions of others. Times are those that a
core works for this process, which other work on the machine does not lengthen.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table

from benchmarks.table import Row, Settings, missing
from benchmarks.timing import compare
from gpucube.arrays.backend import get_backend
from gpucube.cubes.axis import Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import read_background_model
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.observations.regions import ExclusionRegions
from gpucube.observations.store import DataStore
from gpucube.pipeline import Settings as ModelSettings
from gpucube.pipeline import make_models
from gpucube.pipeline.mask import Mask, open_bins

__all__ = ["observations"]

DATA = "hess-dl3-dr1"
RADIUS, DISTANCE = 0.4, 0.7  # deg
HALF_WIDTH, PIXELS = 3.0, 30  # deg, of 0.2 deg each: BAccMod rounds edges to 0.001 deg
ENERGY = Axis.energy(0.1, 80.0, 20)
ONE_GROUP = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 90), unit="deg")])
SECONDS_OF_ALL = 10.0
# BAccMod takes some 10 s for each.
COMPARED = 3
WELL_FILLED = 10
CORNER = HALF_WIDTH * 2**0.5
# So many steps of the rotation in one that BAccMod looks at its regions once: what is left is all else it does.
NO_STEPS = 1e9


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this process on one core, where the system allows it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _off_observations(data: Path) -> Table:
    table = Table.read(data / "obs-index.fits.gz")
    return table[np.char.strip(np.asarray(table["TARGET_NAME"]).astype(str)) == "Off data"]


def _centers(table: Table) -> SkyCoord:
    """Centre of the region of each observation, in another direction from each pointing."""
    pointing = SkyCoord(table["RA_PNT"], table["DEC_PNT"], unit="deg")
    return pointing.directional_offset_by(np.arange(len(table)) * 137.5 * u.deg, DISTANCE * u.deg)


def _store(folder: Path, data: Path, table: Table) -> Path:
    """Data store of some of the observations."""
    folder.mkdir()
    table.write(folder / "obs-index.fits.gz")
    for path in data.iterdir():
        if path.name != "obs-index.fits.gz":
            (folder / path.name).symlink_to(path)
    return folder


def _make_models(store: Path, catalog: Path) -> BackgroundModel:
    settings = ModelSettings(
        backend="numpy",
        catalog=str(catalog),
        mask=True,
        mask_radius=RADIUS,
        mask_target=False,
        energy_edges=tuple(ENERGY.edges.tolist()),
        fov=HALF_WIDTH,
        pixels=PIXELS,
    )
    with TemporaryDirectory() as folder:
        summary = make_models(store, Path(folder) / "models", "GADF", settings, ONE_GROUP)
        assert summary.n_skipped == 0, summary.rows
        return read_background_model(summary.models[0])


def _open_bins(store: DataStore, obs_id: int, regions: ExclusionRegions) -> Callable[[], Any]:
    """Function that computes the exposure of an observation that has been read."""
    field = tuple(Axis.field_of_view(name, HALF_WIDTH, PIXELS) for name in ("dety", "detx"))
    sky, backend = store.read(obs_id, with_sky=True).sky, get_backend("numpy")
    near = Mask(regions).regions_of(sky, CORNER)
    return lambda: open_bins(sky, near, field, backend)


def _core_seconds(function: Callable[[], Any], repeats: int) -> list[float]:
    """Time of each call, after one that is not timed."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return seconds


def _all_observations(store: Path, catalog: Path, n: int, repeats: int) -> Row:
    start = time.perf_counter()
    times = {"make_models": _core_seconds(partial(_make_models, store, catalog), repeats)}
    wall = (time.perf_counter() - start) / (repeats + 1)
    limit = f"{SECONDS_OF_ALL:g} s of one core"
    times[limit] = [SECONDS_OF_ALL] * repeats
    work = f"{n} observations with an exclusion region each, 3D"
    note = f"from files to files; {wall:.1f} s on the clock, shared with other work"
    return compare(work, times, "make_models", limit, goal=1.0, goal_kind="at most", note=note)


class _Peer:
    """BAccMod on observations, with the regions that come near them, as gpucube has them."""

    def __init__(self, library: Any, data: Path, centers: SkyCoord) -> None:
        data_store = import_module("gammapy.data").DataStore
        self.library, self.store, self.centers = library, data_store.from_dir(data), centers

    def make(self, obs_id: int, largest_step: float = 0.5) -> tuple[float, np.ndarray]:
        """Time to make the model of an observation, and its rate in 1 / (s TeV sr), shape (energy, DETY, DETX)."""
        axis, circle = import_module("gammapy.maps").MapAxis, import_module("regions").CircleSkyRegion
        observations = self.store.get_observations([obs_id], required_irf=["aeff"])
        near = self.centers.separation(observations[0].get_pointing_icrs(observations[0].tmid)).deg < CORNER + RADIUS
        creator = self.library.Grid3DAcceptanceMapCreator(
            axis.from_edges(ENERGY.edges * u.TeV, name="energy", interp="log"),
            axis.from_edges(np.linspace(0, HALF_WIDTH, PIXELS // 2 + 1) * u.deg, name="offset"),
            exclude_regions=[circle(center, RADIUS * u.deg) for center in self.centers[near]],
            max_fraction_pixel_rotation_fov=largest_step,
        )
        start = time.process_time()
        model = creator.create_model(observations)
        seconds = time.process_time() - start
        return seconds, np.swapaxes(model.quantity.to_value("s-1 TeV-1 sr-1"), 1, 2)


def _agreement(models: list[BackgroundModel], rates: list[np.ndarray], threshold: float) -> str:
    """Compare counts with those of the peer's rates in the same exposure, in pixels of energies above thresholds."""
    whole = ENERGY.edges[:-1] >= threshold
    shape = (PIXELS, PIXELS)
    ours, theirs, share = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for model, rate in zip(models, rates, strict=True):
        assert model.counts is not None
        assert model.livetime is not None
        livetime = model.livetime.data
        exposure = livetime * model.rate.bin_volume
        ours += model.counts.data[whole].sum(axis=0)
        # Without exposure BAccMod has no rate: 0/0.
        theirs += np.where(livetime > 0, rate * exposure, 0.0)[whole].sum(axis=0)
        share += livetime[-1] / livetime.max() / len(models)
    good = np.isfinite(theirs) & (ours >= WELL_FILLED)
    partly = good & (share < 1)
    difference = (theirs - ours)[good] / ours[good]
    pull = difference * np.sqrt(ours[good])
    return (
        f"their counts / ours {theirs[good].sum() / ours[good].sum():.4f}, where regions come "
        f"{theirs[partly].sum() / ours[partly].sum():.4f}; per pixel they differ by {np.std(difference):.3f}, "
        f"or {np.std(pull):.2f} Poisson errors ({good.sum()} pixels of {WELL_FILLED} or more, {partly.sum()} of them "
        "with regions)"
    )


def observations(settings: Settings) -> list[Row]:
    """All observations within 10 s; single ones and their exposure against BAccMod."""
    work = "observations with an exclusion region each"
    data = Path(os.environ.get("GAMMAPY_DATA", "")) / DATA
    if not (os.environ.get("GAMMAPY_DATA") and data.is_dir()):
        return [missing(work, "BAccMod", f"no data: set GAMMAPY_DATA to a folder with {DATA}")]
    table = _off_observations(data)
    centers = _centers(table)
    with TemporaryDirectory() as name, _one_core(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        catalog = folder / "regions.ecsv"
        Table([centers.ra.deg, centers.dec.deg], names=["ra", "dec"]).write(catalog)
        rows = [_all_observations(_store(folder / "all", data, table), catalog, len(table), settings.repeats)]
        try:
            peer = _Peer(import_module("baccmod"), data, centers)
        except ImportError:
            return [*rows, missing("exposure of an observation", "BAccMod", goal=100.0)]
        return rows + _against_baccmod(peer, folder, data, table[:: len(table) // COMPARED][:COMPARED], catalog)


def _against_baccmod(peer: _Peer, folder: Path, data: Path, table: Table, catalog: Path) -> list[Row]:
    obs_ids, store = table["OBS_ID"].tolist(), DataStore.open(data, "GADF")
    regions = ExclusionRegions.around(peer.centers.ra.deg, peer.centers.dec.deg, RADIUS)
    stores = [_store(folder / str(obs_id), data, table[[i]]) for i, obs_id in enumerate(obs_ids)]
    ours, theirs, our_exposure, their_exposure, rates = [], [], [], [], []
    peer.make(obs_ids[0], NO_STEPS)
    for one, obs_id in zip(stores, obs_ids, strict=True):
        ours += [median(_core_seconds(partial(_make_models, one, catalog), 3))]
        our_exposure += [median(_core_seconds(_open_bins(store, obs_id, regions), 5))]
        seconds, rate = peer.make(obs_id)
        rates.append(rate)
        theirs += [seconds]
        their_exposure += [seconds - peer.make(obs_id, NO_STEPS)[0]]
    times = {"make_models": ours, "open_bins": our_exposure, "BAccMod": theirs, "BAccMod, exposure": their_exposure}
    threshold = max(store.threshold(obs_id) for obs_id in obs_ids)
    note = _agreement([_make_models(one, catalog) for one in stores], rates, threshold)
    return [
        compare("an observation with exclusion regions, 3D", times, "make_models", "BAccMod", note=note),
        compare("exposure of an observation", times, "open_bins", "BAccMod, exposure", goal=100.0),
    ]
