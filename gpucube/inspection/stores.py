"""What is in a data store."""

from __future__ import annotations

import numpy as np

from gpucube.observations.columns import column_values
from gpucube.observations.store import DataStore

__all__ = ["describe_store"]


def describe_store(store: DataStore) -> dict[str, str]:
    """Describe a data store by its observation table.

    Parameters
    ----------
    store : DataStore
        The store.

    Returns
    -------
    dict of str to str
        Facts by name.
    """
    table = store.table
    facts = {"kind": f"data store of scheme {store.scheme}", "observations": f"{len(table)}"}
    missing = sum(files.events is None or not files.events.path.is_file() for files in store.files.values())
    if missing:
        facts["event lists missing"] = f"{missing}"
    for name, unit in (("LIVETIME", "h"), ("ONTIME", "h")):
        if name in table.colnames:
            facts[name.lower()] = f"{np.nansum(column_values(table, name, unit)):.2f} {unit}"
    for name in ("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT"):
        if name in table.colnames:
            values = column_values(table, name, "deg")
            if np.isfinite(values).any():
                facts[name] = f"{np.nanmin(values):.2f} to {np.nanmax(values):.2f} deg"
    facts["columns"] = ", ".join(table.colnames)
    return facts
