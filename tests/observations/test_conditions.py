"""Conditions of observations, against the synthetic table and astropy."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord

from gpucube.errors import ObservationError
from gpucube.observations.conditions import read_conditions
from gpucube.observations.headers import reference_time
from gpucube.observations.sites import observatory_location
from gpucube.observations.store import DataStore
from gpucube.synthetic.dataset import make_test_dataset


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_test_dataset(folder, n_obs=2, trigger_rate=0.5, threshold=0.3)
    return DataStore.open(folder)


def test_the_row_is_what_is_read(store):
    row = store.table[1]
    conditions = read_conditions(store, 2)
    assert conditions.altitude.tolist() == [row["ALT_PNT"]]
    assert conditions.azimuth.tolist() == [row["AZ_PNT"]]
    assert (conditions.livetime, conditions.ontime, conditions.threshold) == (1500, 1800, 0.3)
    mjd = conditions.covariates.pop("MJD")
    assert conditions.covariates == {name: row[name] for name in ("MUONEFF", "N_TELS", "TSTART")}
    assert mjd == pytest.approx((reference_time(store.table.meta) + row["TSTART"] * u.s).mjd, abs=1e-9)
    assert conditions.dead_time_factor == pytest.approx(1500 / 1800)
    assert conditions.target is None


def test_the_track_is_that_of_astropy(store):
    row, header = store.table[0], {key: store.table.meta[key] for key in store.table.meta}
    conditions = read_conditions(store, 1, time_step=600.0)
    times = reference_time(header) + (row["TSTART"] + np.array([300.0, 900.0, 1500.0])) * u.s
    frame = AltAz(obstime=times, location=observatory_location(header))
    expected = SkyCoord(row["RA_PNT"], row["DEC_PNT"], unit="deg").transform_to(frame)
    np.testing.assert_allclose(conditions.altitude, expected.alt.deg, atol=1e-6)
    np.testing.assert_allclose(conditions.azimuth, expected.az.deg, atol=1e-6)
    assert conditions.altitude[1] == pytest.approx(row["ALT_PNT"], abs=0.02)


def test_what_is_no_observation_is_refused(store):
    with pytest.raises(ObservationError, match="OBS_ID 99"):
        read_conditions(store, 99)
