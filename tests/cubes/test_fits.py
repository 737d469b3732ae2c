"""FITS files of background models: round trips, Gammapy and DS9 as readers, and files of other writers."""

from __future__ import annotations

import gzip
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucube import files
from gpucube.arrays.backend import Backend, get_backend
from gpucube.cubes.axis import AXIS_NAMES, Axis
from gpucube.cubes.background import BackgroundModel
from gpucube.cubes.cube import Cube
from gpucube.cubes.fits import read_background_model, write_image, write_table
from gpucube.errors import DataError, OutputError

# Three different lengths, and uneven and asymmetric bins: a transposition or a mirror image cannot hide.
AXES = (
    Axis("energy", [0.1, 0.3, 1.0, 20.0], "TeV"),
    Axis("dety", [-3.0, -1.0, 0.5, 1.0, 2.0], "deg"),
    Axis("detx", [-4.0, -3.0, 0.0, 0.5, 1.0, 5.0], "deg"),
)
REGULAR = (AXES[0], Axis("dety", np.linspace(-3, 2, 5), "deg"), Axis("detx", np.linspace(-2, 4, 7), "deg"))
NUMPY = get_backend("numpy")
LABEL = {"energy": "ENERG", "dety": "DETY", "detx": "DETX"}
UNIT = {"energy": "TeV", "dety": "deg", "detx": "deg"}
GADF_ORDER = ("energy", "detx", "dety")
ORDER_2015 = ("detx", "dety", "energy")
ORDER_DR1 = ("dety", "detx", "energy")


def make_model(backend: Backend = NUMPY, axes: tuple[Axis, Axis, Axis] = AXES, seed: int = 0) -> BackgroundModel:
    rng = np.random.default_rng(seed)
    shape = tuple(axis.n_bins for axis in axes)
    return BackgroundModel(
        rate=Cube(axes, backend.asarray(rng.lognormal(0, 2, shape)), "s-1 TeV-1 sr-1"),
        counts=Cube(axes, backend.asarray(rng.integers(0, 2**60, shape))),
        livetime=Cube(axes, backend.asarray(rng.uniform(0, 1e6, shape)), "s"),
        meta={"METHOD": "default", "NSMOOTH": 4, "GROUP_ID": 7},
    )


def foreign_hdu(
    order: tuple[str, ...],
    column: str = "BKG",
    data: np.ndarray | None = None,
    axes: tuple[Axis, Axis, Axis] = AXES,
    *,
    cref: bool = False,
    code: str = "E",
    unit: str | None = "s-1 MeV-1 sr-1",
    cards: dict[str, str] | None = None,
) -> fits.BinTableHDU:
    """Table as another program writes it: axes in the order that TDIM counts them."""
    by_name = dict(zip(AXIS_NAMES, axes, strict=True))
    if data is None:
        data = values_of(axes)
    columns = []
    for name in order:
        edges = by_name[name].edges
        for end, values in (("LO", edges[:-1]), ("HI", edges[1:])):
            form = f"{values.size}{code}"
            columns.append(fits.Column(f"{LABEL[name]}_{end}", form, unit=UNIT[name], array=values[None]))
    stored = np.transpose(data, [AXIS_NAMES.index(name) for name in reversed(order)])
    dim = str(tuple(reversed(stored.shape)))
    columns.append(fits.Column(column, f"{data.size}{code}", unit=unit, dim=dim, array=stored[None]))
    hdu = fits.BinTableHDU.from_columns(columns, name="BKG")
    if cref:
        pairs = ",".join(f"{LABEL[name]}_LO:{LABEL[name]}_HI" for name in order)
        hdu.header[f"CREF{len(columns)}"] = f"({pairs})"
    hdu.header.update({"FOVALIGN": "ALTAZ"} if cards is None else cards)
    return hdu


def values_of(axes: tuple[Axis, Axis, Axis]) -> np.ndarray:
    shape = tuple(axis.n_bins for axis in axes)
    return np.arange(1.0, np.prod(shape) + 1).reshape(shape)


def save(hdu: fits.BinTableHDU, path: Path) -> Path:
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.fits.gz"


# Round trips


