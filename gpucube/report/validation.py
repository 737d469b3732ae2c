"""What is told of a validation: on the terminal, and in a folder of tables, pictures and a page."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from astropy.table import Table

from gpucube.cubes.fits import CREATOR
from gpucube.files import make_folder, write_whole
from gpucube.report.page import Section, html_page
from gpucube.report.pictures import validation_pictures
from gpucube.validation.tables import by_cell, by_energy, by_observation, by_offset, by_quadrant, score_table, worst
from gpucube.validation.validate import Validation

__all__ = ["ecsv_bytes", "validation_notes", "validation_tables", "write_files", "write_validation"]

WORST = 10
PAGE = "validation.html"
NO_SKILL = "skill –: there is none to speak of, for chance hides all structure (too few events, or cells too small)"


def validation_tables(result: Validation) -> dict[str, Table]:
    """Tables of a validation.

    Parameters
    ----------
    result : Validation
        The validation.

    Returns
    -------
    dict of str to astropy.table.Table
        Tables by name: scores, energy, offset, quadrant, observations and cells.
    """
    makers = {
        "scores": score_table,
        "energy": by_energy,
        "offset": by_offset,
        "quadrant": by_quadrant,
        "observations": by_observation,
        "cells": by_cell,
    }
    return {name: make(result.scores) for name, make in makers.items()}


def validation_notes(result: Validation) -> list[str]:
    """Say what was scored, and what must be known of it.

    Parameters
    ----------
    result : Validation
        The validation.

    Returns
    -------
    list of str
        Sentences; warnings begin with "warning".
    """
    scores = result.scores
    skipped = f" ({len(scores.cells.skipped)} more could not be read)" if scores.cells.skipped else ""
    ratio = scores.n_predicted / scores.n_observed
    notes = [
        f"{len(scores.cells.conditions)} observations{skipped}: {scores.n_observed:,} events observed, "
        f"{scores.n_predicted:,.0f} predicted (predicted / observed {ratio:.4f})",
        _origin(result),
    ]
    if result.seen:
        ids = ", ".join(map(str, result.seen[:5])) + ", ..." * (len(result.seen) > 5)
        notes.append(f"warning: scores are too good, for the models have seen observations {ids}")
    if any(np.isnan(score.skill) for score in scores.senses.values()):
        notes.append(NO_SKILL)
    if scores.n_unknown:
        notes.append(f"warning: {scores.n_unknown:,} events lie where the models predict nothing; they are not scored")
    return notes


def _reasons(result: Validation) -> list[str]:
    """Why observations are not scored; on a terminal that was said when they were read."""
    skipped = result.scores.cells.skipped.items()
    return [f"warning: observation {obs_id} is not scored: {reason}" for obs_id, reason in skipped]


def _origin(result: Validation) -> str:
    if result.folds:
        numbers = ", ".join(str(len(fold)) for fold in result.folds)
        return f"models were made {len(result.folds)} times, without {numbers} observations: those of whole targets"
    if result.training is None:
        return "which observations the models were made from is not known"
    return f"models were made from {len(result.training)} observations; {len(result.seen)} of these are scored"


def write_validation(result: Validation, folder: str | Path) -> list[Path]:
    """Write tables (ECSV), pictures (PNG) and a page (HTML) that holds both.

    Parameters
    ----------
    result : Validation
        The validation.
    folder : path-like
        Where to; made if it is missing. Files of the same names are replaced.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    OptionError
        Matplotlib is not installed.
    OutputError
        The folder cannot be made or written to.
    """
    tables, pictures = validation_tables(result), validation_pictures(result.scores)
    page = html_page(f"Validation of {result.name}", _sections(result, tables, pictures))
    files = {f"validation_{name}.ecsv": ecsv_bytes(table) for name, table in tables.items()}
    files |= {f"validation_{name}.png": picture for name, picture in pictures.items()}
    return write_files(Path(folder), files | {PAGE: page.encode()})


def _sections(result: Validation, tables: dict[str, Table], pictures: dict[str, bytes]) -> list[Section]:
    meaning = (
        "Skill is the part of the gain over a flat field of view that a perfect model would have: 0 flat, 1 perfect. "
        "The shape is that of a prediction scaled to the counts of each observation, or of each observation and energy."
    )
    return [
        Section("Scores", [*validation_notes(result), *_reasons(result), meaning], tables["scores"], pictures["skill"]),
        Section("Energy", table=tables["energy"], picture=pictures["counts"]),
        Section("Offset", table=tables["offset"]),
        Section("Quadrant", table=tables["quadrant"]),
        Section("Pulls of cells", picture=pictures["pulls"]),
        Section("Cells predicted worst", table=worst(tables["cells"], "PULL", WORST)),
        Section("Observations", picture=pictures["observations"]),
        Section(
            "Observations, worst first",
            table=worst(tables["observations"], "EXCESS_ABSOLUTE", len(tables["observations"])),
        ),
    ]


def ecsv_bytes(table: Table) -> bytes:
    """Content of an ECSV file.

    Parameters
    ----------
    table : astropy.table.Table
        Table.

    Returns
    -------
    bytes
        The text; it says that gpucube wrote it.
    """
    copy = table.copy()
    copy.meta["creator"] = CREATOR
    text = io.StringIO()
    copy.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def write_files(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """Write files to a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Where to; made if it is missing.
    files : dict of str to bytes
        Content by name.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    OutputError
        The folder cannot be made or written to.
    """
    make_folder(folder)
    for name, content in files.items():
        write_whole(folder / name, content)
    return [folder / name for name in files]
