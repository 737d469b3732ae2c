"""Test data sets: synthetic observations, events and the true background model, from one description.

Data set and model agree by construction, so a model that is made from the data can be compared with
the truth. All numbers come from Philox4x64-10, keyed by seed and observation: the same seed gives the same
files on every array library, for any number of workers.
"""

from __future__ import annotations

from gpucube.synthetic.dataset import make_test_dataset
from gpucube.synthetic.events import make_test_eventlist
from gpucube.synthetic.model import BackgroundDescription, make_test_background_model
from gpucube.synthetic.observations import make_test_observation_table

__all__ = [
    "BackgroundDescription",
    "make_test_background_model",
    "make_test_dataset",
    "make_test_eventlist",
    "make_test_observation_table",
]
