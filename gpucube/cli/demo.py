"""The command that shows everything in a minute."""

from __future__ import annotations

from pathlib import Path

import click

from gpucube.cli.app import backend_option, cli, level_option, progress_bar
from gpucube.cli.look import make_pictures
from gpucube.cli.make_models import print_summary
from gpucube.pipeline.make_models import make_models
from gpucube.pipeline.settings import Settings
from gpucube.plots import require_matplotlib
from gpucube.synthetic.dataset import make_test_dataset

__all__ = ["demo"]


@cli.command()
@click.argument("out", type=click.Path(path_type=Path), default=Path("demo"))
@backend_option("auto")
@level_option
def demo(out: Path, backend: str) -> None:
    """Make a synthetic data set, background models from it and pictures of them, in the folder OUT.

    \b
    Examples:
      gpucube demo
      gpucube demo first-look --backend numpy
    """
    require_matplotlib()
    data, models, pictures = out / "data", out / "models", out / "pictures"
    with progress_bar("synthetic observations") as step:
        make_test_dataset(data, n_obs=12, trigger_rate=60.0, overwrite=True, progress=step)
    click.echo(f"synthetic data set: {data}")
    settings = Settings(test=True, catalog="none", backend=backend, overwrite=True)
    with progress_bar("observations") as step:
        summary = make_models(data, models, settings=settings, progress=step)
    print_summary(summary)
    for path in summary.models.values():
        for picture in make_pictures(path, pictures):
            click.echo(f"picture: {picture}")
