"""Pictures of a validation, as PNG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

from gpucube.plots import label_pulls, new_figure, png_bytes
from gpucube.validation.scores import Scores
from gpucube.validation.tables import by_energy, by_observation, by_offset, pulls

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["validation_pictures"]

SENSE_NAMES = {
    "absolute": "absolute rate",
    "shape": "shape per\nobservation",
    "shape_per_energy": "shape per obs.\nand energy",
}
LARGEST_PULL = 5.0
PANELS_PER_ROW = 4
PULL_COLORS: dict[str, Any] = {"vmin": -LARGEST_PULL, "vmax": LARGEST_PULL, "cmap": "RdBu_r"}
# Cells with fewer expected counts have no Gaussian pull.
ENOUGH = 5.0


def validation_pictures(scores: Scores) -> dict[str, bytes]:
    """Draw how well observations are predicted.

    Parameters
    ----------
    scores : Scores
        The scores.

    Returns
    -------
    dict of str to bytes
        PNG files by name: skill, counts, pulls and observations.

    Raises
    ------
    OptionError
        Matplotlib is not installed.
    """
    drawers = {"skill": _skill, "counts": _counts, "pulls": _pull_images, "observations": _observations}
    return {name: draw(scores) for name, draw in drawers.items()}


def _skill(scores: Scores) -> bytes:
    figure = new_figure(6.5, 3.6, layout="constrained")
    panel = figure.subplots()
    values = [score.skill for score in scores.senses.values()]
    errors = [score.error for score in scores.senses.values()]
    names = [SENSE_NAMES[sense] for sense in scores.senses]
    panel.errorbar(range(len(values)), values, yerr=np.nan_to_num(errors), fmt="o", capsize=4)
    for level, text in ((0.0, "flat"), (1.0, "perfect")):
        panel.axhline(level, color="0.5", lw=1, ls="--")
        panel.text(2.45, level, f" {text}", va="center", color="0.4")
    panel.set(xticks=range(len(names)), xticklabels=names, ylabel="skill", xlim=(-0.5, 2.45))
    return png_bytes(figure)


def _counts(scores: Scores) -> bytes:
    """Observed and predicted counts, and their ratio, against energy and offset."""
    figure = new_figure(11.0, 5.2, layout="constrained")
    panels = figure.subplots(2, 2, sharex="col", height_ratios=(2, 1))
    _against(panels[:, 0], by_energy(scores), "E", "energy (TeV)")
    _against(panels[:, 1], by_offset(scores), "OFFSET", "offset (deg)")
    panels[0, 0].set(xscale="log", yscale="log")
    panels[0, 0].set_ylabel("counts")
    panels[1, 0].set_ylabel("predicted / observed")
    panels[0, 0].legend()
    return png_bytes(figure)


def _against(panels: Any, table: Table, name: str, label: str) -> None:
    edges = np.append(table[f"{name}_MIN"], table[f"{name}_MAX"][-1])
    centers = np.sqrt(edges[1:] * edges[:-1]) if name == "E" else 0.5 * (edges[1:] + edges[:-1])
    observed = np.asarray(table["OBSERVED"])
    panels[0].stairs(table["PREDICTED"], edges, label="predicted", lw=1.5)
    panels[0].errorbar(centers, observed, yerr=np.sqrt(observed), fmt="k.", label="observed")
    panels[1].axhline(1.0, color="0.5", lw=1)
    panels[1].errorbar(centers, table["RATIO"], yerr=table["RATIO_ERR"], fmt="k.")
    panels[1].set_xlabel(label)
    for panel in panels:
        panel.grid(alpha=0.3)


def _pull_images(scores: Scores) -> bytes:
    """Pulls of all observations together, one image per energy, and how they are distributed."""
    energy, dety, detx = scores.cells.grid.axes
    observed, expected = (values.sum(axis=0) for values in (scores.observed, scores.expected))
    images = np.where(scores.cells.grid.inside, pulls(observed, expected), np.nan)
    n_rows = -(-(energy.n_bins + 1) // PANELS_PER_ROW)
    # Fixed margins (inches): to lay out panels by the size of their labels takes seconds.
    width, height = 3.1 * PANELS_PER_ROW + 1.0, 2.8 * n_rows + 0.6
    figure = new_figure(width, height)
    margins = {"left": 0.8 / width, "right": 1 - 1.2 / width, "bottom": 0.7 / height, "top": 1 - 0.4 / height}
    panels = figure.subplots(
        n_rows, PANELS_PER_ROW, squeeze=False, gridspec_kw=margins | {"hspace": 0.3, "wspace": 0.25}
    ).ravel()
    for panel, image, low, high in zip(panels, images, energy.edges[:-1], energy.edges[1:], strict=False):
        panel.pcolormesh(detx.edges_in("deg"), dety.edges_in("deg"), image, **PULL_COLORS)
        panel.set_aspect("equal")
        panel.set_title(f"{low:.3g} – {high:.3g} TeV", fontsize="medium")
    bar = figure.add_axes((1 - 0.9 / width, 0.2, 0.2 / width, 0.6))
    figure.colorbar(panels[0].collections[0], cax=bar, label="pull: (observed − predicted) / √predicted")
    _pull_histogram(panels[energy.n_bins], images[(expected > ENOUGH) & np.isfinite(images)])
    for panel in panels[energy.n_bins + 1 :]:
        panel.set_visible(False)
    figure.supxlabel("DETX (deg)")
    figure.supylabel("DETY (deg)")
    return png_bytes(figure)


def _pull_histogram(panel: Axes, values: np.ndarray) -> None:
    bins = np.linspace(-LARGEST_PULL, LARGEST_PULL, 21)
    panel.hist(np.clip(values, bins[0], bins[-1]), bins.tolist())
    gauss = np.exp(-0.5 * bins**2) / np.sqrt(2 * np.pi) * values.size * (bins[1] - bins[0])
    panel.plot(bins, gauss, "k--", lw=1)
    label_pulls(panel, LARGEST_PULL)
    text = f"pulls: {values.mean():+.2f} ± {values.std():.2f}" if values.size else "no cell with enough counts"
    panel.set_title(text, fontsize="medium")


def _observations(scores: Scores) -> bytes:
    """Predicted over observed of each observation, against its altitude and threshold."""
    table = by_observation(scores)
    figure = new_figure(11.0, 3.6, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, name, label in zip(panels, ("ALT", "THRESHOLD"), ("altitude (deg)", "threshold (TeV)"), strict=True):
        panel.axhline(1.0, color="0.5", lw=1)
        panel.errorbar(table[name], table["RATIO"], yerr=table["RATIO_ERR"], fmt=".")
        panel.set_xlabel(label)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("predicted / observed")
    return png_bytes(figure)
