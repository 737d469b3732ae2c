"""Tables of numbers on a terminal."""

from __future__ import annotations

from astropy.table import Table

from gpucube.cli.app import new_table, print_table
from gpucube.report.text import cell_text, column_label

__all__ = ["print_astropy_table"]


def print_astropy_table(title: str, table: Table) -> None:
    """Print a table of numbers."""
    shown = new_table(title, *(column_label(table, name) for name in table.colnames))
    for row in table:
        shown.add_row(*(cell_text(name, row[name]) for name in table.colnames))
    print_table(shown)
