"""A regression as BKG_2D and BKG_3D in Gammapy: it predicts what was observed, in total and around the pointing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpucube.attach.run import attach_models
from gpucube.attach.settings import AttachSettings
from gpucube.pipeline import Settings, make_models
from gpucube.synthetic import BackgroundDescription, make_test_dataset

pytest.importorskip("gammapy")

from gammapy.data import DataStore
from gammapy.irf import Background2D, Background3D

from tests.gammapy.fields import compare, fields

TRUTH = BackgroundDescription(trigger_rate=25.0, sigma=3.0)
SETTINGS = Settings(
    backend="numpy",
    catalog="none",
    method="regression",
    terms=("spectrum", "radial", "zenith"),
    energy_edges=tuple(np.geomspace(0.1, 10.0, 17).tolist()),
    fov=2.6,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("gammapy-regression")
    make_test_dataset(folder / "data", n_obs=4, alt_range=(55, 80), description=TRUTH, threshold=0.15, seed=9)
    make_models(folder / "data", folder / "models", settings=SETTINGS)
    return folder / "data", folder / "models"


@pytest.mark.parametrize(("kind", "reader"), [("2d", Background2D), ("3d", Background3D)])
def test_regression_predicts_what_is_observed(kind: str, reader: type, made: tuple[Path, Path], tmp_path: Path) -> None:
    data, models = made
    attach_models(models, data, tmp_path / "dl3", settings=AttachSettings(model=kind))
    store = DataStore.from_dir(tmp_path / "dl3")
    assert all(isinstance(store.obs(obs_id, required_irf=["bkg"]).bkg, reader) for obs_id in store.obs_ids)
    predicted = list(fields(tmp_path / "dl3", (0.2, 1.0, 5.0)))
    assert len(predicted) == 4
    for orientation in ("fov", "sky"):
        found = compare(predicted, orientation)
        assert found.observed[0] > 10_000
        assert np.abs(found.pull).max() < 4, found.ratio


def test_models_of_groups_open_in_gammapy(made: tuple[Path, Path], tmp_path: Path) -> None:
    data, _ = made
    summary = make_models(data, tmp_path / "models", settings=Settings(**(vars(SETTINGS) | {"model": "2d"})))
    for path in summary.models.values():
        background = Background2D.read(path, hdu="BACKGROUND")
        assert list(background.axes.names) == ["energy", "offset"]
        assert (background.data > 0).all()
        assert np.isfinite(background.data).all()
