"""make-models, attach, Gammapy: the models made from observations predict these observations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpucube.attach.run import attach_models
from gpucube.attach.settings import AttachSettings
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.pipeline import Settings, make_models
from gpucube.synthetic import BackgroundDescription, make_test_dataset

pytest.importorskip("gammapy")

from tests.gammapy.fields import compare, fields

ONE_GROUP = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 90), unit="deg")])
EDGES = tuple(np.geomspace(0.1, 10.0, 13).tolist())
SETTINGS = Settings(backend="numpy", catalog="none", energy_edges=EDGES, fov=2.6, pixels=40)
TRUTH = BackgroundDescription(trigger_rate=25.0, sigma=3.5, center=(0.8, -0.4))
ENERGIES = (0.2, 1.0, 5.0)


@pytest.mark.parametrize(
    ("observatory", "align", "model", "link"),
    [
        ("HESS", "ALTAZ", "3d", False),
        ("MAGIC", "ALTAZ", "3d", True),
        ("HESS", "RADEC", "3d", True),
        ("HESS", "ALTAZ", "2d", False),
    ],
)
def test_made_models_predict_every_quadrant(
    observatory: str, align: str, model: str, link: bool, tmp_path: Path
) -> None:
    data, models, out = tmp_path / "data", tmp_path / "models", tmp_path / "out"
    # A radial model knows nothing of sides.
    truth = replace(TRUTH, align=align, center=TRUTH.center if model == "3d" else (0.0, 0.0))
    make_test_dataset(
        data, n_obs=3, observatory=observatory, alt_range=(55, 75), description=truth, threshold=0.15, seed=3
    )
    make_models(data, models, settings=replace(SETTINGS, align=align, model=model), groups=ONE_GROUP)
    attach_models(models, data, out, settings=AttachSettings(link=link))
    made = list(fields(out, ENERGIES))
    assert len(made) == 3
    for found in (compare(made, orientation) for orientation in ("fov", "sky")):
        assert found.observed[0] > 10_000
        assert np.abs(found.pull).max() < 4, found.ratio
