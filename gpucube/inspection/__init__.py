"""What is in files and folders, in words."""

from gpucube.inspection.ledgers import describe_ledger
from gpucube.inspection.models import ModelRow, describe_model, describe_models, describe_regression
from gpucube.inspection.paths import Description, describe_file, describe_folder
from gpucube.inspection.stores import describe_store

__all__ = [
    "Description",
    "ModelRow",
    "describe_file",
    "describe_folder",
    "describe_ledger",
    "describe_model",
    "describe_models",
    "describe_regression",
    "describe_store",
]