def test_round_trip(backend: Backend, path: Path) -> None:
    model = make_model(backend)
    write_table(model, path)
    found = read_background_model(path)
    for name in ("counts", "livetime"):
        mine, theirs = getattr(model, name).on_host(), getattr(found, name)
        np.testing.assert_array_equal(theirs.data, mine.data)
        assert theirs.data.dtype == mine.data.dtype
        assert theirs.unit == mine.unit
    np.testing.assert_allclose(found.rate.quantity.to_value("s-1 TeV-1 sr-1"), model.rate.on_host().data, rtol=1e-15)
    for mine, theirs in zip(model.axes, found.axes, strict=True):
        assert mine.matches(theirs)
    assert (found.fov_align, found.rate_per, found.meta) == ("ALTAZ", "LIVETIME", model.meta)


@settings(max_examples=25)
@given(shape=st.tuples(*[st.integers(1, 6)] * 3), seed=st.integers(0, 2**32), compress=st.booleans())
def test_round_trip_of_any_shape(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int, int], seed: int, compress: bool
) -> None:
    rng = np.random.default_rng(seed)
    axes = tuple(
        Axis(name, np.cumsum(rng.uniform(0.1, 1, n + 1)), UNIT[name]) for name, n in zip(AXIS_NAMES, shape, strict=True)
    )
    model = make_model(axes=axes, seed=seed)  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("any") / ("a.fits.gz" if compress else "a.fits")
    write_table(model, path)
    found = read_background_model(path)
    np.testing.assert_allclose(found.rate.quantity.to_value(model.rate.unit), model.rate.data, rtol=1e-15)
    assert all(mine.matches(theirs) for mine, theirs in zip(model.axes, found.axes, strict=True))


@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
@pytest.mark.parametrize("rate_per", ["LIVETIME", "ONTIME"])
def test_keywords(path: Path, align: str, rate_per: str) -> None:
    write_table(replace(make_model(), fov_align=align, rate_per=rate_per), path)
    found = read_background_model(path)
    assert (found.fov_align, found.rate_per) == (align, rate_per)


def test_model_of_a_rate_only(path: Path) -> None:
    write_table(replace(make_model(), counts=None, livetime=None), path)
    found = read_background_model(path)
    assert found.counts is None
    assert found.livetime is None


def test_extra_hdus_are_appended(path: Path) -> None:
    extra = fits.BinTableHDU.from_columns([fits.Column("A", "J", array=[1, 2])], name="OBSERVATIONS")
    write_table(make_model(), path, (extra,))
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "BACKGROUND", "COUNTS", "LIVETIME", "OBSERVATIONS"]
        assert hdus["OBSERVATIONS"].data["A"].tolist() == [1, 2]


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz"])
@pytest.mark.parametrize("write", [write_table, write_image])
def test_same_bytes_on_every_backend_and_every_time(backend: Backend, tmp_path: Path, write, name: str) -> None:  # type: ignore[no-untyped-def]
    contents = set()
    for number, one in enumerate((NUMPY, NUMPY, backend)):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        write(make_model(one, REGULAR), path)
        contents.add(path.read_bytes())
    assert len(contents) == 1
    assert (contents.pop()[:2] == b"\x1f\x8b") == name.endswith(".gz")


@pytest.mark.parametrize("write", [write_table, write_image])
def test_no_dates_and_no_names_inside(path: Path, write) -> None:  # type: ignore[no-untyped-def]
    write(make_model(axes=REGULAR), path)
    content = gzip.decompress(path.read_bytes())
    assert b"DATE" not in content
    assert path.name.encode() not in content
    assert b"gpucube" in content


# What is written


