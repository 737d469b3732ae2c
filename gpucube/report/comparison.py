"""What is told of two sets of models side by side: a table, pictures and a page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gpucube.plots import label_pulls, new_figure, png_bytes
from gpucube.report.page import Section, html_page
from gpucube.report.validation import ecsv_bytes, write_files
from gpucube.validation.compare import Comparison, comparison_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

__all__ = ["comparison_pictures", "write_comparison"]

ROWS = 4
LARGEST_PULL = 5.0
LONGEST_NAME = 50
PAGE = "comparison.html"


def write_comparison(
    comparisons: list[Comparison],
    names: tuple[str, str],
    folder: str | Path,
    notes: list[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write a table (ECSV), pictures (PNG) and a page (HTML) that holds both.

    Parameters
    ----------
    comparisons : list of Comparison
        Models side by side.
    names : tuple of str
        What the first and the second models are.
    folder : path-like
        Where to; made if it is missing. Files of the same names are replaced.
    notes : list of str
        What is to be said of them.
    progress : function (done, total)
        Called with the number of pairs of models that are drawn, and their total.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    OptionError
        Matplotlib is not installed.
    OutputError
        The folder cannot be made or written to.
    """
    table = comparison_table(comparisons)
    files = {"comparison.ecsv": ecsv_bytes(table)}
    sections = [Section("Energy bins", [f"first: {names[0]}", f"second: {names[1]}", *notes], table)]
    for number, comparison in enumerate(comparisons):
        stem = re.sub(r"\W+", "_", comparison.name)
        for kind, picture in comparison_pictures(comparison, names).items():
            files[f"comparison_{stem}_{kind}.png"] = picture
            sections.append(Section(f"{comparison.name}: {kind}", picture=picture))
        progress(number + 1, len(comparisons))
    page = html_page(f"{names[0]} and {names[1]}", sections)
    return write_files(Path(folder), files | {PAGE: page.encode()})


def comparison_pictures(comparison: Comparison, names: tuple[str, str]) -> dict[str, bytes]:
    """Draw two models side by side.

    Parameters
    ----------
    comparison : Comparison
        The models.
    names : tuple of str
        Folders or files of the first and the second; of these the pictures show the ends in which they differ.

    Returns
    -------
    dict of str to bytes
        PNG files by name: spectra; for models in DETX and DETY, images too.

    Raises
    ------
    OptionError
        Matplotlib is not installed.
    """
    labels = tuple(f"{which}: {name}" for which, name in zip(("first", "second"), _short(names), strict=True))
    pictures = {"spectra": _spectra(comparison, labels)}
    if len(comparison.axes) == 3:
        pictures["images"] = _images(comparison, labels)
    return pictures


def _short(names: tuple[str, str]) -> list[str]:
    """Last parts of two paths, as many as tell them apart."""
    parts = [Path(name).absolute().parts for name in names]
    for number in range(1, max(map(len, parts)) + 1):
        shown = ["/".join(own[-number:]) for own in parts]
        if shown[0] != shown[1]:
            return [text if len(text) <= LONGEST_NAME else f"…{text[1 - LONGEST_NAME :]}" for text in shown]
    return [own[-1] for own in parts]


def _spectra(comparison: Comparison, labels: tuple[str, ...]) -> bytes:
    """Mean rate of the field of view against energy, their ratio, and the pulls of all cells."""
    table = comparison_table([comparison])
    edges = comparison.axes[0].edges_in("TeV")
    centers = np.sqrt(edges[1:] * edges[:-1])
    width, height = 11.0, 5.0
    figure = new_figure(width, height)
    # Fixed margins (inches), for these are drawn for each group: a layout by the size of labels draws all twice.
    margins = {"left": 1.0 / width, "right": 1 - 0.15 / width, "bottom": 0.6 / height, "top": 1 - 0.4 / height}
    grid = figure.add_gridspec(2, 2, height_ratios=(2, 1), **margins, wspace=0.16, hspace=0.16)
    rates = figure.add_subplot(grid[0, 0])
    ratios = figure.add_subplot(grid[1, 0], sharex=rates)
    for name, mark, label in zip(("FIRST", "SECOND"), "ox", labels, strict=True):
        shown = np.where(table[name] > 0, table[name], np.nan)
        rates.plot(centers, shown, mark + "-", ms=4, label=label)
    rates.set(xscale="log", ylabel="mean rate (s⁻¹ TeV⁻¹ sr⁻¹)", title=comparison.name)
    if (table["FIRST"] > 0).any() or (table["SECOND"] > 0).any():
        rates.set_yscale("log")
    rates.legend(fontsize="small")
    ratios.axhline(1.0, color="0.5", lw=1)
    ratios.errorbar(centers, table["RATIO"], yerr=np.nan_to_num(table["RATIO_ERR"]), fmt="k.")
    ratios.set(xlabel="energy (TeV)", ylabel="first / second")
    pull = comparison.pull[np.isfinite(comparison.pull)]
    _histogram(figure.add_subplot(grid[:, 1]), pull)
    return png_bytes(figure)


