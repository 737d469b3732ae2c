"""What ledgers say: what became of observations and their events, and which backgrounds were attached."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from gpucube.errors import DataError
from gpucube.observations.columns import column_texts, column_values, read_tables
from gpucube.pipeline.ledger import FATES

__all__ = ["describe_ledger"]

EVENT_COLUMNS = {"OBS_ID", "GROUP_ID", "STATUS", "REASON", "LIVETIME", "N_READ", *FATES}
ATTACH_COLUMNS = {"OBS_ID", "STATUS", "REASON", "MODEL", "N_CELLS_FILLED", "FILLED_SHARE", "NORM", "TILT"}
# Which are listed
MOST_LINES = 10
# What is of one observation alone in a reason: its file, its distance from a source, its value on an axis.
OF_ONE = (
    (re.compile(r"^\S.*?\.fits(\.gz)?(, |: )"), ""),
    (re.compile(r"^[\d.]+ deg from "), "near "),
    (re.compile(r"^(\w+) [^ ]+( \S+)? is (outside|none of) "), r"\1 is \3 "),
)
WEIGHT = re.compile(r"[\d.]\S* (?=group \d)")


def describe_ledger(path: Path) -> dict[str, str]:
    """Describe a ledger.

    Parameters
    ----------
    path : pathlib.Path
        Ledger of `gpucube make-models` or `gpucube attach`.

    Returns
    -------
    dict of str to str
        Facts by name.

    Raises
    ------
    DataError
        It cannot be read, is no ledger, or has text where numbers belong.
    """
    table = read_tables(path)[0]
    if set(table.colnames) >= EVENT_COLUMNS:
        return {"kind": "event ledger"} | _observations(table) | _events(table, path)
    if set(table.colnames) >= ATTACH_COLUMNS:
        return {"kind": "ledger of attached backgrounds"} | _observations(table) | _backgrounds(table, path)
    raise DataError("no ledger of make-models or attach", path, remedy="gpucube info knows no other tables")


def _observations(table: Table) -> dict[str, str]:
    """Observations by status, and why those of each are not used, or what was assumed of those that are."""
    statuses = column_texts(table["STATUS"])
    reasons = column_texts(table["REASON"])
    counts = ", ".join(f"{number} {status}" for status, number in Counter(statuses).most_common())
    facts = {"observations": f"{len(table)}" + f": {counts}" * bool(counts)}
    for status in sorted(set(statuses)):
        found = [reason for own, reason in zip(statuses, reasons, strict=True) if own == status]
        if status == "used":
            facts |= _lines("assumed", (note for reason in found for note in reason.split("; ")))
        else:
            facts |= _lines(f"why {status}", map(_of_several, found))
    return facts


def _of_several(reason: str) -> str:
    for pattern, instead in OF_ONE:
        reason = pattern.sub(instead, reason)
    return reason


def _lines(name: str, texts: Iterable[str]) -> dict[str, str]:
    """The most frequent texts with their numbers, one a line."""
    counts = Counter(text for text in texts if text).most_common()
    lines = [f"{number} × {text}" for text, number in counts[:MOST_LINES]]
    if more := counts[MOST_LINES:]:
        lines.append(f"{sum(number for _, number in more)} × others")
    return {name: "\n".join(lines)} if lines else {}


def _events(table: Table, path: Path) -> dict[str, str]:
    used = np.array(column_texts(table["STATUS"])) == "used"
    facts = {"groups with observations": f"{np.unique(np.asarray(table['GROUP_ID'])[used]).size}"}
    livetime = column_values(table, "LIVETIME", "s", path)
    facts["livetime of the used"] = f"{np.nansum(livetime[used]) / 3600:.2f} h"
    n_read = _total(table, "N_READ", path)
    facts["events read"] = f"{n_read:,}"
    for name, words in FATES.items():
        number = _total(table, name, path)
        if number or name == "N_FILLED":
            facts[f"events {words}"] = f"{number:,} ({number / max(n_read, 1):.1%})"
    return facts


def _total(table: Table, name: str, path: Path) -> int:
    return int(_known(column_values(table, name, "", path)).sum())


def _backgrounds(table: Table, path: Path) -> dict[str, str]:
    attached = table[np.array(column_texts(table["STATUS"]), dtype=str) == "attached"]
    if not len(attached):
        return {}
    facts = _lines("made of", (WEIGHT.sub("", text) for text in column_texts(attached["MODEL"])))
    norm, tilt, n_filled, share = (
        _known(column_values(attached, name, "", path)) for name in ("NORM", "TILT", "N_CELLS_FILLED", "FILLED_SHARE")
    )
    if (norm == 1).all() and (tilt == 0).all():
        facts["normalised"] = "no" if norm.size else "not known"
    else:
        facts |= {"normalised, norm": _range(norm)} if norm.size else {}
        facts |= {"normalised, tilt": _range(tilt)} if (tilt != 0).any() else {}
    if n_filled.any():
        n_cells, n_observations = int(n_filled.sum()), int(np.count_nonzero(n_filled))
        largest = f", at most {share.max():.2%} of the predicted counts" if share.size else ""
        facts["cells without rate filled"] = f"{n_cells:,} in {n_observations} observations{largest}"
    return facts


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _range(values: NDArray[np.float64]) -> str:
    return f"{values.min():.3g} to {values.max():.3g}, median {np.median(values):.3g}"
