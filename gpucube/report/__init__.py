"""Pictures, tables and a page about how good background models are."""

from gpucube.report.comparison import write_comparison
from gpucube.report.validation import write_validation

__all__ = ["write_comparison", "write_validation"]
