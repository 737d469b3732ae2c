"""Which events are in good time, against a look at each event and each interval."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpucube.observations.gti import GTI_SLACK, in_good_time

ENDS = st.lists(st.integers(0, 60), max_size=8, unique=True).map(lambda ends: sorted(ends)[: len(ends) // 2 * 2])
NEAR_ENDS = st.builds(lambda end, off: end + off * GTI_SLACK, st.integers(0, 60), st.sampled_from([-2, -1, 0, 1, 2]))


@given(ends=ENDS, time=hnp.arrays(np.float64, 20, elements=st.floats(-5, 65) | NEAR_ENDS | st.just(np.nan)))
def test_events_in_good_time(ends: list[int], time: np.ndarray) -> None:
    """None, one or several intervals; the slack belongs to them, and NaN is in none."""
    intervals = np.array(ends, dtype=np.float64).reshape(-1, 2)
    expected = [any(a - GTI_SLACK <= t <= b + GTI_SLACK for a, b in intervals.tolist()) for t in time.tolist()]
    assert in_good_time(time, intervals).tolist() == expected
