"""Small data stores for tests, and ways to damage them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

__all__ = ["DAMAGES", "copy_store", "edit_events", "event_file"]


def copy_store(store: Path, to: Path) -> Path:
    """Copy a data store, so that a test may damage it."""
    return Path(shutil.copytree(store, to))


def event_file(store: Path, obs_id: int) -> Path:
    """File of an observation in a GADF store."""
    index = Table.read(store / "hdu-index.fits.gz")
    row = index[(index["OBS_ID"] == obs_id) & (np.char.strip(np.asarray(index["HDU_TYPE"]).astype(str)) == "events")][0]
    return store / str(row["FILE_DIR"]).strip() / str(row["FILE_NAME"]).strip()


def edit_events(path: Path, change: Callable[[fits.HDUList], None]) -> None:
    """Change the HDUs of a file in place."""
    with fits.open(path, memmap=False) as hdus:
        hdus = fits.HDUList([hdu.copy() for hdu in hdus])
    change(hdus)
    hdus.writeto(path, overwrite=True)


def _set_card(hdu: str, key: str, value: object) -> Callable[[Path], None]:
    def change(hdus: fits.HDUList) -> None:
        hdus[hdu].header[key] = value

    return lambda path: edit_events(path, change)


def _set_energy_unit(unit: str) -> Callable[[Path], None]:
    def change(hdus: fits.HDUList) -> None:
        hdus["EVENTS"].columns["ENERGY"].unit = unit

    return lambda path: edit_events(path, change)


def _replace_table(make: Callable[[Table], Table]) -> Callable[[Path], None]:
    def change(hdus: fits.HDUList) -> None:
        header = hdus["EVENTS"].header.copy()
        table = make(Table(hdus["EVENTS"].data))
        hdu = fits.BinTableHDU(table.as_array(), name="EVENTS")
        if "ENERGY" in table.colnames:
            hdu.columns["ENERGY"].unit = "TeV"
        for card in header.cards:
            if card.keyword not in hdu.header and not card.keyword.startswith(("TUNIT", "TFORM", "TTYPE")):
                hdu.header.append(card)
        position = hdus.index_of("EVENTS")
        hdus[position] = hdu

    return lambda path: edit_events(path, change)


def _without_column(name: str) -> Callable[[Path], None]:
    def make(table: Table) -> Table:
        table.remove_column(name)
        return table

    return _replace_table(make)


def _all_nan(table: Table) -> Table:
    table["DETX"] = np.full(len(table), np.nan, dtype=np.float32)
    return table


def _without_threshold(path: Path) -> None:
    """Neither LO_THRES, nor an effective area from which a threshold could be told."""

    def change(hdus: fits.HDUList) -> None:
        del hdus["AEFF"].header["LO_THRES"]
        hdus["AEFF"].data["EFFAREA"][:] = 0.0

    edit_events(path, change)


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])


# What can be wrong with an observation, and a word that the reason must contain.
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (_truncate, "damaged"),
    "missing file": (lambda path: path.unlink(), "no such file"),
    "not FITS": (lambda path: path.write_text("hello"), "FITS"),
    "missing column": (_without_column("ENERGY"), "ENERGY"),
    "no events": (_replace_table(lambda table: table[:0]), "no events"),
    "zero livetime": (_set_card("EVENTS", "LIVETIME", 0.0), "LIVETIME"),
    "negative livetime": (_set_card("EVENTS", "LIVETIME", -5.0), "LIVETIME"),
    "livetime is text": (_set_card("EVENTS", "LIVETIME", "long"), "LIVETIME"),
    "unit nonsense": (_set_energy_unit("parsnip"), "parsnip"),
    "unit of something else": (_set_energy_unit("deg"), "deg"),
    "no threshold": (_without_threshold, "LO_THRES"),
    "no HDU": (_set_card("EVENTS", "EXTNAME", "OTHER"), "EVENTS"),
    "DETX all NaN": (_replace_table(_all_nan), "DETX"),
}
