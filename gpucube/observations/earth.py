"""Orientation of the Earth from the tables that come with astropy."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from astropy.utils import iers

__all__ = ["bundled_earth_orientation"]

# The settings below belong to the whole process.
_LOCK = threading.Lock()


@contextmanager
def bundled_earth_orientation() -> Iterator[None]:
    """Let astropy use the tables that it comes with, however old, in a ``with`` statement.

    They are good to far below an arcsecond; nothing is fetched, and the result does not depend on today's date.

    Yields
    ------
    None
        Nothing.
    """
    with (
        _LOCK,
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
        warnings.catch_warnings(),
    ):
        # For dates beyond these tables pointing and events are off together, which does not matter here.
        warnings.filterwarnings("ignore", ".*(dubious year|IERS data)")
        yield
