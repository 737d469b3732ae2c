"""Pictures of background models, as PNG files."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import astropy.units as u
import numpy as np

from gpucube.cubes.background import FLOOR_2015, RATE_UNIT, BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.errors import OptionError
from gpucube.files import write_whole

# Pictures are an extra: matplotlib is loaded when the first is drawn.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["label_pulls", "new_figure", "plot_model", "png_bytes", "require_matplotlib"]

RATE_LABEL = "rate (s⁻¹ TeV⁻¹ sr⁻¹)"
# Parsed much faster than the mathematical text of matplotlib.
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
PANELS_PER_ROW = 5
PANEL_WIDTH, PANEL_HEIGHT = 3.1, 2.5  # inches, with colour bar and title
# An image shows rates down to this share of its largest one.
DYNAMIC_RANGE = 1e-3
# Offsets in deg of the rings whose spectra are drawn, and the half of their width.
RING_OFFSETS = (0.0, 1.0, 2.0, 3.0)
RING_HALF_WIDTH = 0.5
NO_EXPOSURE_COLOR = "0.75"


def require_matplotlib() -> None:
    """Make sure that pictures can be drawn, before work is done for them.

    Raises
    ------
    OptionError
        Matplotlib is not installed.
    """
    new_figure(1, 1)


def plot_model(model: BackgroundModel, folder: str | Path, stem: str) -> list[Path]:
    """Draw the energy images and the spectra of a model.

    Parameters
    ----------
    model : BackgroundModel
        Model on any device.
    folder : path-like
        Existing folder for the pictures.
    stem : str
        Their names are this and ``_images.png`` or ``_spectra.png``; files of these names are replaced.

    Returns
    -------
    list of pathlib.Path
        The pictures: rate images for all energy bins, but for a radial model, and the rate and counts against energy.

    Raises
    ------
    OptionError
        Matplotlib is not installed.
    """
    rate = _exposed_rate(model)
    figures = {"spectra": _draw_spectra(model, rate)}
    # A radial model has no images: its spectra in rings say all.
    if len(model.axes) == 3:
        figures = {"images": _draw_images(model, rate)} | figures
    paths = []
    for name, figure in figures.items():
        path = Path(folder) / f"{stem}_{name}.png"
        write_whole(path, png_bytes(figure))
        paths.append(path)
    return paths


def _exposed_rate(model: BackgroundModel) -> np.ndarray:
    """Rate on the host in `RATE_UNIT`; NaN without exposure and 0 without counts, where a file has the floor."""
    rate = model.rate.quantity.to_value(RATE_UNIT)
    rate = np.where(rate <= FLOOR_2015 * (1 + 1e-6), 0.0, rate)
    return rate if model.livetime is None else np.where(model.livetime.quantity.value > 0, rate, np.nan)


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = None) -> Figure:
    """Make an empty figure that needs no display.

    Parameters
    ----------
    width, height : float
        Size in inches.
    layout : {"constrained"}, optional
        How panels are placed; by hand if not given.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Raises
    ------
    OptionError
        Matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OptionError("pictures need matplotlib: pip install 'gpucube[plot]'") from error
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure) -> bytes:
    """Draw a figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.

    Returns
    -------
    bytes
        Content of a PNG file, the same for the same figure.
    """
    buffer = io.BytesIO()
    # Without the version of matplotlib inside, the same model gives the same bytes for longer.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def label_pulls(panel: Axes, largest: float) -> None:
    """Say at the axis of a histogram that its outermost bars hold all pulls beyond them.

    Parameters
    ----------
    panel : matplotlib.axes.Axes
        The histogram.
    largest : float
        Its last edge.
    """
    ticks = [-largest, -largest / 2, 0.0, largest / 2, largest]
    panel.set_xticks(ticks, labels=[f"≤ {-largest:g}", *(f"{tick:g}" for tick in ticks[1:-1]), f"≥ {largest:g}"])


def _title(model: BackgroundModel) -> str:
    group = [f"group {model.meta['GROUP_ID']}"] if "GROUP_ID" in model.meta else []
    group += [str(model.meta["GROUP"])] if "GROUP" in model.meta else []
    method = [f"method {model.meta['METHOD']}"] if "METHOD" in model.meta else []
    parts = ["Background rate", *group, *method, f"aligned with {model.fov_align}", f"per {model.rate_per.lower()}"]
    return " · ".join(parts)


def _energy_range(low: float, high: float) -> str:
    return f"{low:.3g} – {high:.3g} TeV"


