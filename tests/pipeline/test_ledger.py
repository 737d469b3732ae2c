"""The text of the ledger against astropy's."""

from __future__ import annotations

import io
from dataclasses import fields

import numpy as np
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucube.cubes.fits import CREATOR
from gpucube.pipeline.ledger import LedgerRow, ledger_ecsv

SECONDS = st.floats(0, 1e9) | st.sampled_from([float("nan"), float("inf"), 1e-7, 1e16, 1e22])
ROWS = st.builds(
    LedgerRow,
    obs_id=st.integers(-(2**62), 2**62),
    group_id=st.integers(-1, 99),
    status=st.sampled_from(["used", "near_source", "ungrouped", "skipped"]),
    reason=st.text() | st.text("a \"'\\,;#\t\n", max_size=6),
    livetime=SECONDS,
    ontime=SECONDS,
)


@settings(max_examples=30)
@given(rows=st.lists(ROWS, max_size=4))
def test_ledger_is_the_text_of_astropy(rows: list[LedgerRow]) -> None:
    columns = {field.name.upper(): [getattr(row, field.name) for row in rows] for field in fields(LedgerRow)}
    types = {"STATUS": str, "REASON": str, "LIVETIME": float, "ONTIME": float}
    table = Table({name: np.array(values, types.get(name, np.int64)) for name, values in columns.items()})
    table["LIVETIME"].unit = table["ONTIME"].unit = "s"
    table.meta["creator"] = CREATOR
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    assert ledger_ecsv(rows) == text.getvalue().encode("ascii", "backslashreplace").decode()
