"""The output folder: names of files, and what may be replaced in it."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from gpucube.cubes.fits import CREATOR
from gpucube.errors import OutputError
from gpucube.files import PARTIAL_SUFFIX, make_folder, write_by_name, write_whole
from gpucube.fits_writer import image_bytes
from gpucube.observations.groups import ObservationGroups
from gpucube.observations.table import ObservationTable
from gpucube.regression.model import REGRESSION_FILE

__all__ = ["LEDGER", "model_file", "model_tables", "prepare_folder", "write_groups", "write_observations"]

OBSERVATIONS = "bg_observation_table.fits.gz"
GROUPED_OBSERVATIONS = "bg_observation_table_grouped.fits.gz"
GROUPS = "bg_observation_groups.ecsv"
LEDGER = "bg_event_ledger.ecsv"
MODEL = re.compile(r"bg_cube_model_group(\d+)_(table|image)\.fits\.gz")
FITS_BLOCK = 2880


def model_file(folder: Path, group_id: int, kind: str) -> Path:
    """Path of a file of the model of a group.

    Parameters
    ----------
    folder : pathlib.Path
        Output folder.
    group_id : int
        Group.
    kind : {"table", "image"}
        Which file.

    Returns
    -------
    pathlib.Path
        The file.
    """
    return folder / f"bg_cube_model_group{group_id}_{kind}.fits.gz"


def model_tables(folder: Path) -> dict[int, Path]:
    """Table files of models in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Output folder.

    Returns
    -------
    dict of int to pathlib.Path
        Files by group.
    """
    found = ((MODEL.fullmatch(path.name), path) for path in folder.iterdir())
    return {int(match[1]): path for match, path in found if match and match[2] == "table"}


def prepare_folder(folder: Path, *, overwrite: bool, resume: bool) -> None:
    """Make sure that nothing is lost, and that nothing old is taken for new.

    Parameters
    ----------
    folder : pathlib.Path
        Output folder; made if it is missing.
    overwrite : bool
        Whether to delete models that gpucube wrote.
    resume : bool
        Whether to leave them for `make_models` to look at.

    Raises
    ------
    OutputError
        There are models and neither is asked for, or a file in the way is not by gpucube.
    """
    make_folder(folder)
    fixed = (OBSERVATIONS, GROUPED_OBSERVATIONS, GROUPS, LEDGER, REGRESSION_FILE)
    present = sorted(path for path in folder.iterdir() if path.name in fixed or MODEL.fullmatch(path.name))
    if present and not (overwrite or resume):
        raise OutputError(
            f"{folder} holds {len(present)} files of an earlier run; name another folder, add --overwrite "
            "(in Python, Settings(overwrite=True)) to replace them, or --resume (resume=True) to go on from the "
            "finished groups"
        )
    for path in present:
        if not _is_ours(path):
            raise OutputError(
                f"{path} is in the way: gpucube did not write it, or it is damaged; move it or name another folder"
            )
    for partial in folder.glob(f".bg_*{PARTIAL_SUFFIX}"):
        partial.unlink(missing_ok=True)
    if overwrite:
        for path in present:
            path.unlink()


def _is_ours(path: Path) -> bool:
    """Whether the beginning of a file, which a damaged one still has, says that gpucube wrote it."""
    try:
        with path.open("rb") as file:
            head = file.read(20_000)
        if path.suffix == ".ecsv":
            return b"creator: gpucube" in head
        return b"CREATOR = 'gpucube " in zlib.decompressobj(wbits=31).decompress(head, FITS_BLOCK)
    except (OSError, zlib.error):
        return False


def write_observations(folder: Path, kept: ObservationTable, grouped: ObservationTable) -> None:
    """Write the selected observations, without and with their groups.

    Parameters
    ----------
    folder : pathlib.Path
        Output folder.
    kept, grouped : ObservationTable
        Tables to write.
    """
    for name, table in ((OBSERVATIONS, kept), (GROUPED_OBSERVATIONS, grouped)):
        write_by_name(folder / name, image_bytes(None, {"CREATOR": CREATOR}) + table.to_bytes())


def write_groups(folder: Path, groups: ObservationGroups) -> None:
    """Write the definition of the groups.

    Parameters
    ----------
    folder : pathlib.Path
        Output folder.
    groups : ObservationGroups
        The groups.
    """
    write_whole(folder / GROUPS, groups.to_ecsv(creator=CREATOR).encode())
