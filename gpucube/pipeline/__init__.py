"""From a data store to background models: select, group, fill, model, write."""

from gpucube.pipeline.make_models import Summary, make_models
from gpucube.pipeline.settings import Settings

__all__ = ["Settings", "Summary", "make_models"]
