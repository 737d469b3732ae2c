"""Targets and folds, and that no model sees what it is scored on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucube.arrays.backend import get_backend, to_host
from gpucube.errors import OptionError
from gpucube.observations.conditions import Conditions
from gpucube.observations.group_by import groups_by
from gpucube.observations.store import DataStore
from gpucube.pipeline import Settings
from gpucube.prediction.predictor import Predictor
from gpucube.synthetic.model import make_test_background_model
from gpucube.validation.cells import read_cells
from gpucube.validation.folds import cross_validate, find_targets, make_folds, models_fit
from gpucube.validation.grid import ScoreGrid


def conditions(obs_id, ra, dec, livetime=1500.0):
    altitude, azimuth = np.array([60.0]), np.array([10.0])
    return Conditions(obs_id, livetime, livetime * 1.1, 0.2, (ra, dec), altitude, azimuth)


def test_targets_are_linked_by_steps():
    pointings = [(0.0, 0.0), (180.0, 80.0), (2.5, 0.0), (359.0, 0.5), (5.0, 0.5), (185.0, 80.0), (20.0, 0.0)]
    # 5 deg of right ascension at 80 deg of declination are less than 1 deg
    assert find_targets(pointings).tolist() == [0, 1, 0, 0, 0, 1, 2]


def test_folds_keep_targets_together_and_are_balanced():
    runs = [conditions(10 * t + i, 30.0 * t, -20.0, 1000.0 + t) for t in range(9) for i in range(1 + t % 3)]
    folds = make_folds(runs, 3)
    assert sorted(obs_id for fold in folds for obs_id in fold) == [run.obs_id for run in runs]
    for target in range(9):
        assert sum(any(obs_id // 10 == target for obs_id in fold) for fold in folds) == 1
    times = [sum(run.livetime for run in runs if run.obs_id in fold) for fold in folds]
    assert max(times) - min(times) < 2100


@given(st.permutations(range(12)))
def test_order_of_observations_does_not_matter(order):
    runs = [conditions(i, 15.0 * (i // 2), 10.0, 900.0 + 7 * i) for i in range(12)]
    shuffled = make_folds([runs[i] for i in order], 4)
    assert [sorted(fold) for fold in shuffled] == [sorted(fold) for fold in make_folds(runs, 4)]


@pytest.mark.parametrize("n_folds", [0, 1, 3])
def test_impossible_number_of_folds(n_folds):
    runs = [conditions(1, 0, 0), conditions(2, 1, 0), conditions(3, 90, 0)]
    with pytest.raises(OptionError, match="2 targets"):
        make_folds(runs, n_folds)


class Remembers(Predictor):
    """Gives its model, and remembers for whom."""

    def __init__(self, training):
        self.training, self.model = set(training), make_test_background_model()

    def predict(self, conditions):
        assert conditions.obs_id not in self.training
        return self.model


def test_no_fold_is_predicted_by_its_own_models(store):
    data, backend = DataStore.open(store), get_backend("numpy")
    ids = data.table["OBS_ID"].tolist()
    cells = read_cells(data, ids, ScoreGrid.make((0.2, 20), 2.0, 2, 2.0), "ALTAZ", backend)
    folds = [ids[5:], ids[:2], ids[2:5]]
    fitted = []

    def fit(store, training):
        fitted.append(sorted(training))
        return Remembers(training)

    expected = cross_validate(fit, data, cells, folds)
    assert fitted == [sorted(set(ids) - set(fold)) for fold in folds]
    assert expected.shape == cells.counts.shape
    assert np.isfinite(to_host(expected)).all()


def test_make_models_on_folds(store, tmp_path):
    data = DataStore.open(store)
    ids = data.table["OBS_ID"].tolist()
    settings = Settings(backend="numpy", catalog="none", energy_edges=(0.1, 1, 10, 100), pixels=5)
    cells = read_cells(data, ids[:2], ScoreGrid.make((0.2, 20), 2.0, 2, 2.0), "ALTAZ", get_backend("numpy"))
    predictor = models_fit(settings, tmp_path, groups_by(["ALT:0,90"]))(data, ids[2:])
    model = predictor.predict(cells.conditions[0])
    assert model.axes[0].n_bins == 3
    assert (model.rate.data > 0).all()
    (folder,) = tmp_path.iterdir()
    table = (folder / "bg_event_ledger.ecsv").read_text()
    assert table.count(" used ") == len(ids) - 2
