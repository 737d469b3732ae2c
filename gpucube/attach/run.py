"""Attach backgrounds to all observations of a data store."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from gpucube.attach.folder import INDEX, LEDGER, OBS_INDEX, prepare_folder
from gpucube.attach.ledger import AttachRow, attach_ledger
from gpucube.attach.one import Attached, Task, attach_one
from gpucube.attach.plan import IndexRow, Target, copy_destinations, index_hdu, linked, read_rows, target_of
from gpucube.attach.settings import AttachSettings
from gpucube.cubes.fits import CREATOR
from gpucube.errors import GpucubeError, ObservationError, OptionError, OutputError
from gpucube.files import fits_bytes, write_by_name, write_whole
from gpucube.observations.store import DataStore
from gpucube.pipeline.mask import Mask
from gpucube.prediction.opening import open_predictor
from gpucube.prediction.predictor import Predictor
from gpucube.workers import process_pool

__all__ = ["AttachSummary", "attach_models"]

log = logging.getLogger(__name__)

NEW_FOLDER = "bkg"
# Share of filled cells in the counts above which a model is no measurement.
SPARSE = 0.02


@dataclass(frozen=True, eq=False, repr=False)
class AttachSummary:
    """What a run did.

    Attributes
    ----------
    folder : pathlib.Path
        The new data store.
    rows : list of AttachRow
        The ledger.
    """

    folder: Path
    rows: list[AttachRow]

    def __repr__(self) -> str:
        return f"<AttachSummary: {len(self.rows) - self.n_skipped} of {len(self.rows)} observations in {self.folder}>"

    @property
    def n_skipped(self) -> int:
        """Number of observations that got no background."""
        return sum(row.status == "skipped" for row in self.rows)


def attach_models(
    models: str | Path | Predictor,
    data: str | Path,
    out: str | Path,
    scheme: str = "auto",
    settings: AttachSettings | None = None,
    mask: Mask | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> AttachSummary:
    """Write a data store whose observations have the background that fits them.

    Parameters
    ----------
    models : path-like or Predictor
        Folder of models, model file, or what predicts the background.
    data : path-like
        Folder of observations in the GADF scheme.
    out : path-like
        Folder of the new data store.
    scheme : {"auto", "GADF"}
        Naming scheme of `data`.
    settings : AttachSettings, optional
        What to do, and how.
    mask : Mask, optional
        What to leave out of the counts that models are normalised to.
    progress : function (done, total)
        Called after each observation with the number of observations done and their total.

    Returns
    -------
    AttachSummary
        What was done.

    Raises
    ------
    DataError, OptionError
        The models, the data store or the settings cannot be used.
    OutputError
        Writing would lose something.
    ObservationError
        An observation cannot be used, and `strict` is set.
    GpucubeError
        No observation got a background.
    """
    settings = settings or AttachSettings()
    predictor = (
        models
        if isinstance(models, Predictor)
        else open_predictor(models, settings.interpolate, settings.leave_out_target, settings.model)
    )
    store = DataStore.open(data, scheme)
    folder = Path(out)
    _refuse(store, folder, models)
    run = _Run(store, folder, predictor, settings, mask, progress)
    prepare_folder(folder, run.new_files(), overwrite=settings.overwrite)
    results = run.attach_all()
    rows = [result.row for result in results]
    if any(row.status == "attached" for row in rows):
        run.write_index(results)
    write_whole(folder / LEDGER, attach_ledger(rows).encode())
    _report_filling(rows)
    if all(row.status == "skipped" for row in rows):
        raise GpucubeError(f"no observation got a background; {folder / LEDGER} has the reasons")
    return AttachSummary(folder, rows)


def _refuse(store: DataStore, folder: Path, models: str | Path | Predictor) -> None:
    if store.scheme != "GADF":
        raise OptionError(f"{store.path} is of scheme {store.scheme}, which has no place for a background; give GADF")
    if not len(store.table):
        raise OptionError(f"{store.path}: the observation table is empty")
    if folder.resolve() == store.path.resolve():
        raise OutputError(f"{folder} is the data store itself; name another folder for the new one")
    if not isinstance(models, Predictor) and folder.resolve() == Path(models).resolve():
        raise OutputError(f"{folder} is the folder of the models; name another one for the new data store")


def _report_filling(rows: list[AttachRow]) -> None:
    filled = [row for row in rows if row.n_cells_filled]
    sparse = [row for row in filled if row.filled_share > SPARSE]
    if filled:
        n_cells = sum(row.n_cells_filled for row in filled)
        log.info("%d cells without rate filled in the backgrounds of %d observations", n_cells, len(filled))
    if sparse:
        log.warning(
            "filled cells hold up to %.0f %% of the predicted counts (%d observations over %.0f %%): the models have "
            "too few counts for their binning; make them in coarser bins or larger groups",
            100 * max(row.filled_share for row in sparse),
            len(sparse),
            100 * SPARSE,
        )


class _Run:
    """State of one run."""

    def __init__(
        self,
        store: DataStore,
        folder: Path,
        predictor: Predictor,
        settings: AttachSettings,
        mask: Mask | None,
        progress: Callable[[int, int], None],
    ) -> None:
        self.store, self.folder, self.predictor, self.settings = store, folder, predictor, settings
        self.mask, self._progress = mask, progress
        self.obs_ids = list(dict.fromkeys(int(obs_id) for obs_id in np.asarray(store.table["OBS_ID"])))
        rows = read_rows(store.path)
        self.rows = {obs_id: rows.get(obs_id, []) for obs_id in self.obs_ids}
        self.users = Counter(file for rows in self.rows.values() for file in {row.file for row in rows})
        self.new_names = {} if settings.link else copy_destinations(self.rows)

    def new_files(self) -> list[str]:
        """Files that may be written, relative to the folder."""
        own = [_new_background(obs_id) for obs_id in self.obs_ids] if self.settings.link else self.new_names.values()
        return [*own, INDEX, OBS_INDEX, LEDGER]

    def attach_all(self) -> list[Attached]:
        results = []
        for obs_id, result in zip(self.obs_ids, self._results(), strict=True):
            results.append(self._report(obs_id, result))
            self._progress(len(results), len(self.obs_ids))
        return results

    def _results(self) -> Iterator[Attached]:
        tasks = [self._task(obs_id) for obs_id in self.obs_ids]
        if self.settings.workers == 1:
            yield from map(_attach_or_error, tasks)
            return
        with process_pool(self.settings.workers) as executor:
            yield from executor.map(_attach_or_error, tasks)

    def _task(self, obs_id: int) -> Task | Attached:
        store = replace(
            self.store,
            table=self.store.table[np.asarray(self.store.table["OBS_ID"]) == obs_id],
            files={obs_id: self.store.files[obs_id]},
        )
        common = (store, obs_id, self.predictor, self.settings, self.mask)
        if self.settings.link:
            return Task(*common, None, (), self.folder / _new_background(obs_id))
        try:
            target = target_of(self.rows[obs_id], self.users)
        except ObservationError as error:
            return Attached(AttachRow(obs_id, "skipped"), error=error)
        own = dict.fromkeys(row.file for row in self.rows[obs_id] if self.users[row.file] == 1)
        copies = tuple((self._old(file), self.folder / self.new_names[file]) for file in own)
        return Task(*common, target, copies, self.folder / self.new_names[target.file])

    def _old(self, file: str) -> Path:
        path = self.store.path / file
        other = path.with_suffix("") if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
        return other if other.is_file() and not path.is_file() else path

    def _report(self, obs_id: int, result: Attached) -> Attached:
        error = result.error
        if error is None:
            return result
        if self.settings.strict:
            problem = f"observation {obs_id}: {error.problem}"
            raise ObservationError(problem, error.path, error.hdu, error.column, error.remedy) from error
        log.warning("observation %d skipped: %s", obs_id, error)
        reason = str(error).replace(f"{self.store.path}/", "")
        return replace(result, row=replace(result.row, reason=reason))

    def write_index(self, results: list[Attached]) -> None:
        """Write the index files of the observations that have a background, and copy what they share."""
        done = {result.row.obs_id: result for result in results if result.error is None}
        rows = [row for obs_id, result in done.items() for row in self._new_rows(obs_id, result.hdu_class)]
        if not self.settings.link:
            self._copy_shared(done)
        write_by_name(self.folder / INDEX, fits_bytes(index_hdu(rows)))
        table = self.store.table[np.isin(np.asarray(self.store.table["OBS_ID"]), list(done))]
        table["BKG_SCALE"] = [done[int(obs_id)].row.norm for obs_id in table["OBS_ID"]]
        hdu = table.to_hdu()
        hdu.header["CREATOR"] = CREATOR
        write_by_name(self.folder / OBS_INDEX, fits_bytes(fits.HDUList([fits.PrimaryHDU(), hdu])))

    def _new_rows(self, obs_id: int, hdu_class: str) -> list[IndexRow]:
        others = [row for row in self.rows[obs_id] if not row.is_background]
        if self.settings.link:
            new = [linked(row, self.store.path, self.folder) for row in others]
            target, file = Target(""), _new_background(obs_id)
        else:
            new = [row.in_file(self.new_names[row.file]) for row in others]
            target = target_of(self.rows[obs_id], self.users)
            file = self.new_names[target.file]
        return [*new, IndexRow(obs_id, "bkg", hdu_class, "", "", target.name).in_file(file)]

    def _copy_shared(self, done: dict[int, Attached]) -> None:
        """Copy the files that several observations use, such as instrument responses."""
        shared = (row.file for obs_id in done for row in self.rows[obs_id] if self.users[row.file] > 1)
        for file in dict.fromkeys(shared):
            new = self.folder / self.new_names[file]
            new.parent.mkdir(parents=True, exist_ok=True)
            write_whole(new, self._old(file).read_bytes())


def _attach_or_error(task: Task | Attached) -> Attached:
    return task if isinstance(task, Attached) else attach_one(task)


def _new_background(obs_id: int) -> str:
    return f"{NEW_FOLDER}/bkg_{obs_id:06d}.fits.gz"
