"""Background models put into DL3 files, ready for an analysis."""

from gpucube.attach.run import AttachSummary, attach_models
from gpucube.attach.settings import AttachSettings

__all__ = ["AttachSettings", "AttachSummary", "attach_models"]
