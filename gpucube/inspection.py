"""What is in a data store or a model, in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import read_background_model
from gpucube.errors import DataError
from gpucube.observations.columns import column_values
from gpucube.observations.store import DataStore
from gpucube.pipeline.output import model_tables
from gpucube.regression.model import REGRESSION_FILE, RegressionModel, is_regression_file, read_regression_model

__all__ = ["describe_file", "describe_folder", "describe_model", "describe_regression", "describe_store"]

META_WORDS = {
    "GROUP_ID": "group",
    "GROUP": "group contains",
    "NOBS": "observations",
    "METHOD": "method",
    "NSMOOTH": "smoothing passes",
    "THRESRUL": "threshold rule",
}


def describe_folder(path: Path) -> dict[str, str]:
    """Describe a folder of models, or a data store.

    Parameters
    ----------
    path : pathlib.Path
        The folder.

    Returns
    -------
    dict of str to str
        Facts by name.
    """
    models = model_tables(path)
    if not models:
        return describe_store(DataStore.open(path))
    facts = {"kind": "background models", "models": f"{len(models)}"}
    if (path / REGRESSION_FILE).exists():
        facts[REGRESSION_FILE] = _fitted(read_regression_model(path / REGRESSION_FILE))
    for _, found in sorted(models.items()):
        model = read_background_model(found)
        counts = 0 if model.counts is None else model.counts.quantity.value.sum()
        facts[found.name] = f"{model.meta.get('GROUP', '')}: {counts:,.0f} counts"
    return facts


def describe_file(path: Path) -> dict[str, str]:
    """Describe a background model or a regression.

    Parameters
    ----------
    path : pathlib.Path
        FITS file.

    Returns
    -------
    dict of str to str
        Facts by name.

    Raises
    ------
    DataError
        The file is missing, or neither of the two.
    """
    if not path.exists():
        raise DataError("no such file or folder", path, remedy="check the path")
    if is_regression_file(path):
        return describe_regression(read_regression_model(path))
    return describe_model(read_background_model(path))


def describe_regression(model: RegressionModel) -> dict[str, str]:
    """Describe a regression.

    Parameters
    ----------
    model : RegressionModel
        The regression.

    Returns
    -------
    dict of str to str
        Facts by name.
    """
    scales = model.scales
    facts = {"kind": "regression", "orientation (FOVALIGN)": model.fov_align, "rate per": "LIVETIME"}
    facts |= {META_WORDS[name]: str(value) for name, value in model.meta.items() if name in META_WORDS}
    facts["fit"] = _fitted(model)
    facts["energy"] = f"{scales.energy_low:.4g} to {scales.energy_high:.4g} TeV"
    facts["DETX, DETY"] = f"-{scales.offset:.4g} to {scales.offset:.4g} deg"
    facts["scatter between observations"] = f"{model.nights.scatter:.1%}"
    facts |= {f"mean of {name}": f"{value:.4g}" for name, value in scales.means.items()}
    facts["terms"] = ", ".join(term.name for term in model.terms)
    return facts


def _fitted(model: RegressionModel) -> str:
    return f"{model.nights.obs_ids.size} observations, {model.freedom.sum():.0f} effective parameters"


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


def describe_model(model: BackgroundModel) -> dict[str, str]:
    """Describe a background model.

    Parameters
    ----------
    model : BackgroundModel
        The model.

    Returns
    -------
    dict of str to str
        Facts by name.
    """
    facts = {"kind": "background model", "orientation (FOVALIGN)": model.fov_align, "rate per": model.rate_per}
    facts |= {META_WORDS.get(name, name): str(value) for name, value in model.meta.items()}
    for axis in model.axes:
        facts[axis.name] = f"{axis.n_bins} bins, {axis.edges[0]:.4g} to {axis.edges[-1]:.4g} {axis.unit}"
    if model.counts is not None:
        facts["counts"] = f"{model.counts.quantity.value.sum():,.0f}"
    if model.livetime is not None:
        facts["livetime"] = f"{model.livetime.quantity.to_value('h').max():.2f} h"
    rate = model.rate.quantity
    exposed = np.isfinite(rate.value)
    if model.livetime is not None:
        exposed &= model.livetime.quantity.value > 0
    facts["exposed bins"] = f"{exposed.mean():.0%}"
    if exposed.any():
        facts["rate"] = f"{rate[exposed].min().value:.3g} to {rate[exposed].max().value:.3g} {rate.unit}"
        facts["rate, whole cube"] = f"{np.nansum(rate.to_value('s-1 TeV-1 sr-1') * model.rate.bin_volume):.4g} 1/s"
    return facts
