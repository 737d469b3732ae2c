"""Make the pictures of concepts.md from synthetic observations: ``python docs/make_pictures.py``."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import astropy.units as u
import matplotlib as mpl
import numpy as np
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.table import Table
from astropy.time import Time
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpucube.arrays.fov import sky_to_fov
from gpucube.cubes.fits import read_background_model
from gpucube.files import write_whole
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.observations.pointing import altaz_rotation, radec_rotation
from gpucube.observations.sites import SITES
from gpucube.observations.store import DataStore
from gpucube.pipeline import Settings, make_models
from gpucube.synthetic import BackgroundDescription, make_test_dataset, make_test_eventlist

HERE = Path(__file__).parent
ALTITUDE = 65.0
BACKGROUND = BackgroundDescription(trigger_rate=60.0, sigma=3.0, center=(0.5, -0.3))
ONE_GROUP = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 90), unit="deg")])
THRESHOLD = 0.25  # TeV
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "0.6"


def _save(figure: Figure, name: str) -> None:
    """Write a picture without the version of matplotlib, so that the same picture is the same file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=90, metadata={"Software": None})
    write_whole(HERE / f"{name}.png", buffer.getvalue())


def _panels(n: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8.4, 3.9), layout="constrained")
    return figure, [figure.add_subplot(1, n, number + 1) for number in range(n)]


def _field(axes: Axes, title: str) -> None:
    axes.set(title=title, xlabel="DETX (deg)", ylabel="DETY (deg)", xlim=(-2.5, 2.5), ylim=(-2.5, 2.5), aspect="equal")


def orientation() -> None:
    """Three stars during two hours: in ALTAZ they turn about the pointing, in RADEC they rest."""
    longitude, latitude, height = SITES["HESS"]
    site = EarthLocation.from_geodetic(longitude * u.deg, latitude * u.deg, height * u.m)
    start = Time("2010-01-01T22:00:00")
    pointing = SkyCoord(az=40 * u.deg, alt=65 * u.deg, frame=AltAz(obstime=start + 1 * u.h, location=site)).icrs
    position = pointing.ra.deg, pointing.dec.deg
    stars = pointing.directional_offset_by([90, 0, 215] * u.deg, [2.0, 1.5, 1.7] * u.deg)
    figure, panels = _panels(2)
    rotations = {"ALTAZ": altaz_rotation(*position, start, 0, 7200, site), "RADEC": radec_rotation(*position)}
    for axes, (align, rotation) in zip(panels, rotations.items(), strict=True):
        _field(axes, f"--align {align}")
        for star, color, name in zip(stars, (BLUE, ORANGE, GREEN), ("east", "north", "south-west"), strict=True):
            lon, lat = np.full(len(rotation.times), star.ra.deg), np.full(len(rotation.times), star.dec.deg)
            detx, dety = sky_to_fov(lon, lat, rotation.matrices)
            axes.plot(detx, dety, color=color, lw=3)
            axes.plot(detx[-1], dety[-1], "o", ms=8, color=color, label=f"star {name} of the pointing, after 2 h")
        for tip in ((0.9, 0.0), (0.0, 0.9)):
            axes.annotate("", xy=tip, xytext=(0, 0), arrowprops={"arrowstyle": "->"})
        names = ("decreasing\nazimuth", "altitude") if align == "ALTAZ" else ("decreasing\nRA", "declination")
        axes.text(1.0, 0.0, names[0], va="center", fontsize=8)
        axes.text(0.0, 1.0, names[1], ha="center", fontsize=8)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    _save(figure, "orientation")


def livetime() -> None:
    """Events per ontime and per livetime of observations with more and less dead time."""
    dead = np.linspace(0.0, 0.4, 9)
    ontime = 1800.0
    numbers = np.array(
        [
            len(make_test_eventlist(i + 1, ALTITUDE, ontime * (1 - d), ontime=ontime, description=BACKGROUND).energy)
            for i, d in enumerate(dead)
        ]
    )
    figure, (axes,) = _panels(1)
    for time, label, color in (
        (ontime * (1 - dead), "events / LIVETIME: the rate of the sky", BLUE),
        (np.full(dead.size, ontime), "events / ONTIME: what was recorded", ORANGE),
    ):
        axes.errorbar(100 * dead, numbers / time, np.sqrt(numbers) / time, fmt="o-", color=color, label=label)
    axes.axhline(BACKGROUND.rate_at(ALTITUDE), color="black", ls=":", label="truth")
    axes.set(
        xlabel="dead time (%)", ylabel="rate (s⁻¹)", title="Observations of 1800 s under the same sky", ylim=(0, None)
    )
    axes.legend()
    _save(figure, "livetime")


