"""Orientation of the Earth from the tables that come with astropy."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.utils import iers
from numpy.typing import NDArray

__all__ = ["bundled_earth_orientation", "earth_table"]

# Where the columns are in the lines, one a day, of the two files that come with astropy. Bulletin B is final.
BULLETIN_A = np.dtype(
    {
        "names": ["MJD", "FLAG", "PM_x", "PM_y", "UT1_UTC", "PM_x_B", "PM_y_B", "UT1_UTC_B"],
        "formats": ["S8", "S1", "S9", "S9", "S10", "S10", "S10", "S11"],
        "offsets": [7, 16, 18, 37, 58, 134, 144, 154],
        "itemsize": 188,
    }
)
BULLETIN_B = np.dtype(
    {
        "names": ["MJD", "PM_x", "PM_y", "UT1_UTC"],
        "formats": ["S10", "S12", "S12", "S12"],
        "offsets": [16, 26, 38, 50],
        "itemsize": 219,
    }
)
VALUES = ("UT1_UTC", "PM_x", "PM_y")
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
        _any_year(),
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
    ):
        yield


@contextmanager
def _any_year() -> Iterator[None]:
    """Let nothing warn of years beyond the tables, in a ``with`` statement.

    Pointing and events are off together there, which does not matter here.

    Yields
    ------
    None
        Nothing.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(dubious year|IERS data)")
        yield


@lru_cache(maxsize=1)
def earth_table() -> tuple[NDArray[np.float64], ...]:
    """Read the orientation of the Earth day by day, as astropy combines its two tables.

    astropy takes a second for them, longer than for all events of a small data set.

    Returns
    -------
    tuple of numpy.ndarray of float64, shape (n_days,)
        MJD, UT1 - UTC in s, and x and y of the pole in rad.
    """
    try:
        mjd, *values = _combined(Path(iers.IERS_A_FILE).read_bytes(), Path(iers.IERS_B_FILE).read_bytes())
    except (OSError, ValueError):  # a format of the future is known to a future astropy
        with bundled_earth_orientation():
            table = iers.earth_orientation_table.get()
        units = {"MJD": u.d, "UT1_UTC": u.s, "PM_x": u.arcsec, "PM_y": u.arcsec}
        mjd, *values = (np.asarray(table[name].to_value(unit), dtype=np.float64) for name, unit in units.items())
    ut1_utc, pole_x, pole_y = values
    return mjd, ut1_utc, pole_x * u.arcsec.to(u.rad), pole_y * u.arcsec.to(u.rad)


def _combined(bulletin_a: bytes, bulletin_b: bytes) -> list[NDArray[np.float64]]:
    """MJD and the values, pole in arcsec: of bulletin B where there is one, else of bulletin A."""
    rows = np.frombuffer(bulletin_a, BULLETIN_A)
    rows = rows[(rows["FLAG"] != b" ") & (np.strings.strip(rows["UT1_UTC"]) != b"")]
    header = re.match(rb"(#.*\n)*", bulletin_b)
    final = np.frombuffer(bulletin_b, BULLETIN_B, offset=header.end() if header else 0)
    mjd, final_mjd = _numbers(rows["MJD"]), _numbers(final["MJD"])
    in_a = np.flatnonzero(rows["UT1_UTC_B"] != b" " * rows["UT1_UTC_B"].itemsize)
    _, place, place_b = np.intersect1d(mjd[in_a], final_mjd, return_indices=True)
    is_final = np.zeros(mjd.size, dtype=bool)
    is_final[in_a[place]] = True
    combined = [mjd]
    for name in VALUES:
        values = np.empty(mjd.size)
        values[in_a[place]] = _numbers(final[name][place_b])
        # To read a number takes longer than all else, and most days are final.
        values[~is_final] = _numbers(rows[f"{name}_B"][~is_final])
        lacking = np.isnan(values)
        values[lacking] = _numbers(rows[name][lacking])
        combined.append(values)
    return combined


def _numbers(texts: NDArray[np.bytes_]) -> NDArray[np.float64]:
    blank = np.strings.strip(texts) == b""
    return np.where(blank, b"nan", texts).astype(np.float64)
