"""Numbers, units, times and places in FITS headers, as real files write them."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation
from astropy.io import fits

from gpucube.errors import DataError
from gpucube.observations.headers import comment_unit, header_number, parse_unit, reference_time
from gpucube.observations.sites import SITES, observatory_location


def header(**cards: object) -> fits.Header:
    return fits.Header({"EXTNAME": "EVENTS"} | cards)


@pytest.mark.parametrize("value", [1.5, "1.5", " 1.5 ", "1.5e0", "+1.5"])
def test_number(value: object) -> None:
    assert header_number(header(KEY=value), "KEY") == 1.5


@pytest.mark.parametrize("value", [7, "7", True])
def test_whole_number(value: object) -> None:
    assert header_number(header(KEY=value), "KEY") == float(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["", "long", "nan", "inf", "-Infinity", "1,5", "1.5 s"])
def test_no_number(value: str) -> None:
    with pytest.raises(DataError, match="is no finite number") as error:
        header_number(header(KEY=value), "KEY")
    assert (error.value.hdu, error.value.column) == ("EVENTS", "KEY")


def test_value_is_undefined() -> None:
    with pytest.raises(DataError, match="is no finite number"):
        header_number(header(KEY=None), "KEY")


def test_keyword_is_missing() -> None:
    with pytest.raises(DataError, match="keyword is missing") as error:
        header_number(header(), "KEY")
    assert error.value.column == "KEY"


@pytest.mark.parametrize(
    ("comment", "unit"),
    [
        ("[TeV]", "TeV"),
        ("[ GeV ] threshold", "GeV"),
        ("threshold [MeV]", "MeV"),
        ("s-1 [s-1 TeV-1]", "s-1 TeV-1"),
        ("", None),
        ("TeV", None),
        ("[]", None),
        ("] TeV [", None),
    ],
)
def test_unit_in_a_comment(comment: str, unit: str | None) -> None:
    assert comment_unit(comment) == unit


@pytest.mark.parametrize(("text", "unit"), [("TeV", u.TeV), (" GeV ", u.GeV), ("erg", u.erg), ("J", u.J)])
def test_unit(text: str, unit: u.UnitBase) -> None:
    assert parse_unit(text, u.TeV) == unit


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("parsnip", "is not known"),
        ("TeV TeV/", "is not known"),
        ("deg", "cannot be converted"),
        ("", "cannot be converted"),
    ],
)
def test_no_unit(text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as error:
        parse_unit(text, u.TeV, hdu="EVENTS", column="ENERGY")
    assert (error.value.hdu, error.value.column) == ("EVENTS", "ENERGY")


def test_reference_time() -> None:
    two = reference_time(header(MJDREFI=51910, MJDREFF=0.25, TIMESYS="TT"))
    assert (two.scale, two.mjd) == ("tt", 51910.25)
    assert reference_time(header(MJDREF=51910.25)).isclose(two)
    assert reference_time(header(MJDREFI="51910", MJDREFF="0.25")).isclose(two)
    assert reference_time(header(MJDREFI=51910)).mjd == 51910
    assert (two.utc - reference_time(header(MJDREFI=51910, MJDREFF=0.25, TIMESYS="utc "))).sec == pytest.approx(-64.184)


def test_reference_time_keeps_microseconds() -> None:
    time = reference_time(header(MJDREFI=51910, MJDREFF=0.000742870370370241))
    assert (time - reference_time(header(MJDREFI=51910))).sec == pytest.approx(64.184, abs=1e-9)


@pytest.mark.parametrize("scale", ["LOCAL", "", "GPS"])
def test_no_time_scale(scale: str) -> None:
    with pytest.raises(DataError, match="is no time scale") as error:
        reference_time(header(MJDREFI=51910, TIMESYS=scale))
    assert error.value.column == "TIMESYS"


def test_no_reference_time() -> None:
    with pytest.raises(DataError, match="keyword is missing") as error:
        reference_time(header())
    assert error.value.column == "MJDREF"


def test_location_of_the_header() -> None:
    found = observatory_location(header(GEOLON="16.5", GEOLAT=-23.27, ALTITUDE=1835, TELESCOP="MAGIC"))
    geodetic = found.to_geodetic("WGS84")
    assert (geodetic.lon.deg, geodetic.lat.deg, geodetic.height.to_value("m")) == pytest.approx((16.5, -23.27, 1835))


def test_height_is_optional() -> None:
    assert observatory_location(header(GEOLON=1.0, GEOLAT=2.0)).height.to_value("m") == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("telescope", "site"),
    [("HESS", "HESS"), ("H.E.S.S.", "HESS"), ("hess", "HESS"), ("MAGIC ", "MAGIC"), ("ctao_north", "CTAO-NORTH")],
)
def test_location_by_telescope(telescope: str, site: str) -> None:
    geodetic = observatory_location(header(TELESCOP=telescope, GEOLAT=1.0)).to_geodetic("WGS84")
    assert (geodetic.lon.deg, geodetic.lat.deg, geodetic.height.to_value("m")) == pytest.approx(SITES[site])


def test_unknown_telescope() -> None:
    with pytest.raises(DataError, match=r"TELESCOP is 'HST'; known are HESS, MAGIC") as error:
        observatory_location(header(TELESCOP="HST"))
    assert error.value.remedy == "add GEOLON, GEOLAT and ALTITUDE to the header"


@pytest.mark.parametrize("name", ["HESS", "MAGIC", "CTAO-NORTH", "CTAO-SOUTH"])
def test_sites_are_where_gammapy_has_them(name: str) -> None:
    theirs = pytest.importorskip("gammapy.data").observatory_locations[name.lower().replace("-", "_")]
    lon, lat, height = SITES[name]
    ours = EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, height * u.m)
    distance = np.linalg.norm([(a - b).to_value("km") for a, b in zip(ours.geocentric, theirs.geocentric, strict=True)])
    assert distance < 1.0
