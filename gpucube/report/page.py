"""One HTML page that holds everything: tables and pictures inside, nothing from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from astropy.table import Table

from gpucube.report.text import cell_text, column_label

__all__ = ["Section", "html_page"]

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
th { background: #f4f4f4; } img { max-width: 100%; } .warning { color: #a40000; font-weight: 600; }
div.scroll { overflow-x: auto; }
"""


@dataclass(frozen=True, eq=False)
class Section:
    """Part of a page.

    Attributes
    ----------
    title : str
        Heading.
    notes : sequence of str
        Paragraphs; those that begin with "warning" stand out.
    table : astropy.table.Table, optional
        Table below them.
    picture : bytes, optional
        PNG below that.
    """

    title: str
    notes: Sequence[str] = ()
    table: Table | None = None
    picture: bytes | None = None


def html_page(title: str, sections: Sequence[Section]) -> str:
    """Make a page.

    Parameters
    ----------
    title : str
        Title.
    sections : sequence of Section
        What is on it.

    Returns
    -------
    str
        HTML that needs no other file.
    """
    body = "\n".join(_section(section) for section in sections)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    for note in section.notes:
        mark = ' class="warning"' if note.startswith("warning") else ""
        parts.append(f"<p{mark}>{escape(note)}</p>")
    if section.table is not None:
        parts.append(_table(section.table))
    if section.picture is not None:
        data = base64.b64encode(section.picture).decode("ascii")
        parts.append(f'<img alt="{escape(section.title)}" src="data:image/png;base64,{data}">')
    return "\n".join(parts)


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(column_label(table, name))}</th>" for name in table.colnames)
    rows = ("".join(f"<td>{escape(cell_text(name, row[name]))}</td>" for name in table.colnames) for row in table)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>\n{body}</table></div>'
