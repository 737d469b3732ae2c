"""Options that say what is cut out of observations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gpucube.cli.unused import refuse_unused
from gpucube.pipeline.mask import Mask
from gpucube.pipeline.select import open_mask
from gpucube.pipeline.settings import Settings

__all__ = ["catalog_option", "mask_from_options", "masking_options", "refuse_without_mask", "region_options"]

_OPTIONS = (
    click.option(
        "--mask-radius",
        type=float,
        default=0.4,
        show_default=True,
        metavar="DEG",
        help="To cut out around a point source.",
    ),
    click.option(
        "--mask-target/--no-mask-target", default=True, help="Cut out the target of each observation.  [default: yes]"
    ),
    click.option(
        "--mask-regions", type=click.Path(path_type=Path), metavar="FILE", help="More regions to cut out (DS9, CRTF)."
    ),
    click.option("--wobble-mask", is_flag=True, help="Cut out the half of the field that the target is in."),
)


def catalog_option(help_text: str) -> Callable[[Any], Any]:
    """Make the option --catalog."""
    return click.option("--catalog", default="builtin", show_default=True, metavar="FILE|builtin|none", help=help_text)


def region_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which regions are cut out."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def masking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add these and the catalogue; `mask_from_options` takes them out again."""
    return catalog_option("Sources to cut out.")(region_options(command))


def mask_from_options(ctx: click.Context, options: dict[str, Any], *, unless: str) -> Mask | None:
    """Make a mask from the options of a command, and remove these; None and none given, if there is a reason."""
    names = ("catalog", "mask_radius", "mask_target", "mask_regions", "wobble_mask")
    chosen = {name: options.pop(name) for name in names}
    if unless:
        refuse_unused(ctx, names, unless)
        return None
    return open_mask(Settings(mask=True, **chosen))


def refuse_without_mask(ctx: click.Context, settings: Settings) -> None:
    """Refuse options that say how to cut out, where nothing is cut out."""
    if not settings.mask:
        regions = [name for name in ("mask_regions", "wobble_mask") if name in ctx.params]
        implied = " or ".join(f"--{name.replace('_', '-')}" for name in regions)
        verb = "implies" if len(regions) == 1 else "imply"
        refuse_unused(ctx, ("mask_radius", "mask_target"), f"without --mask; add it ({implied} {verb} it)")
