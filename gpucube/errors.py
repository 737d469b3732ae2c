"""Errors that a user can mend: each says what is wrong, where, and what to do about it.

The command line prints them as one line without a traceback.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["BackendError", "DataError", "GpucubeError", "ObservationError", "OptionError", "OutputError"]


class GpucubeError(Exception):
    """Base of all errors that gpucube raises on purpose."""


class BackendError(GpucubeError):
    """An array library or its device is missing or does not answer.

    Parameters
    ----------
    problem : str
        What is wrong.
    remedy : str, optional
        What the user can do about it.
    """

    def __init__(self, problem: str, remedy: str | None = None) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(problem, remedy)

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem


class OptionError(GpucubeError):
    """An option or argument has a value that makes no sense."""


class OutputError(GpucubeError):
    """Output cannot be written without losing something that is there."""


class DataError(GpucubeError):
    """A file is missing, damaged, or not what it should be.

    Parameters
    ----------
    problem : str
        What is wrong, with the offending value.
    path : path-like, optional
        File in which it was found.
    hdu, column : str, optional
        HDU and column (or header keyword) in which it was found.
    remedy : str, optional
        What the user can do about it.
    """

    def __init__(
        self,
        problem: str,
        path: str | Path | None = None,
        hdu: str | None = None,
        column: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem = problem
        self.path = None if path is None else Path(path)
        self.hdu = hdu
        self.column = column
        self.remedy = remedy
        super().__init__(problem, path, hdu, column, remedy)

    def __str__(self) -> str:
        place = [str(self.path)] if self.path else []
        place += [f"HDU {self.hdu}"] if self.hdu else []
        place += [self.column] if self.column else []
        text = f"{', '.join(place)}: {self.problem}" if place else self.problem
        return f"{text} ({self.remedy})" if self.remedy else text


class ObservationError(DataError):
    """One observation cannot be used; the others can."""
