"""Synthetic observations with their true background: Gammapy predicts, in every quadrant, what was observed.

A model that is mirrored or transposed, or whose alignment is wrong, must fail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from gpucube.cubes.axis import Axis
from gpucube.cubes.background import RATE_UNIT, BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.observations.table import ObservationTable
from gpucube.synthetic import BackgroundDescription, make_test_background_model, make_test_dataset

pytest.importorskip("gammapy")

from tests.gammapy.fields import Comparison, add_background, compare, fields

# Not symmetric in either axis, so that a mirrored or transposed model is far off.
TRUTH = BackgroundDescription(trigger_rate=40.0, sigma=3.0, center=(0.8, -0.4))
AXES = (Axis.energy(0.1, 20.0, 46), Axis.field_of_view("dety", 2.6, 42), Axis.field_of_view("detx", 2.6, 52))
ENERGIES = (0.1, 0.5, 5.0)  # TeV
WITHIN, BEYOND = 4.0, 10.0  # Poisson errors


@dataclass(frozen=True)
class Case:
    """Where and when synthetic observations are."""

    observatory: str = "HESS"
    altitudes: tuple[float, float] = (60.0, 65.0)
    azimuths: tuple[float, float] = (0.0, 360.0)
    align: str = "ALTAZ"
    seed: int = 3


CASES = {
    "low zenith angle": Case(altitudes=(80.0, 83.0)),
    "high zenith angle": Case(altitudes=(25.0, 30.0)),
    "north": Case("MAGIC", (45.0, 70.0)),
    "north, high zenith angle, RADEC": Case("MAGIC", (25.0, 40.0), align="RADEC"),
    "south, RADEC": Case(altitudes=(70.0, 80.0), align="RADEC"),
    "across RA 0": Case(altitudes=(55.0, 70.0), seed=190),
    "across RA 0, RADEC": Case(altitudes=(55.0, 70.0), align="RADEC", seed=190),
}


WRONG = {"mirrored": (-0.8, -0.4), "upside down": (0.8, 0.4), "transposed": (-0.4, 0.8)}


def observe(folder: Path, case: Case, truth: BackgroundDescription) -> ObservationTable:
    ranges = {"az_range": case.azimuths, "alt_range": case.altitudes}
    return make_test_dataset(folder, "GADF", 1, case.observatory, description=truth, seed=case.seed, **ranges)


def true_models(table: ObservationTable, truth: BackgroundDescription) -> dict[int, BackgroundModel]:
    altitudes = {int(row["OBS_ID"]): float(row["ALT_PNT"]) for row in table}
    return {i: make_test_background_model(AXES, altitude, description=truth) for i, altitude in altitudes.items()}


def predict(store: Path, out: Path, models: dict[int, BackgroundModel]) -> list[Comparison]:
    made = list(fields(add_background(store, out, models), ENERGIES))
    return [compare(made, orientation) for orientation in ("fov", "sky")]


@pytest.mark.parametrize("name", CASES)
def test_true_model_predicts_every_quadrant(name: str, tmp_path: Path) -> None:
    truth = replace(TRUTH, align=CASES[name].align)
    table = observe(tmp_path / "data", CASES[name], truth)
    for found in predict(tmp_path / "data", tmp_path / "models", true_models(table, truth)):
        assert found.observed[0] > 15_000
        assert np.abs(found.pull).max() < WITHIN, found.ratio


def test_a_field_lies_across_ra_0(tmp_path: Path) -> None:
    table = observe(tmp_path / "data", CASES["across RA 0"], replace(TRUTH, trigger_rate=1.0))
    assert abs((table["RA_PNT"][0] + 180) % 360 - 180) < 0.2


@pytest.mark.parametrize("name", ["low zenith angle", "north, high zenith angle, RADEC"])
def test_a_wrong_model_is_far_off(name: str, tmp_path: Path) -> None:
    truth = replace(TRUTH, align=CASES[name].align)
    table = observe(tmp_path / "data", CASES[name], truth)
    wrong = {label: replace(truth, center=center) for label, center in WRONG.items()}
    wrong["other alignment"] = replace(truth, align="RADEC" if truth.align == "ALTAZ" else "ALTAZ")
    for label, description in wrong.items():
        for found in predict(tmp_path / "data", tmp_path / label, true_models(table, description)):
            assert np.abs(found.pull[1:]).max() > BEYOND, label
            # In total the field holds as many events either way.
            assert abs(found.pull[0]) < WITHIN, label


def radial_model(description: BackgroundDescription, altitude: float) -> BackgroundModel:
    """Rate in rings of a Gaussian about the pointing, by the Rayleigh distribution."""
    axes = (Axis.energy(0.1, 20.0, 46), Axis.offset(2.6, 26))
    everywhere = Axis.field_of_view("dety", 60.0, 1), Axis.field_of_view("detx", 60.0, 1)
    expected = description.expected_counts((axes[0], *everywhere), altitude, 1.0)[:, 0]
    beyond = np.exp(-0.5 * (axes[1].edges_in("deg") / description.width(axes[0].centers)[:, None]) ** 2)
    volume = Cube(axes, expected * beyond[:, :-1]).bin_volume
    return BackgroundModel(Cube(axes, -expected * np.diff(beyond) / volume, RATE_UNIT))


@pytest.mark.parametrize("observatory", ["HESS", "MAGIC"])
def test_true_radial_model(observatory: str, tmp_path: Path) -> None:
    truth = replace(TRUTH, center=(0.0, 0.0), sigma=2.5)
    table = observe(tmp_path / "data", Case(observatory, (40.0, 80.0)), truth)
    models = {int(row["OBS_ID"]): radial_model(truth, float(row["ALT_PNT"])) for row in table}
    for found in predict(tmp_path / "data", tmp_path / "models", models):
        assert found.observed[0] > 15_000
        assert np.abs(found.pull).max() < WITHIN, found.ratio
