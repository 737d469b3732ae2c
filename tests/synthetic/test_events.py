"""Synthetic events: drawn from the description, with the same bits everywhere; and their observation table."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation
from astropy.time import Time
from astropy.utils import iers

from gpucube.arrays.backend import Backend, get_backend, to_host
from gpucube.arrays.random import random_bits
from gpucube.cubes.axis import Axis
from gpucube.errors import OptionError
from gpucube.observations.events import Observation
from gpucube.synthetic import BackgroundDescription, make_test_eventlist, make_test_observation_table
from gpucube.synthetic.events import sample_events
from gpucube.synthetic.streams import Stream, host_generator

DESCRIPTION = BackgroundDescription(trigger_rate=1500.0, spectral_index=1.8, sigma=3.0, center=(0.9, -0.5))
SMALL = replace(DESCRIPTION, trigger_rate=5.0)
AXES = (Axis.energy(0.13, 90.0, 8), Axis.field_of_view("dety", 3.0, 12), Axis.field_of_view("detx", 4.0, 17))
ALTITUDE, LIVETIME = 63.0, 1500.0
NUMPY = get_backend("numpy")


def fill(observation: Observation) -> np.ndarray:
    values = np.stack([observation.energy, observation.lat, observation.lon], axis=1).astype(np.float64)
    return np.histogramdd(values, [axis.edges for axis in AXES])[0]


@pytest.fixture(scope="module")
def observation() -> Observation:
    return make_test_eventlist(7, ALTITUDE, LIVETIME, ontime=1800.0, tstart=1e8, description=DESCRIPTION, seed=3)


def pulls(counts: np.ndarray, description: BackgroundDescription) -> np.ndarray:
    expected = description.expected_counts(AXES, ALTITUDE, LIVETIME)
    # Fewer events are not distributed like a Gaussian.
    enough = expected >= 20
    return (counts[enough] - expected[enough]) / np.sqrt(expected[enough])


def test_truth_and_events_agree(observation: Observation) -> None:
    found = pulls(fill(observation), DESCRIPTION)
    assert found.size > 1200
    # Mean and width of n pulls have errors of 1 / sqrt(n) < 0.029 and 1 / sqrt(2 n) < 0.021: 3.5 times these.
    assert abs(found.mean()) < 0.1
    assert abs(found.std() - 1) < 0.075


@pytest.mark.parametrize(
    "change",
    [
        {"center": (-0.5, 0.9)},
        {"center": (0.9, 0.5)},
        {"center": (-0.9, -0.5)},
        {"sigma": 3.1},
        {"spectral_index": 1.83},
        {"trigger_rate": 1515.0},
    ],
)
def test_pulls_tell_descriptions_apart(observation: Observation, change: dict[str, Any]) -> None:
    found = pulls(fill(observation), replace(DESCRIPTION, **change))
    assert abs(found.mean()) > 0.1 or abs(found.std() - 1) > 0.075


def test_counts_of_a_threshold(observation: Observation) -> None:
    edge = (Axis("energy", np.array([0.1, 100.0]), "TeV"), *AXES[1:])
    expected = DESCRIPTION.expected_counts(edge, ALTITUDE, LIVETIME, threshold=0.5).sum()
    inside = (abs(observation.lat) < 3) & (abs(observation.lon) < 4) & (observation.energy > 0.5)
    assert abs(inside.sum() - expected) < 4 * math.sqrt(expected)


def test_number_of_events_is_poisson() -> None:
    n = [make_test_eventlist(i, 90.0, 10.0, description=SMALL).energy.size for i in range(1, 401)]
    # 400 numbers of mean 50: the mean is known to 0.35, the variance to 50 sqrt(2 / 400) = 3.5.
    assert abs(np.mean(n) - 50) < 1.4
    assert abs(np.var(n) - 50) < 14


def test_event_list(observation: Observation) -> None:
    n = observation.energy.size
    assert (observation.obs_id, observation.livetime, observation.ontime) == (7, LIVETIME, 1800.0)
    assert observation.threshold == 0.1
    assert [a.dtype for a in (observation.energy, observation.lon, observation.lat)] == [np.float32] * 3
    assert observation.rotation is None
    assert observation.good.all()
    assert 0.1 <= observation.energy.min() < observation.energy.max() <= 100
    assert (np.diff(observation.time) > 0.5e-6).all()
    assert 1e8 < observation.time.min() < 1e8 + 0.1
    assert 1e8 + 1799.9 < observation.time.max() <= 1e8 + 1800.0
    # Uniform: the largest distance to the straight line, times sqrt(n), exceeds 1.95 in one of 1000 cases.
    phase = (observation.time - 1e8) / 1800.0
    assert np.abs(phase - np.arange(n) / n).max() * math.sqrt(n) < 1.95


def test_quantities_are_independent(observation: Observation) -> None:
    # Energy and directions are uncorrelated although the width depends on energy; times are in their own order.
    values = [np.log(observation.energy), observation.lon, observation.lat]
    correlation = np.corrcoef(values)[np.triu_indices(3, 1)]
    assert np.abs(correlation).max() < 4 / math.sqrt(observation.energy.size)


def test_same_bits_on_every_backend(backend: Backend) -> None:
    place = {"xp": backend.xp, "device": backend.device}
    expected = sample_events(1001, (5, 9), SMALL, xp=NUMPY.xp, device=NUMPY.device)
    for values, truth in zip(sample_events(1001, (5, 9), SMALL, **place), expected, strict=True):
        np.testing.assert_array_equal(to_host(values), truth, strict=True)


def test_same_event_list_on_every_backend(backend: Backend) -> None:
    a, b = (make_test_eventlist(2, seed=4, description=SMALL, backend=other) for other in (backend, None))
    for name in ("energy", "lon", "lat", "time", "good"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), strict=True)


@pytest.mark.parametrize("start", [0, 1, 6, 13])
def test_chunk_is_a_slice(backend: Backend, start: int) -> None:
    place = {"xp": backend.xp, "device": backend.device}
    chunk = sample_events(5, (1, 2), SMALL, start=start, **place)
    for part, whole in zip(chunk, sample_events(20, (1, 2), SMALL, **place), strict=True):
        np.testing.assert_array_equal(to_host(part), to_host(whole)[start : start + 5])


def test_observations_and_seeds_differ() -> None:
    lists = [make_test_eventlist(i, seed=seed, description=SMALL) for i, seed in ((1, 0), (2, 0), (1, 1), (0, 1))]
    assert len({a.energy[0] for a in lists}) == 4


def test_no_events(backend: Backend) -> None:
    empty = make_test_eventlist(1, trigger_rate=1e-9, backend=backend)
    assert (empty.energy.size, empty.time.size, empty.good.size) == (0, 0, 0)


@pytest.mark.parametrize("stream", Stream)
def test_host_numbers_are_of_their_section(stream: Stream) -> None:
    words = random_bits(6, (11, 12), start=stream.start, xp=NUMPY.xp, device="cpu")
    raw = host_generator((11, 12), stream).bit_generator.random_raw(6)
    np.testing.assert_array_equal(raw.view(np.int64), words)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("livetime", 0.0),
        ("livetime", math.nan),
        ("ontime", 1.0),
        ("tstart", math.inf),
        ("threshold", -0.1),
        ("altitude", 90.5),
        ("seed", -1),
        ("obs_id", 2**64),
        ("sigma", -5.0),
        ("spectral_index", math.nan),
        ("trigger_rate", -1.0),
    ],
)
def test_bad_argument_is_refused(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=name) as caught:
        make_test_eventlist(**{name: value})
    assert str(value) in str(caught.value)


# The observation table


def test_observation_table() -> None:
    table = make_test_observation_table(200, alt_range=(50.0, 80.0), az_range=(-90.0, 90.0), n_tels_range=(2, 4))
    assert table["OBS_ID"].tolist() == list(range(1, 201))
    assert 50 <= table["ALT_PNT"].min() < table["ALT_PNT"].max() <= 80
    assert set(np.unique(table["AZ_PNT"] // 90)) == {0.0, 3.0}
    np.testing.assert_allclose(table["ZEN_PNT"] + table["ALT_PNT"], 90.0)
    assert set(table["N_TELS"]) == {2, 3, 4}
    assert 0.6 <= table["MUONEFF"].min() < table["MUONEFF"].max() <= 1.0
    assert set(table["ONTIME"]) == {1800.0}
    assert set(table["LIVETIME"]) == {1500.0}
    np.testing.assert_allclose(table["TSTOP"] - table["TSTART"], 1800.0)


def test_pointings_are_uniform_on_the_sphere() -> None:
    table = make_test_observation_table(1000, alt_range=(30.0, 90.0))
    # Uniform in the sine of the altitude, from 1/2 to 1: mean 3/4, with an error of 0.5 / sqrt(12 * 1000).
    assert abs(np.sin(np.deg2rad(table["ALT_PNT"])).mean() - 0.75) < 4 * 0.0046


def test_observations_are_at_night_in_the_date_range() -> None:
    table = make_test_observation_table(300, date_range=("2012-03-04", "2012-03-09"))
    reference = Time(table.meta["MJDREFI"], table.meta["MJDREFF"], format="mjd", scale="tt")
    start, stop = ((reference + table[key].quantity).utc for key in ("TSTART", "TSTOP"))
    assert start.min().isot >= "2012-03-04T22:00:00"
    assert stop.max().isot <= "2012-03-09T03:30:00"
    for time in (start, stop):
        hours = (time.mjd % 1) * 24
        assert ((hours >= 22 - 1e-6) | (hours <= 3.5 + 1e-6)).all()
    assert set(np.floor(start.mjd - 0.5).astype(int)) == set(range(55990, 55995))


@pytest.mark.parametrize("observatory", ["HESS", "MAGIC", "cta", "veritas"])
def test_pointing_is_at_its_altitude_at_mid_time(observatory: str) -> None:
    if observatory == "cta":
        with pytest.raises(OptionError, match=r"'cta'.*CTAO-NORTH"):
            make_test_observation_table(observatory=observatory)
        return
    table = make_test_observation_table(5, observatory, seed=2)
    reference = Time(table.meta["MJDREFI"], table.meta["MJDREFF"], format="mjd", scale="tt")
    place = EarthLocation.from_geodetic(table.meta["GEOLON"], table.meta["GEOLAT"], table.meta["ALTITUDE"])
    with iers.conf.set_temp("auto_download", False):
        middle = reference + table["TSTART"].quantity + 900 * u.s
        horizon = table.pointing.transform_to(AltAz(obstime=middle, location=place))
    np.testing.assert_allclose(horizon.alt.deg, table["ALT_PNT"], atol=1e-6)
    np.testing.assert_allclose(horizon.az.deg, table["AZ_PNT"], atol=1e-4)


def test_row_depends_on_seed_and_number_only() -> None:
    few, many, other = (make_test_observation_table(n, seed=s) for n, s in ((3, 1), (8, 1), (8, 2)))
    for name in few.colnames:
        assert few[name].tolist() == many[name][:3].tolist()
    assert not set(other["RA_PNT"]) & set(many["RA_PNT"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_obs", 0),
        ("observatory", "nowhere"),
        ("az_range", (10.0, -10.0)),
        ("alt_range", (45.0, 91.0)),
        ("alt_range", 45.0),
        ("n_tels_range", (0, 4)),
        ("date_range", ("2012-01-01", "2012-01-01")),
        ("date_range", ("yesterday", "today")),
        ("seed", 2**64),
    ],
)
def test_bad_table_argument_is_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=name) as caught:
        make_test_observation_table(**{name: value})
    assert str(value) in str(caught.value)
