"""Options that say how observations are grouped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gpucube.errors import DataError
from gpucube.observations.adaptive import AdaptiveGroups
from gpucube.observations.group_by import groups_by
from gpucube.observations.groups import ObservationGroups
from gpucube.pipeline.output import GROUPS

__all__ = ["grouping_options", "groups_from_options"]

_OPTIONS = (
    click.option(
        "--group-by",
        multiple=True,
        metavar="AXIS",
        help="Axis of the groups; repeat it for more. A column with edges (ALT:0,45,90) or values (N_TELS=3,4), "
        "east-west, north-south, or zenith: as many bins as the minimum allows.  [default: groups of 2015]",
    ),
    click.option(
        "--min-livetime",
        default="",
        metavar="TIME",
        help="Least livetime of a zenith bin: hours, or such as '300 min'.",
    ),
    click.option("--min-observations", type=click.IntRange(1), help="Least number of observations of a zenith bin."),
    click.option("--per-wobble", is_flag=True, help="A zenith bin needs the minimum at every wobble position."),
    click.option(
        "--groups",
        "groups_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Groups of a file, such as the bg_observation_groups.ecsv of another run.",
    ),
)


def grouping_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command; `groups_from_options` takes them out again."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def groups_from_options(options: dict[str, Any]) -> ObservationGroups | AdaptiveGroups | None:
    """Make groups from the options of a command, and remove these; None if none is given."""
    path, texts = options.pop("groups_file"), options.pop("group_by")
    minimum = {name: options.pop(name) for name in ("min_livetime", "min_observations", "per_wobble")}
    minimum["min_observations"] = minimum["min_observations"] or 0
    if path and (texts or any(minimum.values())):
        raise click.UsageError("--groups FILE has all axes: leave out --group-by and what belongs to it")
    if path and path.is_dir():
        raise DataError("is a folder", path, remedy=f"name the file of groups in it, such as {GROUPS}")
    if path:
        return ObservationGroups.read(path)
    return groups_by(texts, **minimum) if texts or any(minimum.values()) else None