def _draw_images(model: BackgroundModel, rate: np.ndarray) -> Figure:
    """One panel per energy bin, each with its own logarithmic colours, for rates fall steeply with energy."""
    energy, dety, detx = (axis.edges_in(unit) for axis, unit in zip(model.axes, ("TeV", "deg", "deg"), strict=True))
    n_columns = min(PANELS_PER_ROW, rate.shape[0])
    n_rows = math.ceil(rate.shape[0] / n_columns)
    width, height = max(PANEL_WIDTH * n_columns, 8.0), PANEL_HEIGHT * n_rows + 1.3
    figure = new_figure(width, height)
    # Fixed margins (inches), because to lay out 20 panels by the size of their labels takes seconds.
    grid = {"left": 0.75 / width, "right": 1 - 0.8 / width, "bottom": 0.65 / height, "top": 1 - 0.85 / height}
    panels = figure.subplots(
        n_rows, n_columns, sharex=True, sharey=True, squeeze=False, gridspec_kw=grid | {"wspace": 0.4, "hspace": 0.16}
    ).ravel()
    for panel, image, low, high in zip(panels, rate, energy[:-1], energy[1:], strict=False):
        _draw_image(panel, image, detx, dety)
        panel.set_title(_energy_range(low, high), fontsize="medium")
    panels[0].locator_params(nbins=5, steps=[1, 2, 5, 10])
    for panel in panels[rate.shape[0] :]:
        panel.set_visible(False)
    # Where the last row is not full, the panels above the gap are the lowest of their columns.
    for panel in panels[max(rate.shape[0] - n_columns, 0) : rate.shape[0]]:
        panel.tick_params(labelbottom=True)
    figure.suptitle(f"{_title(model)}\ncolours: {RATE_LABEL}; grey: no exposure", y=1 - 0.1 / height)
    figure.supxlabel("DETX (deg)", y=0.1 / height)
    figure.supylabel("DETY (deg)", x=0.1 / width)
    return figure


def _draw_image(panel: Axes, image: np.ndarray, detx: np.ndarray, dety: np.ndarray) -> None:
    panel.set_facecolor(NO_EXPOSURE_COLOR)
    panel.set_aspect("equal")
    panel.set(xlim=(detx[0], detx[-1]), ylim=(dety[0], dety[-1]))
    exposed = np.isfinite(image)
    highest = float(image[exposed].max(initial=0.0))
    empty = highest <= 0
    if empty:
        text, color = ("no counts", "white") if exposed.any() else ("no exposure", "black")
        panel.text(0.5, 0.5, text, color=color, transform=panel.transAxes, ha="center", va="center")
        highest = 1.0
    lowest = float(np.clip(image[image > 0].min(initial=highest), DYNAMIC_RANGE * highest, 0.8 * highest))
    # Rates of 0 get the lowest colour; only NaN stays unpainted.
    painted = np.where(exposed, np.maximum(image, lowest), np.nan)
    mesh = panel.pcolormesh(detx, dety, painted, norm="log", vmin=lowest, vmax=highest)
    if not empty:
        bar = panel.figure.colorbar(mesh, cax=panel.inset_axes((1.03, 0, 0.05, 1)))
        _label_ticks(bar, lowest, highest)


def _label_ticks(bar: Any, lowest: float, highest: float) -> None:
    from matplotlib.ticker import NullLocator

    ticks = _log_ticks(lowest, highest)
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.set_ticks(ticks, labels=[_scientific(value) for value in ticks])
    bar.ax.tick_params(labelsize="x-small")


def _log_ticks(lowest: float, highest: float) -> np.ndarray:
    """Three to five round values to label on a logarithmic axis, with more than a tenth of the axis between two."""
    for candidates in _round_values(lowest, highest):
        ticks = candidates[(candidates >= lowest) & (candidates <= highest)]
        if ticks.size >= 3:
            break
    return ticks


def _round_values(lowest: float, highest: float) -> Iterator[np.ndarray]:
    """Decades, values between them, and values in smaller and smaller equal steps, for small ranges."""
    decades = 10.0 ** np.arange(math.floor(math.log10(lowest)) - 2, math.ceil(math.log10(highest)) + 1)
    for factors in ([1.0], [1.0, 3.0], [1.0, 2.0, 5.0]):
        yield np.outer(decades, factors).ravel()
    # With 2.5, no step leaves so few values that the next one crowds the upper end.
    for step in np.outer(decades, [1.0, 2.0, 2.5, 5.0]).ravel()[::-1]:
        yield step * np.arange(math.ceil(lowest / step), math.floor(highest / step) + 1)