def _histogram(panel: Axes, pull: NDArray[np.float64]) -> None:
    panel.set_xlabel("pull: (first − second) / error")
    if not pull.size:
        panel.text(0.5, 0.5, "no statistical errors", ha="center", va="center", transform=panel.transAxes)
        return
    bins = np.linspace(-LARGEST_PULL, LARGEST_PULL, 41)
    panel.hist(np.clip(pull, bins[0], bins[-1]), bins.tolist())
    label_pulls(panel, LARGEST_PULL)
    panel.set_title(f"{pull.mean():+.2f} ± {pull.std():.2f} of {pull.size:,} cells", fontsize="medium")


def _images(comparison: Comparison, labels: tuple[str, ...]) -> bytes:
    """Both rates, ratio and pull at some energies, those with the most cells known in both."""
    energies = _shown_energies(comparison)
    # Fixed margins (inches): to lay out panels by the size of their labels takes seconds.
    width, height = 14.0, 2.8 * len(energies) + 1.5
    figure = new_figure(width, height)
    margins = {"left": 1.0 / width, "right": 1 - 0.9 / width, "bottom": 0.6 / height, "top": 1 - 1.1 / height}
    panels = figure.subplots(
        len(energies), 4, squeeze=False, sharex=True, sharey=True, gridspec_kw=margins | {"wspace": 0.35}
    )
    edges = comparison.axes[0].edges_in("TeV")
    for row, number in zip(panels, energies, strict=True):
        both = np.stack([comparison.first[number], comparison.second[number]])
        known = both[np.isfinite(both)]
        limits = (float(known.min(initial=np.inf)), float(known.max(initial=-np.inf)))
        drawn = _draw(row[:2], comparison, both, "viridis", limits)
        # Both rates of a row have the same colours.
        _color_bar(row[0].inset_axes((1.03, 0, 0.05, 1)), drawn)
        row[0].set_ylabel(f"{edges[number]:.3g} – {edges[number + 1]:.3g} TeV\nDETY (deg)")
    for column, values, largest in ((2, np.log2(comparison.ratio), 1.0), (3, comparison.pull, LARGEST_PULL)):
        drawn = _draw(panels[:, column], comparison, values[energies], "RdBu_r", (-largest, largest))
        _color_bar(_beside(panels[:, column]), drawn)
    for panel, title in zip(panels[0], ("first", "second", "log₂(first / second)", "pull"), strict=True):
        panel.set_title(title)
    for panel in panels[-1]:
        panel.set_xlabel("DETX (deg)")
    figure.suptitle(f"{comparison.name}: rates in s⁻¹ TeV⁻¹ sr⁻¹\n{', '.join(labels)}")
    return png_bytes(figure)


def _shown_energies(comparison: Comparison) -> list[int]:
    """At most four energies, spread over those at which both are known."""
    known = np.flatnonzero(comparison.both.any(axis=(1, 2)))
    if not known.size:
        return [0]
    places = np.linspace(0, known.size - 1, min(ROWS, known.size)).round().astype(int)
    return [int(number) for number in known[places]]


def _draw(
    panels: NDArray[np.object_],
    comparison: Comparison,
    images: NDArray[np.float64],
    colors: str,
    limits: tuple[float, float],
) -> list[ScalarMappable]:
    """Draw images in the same colours, but those of which nothing is known."""
    _, dety, detx = (axis.edges_in(unit) for axis, unit in zip(comparison.axes, ("TeV", "deg", "deg"), strict=True))
    drawn = []
    for panel, image in zip(panels, images, strict=True):
        panel.set_facecolor("0.75")
        panel.set_aspect("equal")
        if np.isfinite(image).any():
            drawn.append(panel.pcolormesh(detx, dety, image, cmap=colors, vmin=limits[0], vmax=limits[1]))
        else:
            panel.text(0.5, 0.5, "not known", ha="center", va="center", transform=panel.transAxes)
    return drawn


def _beside(panels: NDArray[np.object_]) -> Axes:
    """Make axes for one bar of all panels of a column, for a bar takes as long as an image."""
    highest, lowest = (panels[end].get_position() for end in (0, -1))
    figure = panels[0].figure
    inch = 1 / figure.get_figwidth()
    return figure.add_axes((highest.x1 + 0.08 * inch, lowest.y0, 0.12 * inch, highest.y1 - lowest.y0))


def _color_bar(axes: Axes, images: list[ScalarMappable]) -> None:
    """Draw the bar of images that have the same colours."""
    axes.set_visible(bool(images))
    if images:
        axes.figure.colorbar(images[0], cax=axes)
