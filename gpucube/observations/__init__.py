"""Observations: data stores, tables, source catalogue, groups and event lists."""

from gpucube.observations.adaptive import AdaptiveGroups
from gpucube.observations.catalog import SourceCatalog
from gpucube.observations.events import Observation
from gpucube.observations.group_by import groups_by
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.observations.store import DataStore
from gpucube.observations.table import ObservationTable

__all__ = [
    "AdaptiveGroups",
    "DataStore",
    "Observation",
    "ObservationGroupAxis",
    "ObservationGroups",
    "ObservationTable",
    "SourceCatalog",
    "groups_by",
]
