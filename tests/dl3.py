"""DL3 files as a telescope on La Palma would publish them, written to the format GADF, to be made odd by tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time

from gpucube.observations.sites import SITES

__all__ = [
    "ALT",
    "AZ",
    "CLOCK",
    "LOCATION",
    "N_EVENTS",
    "REFERENCE",
    "START",
    "STOP",
    "THRESHOLD",
    "Change",
    "Dl3",
    "area_hdu",
    "plain",
    "pointing_hdu",
    "write_store",
]

N_EVENTS = 600
LON, LAT, HEIGHT = SITES["MAGIC"]
LOCATION = EarthLocation.from_geodetic(LON * u.deg, LAT * u.deg, HEIGHT * u.m)
REFERENCE = Time(56000, 0.25, format="mjd", scale="tt")
START, STOP = 5000.0, 6200.0
CLOCK = {"MJDREFI": 56000, "MJDREFF": 0.25, "TIMESYS": "TT", "TIMEUNIT": "s", "TIMEREF": "LOCAL"}
ALT, AZ = 62.0, 150.0
THRESHOLD = 0.15

Change = Callable[["Dl3"], None]


@dataclass
class Dl3:
    """One observation before it is written: tests change its parts."""

    columns: dict[str, fits.Column]
    cards: dict[str, object]
    others: dict[str, fits.BinTableHDU]
    index: dict[str, object]
    hdu_index: Table
    index_cards: dict[str, object] = field(default_factory=dict)
    extra: list[fits.BinTableHDU] = field(default_factory=list)
    one_file_per_hdu: bool = False

    def events(self) -> fits.BinTableHDU:
        """The event list with its cards; those that are None are left out."""
        hdu = fits.BinTableHDU.from_columns(list(self.columns.values()), name="EVENTS")
        hdu.header.update({key: value for key, value in self.cards.items() if value is not None})
        return hdu


def _pointing() -> SkyCoord:
    frame = AltAz(obstime=REFERENCE + 0.5 * (START + STOP) * u.s, location=LOCATION)
    return SkyCoord(az=AZ * u.deg, alt=ALT * u.deg, frame=frame).icrs


def plain() -> Dl3:
    """An observation with nothing odd about it; no DETX and DETY, as most instruments publish it."""
    rng = np.random.default_rng(5)
    pointing = _pointing()
    around = pointing.directional_offset_by(rng.uniform(0, 360, N_EVENTS) * u.deg, rng.rayleigh(1.0, N_EVENTS) * u.deg)
    energy = 0.1 * (1 - rng.uniform(0, 1, N_EVENTS)) ** (-1 / 1.7)
    columns = {
        "EVENT_ID": fits.Column("EVENT_ID", "K", array=np.arange(N_EVENTS)),
        "TIME": fits.Column("TIME", "D", unit="s", array=np.sort(rng.uniform(START, STOP, N_EVENTS))),
        "RA": fits.Column("RA", "D", unit="deg", array=around.ra.deg),
        "DEC": fits.Column("DEC", "D", unit="deg", array=around.dec.deg),
        "ENERGY": fits.Column("ENERGY", "D", unit="TeV", array=energy),
    }
    cards: dict[str, object] = {
        "HDUCLASS": "GADF",
        "HDUCLAS1": "EVENTS",
        "HDUVERS": "0.3",
        "OBS_ID": 42,
        "TELESCOP": "MAGIC",
        "OBS_MODE": "POINTING",
        "ONTIME": STOP - START,
        "LIVETIME": 0.95 * (STOP - START),
        "DEADC": 0.95,
        "RA_PNT": pointing.ra.deg,
        "DEC_PNT": pointing.dec.deg,
        "GEOLON": LON,
        "GEOLAT": LAT,
        "ALTITUDE": HEIGHT,
        **CLOCK,
    }
    spans = [fits.Column("START", "D", unit="s", array=[START]), fits.Column("STOP", "D", unit="s", array=[STOP - 200])]
    gti = fits.BinTableHDU.from_columns(spans, name="GTI")
    gti.header.update(CLOCK | {"HDUCLAS1": "GTI"})
    area = area_hdu()
    area.header["LO_THRES"] = (THRESHOLD, "[TeV]")
    names = {"events": "EVENTS", "gti": "GTI", "aeff": "EFFECTIVE AREA"}
    rows = [(42, kind, kind, "dl3", "run42.fits", name) for kind, name in names.items()]
    hdu_index = Table(rows=rows, names=["OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME"])
    position = {"RA_PNT": pointing.ra.deg, "DEC_PNT": pointing.dec.deg, "ALT_PNT": ALT, "AZ_PNT": AZ}
    return Dl3(columns, cards, {"GTI": gti, "EFFECTIVE AREA": area}, {"OBS_ID": 42} | position, hdu_index)


def area_hdu(unit: str = "TeV") -> fits.BinTableHDU:
    """Effective area: 5 offsets, largest at the pointing, and 10 % of its maximum in the bin from 0.2 TeV on."""
    edges = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 1.0, 4.0, 20.0])
    at_pointing = np.array([0.0, 1e2, 8e3, 2e4, 9e4, 1.7e5, 2e5])
    offset = np.linspace(0.0, 2.5, 6)
    area = np.exp(-0.5 * (offset[:-1] / 1.5) ** 2)[:, None] * at_pointing
    scaled = (edges * u.TeV).to_value(unit)
    parts = {"ENERG_LO": scaled[:-1], "ENERG_HI": scaled[1:], "THETA_LO": offset[:-1], "THETA_HI": offset[1:]}
    units = dict(zip(parts, (unit, unit, "deg", "deg"), strict=True))
    columns = [fits.Column(n, f"{v.size}D", unit=units[n], array=v[None]) for n, v in parts.items()]
    columns.append(fits.Column("EFFAREA", f"{area.size}D", unit="m2", dim="(7,5)", array=area[None]))
    hdu = fits.BinTableHDU.from_columns(columns, name="EFFECTIVE AREA")
    classes = {"HDUCLAS1": "RESPONSE", "HDUCLAS2": "EFF_AREA", "HDUCLAS3": "FULL-ENCLOSURE", "HDUCLAS4": "AEFF_2D"}
    hdu.header.update({"HDUCLASS": "GADF"} | classes)
    return hdu


def pointing_hdu(times: np.ndarray, clock: dict[str, object] = CLOCK, **columns: np.ndarray) -> fits.BinTableHDU:
    """Pointing table with these columns in deg."""
    found = [fits.Column("TIME", "D", unit="s", array=times)]
    found += [fits.Column(name, "D", unit="deg", array=values) for name, values in columns.items()]
    hdu = fits.BinTableHDU.from_columns(found, name="POINTING")
    hdu.header.update({"HDUCLASS": "GADF", "HDUCLAS1": "POINTING"} | clock)
    return hdu


def write_store(folder: Path, change: Change = lambda dl3: None) -> Path:
    """Write a data store of one observation, after a change."""
    dl3 = plain()
    change(dl3)
    (folder / "dl3").mkdir(parents=True)
    hdus = [*dl3.extra, dl3.events(), *dl3.others.values()]
    if dl3.one_file_per_hdu:
        names = [f"run42_{hdu.name.lower().replace(' ', '_')}.fits.gz" for hdu in hdus]
        files = {hdu.name: name for hdu, name in zip(hdus, names, strict=True)}
        dl3.hdu_index["FILE_NAME"] = [files[name] for name in dl3.hdu_index["HDU_NAME"]]
        for hdu, name in zip(hdus, names, strict=True):
            hdu.writeto(folder / "dl3" / name)
    else:
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(folder / "dl3" / "run42.fits")
    index = fits.table_to_hdu(Table({name: [value] for name, value in dl3.index.items()}))
    index.writeto(folder / "obs-index.fits.gz")
    files_index = fits.table_to_hdu(dl3.hdu_index)
    files_index.header.update(dl3.index_cards)
    files_index.writeto(folder / "hdu-index.fits.gz")
    return folder
