"""Real events against the collaboration's own background model: do we read both the right way round?

Of the eight ways to lay the model on the events, they prefer by far the one that is known of this release:
aligned with RADEC, not transposed, and DETX growing with right ascension. That last is an exception to GADF, which
Gammapy knows by CREATOR and HDUVERS of the event lists; by GADF, DETX would fall with it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from gpucube.arrays.backend import get_backend, to_host
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import read_background_model
from gpucube.observations.hdus import require
from gpucube.observations.store import DataStore
from gpucube.pipeline.fill import fov_coordinates

RADIUS = 2.4  # deg: the field is square, but no hypothesis may be told by events in its corners
NUMPY = get_backend("numpy")

Hypothesis = tuple[str, str, str]


def log_likelihoods(store: DataStore, obs_id: int, model: BackgroundModel) -> Counter[Hypothesis]:
    """Sum of ln(rate) over the events; within a circle the number of expected events is the same for all hypotheses."""
    fields = {align: store.read(obs_id, align) for align in ("RADEC", "ALTAZ")}
    energy, threshold = fields["RADEC"].energy, fields["RADEC"].threshold
    places = {align: [to_host(x) for x in fov_coordinates(field, NUMPY)] for align, field in fields.items()}
    # The same events for all hypotheses
    inside = np.all([np.hypot(*place) < RADIUS for place in places.values()], axis=0)
    good = fields["RADEC"].good & inside & (energy > threshold) & (energy < model.axes[0].edges[-1])
    sums: Counter[Hypothesis] = Counter()
    for align, place in places.items():
        lon, lat = (x[good] for x in place)
        for mirrored, x in (("DETX falls with RA", lon), ("DETX grows with RA", -lon)):
            for transposed, field in (("as read", (lat, x)), ("transposed", (x, lat))):
                sums[align, mirrored, transposed] += float(np.log(rate_at(model, energy[good], *field)).sum())
    return sums


def rate_at(model: BackgroundModel, energy: np.ndarray, dety: np.ndarray, detx: np.ndarray) -> np.ndarray:
    rate = np.asarray(model.rate.data, dtype=float)
    values = (energy, dety, detx)
    cell = [np.searchsorted(axis.edges, x, "right") - 1 for axis, x in zip(model.axes, values, strict=True)]
    # Few cells are empty; there the event is unlikely under any hypothesis.
    return np.maximum(rate, 0.1 * rate[rate > 0].min())[tuple(cell)]


def test_events_prefer_the_known_orientation(hess_dl3_dr1: Path) -> None:
    store = DataStore.open(hess_dl3_dr1)
    targets = store.table["TARGET_NAME"].astype(str)
    total: Counter[Hypothesis] = Counter()
    for obs_id in store.table["OBS_ID"][np.char.strip(targets) == "Off data"].tolist():
        path = require(store.files_of(obs_id).events, "EVENTS").path
        total.update(log_likelihoods(store, obs_id, read_background_model(path)))
    (best, highest), (_, second) = total.most_common(2)
    assert best == ("RADEC", "DETX grows with RA", "as read")
    assert highest - second > 150
