"""Pointing tables and drift scans: where each event lies in the field, against astropy's own frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord, SkyOffsetFrame
from astropy.io import fits

from gpucube.arrays.backend import get_backend, to_host
from gpucube.cubes.axis import Axis
from gpucube.errors import ObservationError
from gpucube.observations.events import Observation
from gpucube.observations.pointing import Track
from gpucube.observations.regions import ExclusionRegions
from gpucube.observations.sky import MOVES
from gpucube.observations.store import DataStore
from gpucube.observations.track import FROM_TABLE
from gpucube.pipeline import Settings, make_models
from gpucube.pipeline.fill import fov_coordinates
from gpucube.pipeline.mask import Mask, field_radius, open_bins
from tests.dl3 import (
    ALT,
    AZ,
    CLOCK,
    LOCATION,
    N_EVENTS,
    REFERENCE,
    START,
    STOP,
    Change,
    Dl3,
    plain,
    pointing_hdu,
    write_store,
)

BACKEND = get_backend("numpy")
TIMES = np.arange(START - 300, STOP + 300, 20.0)
ARCSEC = 1 / 3600


def horizon(times: np.ndarray) -> AltAz:
    return AltAz(obstime=REFERENCE + times * u.s, location=LOCATION)


def sky_of(alt: float, az: float, times: np.ndarray) -> SkyCoord:
    """Where a field at rest on the horizon is on the sky."""
    return SkyCoord(
        az=np.full(times.shape, az) * u.deg, alt=np.full(times.shape, alt) * u.deg, frame=horizon(times)
    ).icrs


def scatter_events(dl3: Dl3, pointing_at: Callable[[np.ndarray], SkyCoord]) -> None:
    """Put the events around where the observation points at their time."""
    rng = np.random.default_rng(8)
    pointing = pointing_at(dl3.columns["TIME"].array)
    where = pointing.directional_offset_by(rng.uniform(0, 360, N_EVENTS) * u.deg, rng.rayleigh(1.0, N_EVENTS) * u.deg)
    for name, values in (("RA", where.ra.deg), ("DEC", where.dec.deg)):
        dl3.columns[name] = fits.Column(name, "D", unit="deg", array=values)


def drifting(dl3: Dl3) -> None:
    """A drift scan."""
    scatter_events(dl3, lambda times: sky_of(ALT, AZ, times))
    dl3.cards.update({"OBS_MODE": "DRIFT", "ALT_PNT": ALT, "AZ_PNT": AZ, "RA_PNT": None, "DEC_PNT": None})


def with_table(dl3: Dl3, table: fits.BinTableHDU) -> None:
    dl3.others["POINTING"] = table
    dl3.cards.update({"RA_PNT": None, "DEC_PNT": None})


def tracked_table(dl3: Dl3, clock: dict[str, object] = CLOCK, shift: float = 0.0) -> None:
    """The position of the header, with the jitter of the drives, and telescopes that arrive before the run."""
    rng = np.random.default_rng(2)
    ra, dec = (dl3.cards[key] + rng.normal(0, 5 * ARCSEC, TIMES.size) for key in ("RA_PNT", "DEC_PNT"))
    ra[TIMES < START - 100] += 40.0
    with_table(dl3, pointing_hdu(TIMES + shift, clock, RA_PNT=ra, DEC_PNT=dec))


def read(folder: Path, change: Change, align: str = "ALTAZ", with_sky: bool = False) -> Observation:
    return DataStore.open(write_store(folder, change)).read(42, align, with_sky)


def assert_in_field(found: Observation, pointing: SkyCoord, align: str, tolerance: float = 3.0) -> None:
    """Coordinates agree with astropy's to arcseconds, the longitude mirrored as GADF has it."""
    assert found.time is not None
    events = SkyCoord(found.lon, found.lat, unit="deg")
    if align == "ALTAZ":
        events, pointing = events.transform_to(horizon(found.time)), pointing.transform_to(horizon(found.time))
    offset = events.transform_to(SkyOffsetFrame(origin=pointing))
    expected = SkyCoord(-offset.lon, offset.lat)
    lon, lat = fov_coordinates(found, BACKEND)
    assert SkyCoord(lon, lat, unit="deg").separation(expected).arcsec.max() < tolerance
    assert lat.std() > 0.5


