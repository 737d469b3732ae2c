"""Options that would change nothing: who gives one is told, instead of getting something else without a word."""

from __future__ import annotations

from collections.abc import Collection

import click
from click.core import ParameterSource

from gpucube.errors import OptionError

__all__ = ["refuse_unused"]


def refuse_unused(ctx: click.Context, names: Collection[str], remedy: str) -> None:
    """Refuse options that have no effect beside the others of the call.

    Parameters
    ----------
    ctx : click.Context
        Context of the call.
    names : collection of str
        Names of the parameters that have no effect.
    remedy : str
        What would give them one, after "have no effect".

    Raises
    ------
    OptionError
        One of them is given, if only with its default.
    """
    given = [
        _spelling(parameter, ctx.params[parameter.name])
        for parameter in ctx.command.params
        if parameter.name in names and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise OptionError(f"{' and '.join(given)} {'has' if len(given) == 1 else 'have'} no effect {remedy}")


def _spelling(parameter: click.Parameter, value: object) -> str:
    is_no = value is False and parameter.secondary_opts
    return (parameter.secondary_opts if is_no else parameter.opts)[0]
