"""BAccMod, an optional peer, cross-validated on the folds of `gpucube validate --cross-validate`.

    python -m benchmarks.baccmod_folds DATA [--folds 5] [--only 'TARGET_NAME=Off data'] [--model radial ...]

It needs BAccMod (pip install baccmod), in an environment of its own if need be: gpucube needs nothing of it. For each
observation BAccMod's model is written as BAccMod does, read as `gpucube validate --attached` reads files, and scored.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gpucube.arrays.backend import get_backend
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import read_background_model
from gpucube.observations.conditions import Conditions
from gpucube.observations.group_by import groups_by
from gpucube.observations.store import DataStore
from gpucube.pipeline.settings import Settings
from gpucube.prediction.predictor import Predictor
from gpucube.validation.cells import read_cells
from gpucube.validation.folds import Fit
from gpucube.validation.grid import ScoreGrid
from gpucube.validation.validate import Validation, choose_observations, validate_by_folds

__all__ = ["MODELS", "BAccModModels", "baccmod_fit", "main"]

EDGE = 2.5
#: Bins from the pointing to 2.5 deg, energy bins from 0.1 to 80 TeV, and the least livetime in s of a zenith bin.
MODELS: dict[str, dict[str, Any]] = {
    "radial": {"radial": True, "rings": 6, "n_energy": 24, "livetime": 3600.0},
    "radial-wide": {"radial": True, "rings": 6, "n_energy": 12, "livetime": 7200.0},
    "radial-wider": {"radial": True, "rings": 6, "n_energy": 24, "livetime": 10800.0},
    "3d": {"radial": False, "rings": 6, "n_energy": 24, "livetime": 3600.0},
    "3d-wide": {"radial": False, "rings": 5, "n_energy": 12, "livetime": 7200.0},
}


@dataclass(frozen=True, eq=False)
class BAccModModels(Predictor):
    """Models of BAccMod, interpolated in the zenith angle to each observation.

    Attributes
    ----------
    creator : baccmod.BaseAcceptanceMapCreator
        Settings.
    models : baccmod.BackgroundCollectionZenith
        Models of bins of the zenith angle.
    observations : gammapy.data.DataStore
        Observations.
    per_ontime : bool
        Whether to read the rate as Gammapy does, per ontime, which BAccMod divides by the livetime.
    """

    creator: Any
    models: Any
    observations: Any
    per_ontime: bool

    def predict(self, conditions: Conditions) -> BackgroundModel:
        """Predict the background of an observation.

        Parameters
        ----------
        conditions : Conditions
            The observation.

        Returns
        -------
        BackgroundModel
            As the file of BAccMod has it: rates at the centres of bins.
        """
        chosen = self.observations.get_observations([conditions.obs_id])
        irf = self.creator.create_acceptance_map_per_observation(
            chosen, zenith_interpolation=True, runwise_normalisation=False, base_model=self.models
        )[chosen[0].obs_id]
        with TemporaryDirectory() as folder:
            path = Path(folder, "background.fits")
            irf.to_table_hdu().writeto(path)
            model = read_background_model(path)
        factor = 1.0 / conditions.dead_time_factor if self.per_ontime else 1.0
        rate = model.rate.with_data(np.asarray(model.rate.data, dtype=np.float64) * factor)
        return BackgroundModel(rate, fov_align=model.fov_align)


def baccmod_fit(data: Path, radial: bool, rings: int, n_energy: int, livetime: float, per_ontime: bool) -> Fit:
    """Way to make models with BAccMod.

    Its linear interpolation in cos(zenith) is taken: that of logarithms overflows beyond the outer bins where one of
    them is empty.

    Parameters
    ----------
    data : pathlib.Path
        Folder of the data store.
    radial : bool
        Whether models are in the offset, or in DETX and DETY.
    rings : int
        Bins from the pointing to 2.5 deg.
    n_energy : int
        Energy bins from 0.1 to 80 TeV.
    livetime : float
        Least livetime in s of a bin of the zenith angle.
    per_ontime : bool
        See `BAccModModels`.

    Returns
    -------
    function (DataStore, sequence of int) -> Predictor
        Makes the models.
    """
    import astropy.units as u
    from baccmod import Grid3DAcceptanceMapCreator, RadialAcceptanceMapCreator
    from gammapy.data import DataStore as Observations
    from gammapy.maps import MapAxis

    creator = (RadialAcceptanceMapCreator if radial else Grid3DAcceptanceMapCreator)(
        MapAxis.from_energy_bounds(0.1 * u.TeV, 80 * u.TeV, nbin=n_energy),
        MapAxis.from_bounds(0 * u.deg, EDGE * u.deg, nbin=rings, name="offset"),
        cos_zenith_binning_parameter_value=livetime,
        # How finely exclusion regions are followed: there are none, and 0.1 s, the default, takes most of the time.
        time_resolution=60 * u.s,
    )
    observations = Observations.from_dir(data)

    def fit(store: DataStore, obs_ids: Sequence[int]) -> Predictor:
        chosen = observations.get_observations(list(obs_ids))
        return BAccModModels(
            creator, creator.create_acceptance_model(chosen, zenith_binning=True), observations, per_ontime
        )

    return fit


def _score(name: str, fit: Callable[[], Fit], store: DataStore, only: Sequence[str], n_folds: int) -> Validation:
    obs_ids, _ = choose_observations(
        store, Settings(catalog="none", backend="numpy"), groups_by(only) if only else None
    )
    cells = read_cells(store, obs_ids, ScoreGrid.make(), "ALTAZ", get_backend("numpy"))
    return validate_by_folds(name, fit(), store, cells, n_folds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Score models of BAccMod, and print what `gpucube validate` calls scores.

    Parameters
    ----------
    arguments : sequence of str, optional
        Of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--model", action="append", choices=list(MODELS))
    parser.add_argument("--per-ontime", action="store_true", help="read rates as Gammapy does, per ontime")
    options = parser.parse_args(arguments)
    store = DataStore.open(options.data)
    for name in options.model or MODELS:
        start = time.perf_counter()
        fit = partial(baccmod_fit, options.data, per_ontime=options.per_ontime, **MODELS[name])
        scores = _score(name, fit, store, options.only, options.folds).scores
        print(f"{name}: predicted / observed {scores.n_predicted / scores.n_observed:.3f}, unknown {scores.n_unknown}")
        for sense, score in scores.senses.items():
            print(f"  {sense:17} skill {score.skill:6.3f} +- {score.error:.3f}  model {score.model.sum():9.1f}", end="")
            print(f"  flat {score.flat.sum():9.1f}  perfect {score.perfect.sum():9.1f}")
        print(f"  {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