def _scientific(value: float) -> str:
    if 0.01 <= value < 1000:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    factor = mantissa.rstrip("0").removesuffix(".")
    return f"{'' if factor == '1' else f'{factor}×'}10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def _rings(cube: Cube) -> dict[str, np.ndarray]:
    """Bins of each ring, in the shape of an image or of the offset, by its name; without rings that have no bins."""
    positions = [axis.centers * axis.unit.to(u.rad) for axis in cube.axes[1:]]
    offset = np.rad2deg(positions[0])
    if len(positions) == 2:
        offset = np.rad2deg(np.arccos(np.cos(positions[0])[:, None] * np.cos(positions[1])))
    rings = {
        f"{center - RING_HALF_WIDTH:g}° – {center + RING_HALF_WIDTH:g}°" if center else f"< {RING_HALF_WIDTH:g}°": (
            offset >= center - RING_HALF_WIDTH
        )
        & (offset < center + RING_HALF_WIDTH)
        for center in RING_OFFSETS
    }
    return {name: bins for name, bins in rings.items() if bins.any()}


def _draw_spectra(model: BackgroundModel, rate: np.ndarray) -> Figure:
    figure = new_figure(11.0 if model.counts else 6.0, 4.6, layout="constrained")
    panels = figure.subplots(1, 2 if model.counts else 1, squeeze=False)[0]
    figure.suptitle(_title(model))
    _draw_rates(panels[0], model, rate)
    if model.counts:
        _draw_counts(panels[1], model.counts)
    edges = model.axes[0].edges_in("TeV")
    for panel in panels:
        panel.set(xscale="log", xlabel="energy (TeV)", xlim=(edges[0], edges[-1]))
        panel.grid(alpha=0.3)
    return figure


def _draw_rates(panel: Axes, model: BackgroundModel, rate: np.ndarray) -> None:
    """Mean rate of each ring and its error; open where that is not known."""
    edges = model.axes[0].edges_in("TeV")
    centers = np.sqrt(edges[:-1] * edges[1:])
    weight = np.where(np.isfinite(rate), model.rate.bin_volume, 0.0)
    for name, bins in _rings(model.rate).items():
        exposure = weight[:, bins].sum(axis=1)
        total = (np.nan_to_num(rate) * weight)[:, bins].sum(axis=1)
        mean = np.full(total.shape, np.nan)
        np.divide(total, exposure, out=mean, where=total > 0)
        error = _ring_error(model, bins, mean)
        bars = panel.errorbar(centers, mean, yerr=np.nan_to_num(error), fmt="o-", ms=3, lw=1, capsize=2, label=name)
        unknown = np.isnan(error[0])
        color = bars.lines[0].get_color()
        panel.plot(centers[unknown], mean[unknown], "o", ms=5, color=color, mfc="white", zorder=3)
    panel.set_ylabel(RATE_LABEL)
    panel.legend(title="offset (open: error not known)", fontsize="small")
    if np.nanmax(rate, initial=0.0) > 0:
        panel.set_yscale("log")


def _ring_error(model: BackgroundModel, bins: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """How far the error bars of a ring reach below and above its mean rate; NaN where the error is not known.

    Pixels of a smooth model err together, so the error of their mean is taken as the mean of their errors. In a recipe
    with Poisson errors they share few counts with each other: there it is that of all counts in the ring, and the mean
    of the errors, which is an upper limit, only where smoothing alone has put a rate.
    """
    own = np.full((2, mean.size), np.nan)
    if model.error is not None:
        error = model.error.quantity.to_value(RATE_UNIT)[:, bins]
        weight = np.where(np.isfinite(error), model.rate.bin_volume[:, bins], 0.0)
        total = (np.nan_to_num(error) * weight).sum(axis=1)
        own[:] = np.divide(total, weight.sum(axis=1), out=np.full(total.shape, np.nan), where=total > 0)
    if model.counts is None or (model.error is not None and model.meta.get("ERRKIND") != "POISSON"):
        return own
    n = model.counts.quantity.value[:, bins].sum(axis=1)
    # Poisson errors of the logarithm.
    factor = np.exp(1 / np.sqrt(np.maximum(n, 1)))
    return np.where(n > 0, mean * np.stack([1 - 1 / factor, factor - 1]), own)


def _draw_counts(panel: Axes, cube: Cube) -> None:
    counts = cube.quantity.value.reshape(cube.axes[0].n_bins, -1).sum(axis=1)
    panel.stairs(counts, cube.axes[0].edges_in("TeV"), lw=1.5, label=f"{int(counts.sum()):,} events")
    panel.set_ylabel("counts per energy bin")
    panel.legend()
    if counts.any():
        panel.set_yscale("log")
        panel.set_ylim(bottom=0.5)
