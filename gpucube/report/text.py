"""Tables as text: labels of columns, and numbers with as many digits as they need."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.table import Table

__all__ = ["cell_text", "column_label"]

FORMATS = {"SKILL": ".3f", "SKILL_ERR": ".3f", "RATIO": ".3f", "RATIO_ERR": ".3f", "PULL": "+.1f", "CHI2_NDF": ".2f"}


def column_label(table: Table, name: str) -> str:
    """Label of a column.

    Parameters
    ----------
    table : astropy.table.Table
        Table.
    name : str
        Column.

    Returns
    -------
    str
        Its name in words, and its unit.
    """
    if name.startswith("RATIO"):
        what = "predicted / observed" if "PREDICTED" in table.colnames else "first / second"
        return what if name == "RATIO" else f"error of {what}"
    unit = table[name].unit
    return name.lower().replace("_", " ") + (f" ({unit})" if unit else "")


def cell_text(name: str, value: Any) -> str:
    """Text of a value.

    Parameters
    ----------
    name : str
        Its column.
    value : object
        The value.

    Returns
    -------
    str
        The text; a dash for what is no number.
    """
    if isinstance(value, (float, np.floating)):
        number = float(value)
        own = ",.0f" if 1000 <= abs(number) < 1e9 else ".4g"
        return format(number, FORMATS.get(name, own)) if number == number else "–"
    return f"{value:,}" if isinstance(value, np.integer) and not name.endswith("ID") else str(value).replace("_", " ")
