"""Columns of the regression: products are products, and there are as many as their penalties are for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gpucube.arrays.backend import get_backend
from gpucube.regression.features import Scales, condition_columns, make_design, observation_features
from gpucube.regression.terms import TERMS, Term
from tests.regression.truth import make_conditions

SCALES = Scales(0.2, 50.0, 3.0, {"MUONEFF": 0.9, "NSBLEVEL": 100.0, "N_TELS": 4.0, "TSTART": 1.5e8})
NAMES = sorted({name for term in TERMS.values() for name in term.conditions})


def columns_of(names, conditions, energy):
    """Columns of some functions of the conditions, without the constant that always comes first."""
    covariates = {"NSBLEVEL": 120.0, **conditions.covariates}
    conditions.covariates.update(covariates)
    features = observation_features(conditions, tuple(TERMS.values()), SCALES)
    features = {name: value[:, None] for name, value in features.items()}
    term = Term("some", "", tuple(names), ("1",))
    found = condition_columns(energy[None], np.array([[conditions.threshold]]), features, (term,), SCALES)
    return found[0, :, 1:] if "1" not in names else found[0]


@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from([name for name in NAMES if "*" in name]))
def test_products_are_those_of_their_factors(seed, name):
    rng = np.random.default_rng(seed)
    conditions = make_conditions(1, rng)[0]
    energy = 10 ** rng.uniform(-1, 2, 9)
    expected = np.ones((9, 1))
    for factor in name.split("*"):
        expected = expected * columns_of([factor], conditions, energy)
    np.testing.assert_allclose(columns_of([name], conditions, energy), expected, rtol=1e-13)


@given(names=st.sets(st.sampled_from(sorted(TERMS)), min_size=1))
def test_each_pair_of_columns_is_there(names):
    """The pairs of a design point at columns that exist, and every column of a term is in one."""
    terms = [TERMS[name] for name in sorted(names) if TERMS[name].conditions]
    functions = list(dict.fromkeys(["1", *(name for term in terms for name in term.conditions)]))
    conditions = make_conditions(1, np.random.default_rng(1))[0]
    n_columns = columns_of(functions, conditions, np.geomspace(0.1, 100, 5)).shape[1]
    place = np.linspace(-2, 2, 7)
    if terms:
        design = make_design(place, place[::-1], terms, SCALES, get_backend("numpy"))
        assert set(design.k) | {0} == set(range(n_columns))
        assert design.m.max() < design.field.shape[1]


def test_azimuth_is_of_the_horizon():
    """Towards zenith there is no direction; north is where the azimuth is 0, east where it is 90 deg."""
    for altitude, azimuth, expected in ((90, 70, (0, 0)), (45, 0, (5, 0)), (45, 90, (0, 5)), (45, 180, (-5, 0))):
        conditions = make_conditions(1, np.random.default_rng(2))[0]
        conditions.altitude[:], conditions.azimuth[:] = altitude, azimuth
        features = observation_features(conditions, (TERMS["azimuth"],), SCALES)
        np.testing.assert_allclose([features["north"][0], features["east"][0]], expected, atol=1e-6)
