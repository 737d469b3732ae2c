"""What a path holds: finds out what it is, and has that described."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gpucube.attach.folder import LEDGER as ATTACH_LEDGER
from gpucube.cubes.fits import read_background_model
from gpucube.errors import DataError
from gpucube.inspection.ledgers import describe_ledger
from gpucube.inspection.models import ModelRow, describe_model, describe_models, describe_regression
from gpucube.inspection.stores import describe_store
from gpucube.observations.store import DataStore
from gpucube.pipeline.output import LEDGER, model_tables
from gpucube.regression.model import is_regression_file, read_regression_model

__all__ = ["Description", "describe_file", "describe_folder"]


@dataclass(frozen=True)
class Description:
    """What is in a file or folder.

    Attributes
    ----------
    facts : dict of str to str
        Facts by name.
    models : list of ModelRow
        Models of the groups in a folder of models.
    """

    facts: dict[str, str]
    models: list[ModelRow] = field(default_factory=list)


def describe_folder(path: Path) -> Description:
    """Describe a folder of models, or a data store.

    Parameters
    ----------
    path : pathlib.Path
        The folder. What a ledger in it says of observations is told, too.

    Returns
    -------
    Description
        What is in it.

    Raises
    ------
    DataError
        It is neither of the two, or a file in it cannot be read.
    """
    if model_tables(path):
        facts, models = describe_models(path)
        return Description(facts | _ledger(path / LEDGER), models)
    if (path / LEDGER).exists():  # no observation was left
        return Description({"kind": "background models", "models": "0"} | _ledger(path / LEDGER))
    if (path / ATTACH_LEDGER).exists():
        return Description(_attached(path))
    return Description(describe_store(DataStore.open(path)))


def _ledger(path: Path) -> dict[str, str]:
    """Facts of a ledger; a damaged one does not hide the rest of a folder."""
    try:
        facts = describe_ledger(path) if path.exists() else {}
    except DataError as error:
        return {path.name: f"cannot be used: {error.problem}"}
    return {name: text for name, text in facts.items() if name != "kind"}


def _attached(path: Path) -> dict[str, str]:
    ledger = _ledger(path / ATTACH_LEDGER)
    try:
        store = describe_store(DataStore.open(path))
    except DataError:  # no observation got a background, and there is no index
        return {"kind": "output of gpucube attach without a data store"} | ledger
    kind = {"kind": f"{store['kind']}, with backgrounds by gpucube attach"}
    return kind | ledger | {name: text for name, text in store.items() if name not in kind | ledger}


def describe_file(path: Path) -> Description:
    """Describe a background model, a regression or a ledger.

    Parameters
    ----------
    path : pathlib.Path
        FITS file, or the ECSV file of a ledger.

    Returns
    -------
    Description
        What is in it.

    Raises
    ------
    DataError
        The file is missing, or none of these.
    """
    if not path.exists():
        raise DataError("no such file or folder", path, remedy="check the path")
    if path.suffix == ".ecsv":
        return Description(describe_ledger(path))
    if is_regression_file(path):
        return Description(describe_regression(read_regression_model(path)))
    return Description(describe_model(read_background_model(path)))