def test_gadf_keywords(path: Path) -> None:
    write_table(make_model(), path)
    header = fits.getheader(path, "BACKGROUND")
    classes = [header[f"HDUCLAS{i}"] for i in (1, 2, 3, 4)]
    assert classes == ["RESPONSE", "BKG", "FULL-ENCLOSURE", "BKG_3D"]
    assert (header["HDUCLASS"], header["FOVALIGN"], header["RATEPER"]) == ("GADF", "ALTAZ", "LIVETIME")
    assert header["TDIM7"] == "(3,5,4)"  # energy, DETX, DETY
    assert header["CREF7"] == "(ENERG_LO:ENERG_HI,DETX_LO:DETX_HI,DETY_LO:DETY_HI)"
    columns = ["ENERG_LO", "ENERG_HI", "DETX_LO", "DETX_HI", "DETY_LO", "DETY_HI", "BKG"]
    assert [header[f"TTYPE{i}"] for i in range(1, 8)] == columns
    assert [header[f"TUNIT{i}"] for i in range(1, 7)] == ["TeV"] * 2 + ["deg"] * 4
    assert u.Unit(header["TUNIT7"]) == u.Unit("s-1 MeV-1 sr-1")


def test_values_in_the_file_are_per_mev(path: Path) -> None:
    model = make_model()
    write_table(model, path)
    stored = fits.getdata(path, "BACKGROUND")["BKG"][0]
    assert stored.shape == (4, 5, 3)
    np.testing.assert_allclose(stored[1, 3, 2], model.rate.data[2, 1, 3] * 1e-6, rtol=1e-15)


@pytest.mark.parametrize("floor", [1e-10, 0.5, None])
def test_floor(path: Path, floor: float | None) -> None:
    model = make_model()
    rate = model.rate.data.copy()
    rate[0], rate[1, 2, 3], rate[2, 0, 0] = np.nan, 0.0, 1e-12
    write_table(replace(model, rate=model.rate.with_data(rate), floor=floor), path)
    found = read_background_model(path).rate.quantity.to_value("s-1 TeV-1 sr-1")
    expected = rate if floor is None else np.fmax(rate, floor)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert np.isnan(found[0]).all() == (floor is None)


def test_floor_is_not_in_the_unit_of_the_cube(path: Path) -> None:
    per_gev = Cube(AXES, np.zeros((3, 4, 5)), "s-1 GeV-1 sr-1")
    write_table(BackgroundModel(per_gev, floor=1e-10), path)
    found = read_background_model(path).rate.quantity.to_value("s-1 TeV-1 sr-1")
    np.testing.assert_allclose(found, 1e-10, rtol=1e-14)


