"""Make background models of all groups of a data store."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from astropy.io import fits

from gpucube.arrays.backend import Backend, get_backend
from gpucube.cubes.background import BackgroundModel, make_background_model
from gpucube.cubes.fits import write_image, write_table
from gpucube.errors import DataError, GpucubeError, ObservationError, OutputError
from gpucube.files import open_fits, write_whole
from gpucube.observations.adaptive import AdaptiveGroups
from gpucube.observations.conditions import Conditions
from gpucube.observations.groups import ObservationGroups
from gpucube.observations.store import DataStore
from gpucube.pipeline.binning import model_axes, regression_model_axes
from gpucube.pipeline.blocks import Axes, BlockTask, block_size, split_into_blocks
from gpucube.pipeline.bootstrap import with_bootstrap_error
from gpucube.pipeline.count import BlockCounts, Recipe, count_blocks
from gpucube.pipeline.each import observation_task
from gpucube.pipeline.fill import FilledGroup, GroupFill
from gpucube.pipeline.ledger import LedgerRow, ledger_ecsv, ledger_hdu, rows_from_hdu
from gpucube.pipeline.mask import Mask
from gpucube.pipeline.output import (
    LEDGER,
    model_file,
    model_tables,
    prepare_folder,
    write_groups,
    write_observations,
)
from gpucube.pipeline.read import in_order
from gpucube.pipeline.regression import conditions_or_errors, fit_groups, fit_observations, group_background
from gpucube.pipeline.select import Selection, open_mask, select_observations
from gpucube.pipeline.settings import FITTED, REGRESSION, SMOOTH, Settings
from gpucube.regression.model import REGRESSION_FILE, RegressionModel
from gpucube.workers import Workers, one_blas_thread, open_workers, reach_cluster

__all__ = ["Summary", "make_models"]

log = logging.getLogger(__name__)

REMEDY = "use --overwrite, in Python Settings(overwrite=True)"
# FITS keyword by which --resume knows a finished model.
FINGERPRINT = "GPCBSET"
# Threads that wait for the disk
MOST_WRITERS = 4


@dataclass(frozen=True, eq=False, repr=False)
class Summary:
    """What a run did.

    Attributes
    ----------
    folder : pathlib.Path
        Output folder.
    rows : list of LedgerRow
        The ledger.
    groups : ObservationGroups
        The groups.
    models : dict of int to pathlib.Path
        Table file of the model of each group that has one.
    """

    folder: Path
    rows: list[LedgerRow]
    groups: ObservationGroups
    models: dict[int, Path]

    def __repr__(self) -> str:
        return f"<Summary: {len(self.models)} models of {len(self.rows)} observations in {self.folder}>"

    @property
    def n_skipped(self) -> int:
        """Number of observations that could not be used."""
        return sum(row.status == "skipped" for row in self.rows)


def make_models(
    data: str | Path | DataStore,
    out: str | Path,
    scheme: str = "auto",
    settings: Settings | None = None,
    groups: ObservationGroups | AdaptiveGroups | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    executor: Executor | None = None,
) -> Summary:
    """Make background models and write them to a folder.

    Parameters
    ----------
    data : path-like or DataStore
        Folder of event lists, or some of its observations.
    out : path-like
        Output folder.
    scheme : {"auto", "HESS", "GADF"}
        Naming scheme of `data`, where it is a folder.
    settings : Settings, optional
        What to make, and how.
    groups : ObservationGroups or AdaptiveGroups, optional
        Groups of observations; those of 2015 if not given.
    progress : function (done, total)
        Called after each observation with the number of observations done and their total.
    executor : concurrent.futures.Executor, optional
        Where to read and count, on this machine or others, each worker on the array library of the settings; a pool
        of `workers` processes, or the workers of `scheduler`, if not given. Set `workers` to the number of its
        workers: twice as many blocks of observations are given out ahead of their turn. It is not shut down.

    Returns
    -------
    Summary
        What was done.

    Raises
    ------
    DataError, OptionError, BackendError
        The data store, the settings or the array library cannot be used.
    OutputError
        Writing to the output folder would lose something.
    ObservationError
        An observation cannot be used, and `strict` is set.
    GpucubeError
        No observation is left.
    """
    settings = settings or Settings()
    if not isinstance(data, DataStore):
        # Workers elsewhere may have another working directory, and the devices.
        data = DataStore.open(Path(data).absolute() if settings.scheduler else data, scheme)
    store = data
    backend = get_backend("numpy" if settings.scheduler else settings.backend)
    mask = open_mask(settings)
    selection = select_observations(store, settings, groups)
    folder = Path(out)
    if folder.resolve() == store.path.resolve():
        raise OutputError(f"{folder} is the data store itself; name another folder for the models")
    # Nothing is written or replaced before the cluster has answered.
    with reach_cluster(None if executor else settings.scheduler) as cluster:
        prepare_folder(folder, overwrite=settings.overwrite, resume=settings.resume)
        run = _Run(store, folder, backend, settings, selection, mask, progress)
        run.check_present_models()
        write_observations(folder, selection.kept, selection.grouped)
        write_groups(folder, selection.groups)
        with open_workers(settings.workers, cluster, executor, on_device=backend.name != "numpy") as workers:
            models = run.make_all(workers)
    summary = Summary(folder, run.rows, selection.groups, models)
    _report_assumptions(summary.rows)
    write_whole(folder / LEDGER, ledger_ecsv(summary.rows).encode())
    if not models:
        raise GpucubeError(
            f"no observation is left to make a model of: {_counts_by_status(summary.rows)}; "
            f"{folder / LEDGER} has the reasons"
        )
    return summary


def _report_assumptions(rows: list[LedgerRow]) -> None:
    """Say once for all observations what was assumed where their files do not say it."""
    notes = Counter(note for row in rows if row.status == "used" for note in row.reason.split("; ") if note)
    for note, n_observations in notes.items():
        log.warning("%d observations: %s", n_observations, note)


def _counts_by_status(rows: list[LedgerRow]) -> str:
    statuses = [row.status for row in rows]
    return ", ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses)))


class _Run:
    """State of one run: the ledger grows group by group."""

    def __init__(
        self,
        store: DataStore,
        folder: Path,
        backend: Backend,
        settings: Settings,
        selection: Selection,
        mask: Mask | None,
        progress: Callable[[int, int], None],
    ) -> None:
        self.store, self.folder, self.backend, self.settings = store, folder, backend, settings
        self.groups, self.mask = selection.groups, mask
        self.members = selection.indices_by_group()
        self.rows = list(selection.rows)
        self._progress, self._done = progress, 0
        self._fits: dict[int, RegressionModel] = {}
        self._conditions: dict[int, Conditions] = {}

    def check_present_models(self) -> None:
        """Refuse to go on from models of other data or settings, before anything is written."""
        for group_id, path in model_tables(self.folder).items():
            header = _background_header(path)
            if header is None:
                continue  # damaged: it is made again
            rows = [self.rows[index] for index in self.members.get(group_id, [])]
            if not rows or header.get(FINGERPRINT) != self._fingerprint(rows):
                raise OutputError(f"{path} was made with other settings or observations; {REMEDY}")

    def make_all(self, workers: Workers) -> dict[int, Path]:
        if self.settings.method in FITTED:
            self._read_conditions()
        groups = {group_id: [self.rows[index] for index in indices] for group_id, indices in self.members.items()}
        finished = self._finished_groups(groups) if self.settings.resume else {}
        for group_id, rows in finished.items():
            self._keep(group_id, rows)
        waiting = {group_id: rows for group_id, rows in groups.items() if group_id not in finished}
        if self.settings.method in FITTED:
            self._fits = self._fit(waiting, workers)
        # One stream of blocks for all groups, so that readers do not pause between them; nor do they for the disk.
        n_writers = min(workers.number(), MOST_WRITERS)
        with one_blas_thread(), ThreadPoolExecutor(n_writers) as writers:
            for group_id, rows in in_order(self._write, self._models(waiting, workers), writers, lambda: n_writers):
                self._keep(group_id, rows)
        used = {row.group_id for row in self.rows if row.status == "used"}
        return {group_id: model_file(self.folder, group_id, "table") for group_id in groups if group_id in used}

    def _keep(self, group_id: int, rows: list[LedgerRow]) -> None:
        for index, row in zip(self.members[group_id], rows, strict=True):
            self.rows[index] = row

    def _fill(self, groups: dict[int, list[LedgerRow]], workers: Workers) -> Iterator[tuple[int, FilledGroup]]:
        """Count block by block, and give each group as soon as it is complete."""
        fills: dict[int, GroupFill] = {}
        for block in self._count(groups, workers):
            for group_id, axes in block.task.axes.items():
                fill = fills.setdefault(group_id, GroupFill(groups[group_id], axes, self.backend, self._skip))
                fill.add(block)
                if fill.is_complete:
                    yield group_id, fills.pop(group_id).finish(self.settings.threshold)
            for _ in block.observations:
                self._step()

    def _count(self, groups: dict[int, list[LedgerRow]], workers: Workers) -> Iterator[BlockCounts]:
        tasks = [observation_task(self.store, row.obs_id, row.group_id) for rows in groups.values() for row in rows]
        size = block_size(sum(task.size for task in tasks), workers.number(), on_device=self.backend.name != "numpy")
        axes = {group_id: self._axes(rows) for group_id, rows in groups.items()}
        parts = split_into_blocks(tasks, size)
        blocks = (BlockTask(part, {task.group_id: axes[task.group_id] for task in part}) for part in parts)
        return count_blocks(blocks, self._recipe, workers, self.backend, self.settings.backend)

    @property
    def _recipe(self) -> Recipe:
        return Recipe(self.settings.align, self.settings.threshold, self.mask)

    def _read_conditions(self) -> None:
        """Take observations out of their groups whose conditions are not known: a regression predicts nothing there."""
        indices = sorted(index for members in self.members.values() for index in members)
        found = conditions_or_errors(self.store, [self.rows[index].obs_id for index in indices])
        for index in indices:
            row = self.rows[index]
            conditions = found[row.obs_id]
            if isinstance(conditions, ObservationError):
                self.rows[index] = replace(row, status="skipped", reason=self._skip(row.obs_id, conditions))
            else:
                self._conditions[row.obs_id] = conditions
        known = {
            group_id: [index for index in members if self.rows[index].status == "used"]
            for group_id, members in self.members.items()
        }
        self.members = {group_id: members for group_id, members in known.items() if members}

    def _fit(self, groups: dict[int, list[LedgerRow]], workers: Workers) -> dict[int, RegressionModel]:
        place = self.settings, self.backend, self.mask, workers, self._step
        if self.settings.method == SMOOTH:
            members = {group_id: [self._conditions[row.obs_id] for row in rows] for group_id, rows in groups.items()}
            return fit_groups(self.store, members, *place)
        if not self._conditions:
            return {}
        model = fit_observations(self.store, list(self._conditions.values()), *place)
        model.write(self.folder / REGRESSION_FILE)
        return dict.fromkeys(groups, model)

    def _finished_groups(self, groups: dict[int, list[LedgerRow]]) -> dict[int, list[LedgerRow]]:
        paths = {group_id: model_file(self.folder, group_id, "table") for group_id in groups}
        found = {group_id: self._finished_rows(paths[group_id], rows) for group_id, rows in groups.items()}
        return {group_id: rows for group_id, rows in found.items() if rows}

    def _finished_rows(self, path: Path, rows: list[LedgerRow]) -> list[LedgerRow] | None:
        """Ledger of a group whose files are there and were made with these settings."""
        if not all(model_file(self.folder, rows[0].group_id, kind).is_file() for kind in self._kinds):
            return None
        try:
            with open_fits(path) as hdus:
                finished = rows_from_hdu(hdus["OBSERVATIONS"])
        except (DataError, KeyError):
            return None
        log.info("group %d: finished before", rows[0].group_id)
        for _ in finished:
            self._step()
        return finished

    def _fingerprint(self, rows: list[LedgerRow]) -> str:
        group = (rows[0].group_id, self.groups.describe(rows[0].group_id))
        # A regression follows from all observations.
        used = [row for row in self.rows if row.group_id >= 0] if self.settings.method == REGRESSION else rows
        observations = [(row.obs_id, *self.store.sizes(row.obs_id)) for row in used]
        return self.settings.fingerprint(group, observations, self.mask.fingerprint if self.mask else "")

    @property
    def _kinds(self) -> tuple[str, ...]:
        """Files of a model: rings are no image."""
        return ("image", "table") if self.settings.model == "3d" else ("table",)

    def _models(
        self, groups: dict[int, list[LedgerRow]], workers: Workers
    ) -> Iterator[tuple[int, list[LedgerRow], BackgroundModel | None]]:
        """Make the model of each group, or none without usable observation, on the host."""
        for group_id, group in self._fill(groups, workers):
            n_used, name = sum(row.status == "used" for row in group.rows), self.groups.describe(group_id)
            if not n_used:
                log.warning("group %d (%s): no usable observation, no model", group_id, name)
            elif not group.n_counts:
                log.warning("group %d (%s): its model is empty, no event is in it", group_id, name)
            log.debug("group %d (%s): %d counts", group_id, name, group.n_counts)
            yield group_id, group.rows, self._background(group_id, group, workers) if n_used else None

    def _axes(self, rows: list[LedgerRow]) -> Axes:
        if (fit := self._fits.get(rows[0].group_id)) is not None:
            return regression_model_axes(self.settings, fit)
        axes = model_axes(self.settings, len(rows))
        if self.settings.method != "mayer2015" or self.settings.energy_edges is not None:
            return axes
        thresholds = []
        for row in rows:
            try:
                thresholds.append(self.store.threshold(row.obs_id))
            except ObservationError:
                continue  # it is reported when its events are read
        usable = [threshold for threshold in thresholds if 0 < threshold < axes[0].edges[-1]]
        return model_axes(self.settings, len(rows), min(usable)) if usable else axes

    def _write(self, made: tuple[int, list[LedgerRow], BackgroundModel | None]) -> tuple[int, list[LedgerRow]]:
        group_id, rows, model = made
        if model is None:
            return group_id, rows
        meta = {
            "GROUP_ID": group_id,
            "GROUP": self.groups.describe(group_id),
            "NOBS": sum(row.status == "used" for row in rows),
            "THRESRUL": self.settings.threshold,
            "MASKED": self.mask is not None,
        }
        model = replace(model, meta=model.meta | meta | {FINGERPRINT: self._fingerprint(rows)})
        if "image" in self._kinds:
            write_image(model, model_file(self.folder, group_id, "image"))
        write_table(model, model_file(self.folder, group_id, "table"), (ledger_hdu(rows),))
        return group_id, rows

    def _background(self, group_id: int, group: FilledGroup, workers: Workers) -> BackgroundModel:
        settings = self.settings
        if group_id in self._fits:
            conditions = [self._conditions[row.obs_id] for row in group.rows if row.status == "used"]
            return group_background(self._fits[group_id], conditions, group, self.backend, settings)
        time = group.livetime if settings.rate_per == "livetime" else group.ontime
        cubes = group.counts, group.livetime, time
        model = make_background_model(*cubes, group.n_counts, self.backend, settings.recipe, uniform=group.is_uniform)
        if settings.bootstrap:
            place = self.store, self._recipe, settings, self.backend, workers
            model = with_bootstrap_error(model, group_id, group, *place, self._step)
        return _on_host(model, settings.align)

    def _skip(self, obs_id: int, error: ObservationError) -> str:
        """Report an observation that cannot be used; the reason for the ledger names files relative to the store."""
        if self.settings.strict:
            raise ObservationError(
                f"observation {obs_id}: {error.problem}", error.path, error.hdu, error.column, error.remedy
            ) from error
        log.warning("observation %d skipped: %s", obs_id, error)
        return str(error).replace(f"{self.store.path}{os.sep}", "")

    def _step(self) -> None:
        self._done += 1
        passes = 2 if self.settings.method in FITTED or self.settings.bootstrap else 1
        self._progress(self._done, passes * sum(map(len, self.members.values())))


def _background_header(path: Path) -> fits.Header | None:
    try:
        with open_fits(path) as hdus:
            return hdus["BACKGROUND"].header
    except DataError:
        return None


def _on_host(model: BackgroundModel, align: str) -> BackgroundModel:
    cubes = {name: getattr(model, name) for name in ("rate", "error", "counts", "livetime")}
    return replace(model, fov_align=align, **{name: cube.on_host() for name, cube in cubes.items() if cube})
