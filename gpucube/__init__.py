"""Background models for Cherenkov telescopes: rate cubes in energy and field of view, on CPU or GPU."""

from gpucube._version import __version__
from gpucube.arrays.histogram import histogramdd
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import read_background_model
from gpucube.observations.store import DataStore
from gpucube.pipeline.make_models import make_models
from gpucube.pipeline.settings import Settings

__all__ = [
    "BackgroundModel",
    "DataStore",
    "Settings",
    "__version__",
    "histogramdd",
    "make_models",
    "read_background_model",
]
