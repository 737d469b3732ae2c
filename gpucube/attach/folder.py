"""The folder of the new data store: what may be written to it, and what of an earlier run is replaced."""

from __future__ import annotations

from pathlib import Path, PurePath

from gpucube.cubes.fits import CREATOR
from gpucube.errors import OutputError
from gpucube.files import make_folder, write_whole

__all__ = ["INDEX", "LEDGER", "MANIFEST", "OBS_INDEX", "prepare_folder"]

INDEX = "hdu-index.fits.gz"
OBS_INDEX = "obs-index.fits.gz"
LEDGER = "attach_ledger.ecsv"
# Files that a run writes, so that the next one knows which are its own.
MANIFEST = "attach_files.txt"
MARK = "# files written by gpucube "


def prepare_folder(folder: Path, files: list[str], *, overwrite: bool) -> None:
    """Make sure that nothing is lost, and that nothing old is taken for new.

    Parameters
    ----------
    folder : pathlib.Path
        Folder; made if it is missing.
    files : list of str
        Files that will be written, relative to it.
    overwrite : bool
        Whether to delete the files of an earlier run.

    Raises
    ------
    OutputError
        A file is in the way that no earlier run has written, or one that has and `overwrite` is not set.
    """
    make_folder(folder)
    manifest = folder / MANIFEST
    own = _own_files(manifest)
    if own and not overwrite:
        raise OutputError(
            f"{folder} holds files of an earlier run; name another folder, or add --overwrite "
            "(in Python, AttachSettings(overwrite=True))"
        )
    in_the_way = [file for file in files if (folder / file).exists() and file not in own]
    if in_the_way:
        raise OutputError(f"{folder / in_the_way[0]} is in the way: move it, or name another folder")
    for file in own:
        (folder / file).unlink(missing_ok=True)
    write_whole(manifest, "\n".join([f"{MARK}({CREATOR})", *sorted(files), ""]).encode())


def _own_files(manifest: Path) -> list[str]:
    if not manifest.exists():
        return []
    lines = manifest.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or not lines[0].startswith(MARK):
        raise OutputError(f"{manifest} is in the way: gpucube did not write it; move it or name another folder")
    paths = [PurePath(line) for line in lines[1:]]
    return [str(path) for path in paths if path.parts and not path.is_absolute() and ".." not in path.parts]