def exclusion(data: Path, folder: Path) -> None:
    """Share of the exposure outside regions, and counts before and after they are divided by it."""
    table = DataStore.open(data).table
    pointings = SkyCoord(table["RA_PNT"], table["DEC_PNT"], unit="deg")
    sources = pointings.directional_offset_by(90 * u.deg, 1.2 * u.deg)
    Table([sources.ra.deg, sources.dec.deg], names=["ra", "dec"]).write(folder / "sources.ecsv")
    settings = Settings(backend="numpy", catalog=str(folder / "sources.ecsv"), mask=True, mask_radius=0.5)
    summary = make_models(data, folder / "masked", settings=replace(settings, fov=2.5, pixels=25), groups=ONE_GROUP)
    model = read_background_model(summary.models[0])
    assert model.counts is not None
    assert model.livetime is not None
    counts, fraction = model.counts.data.sum(axis=0), model.livetime.data[-1] / model.livetime.data.max()
    exposure = model.livetime.data.max(axis=(1, 2), keepdims=True)
    truth = (BACKGROUND.expected_counts(model.axes, ALTITUDE, 1.0) * exposure).sum(axis=0)
    figure, (left, right) = _panels(2)
    image = left.imshow(fraction, origin="lower", extent=(-2.5, 2.5, -2.5, 2.5), cmap="cividis", vmin=0, vmax=1)
    _field(left, f"f of {len(table)} observations")
    figure.colorbar(image, ax=left, shrink=0.8)
    middle = np.unravel_index(np.argmin(fraction), fraction.shape)[0]
    x, rows = model.axes[2].centers, slice(max(middle - 1, 0), middle + 2)
    right.step(x, counts[rows].sum(axis=0), where="mid", color=ORANGE, label="counts outside the regions")
    corrected = (counts / fraction)[rows].sum(axis=0)
    error = np.sqrt((counts / fraction**2)[rows].sum(axis=0))
    right.errorbar(x, corrected, error, fmt="o", ms=4, color=BLUE, label="counts / f")
    right.plot(x, truth[rows].sum(axis=0), color="black", ls=":", label="truth")
    right.set(title="Three rows through the regions", xlabel="DETX (deg)", ylabel="events per 0.2 deg")
    right.set_ylim(0, 1.3 * corrected.max())
    right.legend(loc="upper left", fontsize=8)
    _save(figure, "exclusion")


def thresholds(data: Path, folder: Path) -> None:
    """Rate of models over the truth, for each rule of the energy bin that the threshold cuts."""
    figure, (axes,) = _panels(1)
    settings = Settings(backend="numpy", catalog="none", energy_edges=tuple(np.geomspace(0.1, 10, 9).tolist()))
    altitudes = np.asarray(DataStore.open(data).table["ALT_PNT"])
    styles = {"share": (BLUE, "o"), "edge": (GREEN, "s"), "2015": (ORANGE, "^")}
    for rule, (color, style) in styles.items():
        summary = make_models(data, folder / rule, settings=replace(settings, threshold=rule), groups=ONE_GROUP)
        model = read_background_model(summary.models[0])
        assert model.counts is not None
        assert model.livetime is not None
        rates = [BACKGROUND.expected_counts(model.axes, altitude, 1.0).sum(axis=(1, 2)) for altitude in altitudes]
        exposure, counts = model.livetime.data.max(axis=(1, 2)), model.counts.data.sum(axis=(1, 2))
        seen = exposure > 0
        ratio, energy = counts[seen] / (exposure[seen] * np.mean(rates, axis=0)[seen]), model.axes[0].centers[seen]
        half = np.abs(model.axes[0].edges[[np.flatnonzero(seen), np.flatnonzero(seen) + 1]] - energy)
        label, bars = f"--threshold {rule}", {"xerr": half, "yerr": ratio / np.sqrt(counts[seen])}
        axes.errorbar(energy, ratio, **bars, fmt=style, ms=8, mfc="none", color=color, label=label)
    axes.axvline(THRESHOLD, color=GREY)
    axes.text(THRESHOLD, 1.1, " threshold", color="0.3")
    for edge in settings.energy_edges or ():
        axes.axvline(edge, color="0.9", lw=0.8, zorder=0)
    axes.axhline(1, color="black", ls=":")
    axes.set(xscale="log", xlabel="energy (TeV)", ylabel="rate of the model / truth", ylim=(0, 1.2), xlim=(0.1, 4))
    axes.set_title("The threshold lies in the second bin")
    axes.minorticks_off()
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    axes.legend(loc="lower right")
    _save(figure, "threshold")


def main() -> None:
    """Make all pictures."""
    mpl.rcParams.update({"font.size": 9, "legend.frameon": True})
    with TemporaryDirectory() as name:
        data, folder = Path(name) / "data", Path(name)
        limits = (ALTITUDE - 0.5, ALTITUDE + 0.5)
        make_test_dataset(data, n_obs=6, alt_range=limits, description=BACKGROUND, threshold=THRESHOLD, seed=12)
        orientation()
        livetime()
        exclusion(data, folder)
        thresholds(data, folder)


if __name__ == "__main__":
    main()
