"""Real observations without sources: Gammapy predicts what was observed in the runs that made the models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table

from gpucube.attach.run import attach_models
from gpucube.attach.settings import AttachSettings
from gpucube.cubes.fits import read_background_model
from gpucube.observations.group_by import groups_by
from gpucube.pipeline import Settings, make_models

pytest.importorskip("gammapy")

from tests.gammapy.fields import Field, compare, fields

# Of all 30 runs, models aligned with RADEC predict every quadrant of the sky within 0.8 %, those with ALTAZ within
# 2.6 % (4 Poisson errors); their ln L, each with models made from the same events, differs by 14 in favour of ALTAZ.
# The recipe smooths by about 1.5 pixels: small ones keep the field from flattening.
SETTINGS = Settings(
    backend="numpy",
    catalog="none",
    align="RADEC",
    energy_edges=tuple(np.geomspace(0.2, 50.0, 13).tolist()),
    fov=2.5,
    pixels=50,
)
# Above 1.5 TeV all runs are above their thresholds; below, runs of different thresholds share a model.
ENERGIES = (1.5, 3.0, 10.0, 40.0)
N_RUNS = 12


@pytest.fixture(scope="module")
def off_source(hess_dl3_dr1: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data store of some of the off-source observations: their own index, and a link to the files."""
    folder = tmp_path_factory.mktemp("off")
    (folder / "data").symlink_to(hess_dl3_dr1 / "data")
    table = Table.read(hess_dl3_dr1 / "obs-index.fits.gz")
    table = table[np.char.strip(np.asarray(table["TARGET_NAME"]).astype(str)) == "Off data"][:N_RUNS]
    index = Table.read(hess_dl3_dr1 / "hdu-index.fits.gz")
    table.write(folder / "obs-index.fits.gz")
    index[np.isin(index["OBS_ID"], table["OBS_ID"])].write(folder / "hdu-index.fits.gz")
    return folder


@pytest.fixture(scope="module")
def models(off_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "out"
    make_models(off_source, folder, settings=SETTINGS, groups=groups_by(["zenith"], min_observations=6))
    return folder


@pytest.fixture(scope="module", params=[False, True], ids=["copy", "link"])
def made(
    request: pytest.FixtureRequest, off_source: Path, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Fields with attached backgrounds, by mode."""
    out = tmp_path_factory.mktemp("attached") / "out"
    summary = attach_models(models, off_source, out, settings=AttachSettings(link=request.param))
    assert summary.n_skipped == 0
    return list(fields(out, ENERGIES, radius=2.4))


def test_runs_that_made_the_models(made: list[Field]) -> None:
    assert len(made) == N_RUNS
    for found in (compare(made, orientation) for orientation in ("fov", "sky")):
        assert found.observed[0] > 5000
        assert found.ratio[0] == pytest.approx(1, abs=0.02)
        np.testing.assert_allclose(found.ratio[1:], 1, atol=0.04)


def test_gammapy_does_not_mirror_what_is_attached(made: list[Field], models: Path) -> None:
    """It does so with any background of files of this release, unless attach sees to it."""
    lon, lat = made[0].sky
    inside = np.hypot(lon, lat) < 2.2
    group = Table.read(models / "bg_event_ledger.ecsv")["GROUP_ID"][0]
    model = read_background_model(models / f"bg_cube_model_group{group}_table.fits.gz")
    energy, dety, detx = model.axes
    image = (model.rate.data * model.rate.bin_volume)[energy.edges[:-1] > 1.2].sum(axis=0)
    # In RADEC, DETX falls with right ascension; what matters is the part of the field that is not symmetric.
    row, column = (np.searchsorted(axis.edges, x[inside]) - 1 for axis, x in ((dety, lat), (detx, -lon)))
    expected = (image - image[:, ::-1])[row, column]
    found = (made[0].predicted - made[0].predicted[:, ::-1])[inside]
    assert np.corrcoef(found, expected)[0, 1] > 0.6
