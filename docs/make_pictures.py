"""Make the pictures of concepts.md from synthetic observations: ``python docs/make_pictures.py``."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import astropy.units as u
import matplotlib as mpl
import numpy as np
from astropy.coordinates import SkyCoord
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpucube.arrays.backend import get_backend
from gpucube.arrays.fov import sky_to_fov
from gpucube.cubes.axis import Axis
from gpucube.cubes.fits import read_background_model
from gpucube.files import write_whole
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.observations.pointing import radec_rotation
from gpucube.observations.regions import ExclusionRegions
from gpucube.observations.store import DataStore
from gpucube.pipeline import Settings, make_models
from gpucube.pipeline.fill import fov_coordinates
from gpucube.pipeline.mask import excluded_events, open_bins
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


def _arrow(axes: Axes, to: tuple[float, float], text: str) -> None:
    style = {"arrowstyle": "->", "color": "black"}
    axes.annotate("", xy=to, xytext=(0, 0), arrowprops=style)
    axes.text(to[0] * 1.1, to[1] * 1.1, text, ha="center", va="bottom" if to[1] > 0 else "center")


def orientation(store: DataStore) -> None:
    """Three stars during an observation: in ALTAZ they turn about the pointing, in RADEC they rest."""
    sky = store.read(1, "ALTAZ", with_sky=True).sky
    assert sky is not None
    pointing = SkyCoord(*sky.pointing, unit="deg")
    stars = pointing.directional_offset_by([90, 0, 200] * u.deg, [2.0, 1.5, 1.0] * u.deg)
    figure, panels = _panels(2)
    rotations = {"ALTAZ": sky.rotation, "RADEC": radec_rotation(*sky.pointing)}
    for axes, (align, rotation) in zip(panels, rotations.items(), strict=True):
        _field(axes, f"--align {align}")
        for star, color, name in zip(stars, (BLUE, ORANGE, GREEN), ("east", "north", "south-west"), strict=True):
            lon, lat = np.full(len(rotation.times), star.ra.deg), np.full(len(rotation.times), star.dec.deg)
            detx, dety = sky_to_fov(lon, lat, rotation.matrices)
            axes.plot(detx, dety, color=color, lw=3)
            axes.plot(detx[-1], dety[-1], "o", color=color, label=f"{name} of the pointing")
        _arrow(axes, (0.9, 0.0), "")
        _arrow(axes, (0.0, 0.9), "")
        names = (
            ("decreasing\nazimuth", "altitude") if align == "ALTAZ" else ("decreasing\nright ascension", "declination")
        )
        axes.text(1.0, 0.0, names[0], va="center", fontsize=8)
        axes.text(0.0, 1.0, names[1], ha="center", fontsize=8)
    panels[0].legend(loc="lower left", fontsize=8, framealpha=0.9)
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


def exclusion(store: DataStore) -> None:
    """What is open under a region while the field turns, and counts before and after they are divided by it."""
    observation, backend = store.read(1, "ALTAZ", with_sky=True), get_backend("numpy")
    sky = observation.sky
    assert sky is not None
    center = SkyCoord(*sky.pointing, unit="deg").directional_offset_by(90 * u.deg, 1.2 * u.deg)
    region = ExclusionRegions.around(center.ra.deg, center.dec.deg, 0.5)
    field = Axis.field_of_view("dety", 2.5, 25), Axis.field_of_view("detx", 2.5, 25)
    fraction, outside = open_bins(sky, region, field, backend), ~excluded_events(sky, region, backend)
    detx, dety = fov_coordinates(observation, backend)
    edges = [axis.edges for axis in field]
    counts = np.histogram2d(dety[outside], detx[outside], edges)[0]
    figure, (left, right) = _panels(2)
    image = left.imshow(fraction, origin="lower", extent=(-2.5, 2.5, -2.5, 2.5), cmap="cividis", vmin=0, vmax=1)
    _field(left, "f: time and area outside the region")
    figure.colorbar(image, ax=left, shrink=0.8)
    row = np.unravel_index(np.argmin(fraction), fraction.shape)[0]
    x, band = field[1].centers, slice(max(row - 1, 0), row + 2)
    raw, seen = counts[band].sum(axis=0), fraction[band].sum(axis=0)
    truth = BACKGROUND.expected_counts((Axis.energy(0.1, 100, 30), *field), _altitude(store), observation.livetime)
    right.step(x, raw, where="mid", color=ORANGE, label="counts outside the region")
    good = seen > 0.1
    rate, error = 3 * raw[good] / seen[good], 3 * np.sqrt(raw[good]) / seen[good]
    right.errorbar(x[good], rate, error, fmt="o", ms=4, color=BLUE, label="counts / f")
    right.plot(x, truth.sum(axis=0)[band].sum(axis=0), color="black", ls=":", label="truth")
    right.set(title="Three rows through the region", xlabel="DETX (deg)", ylabel="events per 0.2 deg", ylim=(0, None))
    right.legend(loc="lower center", fontsize=8)
    _save(figure, "exclusion")


def _altitude(store: DataStore) -> float:
    return float(np.asarray(store.table["ALT_PNT"])[0])


def thresholds(data: Path, folder: Path) -> None:
    """Rate of models over the truth, for each rule of the energy bin that the threshold cuts."""
    figure, (axes,) = _panels(1)
    settings = Settings(backend="numpy", catalog="none", energy_edges=tuple(np.geomspace(0.1, 10, 9).tolist()))
    altitudes = np.asarray(DataStore.open(data).table["ALT_PNT"])
    styles = {"share": (BLUE, "o-"), "edge": (GREEN, "s--"), "2015": (ORANGE, "^-")}
    for rule, (color, style) in styles.items():
        summary = make_models(data, folder / rule, settings=replace(settings, threshold=rule), groups=ONE_GROUP)
        model = read_background_model(summary.models[0])
        assert model.counts is not None
        assert model.livetime is not None
        rates = [BACKGROUND.expected_counts(model.axes, altitude, 1.0).sum(axis=(1, 2)) for altitude in altitudes]
        exposure, counts = model.livetime.data.max(axis=(1, 2)), model.counts.data.sum(axis=(1, 2))
        seen = exposure > 0
        ratio, energy = counts[seen] / (exposure[seen] * np.mean(rates, axis=0)[seen]), model.axes[0].centers[seen]
        axes.errorbar(energy, ratio, ratio / np.sqrt(counts[seen]), fmt=style, color=color, label=f"--threshold {rule}")
    axes.axvline(THRESHOLD, color=GREY)
    axes.text(THRESHOLD, 1.13, " threshold", color="0.3")
    for edge in settings.energy_edges or ():
        axes.axvline(edge, color="0.9", lw=0.8, zorder=0)
    axes.axhline(1, color="black", ls=":")
    axes.set(xscale="log", xlabel="energy (TeV)", ylabel="rate of the model / truth", ylim=(0.4, 1.2), xlim=(0.1, 4))
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"], minor=False)
    axes.legend(loc="lower right")
    _save(figure, "threshold")


def main() -> None:
    """Make all pictures."""
    mpl.rcParams.update({"font.size": 9, "legend.frameon": True})
    with TemporaryDirectory() as name:
        data, folder = Path(name) / "data", Path(name)
        limits = (ALTITUDE - 0.5, ALTITUDE + 0.5)
        make_test_dataset(data, n_obs=4, alt_range=limits, description=BACKGROUND, threshold=THRESHOLD, seed=12)
        store = DataStore.open(data)
        orientation(store)
        livetime()
        exclusion(store)
        thresholds(data, folder)


if __name__ == "__main__":
    main()