@pytest.mark.parametrize("write", [write_table, write_image])
def test_failing_write_keeps_the_old_file(tmp_path: Path, write, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    old = tmp_path / "old.fits"
    write(make_model(axes=REGULAR), old)
    content = old.read_bytes()

    def fail(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    for path in (old, tmp_path / "new.fits"):
        with pytest.raises(OutputError, match="no space left"):
            write(make_model(axes=REGULAR, seed=1), path)
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_bytes() == content


def test_as_many_energies_as_dety_warns(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    energy = Axis("energy", [0.1, 0.2, 1.0, 2.0, 20.0], "TeV")
    write_table(make_model(axes=(energy, *AXES[1:])), path)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Gammapy cannot tell the axes" in caplog.text
    caplog.clear()
    write_table(make_model(), path)
    assert caplog.records == []


# Gammapy as the reader


@pytest.mark.parametrize("axes", [AXES, (AXES[0], AXES[2], AXES[1])], ids=["nY < nX", "nY > nX"])
@pytest.mark.parametrize("align", ["ALTAZ", "RADEC"])
def test_gammapy_has_our_values_in_the_right_places(path: Path, axes: tuple[Axis, ...], align: str) -> None:
    energy, dety, detx = (Axis(n, axis.edges, axis.unit) for n, axis in zip(AXIS_NAMES, axes, strict=True))
    model = replace(make_model(axes=(energy, dety, detx)), fov_align=align)
    write_table(model, path)
    theirs = pytest.importorskip("gammapy.irf").Background3D.read(path)
    assert theirs.fov_alignment == align
    found = theirs.evaluate(
        energy=energy.centers[:, None, None] * u.TeV,
        fov_lon=detx.centers[None, None, :] * u.deg,
        fov_lat=dety.centers[None, :, None] * u.deg,
    )
    np.testing.assert_allclose(found.to_value("s-1 TeV-1 sr-1"), model.rate.data, rtol=1e-6)
    np.testing.assert_allclose(theirs.axes["fov_lon"].edges.to_value("deg"), detx.edges)
    np.testing.assert_allclose(theirs.axes["fov_lat"].edges.to_value("deg"), dety.edges)
    np.testing.assert_allclose(theirs.axes["energy"].edges.to_value("TeV"), energy.edges)


def test_we_read_what_gammapy_writes(tmp_path: Path, path: Path) -> None:
    model = make_model()
    write_table(model, path)
    pytest.importorskip("gammapy.irf").Background3D.read(path).to_table_hdu().writeto(tmp_path / "theirs.fits")
    found = read_background_model(tmp_path / "theirs.fits")
    np.testing.assert_allclose(found.rate.quantity.to_value("s-1 TeV-1 sr-1"), model.rate.data, rtol=1e-6)
    assert found.fov_align == "ALTAZ"


# Files of other writers


@pytest.mark.parametrize("order", list(permutations(AXIS_NAMES)), ids=" ".join)
@pytest.mark.parametrize("code", ["E", "D"])
def test_cref_tells_the_order(tmp_path: Path, order: tuple[str, ...], code: str) -> None:
    path = save(foreign_hdu(order, cref=True, code=code), tmp_path / "a.fits")
    found = read_background_model(path)
    np.testing.assert_array_equal(found.rate.data, values_of(AXES))
    assert found.rate.unit == u.Unit("s-1 MeV-1 sr-1")
    assert found.rate.data.dtype.isnative


def test_cref_tells_the_order_of_equal_axes(tmp_path: Path) -> None:
    axes = (AXES[0], Axis("dety", [-3, -1, 0.5, 2], "deg"), Axis("detx", [-4, 1, 2, 3], "deg"))
    for number, order in enumerate(permutations(AXIS_NAMES)):
        path = save(foreign_hdu(order, axes=axes, cref=True), tmp_path / f"{number}.fits")
        np.testing.assert_array_equal(read_background_model(path).rate.data, values_of(axes))


@pytest.mark.parametrize("order", [GADF_ORDER, ORDER_2015, ORDER_DR1], ids=["GADF", "2015", "DR1"])
@pytest.mark.parametrize("column", ["BKG", "BGD"])
def test_without_cref_the_shape_tells_known_orders(tmp_path: Path, order: tuple[str, ...], column: str) -> None:
    cards = {"HDUCLAS4": "BKG_3D", "FOVALIGN": "ALTAZ"}
    path = save(foreign_hdu(order, column, cards=cards), tmp_path / "a.fits")
    np.testing.assert_array_equal(read_background_model(path).rate.data, values_of(AXES))


@pytest.mark.parametrize("order", [GADF_ORDER, ORDER_DR1], ids=["GADF", "DR1"])
def test_equal_field_of_view_axes_are_read_as_gammapy_reads_them(tmp_path: Path, order: tuple[str, ...]) -> None:
    axes = (AXES[0], AXES[1], Axis("detx", AXES[1].edges * 1.1, "deg"))
    hdu = foreign_hdu(order, axes=axes, cards={"HDUCLAS1": "RESPONSE", "HDUCLAS2": "BKG", "HDUCLAS4": "BKG_3D"})
    hdu.header.update({"HDUCLAS3": "FULL-ENCLOSURE", "FOVALIGN": "ALTAZ"})
    path = save(hdu, tmp_path / "a.fits")
    found = read_background_model(path).rate.data
    np.testing.assert_array_equal(found, values_of(axes))
    theirs = pytest.importorskip("gammapy.irf").Background3D.read(path, hdu="BKG")
    np.testing.assert_array_equal(theirs.data, np.swapaxes(found, 1, 2))


def test_ambiguous_order_is_refused(tmp_path: Path) -> None:
    """As many bins in all axes: the arrays of both documented orders have the same shape."""
    axes = (Axis("energy", [1, 2, 4, 8, 16], "TeV"), AXES[1], Axis("detx", AXES[1].edges, "deg"))
    path = save(foreign_hdu(GADF_ORDER, axes=axes), tmp_path / "a.fits")
    with pytest.raises(DataError, match="ambiguous order of axes") as error:
        read_background_model(path)
    assert "CREF7" in str(error.value)
    assert error.value.path == path


def test_impossible_order_is_refused(tmp_path: Path) -> None:
    path = save(foreign_hdu(("dety", "energy", "detx")), tmp_path / "a.fits")
    with pytest.raises(DataError, match="impossible order of axes"):
        read_background_model(path)


@pytest.mark.parametrize(
    "axes", [AXES, (AXES[0], AXES[1], Axis("detx", AXES[1].edges * 1.1, "deg"))], ids=["nX > nY", "nX = nY"]
)
def test_file_of_2015(tmp_path: Path, axes: tuple[Axis, Axis, Axis], caplog: pytest.LogCaptureFixture) -> None:
    """Column Bgd, no HDUCLAS: TDIM is (DETX, DETY, energy)."""
    hdu = foreign_hdu(ORDER_2015, "Bgd", axes=axes, cards={}, unit="1 / (s TeV sr)")
    found = read_background_model(save(hdu, tmp_path / "a.fits"))
    np.testing.assert_array_equal(found.rate.data, values_of(axes))
    assert found.rate.unit == u.Unit("s-1 TeV-1 sr-1")
    assert (found.fov_align, found.rate_per) == ("ALTAZ", "LIVETIME")
    assert "no FOVALIGN; read as ALTAZ" in caplog.text


def test_edges_in_other_units(tmp_path: Path) -> None:
    hdu = foreign_hdu(GADF_ORDER, cref=True, code="D")
    for number, unit, factor in ((1, "GeV", 1e3), (3, "rad", np.pi / 180)):
        for column in (number, number + 1):
            hdu.data.field(column - 1)[:] *= factor
            hdu.columns[column - 1].unit = unit
    found = read_background_model(save(hdu, tmp_path / "a.fits"))
    for mine, theirs in zip(AXES, found.axes, strict=True):
        np.testing.assert_allclose(theirs.edges, mine.edges, rtol=1e-12)


def test_missing_units_are_those_of_gadf(tmp_path: Path) -> None:
    hdu = foreign_hdu(GADF_ORDER, cref=True, unit=None)
    found = read_background_model(save(hdu, tmp_path / "a.fits"))
    assert found.rate.unit == u.Unit("s-1 MeV-1 sr-1")


def test_missing_fovalign_is_altaz_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = save(foreign_hdu(GADF_ORDER, cref=True, cards={}), tmp_path / "a.fits")
    assert read_background_model(path).fov_align == "ALTAZ"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(path) in caplog.text


def test_unknown_fovalign(tmp_path: Path) -> None:
    path = save(foreign_hdu(GADF_ORDER, cref=True, cards={"FOVALIGN": "GALACTIC"}), tmp_path / "a.fits")
    with pytest.raises(DataError, match="FOVALIGN is 'GALACTIC'"):
        read_background_model(path)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ({"TTYPE1": "ENERGY_LO"}, "ENERG_LO: column is missing"),
        ({"TTYPE7": "RATE"}, "no HDU with columns BKG and DETX_LO"),
        ({"TUNIT7": "s-1"}, "cannot be converted"),
        ({"TUNIT7": "parsnip"}, "parsnip"),
        ({"TUNIT1": "deg"}, "not convertible"),
        ({"TUNIT3": "parsnip"}, "parsnip"),
        ({"CREF7": "(ENERG_LO:ENERG_HI,THETA_LO:THETA_HI)"}, r"CREF7 names axes \['ENERG', 'THETA'\]"),
        ({"CREF7": "(DETX_LO:DETX_HI,ENERG_LO:ENERG_HI,DETY_LO:DETY_HI)"}, "on axes of shape"),
        ({"TDIM7": "(60,1)"}, "array has 2 axes, not 3"),
        ({"NAXIS2": 0}, "cannot be read as FITS"),
    ],
)
def test_what_is_refused(tmp_path: Path, damage: dict[str, object], problem: str) -> None:
    path = save(foreign_hdu(GADF_ORDER, cref=True), tmp_path / "a.fits")
    content = path.read_bytes()
    for key, value in damage.items():
        with fits.open(path) as hdus:
            old = fits.Card(key, hdus[1].header[key], hdus[1].header.comments[key]).image.encode()
        assert content.count(old) == 1
        content = content.replace(old, fits.Card(key, value).image.encode())
    path.write_bytes(content)
    with pytest.raises(DataError, match=problem) as error:
        read_background_model(path)
    assert error.value.path == path


def test_gap_between_bins_is_refused(tmp_path: Path) -> None:
    hdu = foreign_hdu(GADF_ORDER, cref=True)
    hdu.data["DETX_LO"][0, 2] += 0.1
    with pytest.raises(DataError, match="bins do not touch"):
        read_background_model(save(hdu, tmp_path / "a.fits"))


def test_falling_edges_are_refused(tmp_path: Path) -> None:
    hdu = foreign_hdu(GADF_ORDER, cref=True)
    for column in ("DETX_LO", "DETX_HI"):
        hdu.data[column][:] *= -1
    with pytest.raises(DataError, match="edges must be at least two finite, increasing"):
        read_background_model(save(hdu, tmp_path / "a.fits"))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.7, 0.99])
