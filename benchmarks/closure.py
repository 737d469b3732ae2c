"""Closure of the regression: whether its errors hold, on observations whose true rates are known.

    python -m benchmarks.closure [--fits 40] [--observations 25 --observations 60]

Every effect of `tests.regression.truth` is switched on, by formulas that no sum of the terms can give exactly. For each
fit the rates of ten new observations are compared with the truth, in all cells above their threshold, up to 8 TeV and
within 2.2 deg.
A test can afford a few fits, and cells of one fit are not independent: this runs many.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click
import numpy as np
from rich.progress import track

from benchmarks.table import Row, Settings, environment, write_json
from tests.regression.truth import pulls

__all__ = ["closure", "main"]

NEW_OBSERVATIONS = 10


def _of_one_fit(seed: int, n_obs: int) -> tuple[float, float, float]:
    """Mean of the pulls, mean of their squares, and share within one error."""
    found = pulls(seed, n_obs, n_new=NEW_OBSERVATIONS)
    return float(found.mean()), float((found**2).mean()), float((np.abs(found) < 1).mean())


def closure(n_fits: int, n_obs: int, workers: int) -> list[Row]:
    """Fit that many times, and say how well the errors hold, with the error of that from fit to fit."""
    with ProcessPoolExecutor(workers) as pool:
        fits = pool.map(partial(_of_one_fit, n_obs=n_obs), range(1000, 1000 + n_fits))
        mean, square, share = np.array(list(track(fits, f"{n_obs} observations", total=n_fits))).T
    work = f"regression: {n_obs} observations with all effects"
    rms = np.sqrt(square.mean())
    return [
        _row(work, "mean of pulls", mean.mean(), np.std(mean), n_fits, goal="0 ± 0.05"),
        _row(work, "root mean square of pulls", rms, np.std(square) / (2 * rms), n_fits, goal="1 ± 0.05"),
        _row(work, "share within one error", share.mean(), np.std(share), n_fits, goal="0.68 ± 0.03"),
    ]


def _row(work: str, what: str, value: float, spread: float, n_fits: int, goal: str) -> Row:
    note = f"{value:.3f} ± {spread / np.sqrt(n_fits):.3f} from {n_fits} fits, goal {goal}"
    return Row(work, what, "truth", note=note)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--fits", type=click.IntRange(2), default=40, show_default=True)
@click.option("--observations", type=click.IntRange(4), multiple=True, default=(25, 60), show_default=True)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path(__file__).parent / "results", show_default=True)
def main(fits: int, observations: tuple[int, ...], workers: int, out: Path) -> None:
    """Print how well errors hold and write it to a JSON file."""
    rows = [row for n_obs in observations for row in closure(fits, n_obs, workers)]
    for row in rows:
        click.echo(f"{row.work}: {row.ours}: {row.note}")
    write_json(rows, Settings(None, 1, ("closure",)), environment(), out)


if __name__ == "__main__":
    main()