@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_drift_scan(tmp_path: Path, align: str) -> None:
    found = read(tmp_path, drifting, align)
    assert found.notes == (MOVES,)
    assert found.time is not None
    assert_in_field(found, sky_of(ALT, AZ, found.time), align)


@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_drift_scan_is_not_tracked(tmp_path: Path, align: str) -> None:
    """The position of the header in the middle of the scan is up to 2 deg off at its ends, and not used."""

    def change(dl3: Dl3) -> None:
        position = {key: dl3.cards[key] for key in ("RA_PNT", "DEC_PNT")}
        drifting(dl3)
        dl3.cards.update(position)

    found = read(tmp_path, change, align, with_sky=True)
    assert found.sky is not None
    assert found.time is not None
    assert_in_field(found, sky_of(ALT, AZ, found.time), align)
    middle = SkyCoord(*found.sky.pointing, unit="deg")
    ends = sky_of(ALT, AZ, np.array([START, STOP]))
    assert middle.separation(ends).deg.max() == pytest.approx(found.sky.drift, abs=0.1)
    assert found.sky.drift > 2.0


def test_gammapy_agrees_on_where_a_drift_scan_points(tmp_path: Path) -> None:
    pointing = pytest.importorskip("gammapy.data").FixedPointingInfo
    found = read(tmp_path, drifting, "RADEC", with_sky=True)
    header = fits.getheader(tmp_path / "dl3" / "run42.fits", "EVENTS")
    times = found.rotation.times
    theirs = pointing.from_fits_header(header).get_icrs(REFERENCE + times * u.s, LOCATION)
    x, y, z = found.rotation.matrices[:, 0].T
    ours = SkyCoord(x, y, z, representation_type="cartesian")
    assert ours.separation(theirs).arcsec.max() < 1.0


@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
@pytest.mark.parametrize("place", ["same file", "own file"])
def test_pointing_table(tmp_path: Path, align: str, place: str) -> None:
    def change(dl3: Dl3) -> None:
        tracked_table(dl3)
        if place == "own file":
            dl3.hdu_index.add_row((42, "pointing", "pointing", "dl3", "run42.fits", "POINTING"))
            dl3.one_file_per_hdu = True

    found = read(tmp_path, change, align, with_sky=True)
    expected = plain().cards
    assert found.notes == (FROM_TABLE,)
    assert found.sky is not None
    assert found.sky.drift == 0
    assert found.sky.pointing == pytest.approx((expected["RA_PNT"], expected["DEC_PNT"]), abs=2 * ARCSEC)
    assert_in_field(found, SkyCoord(expected["RA_PNT"], expected["DEC_PNT"], unit="deg"), align)


def test_header_comes_before_the_table(tmp_path: Path) -> None:
    def change(dl3: Dl3) -> None:
        position = {key: dl3.cards[key] for key in ("RA_PNT", "DEC_PNT")}
        tracked_table(dl3)
        dl3.cards.update(position)

    found = read(tmp_path, change)
    assert found.notes == ()
    np.testing.assert_array_equal(found.rotation.matrices, read(tmp_path / "b", lambda dl3: None).rotation.matrices)


@pytest.mark.parametrize(
    ("clock", "shift"),
    [
        (CLOCK | {"MJDREFI": 55999}, 86400.0),
        ({"MJDREF": 56000.25, "TIMESYS": "utc"}, -66.184),
        ({}, 0.0),
    ],
)
def test_clock_of_the_table(tmp_path: Path, clock: dict[str, object], shift: float) -> None:
    """A pointing that moves, so that a wrong clock would show: 66 s are 0.1 deg."""

    def change(dl3: Dl3) -> None:
        with_table(dl3, pointing_hdu(TIMES + shift, clock, **_moving(TIMES)))

    found = read(tmp_path, change, "RADEC")
    assert_in_field(found, _moving_pointing(found.time), "RADEC")


def _moving(times: np.ndarray) -> dict[str, np.ndarray]:
    """A slew across RA 0: 6 deg in the whole run."""
    share = (times - START) / (STOP - START)
    return {"RA_PNT": (357.0 + 6 * share) % 360, "DEC_PNT": 0.0 + 0.5 * share}


def _moving_pointing(times: np.ndarray) -> SkyCoord:
    found = _moving(times)
    return SkyCoord(found["RA_PNT"], found["DEC_PNT"], unit="deg")