@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz"])
def test_truncated_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    write_table(replace(make_model(), counts=None, livetime=None), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * min(len(content), 2880 * 3 + 600))])
    with pytest.raises(DataError):
        read_background_model(path)


# Images


def test_image_has_a_wcs(path: Path) -> None:
    model = make_model(axes=REGULAR)
    write_image(model, path)
    with fits.open(path) as hdus:
        image, header, bounds = hdus[0].data, hdus[0].header, hdus["EBOUNDS"].data
        wcs = WCS(header)
        np.testing.assert_allclose(image, model.rate.data * 1e-6, rtol=1e-15)
        np.testing.assert_allclose(np.append(bounds["E_MIN"], bounds["E_MAX"][-1]), AXES[0].edges)
        np.testing.assert_allclose(bounds["E_MAX"][:-1], bounds["E_MIN"][1:])
        assert [header[f"CTYPE{i}"] for i in (1, 2, 3)] == ["DETX", "DETY", "EBIN"]
        assert u.Unit(header["BUNIT"]) == u.Unit("s-1 MeV-1 sr-1")
        assert (header["FOVALIGN"], header["RATEPER"], header["METHOD"]) == ("ALTAZ", "LIVETIME", "default")
    k, j, i = np.indices(image.shape)
    detx, dety, plane = wcs.wcs_pix2world(i.ravel(), j.ravel(), k.ravel(), 0)
    np.testing.assert_allclose(detx.reshape(image.shape)[0, 0], REGULAR[2].centers, atol=1e-12)
    np.testing.assert_allclose(dety.reshape(image.shape)[0, :, 0], REGULAR[1].centers, atol=1e-12)
    np.testing.assert_array_equal(plane.reshape(image.shape)[:, 0, 0], [0, 1, 2])


