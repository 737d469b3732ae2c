"""Groups of observations from what a user types, such as ``ALT:0,45,90``, ``N_TELS=3,4`` or ``zenith``.

>>> groups_by(["ALT:0,45,90", "east-west"]).describe(3)
'ALT 45..90 deg, AZ 180..360 deg'
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from astropy import units as u

from gpucube.errors import OptionError
from gpucube.observations.adaptive import AdaptiveGroups
from gpucube.observations.group_axis import ObservationGroupAxis
from gpucube.observations.groups import ObservationGroups

__all__ = ["ADAPTIVE", "SHORTHANDS", "group_axis", "groups_by", "livetime_seconds"]

#: What stands for bins in zenith angle that the observations decide.
ADAPTIVE = "zenith"
#: Axes with a name of their own.
SHORTHANDS = {
    "east-west": ObservationGroupAxis("AZ", edges=(0, 180, 360), unit="deg"),
    "north-south": ObservationGroupAxis("AZ", edges=(-90, 90, 270), unit="deg"),
}
EXAMPLES = "give for example ALT:0,45,60,90, AZ:0,180,360deg, N_TELS=3,4, east-west, north-south or zenith"

_NUMBER = re.compile(r"([-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|inf))\s*([a-z].*)?", re.IGNORECASE)


def group_axis(text: str) -> ObservationGroupAxis:
    """Make an axis from what a user typed.

    Parameters
    ----------
    text : str
        Column and edges with a colon (``ALT:0,45,90``, ``ALT:0,45,90deg``), column and values with an equals sign
        (``N_TELS=3,4``), ``east-west`` or ``north-south``. Angles are in deg, other numbers in the unit of the column,
        unless there is a unit behind the last one.

    Returns
    -------
    ObservationGroupAxis
        The axis.

    Raises
    ------
    OptionError
        If the text makes no sense; the message has examples.
    """
    if text.strip().lower() in SHORTHANDS:
        return SHORTHANDS[text.strip().lower()]
    name, sign, entries = _split(text)
    try:
        if sign == ":":
            edges, unit = _numbers(entries)
            return ObservationGroupAxis(name, edges=edges, unit=unit)
        return ObservationGroupAxis(name, values=_values(entries))
    except OptionError as error:
        raise OptionError(f"--group-by {text!r}: {error}; {EXAMPLES}") from error


def _split(text: str) -> tuple[str, str, list[str]]:
    """Name, colon or equals sign, and what follows, between commas."""
    match = re.fullmatch(r"\s*([^:=]*[^:=\s])\s*([:=])(.*)", text)
    if not match:
        raise OptionError(f"--group-by {text!r} makes no sense; {EXAMPLES}")
    # In capitals as in GADF, so that one quantity cannot be two axes; columns are found in any case.
    return match[1].upper(), match[2], [entry.strip() for entry in match[3].split(",")]


def _numbers(entries: list[str]) -> tuple[list[float], str]:
    """Numbers, and the unit behind the last one."""
    *others, (last, unit) = [_number_and_unit(entry) for entry in entries]
    if any(unit for _, unit in others):
        raise OptionError("only the last edge has a unit")
    return [*(number for number, _ in others), last], unit


def _number_and_unit(text: str) -> tuple[float, str]:
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        raise OptionError(f"{text!r} is no number")
    return float(match[1]), match[2] or ""


def _values(entries: list[str]) -> list[int] | list[float] | list[str]:
    """Whole numbers if all are; else numbers if all are; else texts."""
    for kind in (int, float):
        try:
            return [kind(entry) for entry in entries]
        except ValueError:
            continue
    return entries


def livetime_seconds(text: str) -> float:
    """Read a livetime that a user typed.

    Parameters
    ----------
    text : str
        Hours, or a number with a unit such as ``300 min``.

    Returns
    -------
    float
        Livetime in s.

    Raises
    ------
    OptionError
        If it is no positive time.
    """
    try:
        number, unit = _number_and_unit(text)
        seconds = float(u.Quantity(number, unit or "h").to_value("s"))
    except (OptionError, TypeError, ValueError, u.UnitConversionError) as error:
        raise OptionError(f"--min-livetime {text!r} is no time; give hours, or for example 300 min") from error
    if not 0 < seconds < float("inf"):
        raise OptionError(f"--min-livetime {text!r} is no positive time; give hours, or for example 300 min")
    return seconds


def groups_by(
    texts: Sequence[str], min_livetime: str = "", min_observations: int = 0, per_wobble: bool = False
) -> ObservationGroups | AdaptiveGroups:
    """Make groups from what a user typed.

    Parameters
    ----------
    texts : sequence of str
        One per axis: ``zenith``, or a text that `group_axis` understands.
    min_livetime : str
        With ``zenith``: least livetime of a group, see `livetime_seconds`; empty for none.
    min_observations : int
        With ``zenith``: least number of observations of a group; 0 for none.
    per_wobble : bool
        With ``zenith``: whether each group needs the minimum at every wobble position.

    Returns
    -------
    ObservationGroups or AdaptiveGroups
        Groups in the order of `texts`; bins in zenith angle that observations decide come first.

    Raises
    ------
    OptionError
        If the texts make no sense, alone or together.
    """
    adaptive = [text.strip().lower() == ADAPTIVE for text in texts]
    axes = [group_axis(text) for text, is_adaptive in zip(texts, adaptive, strict=True) if not is_adaptive]
    if sum(adaptive) > 1:
        raise OptionError("--group-by zenith is given twice")
    if any(adaptive):
        seconds = livetime_seconds(min_livetime) if min_livetime else 0.0
        return AdaptiveGroups(axes, seconds, min_observations, per_wobble)
    if min_livetime or min_observations or per_wobble:
        raise OptionError("--min-livetime, --min-observations and --per-wobble need --group-by zenith")
    return ObservationGroups(axes)