@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
@pytest.mark.parametrize("mode", ["SLEW", "slew ", None])
def test_pointing_that_moves(tmp_path: Path, align: str, mode: str | None) -> None:
    def change(dl3: Dl3) -> None:
        scatter_events(dl3, _moving_pointing)
        position = {"RA_PNT": 10.0, "DEC_PNT": 10.0} if mode else {}
        order = np.random.default_rng(1).permutation(TIMES.size)
        with_table(dl3, pointing_hdu(TIMES[order], **{k: v[order] for k, v in _moving(TIMES).items()}))
        dl3.cards.update({"OBS_MODE": mode} | position)

    found = read(tmp_path, change, align, with_sky=True)
    assert found.notes == (FROM_TABLE,)
    assert found.sky is not None
    assert found.sky.drift == pytest.approx(3.0, abs=0.1)
    assert_in_field(found, _moving_pointing(found.time), align)


def test_table_of_altitudes(tmp_path: Path) -> None:
    def change(dl3: Dl3) -> None:
        drifting(dl3)
        with_table(dl3, pointing_hdu(TIMES, ALT_PNT=np.full(TIMES.size, ALT), AZ_PNT=np.full(TIMES.size, AZ)))
        dl3.cards.update({"ALT_PNT": None, "AZ_PNT": None})

    found = read(tmp_path, change)
    assert found.notes == (FROM_TABLE, MOVES)
    assert_in_field(found, sky_of(ALT, AZ, found.time), "ALTAZ")


def test_rows_without_a_position_do_not_count(tmp_path: Path) -> None:
    def change(dl3: Dl3) -> None:
        columns = _moving(TIMES)
        columns["RA_PNT"][30:40], columns["DEC_PNT"][50] = np.nan, 95.0
        with_table(dl3, pointing_hdu(TIMES, **columns))

    found = read(tmp_path, change, "RADEC")
    assert_in_field(found, _moving_pointing(found.time), "RADEC")


def test_track_at_its_ends() -> None:
    track = Track(np.array([0.0, 10.0]), np.array([359.0, 1.0]), np.array([0.0, 0.0]))
    found = track.at(np.array([-5.0, 5.0, 20.0]))
    np.testing.assert_allclose(found.ra.wrap_at("180d").deg, [-1, 0, 1], atol=1e-12)


# Exclusion regions of a field that drifts


@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_open_fraction_of_a_drift_scan(tmp_path: Path, align: str) -> None:
    """Against looking at each bin at 400 times: a star crosses the field, and is first and last outside of it."""
    found = read(tmp_path, drifting, align, with_sky=True)
    assert found.sky is not None
    axes = (Axis("dety", np.linspace(-1.5, 1.5, 7), u.deg), Axis("detx", np.linspace(-2.0, 2.0, 9), u.deg))
    star = sky_of(ALT, AZ, np.array([START + 900.0])).directional_offset_by(20 * u.deg, 0.2 * u.deg)[0]
    far = ExclusionRegions.around(star.ra.deg + 90.0, star.dec.deg, 1.0)
    regions = Mask(ExclusionRegions.around(star.ra.deg, star.dec.deg, 0.6) + far).regions_of(
        found.sky, field_radius(axes)
    )
    assert len(regions) == 1
    fraction = to_host(open_bins(found.sky, regions, axes, BACKEND))
    expected = _open_by_sampling(found, star, 0.6, axes, align)
    assert expected.min() < 0.9
    np.testing.assert_allclose(fraction, expected, atol=0.01)


def _open_by_sampling(
    found: Observation, star: SkyCoord, radius: float, axes: tuple[Axis, ...], align: str
) -> np.ndarray:
    times = START + (np.arange(400) + 0.5) / 400 * (STOP - 200 - START)
    pointing = sky_of(ALT, AZ, times)
    place = star.transform_to(horizon(times)) if align == "ALTAZ" else SkyCoord([star.ra] * 400, [star.dec] * 400)
    origin = pointing.transform_to(horizon(times)) if align == "ALTAZ" else pointing
    offset = place.transform_to(SkyOffsetFrame(origin=origin))
    where = SkyCoord(-offset.lon, offset.lat)
    dety, detx = (np.linspace(axis.edges[0], axis.edges[-1], 12 * axis.n_bins, endpoint=False) for axis in axes)
    dety, detx = dety + 0.5 * (dety[1] - dety[0]), detx + 0.5 * (detx[1] - detx[0])
    points = SkyCoord(*(values.ravel()[:, None] * u.deg for values in np.meshgrid(detx, dety)))
    outside = (points.separation(where[None, :]).deg > radius).mean(axis=1)
    return outside.reshape(axes[0].n_bins, 12, axes[1].n_bins, 12).mean(axis=(1, 3))


