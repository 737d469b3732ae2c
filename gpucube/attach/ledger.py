"""The ledger of a run: what was attached to each observation."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

import numpy as np
from astropy.table import Table

from gpucube.cubes.fits import CREATOR

__all__ = ["AttachRow", "attach_ledger"]


@dataclass(frozen=True)
class AttachRow:
    """One observation.

    Attributes
    ----------
    obs_id : int
        Observation.
    status : {"attached", "skipped"}
        What became of it.
    reason : str
        Why it was skipped.
    model : str
        The models that its background is made of, and the groups that they stand for where these have none.
    n_cells_filled : int
        Number of cells in which the models have no rate.
    filled_share : float
        Share of these cells in the predicted counts, over those energies at which the models know something.
    norm, tilt : float
        What was fitted to its counts: the rate was multiplied by norm * (E / TeV)^-tilt.
    """

    obs_id: int
    status: str = "attached"
    reason: str = ""
    model: str = ""
    n_cells_filled: int = 0
    filled_share: float = 0.0
    norm: float = 1.0
    tilt: float = 0.0


def attach_ledger(rows: Iterable[AttachRow]) -> str:
    """Text of a ledger file.

    Parameters
    ----------
    rows : iterable of AttachRow
        Observations in the order of the input.

    Returns
    -------
    str
        ECSV table.
    """
    kinds: dict[str, type] = {"int": np.int64, "float": np.float64, "str": str}
    columns = list(zip(*map(astuple, rows), strict=True)) or [()] * len(fields(AttachRow))
    table = Table(meta={"creator": CREATOR})
    for field, column in zip(fields(AttachRow), columns, strict=True):
        table[field.name.upper()] = np.array(column, dtype=kinds[str(field.type)])
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().encode("ascii", "backslashreplace").decode()
