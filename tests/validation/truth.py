"""Synthetic observations whose true background is known."""

from dataclasses import replace

from gpucube.cubes.axis import Axis
from gpucube.observations.store import DataStore
from gpucube.prediction.predictor import Predictor
from gpucube.synthetic import BackgroundDescription, make_test_dataset
from gpucube.synthetic.model import make_test_background_model

__all__ = ["AXES", "TRUTH", "Truth", "make_known_store"]

# Not symmetric: a mirrored or transposed prediction is far off.
TRUTH = BackgroundDescription(trigger_rate=10.0, sigma=2.2, center=(0.8, -0.5))
AXES = (
    Axis.energy(0.1, 100.0, 60),
    Axis.field_of_view("dety", 3.0, 31),
    Axis.field_of_view("detx", 3.0, 33),
)


class Truth(Predictor):
    """The background that events were drawn from, on fine axes."""

    def __init__(self, axes=AXES):
        self.axes = axes

    def predict(self, conditions):
        altitude = float(conditions.altitude.mean())
        model = make_test_background_model(self.axes, altitude, description=TRUTH)
        return replace(model, counts=None, livetime=None)


def make_known_store(folder):
    """Data store of 12 observations, with their threshold inside an energy bin."""
    make_test_dataset(folder, n_obs=12, description=TRUTH, threshold=0.3, seed=11)
    return DataStore.open(folder)
