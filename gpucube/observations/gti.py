"""Good time intervals: when an observation was taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from gpucube.fits_reader import open_tables
from gpucube.observations.hdus import HduLocation, blame, find_hdu, read_time_column
from gpucube.observations.headers import clock_shift

__all__ = ["GTI_SLACK", "Intervals", "in_good_time", "read_good_time"]

# Real files give good time intervals in whole seconds: an event up to this much outside (s) is still of its run.
GTI_SLACK = 1.0

Intervals = NDArray[np.float64]


def read_good_time(
    location: HduLocation, events_header: fits.Header, hdus: fits.HDUList, events_path: Path
) -> Intervals:
    """Read good time intervals on the clock of the events.

    Parameters
    ----------
    location : HduLocation
        Where they are.
    events_header : astropy.io.fits.Header
        Header of the ``EVENTS`` HDU.
    hdus : astropy.io.fits.HDUList
        Open file of the events.
    events_path : pathlib.Path
        Its path.

    Returns
    -------
    numpy.ndarray of float64, shape (m, 2)
        Starts and stops in s: increasing, apart, not empty; m may be 0.

    Raises
    ------
    ObservationError
        They cannot be read.
    """
    if location.path == events_path:
        return _intervals(find_hdu(hdus, location, "GTI"), events_header)
    with blame(location.path), open_tables(location.path) as others:
        return _intervals(find_hdu(others, location, "GTI"), events_header)


def _intervals(gti: fits.BinTableHDU, events_header: fits.Header) -> Intervals:
    shift = clock_shift(gti.header, events_header)
    start, stop = (read_time_column(gti, name) + shift for name in ("START", "STOP"))
    return _apart(np.stack([start, stop], axis=1)[stop > start])


def _apart(intervals: Intervals) -> Intervals:
    """Merge intervals that overlap or touch: time counts once."""
    if len(intervals) < 2:
        return intervals
    start, stop = intervals[np.argsort(intervals[:, 0])].T
    latest = np.maximum.accumulate(stop)
    first = np.append(True, start[1:] > latest[:-1])
    return np.stack([start[first], latest[np.append(first[1:], True)]], axis=1)


def in_good_time(time: NDArray[np.float64], intervals: Intervals) -> NDArray[np.bool_]:
    """Tell which times are in a good time interval, or up to `GTI_SLACK` outside.

    Parameters
    ----------
    time : numpy.ndarray of float64, shape (n,)
        Times in s.
    intervals : numpy.ndarray of float64, shape (m, 2)
        As from `read_good_time`.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        False for NaN.
    """
    if not len(intervals):
        return np.zeros(time.shape, dtype=bool)
    start, stop = intervals.T
    if len(intervals) == 1:  # as almost everywhere, and ten times as fast
        return (time >= start - GTI_SLACK) & (time <= stop + GTI_SLACK)
    index = np.searchsorted(start - GTI_SLACK, time, side="right") - 1
    return (index >= 0) & (time <= stop[np.maximum(index, 0)] + GTI_SLACK)
