"""Models that observations came with, and models as they would be attached."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from gpucube.arrays.backend import get_backend
from gpucube.cubes.fits import read_background_model, write_table
from gpucube.errors import ObservationError
from gpucube.observations.conditions import read_conditions
from gpucube.observations.store import DataStore
from gpucube.prediction.predictor import Predictor
from gpucube.synthetic.model import make_test_background_model
from gpucube.validation.cells import read_cells
from gpucube.validation.grid import ScoreGrid
from gpucube.validation.predict import predict_cells
from gpucube.validation.predictors import AsAttached, AttachedModels, mirrored
from gpucube.validation.scores import score_cells
from gpucube.validation.validate import choose_observations, training_observations, validate
from tests.stores import copy_store

pytestmark = pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning")


def test_mirroring_turns_detx():
    model = make_test_background_model(apply_mask=True)
    turned = mirrored(model)
    np.testing.assert_array_equal(turned.rate.data, model.rate.data[:, :, ::-1])
    np.testing.assert_allclose(turned.axes[2].edges, -model.axes[2].edges[::-1])
    assert turned.axes[1].matches(model.axes[1])
    np.testing.assert_array_equal(mirrored(turned).rate.data, model.rate.data)


class Holed(Predictor):
    def __init__(self, model):
        self.model = model

    def predict(self, conditions):
        return self.model


def test_holes_are_filled(store):
    conditions = read_conditions(DataStore.open(store), 1)
    model = make_test_background_model(apply_mask=True)
    filled = AsAttached(Holed(model)).predict(conditions)
    assert (filled.rate.data > 0).all()
    nothing = replace(model, rate=model.rate.with_data(np.full_like(model.rate.data, np.nan)))
    with pytest.raises(ObservationError, match="no positive rate"):
        AsAttached(Holed(nothing)).predict(conditions)


def test_attached_rate_is_per_livetime(store, tmp_path):
    folder = copy_store(store, tmp_path / "data")
    model = replace(make_test_background_model(), rate_per="ONTIME", livetime=None, counts=None)
    write_table(model, folder / "bkg.fits")
    index = Table.read(folder / "hdu-index.fits.gz")
    index.add_row(
        dict(index[0]) | {"OBS_ID": 2, "HDU_TYPE": "bkg", "FILE_DIR": ".", "FILE_NAME": "bkg.fits", "HDU_NAME": "BKG"}
    )
    index.write(folder / "hdu-index.fits.gz", overwrite=True)
    data = DataStore.open(folder)
    conditions = read_conditions(data, 2)
    found = AttachedModels(data).predict(conditions)
    np.testing.assert_allclose(found.rate.data * conditions.dead_time_factor, _stored(folder))
    assert found.rate_per == "LIVETIME"
    with pytest.raises(ObservationError, match="BKG"):
        AttachedModels(data).predict(read_conditions(data, 1))


def _stored(folder):
    return read_background_model(folder / "bkg.fits").rate.data


def test_models_of_the_collaboration(hess_dl3_dr1):
    """Read the right way round, they are better than flat, and better than mirrored."""
    data = DataStore.open(hess_dl3_dr1)
    # All off-source runs at low altitude, where the field is least symmetric
    table = data.table[
        (data.table["ALT_PNT"] < 45) & (np.char.strip(data.table["TARGET_NAME"].astype(str)) == "Off data")
    ]
    ids = table["OBS_ID"].tolist()
    assert len(ids) == 4
    cells = read_cells(data, ids, ScoreGrid.make(cell=0.5), "RADEC", get_backend("numpy"))
    models = AttachedModels(data)
    own = score_cells(cells, predict_cells(models, cells)).senses["shape_per_energy"]
    wrong = score_cells(cells, predict_cells(_Turned(models), cells)).senses["shape_per_energy"]
    assert own.skill > 0.7
    assert own.model.sum() < wrong.model.sum()


class _Turned(Predictor):
    def __init__(self, models):
        self.models = models

    def predict(self, conditions):
        return mirrored(self.models.predict(conditions))


def test_training_observations(store, tmp_path):
    from gpucube.observations.group_by import groups_by
    from gpucube.pipeline import Settings, make_models

    settings = Settings(backend="numpy", catalog="none", energy_edges=(0.1, 1, 10, 100), pixels=5)
    data = DataStore.open(store)
    summary = make_models(data.select([1, 2, 5]), tmp_path / "out", settings=settings, groups=groups_by(["ALT:0,90"]))
    assert training_observations(tmp_path / "out") == {1, 2, 5}
    assert training_observations(summary.models[0]) == {1, 2, 5}
    write_table(make_test_background_model(), tmp_path / "other.fits")
    assert training_observations(tmp_path / "other.fits") is None
    result = validate(
        "x", AsAttached(Holed(read_background_model(summary.models[0]))), data, [2, 3, 5], training={1, 2, 5}
    )
    assert result.seen == [2, 5]


def test_choice_of_observations(store):
    from gpucube.observations.group_by import groups_by
    from gpucube.pipeline import Settings

    data = DataStore.open(store)
    altitude = np.asarray(data.table["ALT_PNT"])
    chosen, mask = choose_observations(data, Settings(catalog="none"), groups_by([f"ALT:{altitude.min()},70"]))
    assert chosen == np.asarray(data.table["OBS_ID"])[altitude < 70].tolist()
    assert mask is None