def test_drift_scan_has_no_half(tmp_path: Path) -> None:
    def change(dl3: Dl3) -> None:
        drifting(dl3)
        dl3.cards.update({"RA_OBJ": 10.0, "DEC_OBJ": 20.0})

    found = read(tmp_path, change, with_sky=True)
    with pytest.raises(ObservationError, match="the pointing moves, so that no half"):
        Mask(ExclusionRegions.empty(), wobble=True).regions_of(found.sky, 2.0)


def test_models_of_a_drift_scan(tmp_path: Path) -> None:
    data = write_store(tmp_path / "data", drifting)
    settings = Settings(backend="numpy", mask=True, pixels=10, fov=2.5)
    row = make_models(data, tmp_path / "out", "GADF", settings).rows[0]
    assert (row.status, row.reason) == ("used", "")
    assert row.n_filled > 100


# What is refused


def _drop(*names: str) -> Change:
    def change(dl3: Dl3) -> None:
        drifting(dl3)
        for name in names:
            dl3.columns.pop(name, None)
            dl3.cards.pop(name, None)

    return change


def _cards(**values: object) -> Change:
    def change(dl3: Dl3) -> None:
        drifting(dl3)
        dl3.cards.update(values)

    return change


@pytest.mark.parametrize(
    ("change", "column", "problem"),
    [
        (_drop("ALT_PNT"), "ALT_PNT, AZ_PNT", "the observation is a drift scan"),
        (_drop("TIME"), "TIME", "column is missing"),
        (_cards(ALT_PNT=91.0), "ALT_PNT", "91 deg is no altitude"),
        (_cards(AZ_PNT=361.0), "AZ_PNT", "361 deg is no azimuth"),
        (_cards(AZ_PNT="nan"), "AZ_PNT", "'nan' is no finite number"),
        (_cards(TIMEREF="HELIOCENTRIC"), "TIMEREF", "times are those at HELIOCENTRIC"),
        (_cards(GEOLON=None, TELESCOP="X"), "GEOLON", "no GEOLON and GEOLAT"),
        (_cards(OBS_MODE="POINTING"), "RA_PNT", "keyword is missing"),
    ],
)
@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_refused(tmp_path: Path, change: Change, column: str, problem: str, align: str) -> None:
    with pytest.raises(ObservationError, match="EVENTS") as error:
        read(tmp_path, change, align)
    assert problem in error.value.problem
    assert (error.value.hdu, error.value.column) == ("EVENTS", column)


def _table(**columns: np.ndarray) -> Callable[[Dl3], None]:
    def change(dl3: Dl3) -> None:
        with_table(dl3, pointing_hdu(columns.pop("TIME", TIMES), **columns))

    return change


@pytest.mark.parametrize(
    ("change", "column", "problem"),
    [
        (lambda dl3: with_table(dl3, pointing_hdu(TIMES + 1e4, **_moving(TIMES))), "TIME", "do not cover the events"),
        (
            lambda dl3: with_table(dl3, pointing_hdu(TIMES[:20], **_moving(TIMES[:20]))),
            "TIME",
            "do not cover the events",
        ),
        (lambda dl3: with_table(dl3, pointing_hdu(TIMES, RA_PNT=TIMES)), "AZ_PNT", "column is missing"),
        (
            lambda dl3: with_table(dl3, pointing_hdu(TIMES, RA_PNT=TIMES * np.nan, DEC_PNT=TIMES)),
            "RA_PNT, DEC_PNT",
            "no row has a time and a position",
        ),
    ],
)
def test_tables_that_make_no_sense(tmp_path: Path, change: Change, column: str, problem: str) -> None:
    with pytest.raises(ObservationError) as error:
        read(tmp_path, change)
    assert problem in error.value.problem
    assert (error.value.hdu, error.value.column) == ("POINTING", column)
    assert error.value.path == tmp_path / "dl3" / "run42.fits"
