"""What is told of ledgers, against sums of their rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from gpucube.attach.ledger import AttachRow, attach_ledger
from gpucube.errors import DataError
from gpucube.inspection import describe_ledger
from gpucube.pipeline.ledger import LedgerRow, ledger_ecsv

NUMBERS = st.integers(0, 10**6)
STATUSES = st.sampled_from(["used", "near_source", "ungrouped", "skipped"])


def write(folder: Path, text: str) -> Path:
    path = folder / "ledger.ecsv"
    path.write_text(text)
    return path


@st.composite
def rows(draw: st.DrawFn) -> LedgerRow:
    status = draw(STATUSES)
    if status != "used":
        return LedgerRow(1, status=status, reason=draw(st.sampled_from(["cloudy", "dark"])), livetime=600.0)
    invalid, excluded, low, energy, field, filled = (draw(NUMBERS) for _ in range(6))
    total = invalid + excluded + low + energy + field + filled
    numbers = (total, invalid, excluded, low, energy, field, filled)
    return LedgerRow(1, draw(st.integers(0, 3)), status, "", *numbers, livetime=1800.0, ontime=2000.0)


def number(text: str) -> int:
    return int(text.split(" ")[0].replace(",", ""))


@given(st.lists(rows(), max_size=12))
def test_observations_and_events_add_up(tmp_path_factory: pytest.TempPathFactory, ledger: list[LedgerRow]) -> None:
    found = describe_ledger(write(tmp_path_factory.mktemp("ledger"), ledger_ecsv(ledger)))
    total, _, statuses = found["observations"].partition(": ")
    assert total == f"{len(ledger)}"
    told = {status: int(count) for count, status in (part.split(" ") for part in statuses.split(", ") if part)}
    assert told == Counter(row.status for row in ledger)
    fates = {name: text for name, text in found.items() if name.startswith("events ") and name != "events read"}
    assert sum(map(number, fates.values())) == number(found["events read"]) == sum(row.n_read for row in ledger)
    assert number(fates["events filled"]) == sum(row.n_filled for row in ledger)
    used = [row for row in ledger if row.status == "used"]
    assert found["livetime of the used"] == f"{0.5 * len(used):.2f} h"
    assert found["groups with observations"] == f"{len({row.group_id for row in used})}"
    for status in ("near_source", "ungrouped", "skipped"):
        lines = found.get(f"why {status}", "").splitlines()
        reasons = Counter(row.reason for row in ledger if row.status == status)
        assert {line.partition(" × ")[2]: number(line) for line in lines} == reasons


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        (["0.39 deg from MSH 15-52", "1.50 deg from MSH 15-52"], "2 × near MSH 15-52"),
        (["ALT 12.5 deg is outside 45..90 deg", "ALT 40 deg is outside 45..90 deg"], "2 × ALT is outside 45..90 deg"),
        (["N_TELS 3 is none of 4", "N_TELS 2 is none of 4"], "2 × N_TELS is none of 4"),
        (["data/a 1.fits.gz, HDU EVENTS: no events", "b.fits, HDU EVENTS: no events"], "2 × HDU EVENTS: no events"),
        (["data/a.fits: no such file", "data/b.fits.gz: no such file"], "2 × no such file"),
        (["ALT is NaN", "dark", "dark"], "2 × dark\n1 × ALT is NaN"),
    ],
)
def test_reasons_of_the_same_kind_are_counted_together(reasons: list[str], told: str, tmp_path: Path) -> None:
    ledger = [LedgerRow(index, status="skipped", reason=reason) for index, reason in enumerate(reasons)]
    assert describe_ledger(write(tmp_path, ledger_ecsv(ledger)))["why skipped"] == told


def test_many_reasons_are_cut_short_and_all_counted(tmp_path: Path) -> None:
    ledger = [LedgerRow(index, status="skipped", reason=f"reason {index}") for index in range(30)]
    lines = describe_ledger(write(tmp_path, ledger_ecsv(ledger)))["why skipped"].splitlines()
    assert len(lines) == 11
    assert lines[-1] == "20 × others"


def test_what_was_assumed(tmp_path: Path) -> None:
    ledger = [LedgerRow(1, 0, reason="a site; a clock"), LedgerRow(2, 0, reason="a clock"), LedgerRow(3, 0)]
    assert describe_ledger(write(tmp_path, ledger_ecsv(ledger)))["assumed"] == "2 × a clock\n1 × a site"


def test_attached_backgrounds(tmp_path: Path) -> None:
    ledger = [
        AttachRow(1, model="0.0863 group 0 + 0.914 group 1", norm=0.5, tilt=0.1),
        AttachRow(2, model="1.2e-05 group 0 + 1 group 1", norm=1.5, tilt=-0.1, n_cells_filled=7, filled_share=0.0625),
        AttachRow(3, model="group 2 instead of group 3", norm=1.0),
        AttachRow(4, "skipped", "models: no model of group 27"),
    ]
    found = describe_ledger(write(tmp_path, attach_ledger(ledger)))
    assert found == {
        "kind": "ledger of attached backgrounds",
        "observations": "4: 3 attached, 1 skipped",
        "why skipped": "1 × models: no model of group 27",
        "made of": "2 × group 0 + group 1\n1 × group 2 instead of group 3",
        "normalised, norm": "0.5 to 1.5, median 1",
        "normalised, tilt": "-0.1 to 0.1, median 0",
        "cells without rate filled": "7 in 1 observations, at most 6.25% of the predicted counts",
    }


def test_backgrounds_that_are_not_normalised_and_none_at_all(tmp_path: Path) -> None:
    found = describe_ledger(write(tmp_path, attach_ledger([AttachRow(1, model="bg_regression_model.fits.gz")])))
    assert (found["made of"], found["normalised"]) == ("1 × bg_regression_model.fits.gz", "no")
    found = describe_ledger(write(tmp_path, attach_ledger([AttachRow(1, "skipped", "dark")])))
    assert set(found) == {"kind", "observations", "why skipped"}


@pytest.mark.parametrize(
    "text", ["", "hello", "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: A, datatype: int64}\nA\n1\n"]
)
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ledger\.ecsv"):
        describe_ledger(write(tmp_path, text))


EVENTS = ledger_ecsv([LedgerRow(1, 0, n_read=5, n_filled=5, livetime=1800.0), LedgerRow(2, 0, n_read=3, n_filled=3)])
BACKGROUNDS = attach_ledger([AttachRow(1, norm=0.5, n_cells_filled=1, filled_share=0.5), AttachRow(2, norm=0.7)])


@pytest.mark.parametrize(
    ("text", "name"),
    [(EVENTS, name) for name in ("LIVETIME", "N_READ", "N_FILLED", "N_OUTSIDE_FOV")]
    + [(BACKGROUNDS, name) for name in ("NORM", "TILT", "N_CELLS_FILLED", "FILLED_SHARE")],
)
def test_text_where_numbers_belong_is_refused_and_what_is_missing_left_out(
    text: str, name: str, tmp_path: Path
) -> None:
    path = write(tmp_path, text)
    table = Table(Table.read(path), masked=True)
    table[name] = np.array(table[name], dtype=float)
    table[name][0] = np.nan
    table[name].mask[1] = True
    table.write(path, overwrite=True)
    assert "nan" not in " ".join(describe_ledger(path).values())
    table[name] = ["many", "few"]
    table.write(path, overwrite=True)
    with pytest.raises(DataError, match=rf"ledger\.ecsv, {name}"):
        describe_ledger(path)


def test_numbers_that_are_not_known_are_no_reason_to_stop(tmp_path: Path) -> None:
    path = write(tmp_path, EVENTS)
    table = Table(Table.read(path), masked=True)
    table["N_READ"].mask[1] = True
    table.write(path, overwrite=True)
    assert describe_ledger(path)["events read"] == "5"
    table["N_READ"].mask[0] = True
    table.write(path, overwrite=True)
    assert describe_ledger(path)["events read"] == "0"
