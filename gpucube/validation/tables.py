"""Tables of what was predicted and observed, by energy, offset, quadrant, observation and cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from gpucube.validation.scores import Scores

__all__ = [
    "by_cell",
    "by_energy",
    "by_observation",
    "by_offset",
    "by_quadrant",
    "pulls",
    "score_table",
    "worst",
]

Counts = NDArray[np.float64]

RING_WIDTH = 0.5  # deg
QUADRANTS = ("DETX < 0, DETY < 0", "DETX >= 0, DETY < 0", "DETX < 0, DETY >= 0", "DETX >= 0, DETY >= 0")


def pulls(observed: Counts, expected: Counts) -> Counts:
    """Difference of observed and predicted counts in units of the error of the prediction.

    Parameters
    ----------
    observed, expected : numpy.ndarray of float64, any shape
        Counts.

    Returns
    -------
    numpy.ndarray of float64, same shape
        (observed - expected) / sqrt(expected); NaN where nothing is expected.
    """
    possible = expected > 0
    return np.where(possible, (observed - expected) / np.sqrt(np.where(possible, expected, 1.0)), np.nan)


def score_table(scores: Scores) -> Table:
    """Skill and deviances in each sense.

    Parameters
    ----------
    scores : Scores
        The scores.

    Returns
    -------
    astropy.table.Table
        One row per sense: SENSE, SKILL, SKILL_ERR, and the sums of deviances MODEL, FLAT and PERFECT.
    """
    rows = [
        (score.sense, score.skill, score.error, score.model.sum(), score.flat.sum(), score.perfect.sum())
        for score in scores.senses.values()
    ]
    return Table(rows=rows, names=("SENSE", "SKILL", "SKILL_ERR", "MODEL", "FLAT", "PERFECT"))


def _counts_table(columns: Mapping[str, Any], observed: Counts, expected: Counts) -> Table:
    """Table of numbers of counts, with predicted over observed, its error and the pull."""
    table = Table(columns)
    table["OBSERVED"] = np.rint(observed).astype(np.int64)
    table["PREDICTED"] = expected
    table["RATIO"] = np.where(observed > 0, expected / np.maximum(observed, 1.0), np.nan)
    table["RATIO_ERR"] = table["RATIO"] / np.sqrt(np.maximum(observed, 1.0))
    table["PULL"] = pulls(observed, expected)
    return table


def by_energy(scores: Scores) -> Table:
    """Counts in each energy bin.

    Parameters
    ----------
    scores : Scores
        The scores.

    Returns
    -------
    astropy.table.Table
        E_MIN and E_MAX in TeV, OBSERVED, PREDICTED, RATIO, RATIO_ERR and PULL.
    """
    edges = scores.cells.grid.axes[0].edges_in("TeV")
    observed, expected = (values.sum(axis=(0, 2, 3)) for values in (scores.observed, scores.expected))
    table = _counts_table({"E_MIN": edges[:-1], "E_MAX": edges[1:]}, observed, expected)
    table["E_MIN"].unit = table["E_MAX"].unit = "TeV"
    return table


def by_offset(scores: Scores) -> Table:
    """Counts in rings around the pointing.

    Parameters
    ----------
    scores : Scores
        The scores.

    Returns
    -------
    astropy.table.Table
        OFFSET_MIN and OFFSET_MAX in deg and the counts, see `by_energy`. A cell is in the ring of its centre.
    """
    grid = scores.cells.grid
    edges = np.arange(0.0, grid.max_offset + RING_WIDTH, RING_WIDTH)
    ring = np.digitize(grid.offset, edges) - 1
    parts = [(ring == number) & grid.inside for number in range(edges.size - 1)]
    kept = [number for number, part in enumerate(parts) if part.any()]
    columns = {"OFFSET_MIN": edges[:-1][kept], "OFFSET_MAX": edges[1:][kept]}
    table = _counts_table(columns, *_sums_over(scores, [parts[number] for number in kept]))
    table["OFFSET_MIN"].unit = table["OFFSET_MAX"].unit = "deg"
    return table


def by_quadrant(scores: Scores) -> Table:
    """Counts in the quadrants of the field of view.

    Parameters
    ----------
    scores : Scores
        The scores.

    Returns
    -------
    astropy.table.Table
        QUADRANT and the counts, see `by_energy`. A cell is in the quadrant of its centre.
    """
    _, dety, detx = scores.cells.grid.axes
    up, right = (dety.centers >= 0)[:, None], (detx.centers >= 0)[None, :]
    parts = [~up & ~right, ~up & right, up & ~right, up & right]
    return _counts_table({"QUADRANT": list(QUADRANTS)}, *_sums_over(scores, parts))


def _sums_over(scores: Scores, parts: Sequence[NDArray[np.bool_]]) -> tuple[Counts, Counts]:
    observed, expected = (values.sum(axis=(0, 1)) for values in (scores.observed, scores.expected))
    return np.array([observed[part].sum() for part in parts]), np.array([expected[part].sum() for part in parts])


def by_observation(scores: Scores) -> Table:
    """Counts and deviances of each observation.

    Parameters
    ----------
    scores : Scores
        The scores.

    Returns
    -------
    astropy.table.Table
        OBS_ID, ALT (deg), THRESHOLD (TeV), the counts as in `by_energy`, and the deviance beyond that of a perfect
        model in each sense: EXCESS_ABSOLUTE, EXCESS_SHAPE, EXCESS_SHAPE_PER_ENERGY.
    """
    conditions = scores.cells.conditions
    columns = {
        "OBS_ID": [c.obs_id for c in conditions],
        "ALT": [float(c.altitude.mean()) for c in conditions],
        "THRESHOLD": [c.threshold for c in conditions],
    }
    table = _counts_table(columns, *(values.sum(axis=(1, 2, 3)) for values in (scores.observed, scores.expected)))
    for sense, score in scores.senses.items():
        table[f"EXCESS_{sense.upper()}"] = score.model - score.perfect
    table["ALT"].unit, table["THRESHOLD"].unit = "deg", "TeV"
    return table


def by_cell(scores: Scores) -> Table:
    """Counts of all observations in each cell.

    Parameters
    ----------
    scores : Scores
        The scores.

    Returns
    -------
    astropy.table.Table
        E_MIN and E_MAX in TeV, DETX and DETY of the centre in deg, and the counts, see `by_energy`.
    """
    energy, dety, detx = scores.cells.grid.axes
    observed, expected = (values.sum(axis=0) for values in (scores.observed, scores.expected))
    scored = np.nonzero(scores.known.any(axis=0) & scores.cells.grid.inside)
    edges = energy.edges_in("TeV")
    columns = {
        "E_MIN": edges[:-1][scored[0]],
        "E_MAX": edges[1:][scored[0]],
        "DETX": detx.centers[scored[2]],
        "DETY": dety.centers[scored[1]],
    }
    table = _counts_table(columns, observed[scored], expected[scored])
    for name in columns:
        table[name].unit = "deg" if name.startswith("DET") else "TeV"
    return table


def worst(table: Table, column: str, n_rows: int) -> Table:
    """Rows with the largest absolute values, largest first.

    Parameters
    ----------
    table : astropy.table.Table
        Table.
    column : str
        A column of numbers.
    n_rows : int
        How many rows, at most.

    Returns
    -------
    astropy.table.Table
        Those rows; rows without a number come last.
    """
    size = np.abs(np.nan_to_num(np.asarray(table[column], dtype=np.float64), nan=-0.0))
    return table[np.argsort(-size, kind="stable")[:n_rows]]