def test_image_has_the_floor(path: Path) -> None:
    model = make_model(axes=REGULAR)
    write_image(replace(model, rate=model.rate.with_data(np.full((3, 4, 6), np.nan)), floor=1e-10), path)
    np.testing.assert_allclose(fits.getdata(path), 1e-16, rtol=1e-14)


def test_uneven_bins_have_no_image(path: Path) -> None:
    with pytest.raises(ValueError, match="bins differ in width"):
        write_image(make_model(), path)
    assert not path.exists()


# Real files


def test_models_of_hess_dl3_dr1(hess_dl3_dr1: Path, caplog: pytest.LogCaptureFixture) -> None:
    """50 x 50 x 20 bins, class BKG_3D, no CREF: TDIM is (DETY, DETX, energy)."""
    path = next(iter(sorted((hess_dl3_dr1 / "data").glob("*.fits.gz"))))
    found = read_background_model(path)
    stored = fits.getdata(path, "BKG")
    assert tuple(axis.n_bins for axis in found.axes) == (20, 50, 50)
    values = stored["BKG"][0] if "BKG" in stored.names else stored["BGD"][0]
    np.testing.assert_array_equal(found.rate.data, np.swapaxes(values, 1, 2))
    # Background is brightest in the middle and falls with energy.
    assert found.rate.data[5, 25, 25] > found.rate.data[5, 2, 2]
    assert found.rate.data[2, 25, 25] > found.rate.data[12, 25, 25]
