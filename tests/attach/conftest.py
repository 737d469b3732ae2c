"""Models of the synthetic store, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.pipeline import Settings, make_models

ONE_GROUP = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 90), unit="deg")])


@pytest.fixture(scope="session")
def models(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one model of all observations of `store`; not to be changed."""
    folder = tmp_path_factory.mktemp("attach") / "models"
    settings = Settings(backend="numpy", catalog="none", pixels=12, fov=4.0, energy_edges=(0.2, 0.4, 0.8, 2, 5, 20))
    make_models(store, folder, settings=settings, groups=ONE_GROUP)
    return folder
