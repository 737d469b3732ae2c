"""What Gammapy predicts for a field of view, against what was observed there, by quadrant."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.coordinates import AltAz, SkyCoord
from astropy.io import fits
from astropy.table import Row, Table, vstack
from gammapy.data import DataStore, Observation
from gammapy.datasets import MapDataset
from gammapy.irf import FoVAlignment
from gammapy.makers import MapDatasetMaker
from gammapy.maps import MapAxis, WcsGeom

from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.fits import background_hdu
from gpucube.observations.earth import bundled_earth_orientation

__all__ = ["QUADRANTS", "Comparison", "Field", "add_background", "compare", "fields"]

# Signs of longitude and latitude
QUADRANTS = ((1, 1), (-1, 1), (-1, -1), (1, -1))


@dataclass(frozen=True, eq=False)
class Field:
    """One observation: maps summed over energy, of shape (n_lat, n_lon), and where their pixels are.

    `fov` is DETX and DETY in deg in the alignment of the background, in the middle of the observation;
    `sky` is the offset in RA and Dec, with RA growing to the east.
    """

    obs_id: int
    observed: np.ndarray
    predicted: np.ndarray
    fov: tuple[np.ndarray, np.ndarray]
    sky: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Numbers of events: in total, then in the four `QUADRANTS`."""

    observed: np.ndarray
    predicted: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        return self.predicted / self.observed

    @property
    def pull(self) -> np.ndarray:
        """Difference over the Poisson error of what is expected."""
        return (self.observed - self.predicted) / np.sqrt(self.predicted)


def compare(observed: Iterable[Field], orientation: str) -> Comparison:
    """Sum fields in total and by quadrant of their ``fov`` or ``sky`` coordinates."""
    numbers = np.zeros((2, 5))
    for field in observed:
        lon, lat = getattr(field, orientation)
        masks = [np.ones(lon.shape, dtype=bool), *((lon * x > 0) & (lat * y > 0) for x, y in QUADRANTS)]
        numbers += [[image[mask].sum() for mask in masks] for image in (field.observed, field.predicted)]
    return Comparison(*numbers)


def fields(
    store: Path,
    energy_edges: tuple[float, ...],
    obs_ids: list[int] | None = None,
    *,
    radius: float = 2.0,
    pixel: float = 0.2,
) -> Iterator[Field]:
    """Make counts and predicted background of observations with Gammapy, in a circle around the pointing."""
    observations = DataStore.from_dir(store).get_observations(obs_ids, required_irf=["aeff", "bkg"])
    # An even number of pixels: none lies across the middle.
    n_pixels = 2 * round(radius / pixel)
    for observation in observations:
        geom = WcsGeom.create(
            skydir=observation.pointing.fixed_icrs,
            npix=n_pixels,
            binsz=pixel,
            proj="TAN",
            axes=[MapAxis.from_energy_edges(energy_edges, unit="TeV")],
        )
        yield _field(observation, geom, radius)


def _field(observation: Observation, geom: WcsGeom, radius: float) -> Field:
    # Where the spectrum bends, Gammapy's sum over wide energy bins needs steps in between.
    maker = MapDatasetMaker(selection=["counts", "background"], background_oversampling=6)
    with bundled_earth_orientation():
        dataset = maker.run(MapDataset.create(geom, name=f"obs-{observation.obs_id}"), observation)
        sky, fov = _coordinates(observation, geom)
    inside = np.hypot(*fov) < radius
    observed, predicted = ((data.data * inside).sum(axis=0) for data in (dataset.counts, dataset.background))
    return Field(int(observation.obs_id), observed, predicted, fov, sky)


def _coordinates(observation: Observation, geom: WcsGeom) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Offset of pixels from the pointing in RA and Dec, and in DETX and DETY, by astropy alone."""
    pixels, pointing = geom.to_image().get_coord().skycoord.icrs, observation.pointing.fixed_icrs
    sky = pixels.transform_to(pointing.skyoffset_frame())
    east, north = sky.lon.wrap_at("180d").deg, sky.lat.deg
    align = observation.bkg.fov_alignment
    if align == FoVAlignment.ALTAZ:
        middle = observation.tstart + 0.5 * observation.observation_time_duration
        frame = AltAz(obstime=middle, location=observation.observatory_earth_location)
        origin = pointing.transform_to(frame)
        fov = SkyCoord(pixels.transform_to(frame)).transform_to(origin.skyoffset_frame())
        return (east, north), (-fov.lon.wrap_at("180d").deg, fov.lat.deg)
    return (east, north), (east if align == FoVAlignment.REVERSE_LON_RADEC else -east, north)


def add_background(store: Path, out: Path, models: dict[int, BackgroundModel]) -> Path:
    """Write a store whose index adds to each synthetic observation the model given for it, per ontime."""
    out.mkdir()
    shutil.copy(store / "obs-index.fits.gz", out)
    index = Table.read(store / "hdu-index.fits.gz")
    index.convert_bytestring_to_unicode()
    index["FILE_DIR"] = [str(store / folder) for folder in index["FILE_DIR"]]
    rows = [_write_model(out, row, models[int(row["OBS_ID"])]) for row in index if row["HDU_TYPE"] == "aeff"]
    vstack([index, Table(rows=rows)]).write(out / "hdu-index.fits.gz")
    return out


def _write_model(out: Path, row: Row, model: BackgroundModel) -> dict[str, object]:
    header = fits.getheader(Path(row["FILE_DIR"]) / row["FILE_NAME"], "EVENTS")
    hdu = background_hdu(model)
    hdu.data["BKG"] *= header["LIVETIME"] / header["ONTIME"]
    name, kind = f"background_{row['OBS_ID']}.fits", hdu.header["HDUCLAS4"].lower()
    hdu.writeto(out / name)
    return dict(row) | {
        "HDU_TYPE": "bkg",
        "HDU_CLASS": kind,
        "FILE_DIR": str(out),
        "FILE_NAME": name,
        "HDU_NAME": hdu.name,
    }
