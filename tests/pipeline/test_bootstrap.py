"""Bootstrap errors of models made from files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner

from gpucube.arrays.backend import Backend
from gpucube.arrays.rate import RATES
from gpucube.cli import cli
from gpucube.cubes.fits import read_background_model
from gpucube.errors import OptionError, OutputError
from gpucube.observations.groups import ObservationGroupAxis, ObservationGroups
from gpucube.pipeline import Settings, make_models
from gpucube.regression.model import REGRESSION_FILE, read_regression_model
from tests.stores import copy_store, event_file

ONE_GROUP = ObservationGroups([ObservationGroupAxis("ALT", edges=(0, 90), unit="deg")])
COARSE = Settings(backend="numpy", catalog="none", energy_edges=(0.1, 0.3, 1.0, 10.0), fov=3.0, pixels=6, bootstrap=60)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def counts_of(store: Path, obs_id: int, edges: list[np.ndarray]) -> np.ndarray:
    events = Table.read(event_file(store, obs_id), hdu="EVENTS")
    sample = np.stack([np.asarray(events[name], dtype=float) for name in ("ENERGY", "DETY", "DETX")], axis=1)
    return np.histogramdd(sample[sample[:, 0] >= 0.1], edges)[0]


@pytest.fixture(scope="module")
def made(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bootstrap") / "out"
    make_models(store, out, settings=COARSE, groups=ONE_GROUP)
    return out


def test_only_the_error_is_another(made: Path, store: Path, tmp_path: Path) -> None:
    poisson = make_models(store, tmp_path / "out", settings=replace(COARSE, bootstrap=0), groups=ONE_GROUP)
    ours, theirs = (read_background_model(folder / poisson.models[0].name) for folder in (made, tmp_path / "out"))
    np.testing.assert_array_equal(ours.rate.data, theirs.rate.data)
    np.testing.assert_array_equal(ours.counts.data, theirs.counts.data)
    assert (ours.meta["ERRKIND"], ours.meta["NBOOT"]) == ("BOOTSTRAP", 60)
    assert theirs.meta["ERRKIND"] == "POISSON"
    assert "NBOOT" not in theirs.meta
    with fits.open(made / poisson.models[0].name) as hdus:
        assert hdus["ERROR"].header["ERRKIND"] == "BOOTSTRAP"
        assert hdus["ERROR"].header["NBOOT"] == 60
        assert "ERRKIND" not in hdus["BACKGROUND"].header
    # The rates of the observations differ by their altitudes: at low energies more than their counts let expect.
    ratio = ours.error.data / theirs.error.data
    assert np.isfinite(ratio).all()
    assert np.median(ratio[0]) > 1.5


def test_error_is_that_of_a_loop_over_files(made: Path, store: Path) -> None:
    model = read_background_model(made / "bg_cube_model_group0_table.fits.gz")
    edges = [axis.edges for axis in model.axes]
    counts = np.stack([counts_of(store, obs_id, edges) for obs_id in range(1, 9)])
    key = np.array([0x626F_6F74_7374_7261, 0], dtype=np.uint64)
    draws = np.floor(np.random.Generator(np.random.Philox(key=key)).random((60, 8)) * 8).astype(int)
    # All observations have the same livetime, so that a rate is a mean; smoothing is linear but for its scale.
    volume, livetime = model.rate.bin_volume, np.full(model.rate.data.shape, 8 * 1500.0)
    passes = model.meta["NSMOOTH"]
    rates = [RATES["default"](counts[drawn].sum(axis=0), livetime, volume, passes) for drawn in draws]
    expected = np.std(rates, axis=0, ddof=1) * np.sqrt(8 / 7)
    found = model.error.quantity.to_value("s-1 TeV-1 sr-1")
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_workers_do_not_matter(made: Path, store: Path, tmp_path: Path) -> None:
    make_models(store, tmp_path / "out", settings=replace(COARSE, workers=2), groups=ONE_GROUP)
    assert contents(tmp_path / "out") == contents(made)


@pytest.mark.parametrize("changes", [{"model": "2d"}, {"method": "mayer2015"}, {"mask_regions": "regions.reg"}])
def test_backends_agree(
    changes: dict[str, str], backend: Backend, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("regions")
    monkeypatch.chdir(tmp_path)
    pointing = Table.read(store / "obs-index.fits.gz")[2]
    Path("regions.reg").write_text(f"icrs\ncircle({pointing['RA_PNT']},{pointing['DEC_PNT'] + 0.7},0.8)\n")
    settings = replace(COARSE, rate_per="ontime", **changes)
    errors = []
    for name in ("numpy", backend.name):
        out = tmp_path / f"{name}-{len(errors)}"
        summary = make_models(store, out, settings=replace(settings, backend=name), groups=ONE_GROUP)
        errors.append(read_background_model(summary.models[0]))
    assert errors[0].meta["ERRKIND"] == "BOOTSTRAP"
    assert (errors[0].error.data > 0).all()
    np.testing.assert_allclose(errors[1].error.data, errors[0].error.data, rtol=1e-9)
    if "mask_regions" in changes:
        assert (errors[0].livetime.data[0].min() / errors[0].livetime.data[0].max()) < 0.9


def test_one_observation_keeps_its_poisson_error(store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    groups = ObservationGroups([ObservationGroupAxis("OBS_ID", values=(1,))])
    summary = make_models(store, tmp_path / "out", settings=COARSE, groups=groups)
    model = read_background_model(summary.models[0])
    assert model.meta["ERRKIND"] == "POISSON"
    assert (model.error.data > 0).any()
    assert "one observation tells nothing of others" in caplog.text


def test_skipped_observations_are_in_no_sample(store: Path, tmp_path: Path) -> None:
    data = copy_store(store, tmp_path / "data")
    event_file(data, 3).unlink()
    done = []
    summary = make_models(
        data, tmp_path / "out", settings=COARSE, groups=ONE_GROUP, progress=lambda *state: done.append(state)
    )
    assert summary.n_skipped == 1
    assert done[-1] == (16, 16)
    index = Table.read(data / "obs-index.fits.gz")
    index[index["OBS_ID"] != 3].write(data / "obs-index.fits.gz", overwrite=True)
    other = make_models(data, tmp_path / "other", settings=COARSE, groups=ONE_GROUP)
    one, two = (read_background_model(each.models[0]) for each in (summary, other))
    np.testing.assert_array_equal(one.error.data, two.error.data)


def test_observations_that_regions_cover_are_in_no_sample(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("regions")
    index = Table.read(store / "obs-index.fits.gz")
    (tmp_path / "all.reg").write_text(f"icrs\ncircle({index['RA_PNT'][2]},{index['DEC_PNT'][2]},8)\n")
    settings = replace(COARSE, mask_regions=tmp_path / "all.reg", mask_target=False)
    covered = make_models(store, tmp_path / "out", settings=settings, groups=ONE_GROUP)
    assert [row.obs_id for row in covered.rows if row.status == "skipped"] == [3]
    rest = copy_store(store, tmp_path / "data")
    index[index["OBS_ID"] != 3].write(rest / "obs-index.fits.gz", overwrite=True)
    other = make_models(
        rest, tmp_path / "other", settings=replace(COARSE, mask=True, mask_target=False), groups=ONE_GROUP
    )
    one, two = (read_background_model(each.models[0]) for each in (covered, other))
    np.testing.assert_allclose(one.error.data, two.error.data, rtol=1e-12)


@pytest.mark.parametrize("method", ["regression", "smooth"])
def test_of_methods_that_fit(method: str, store: Path, tmp_path: Path) -> None:
    """The regression and all that is made from it have the errors of the samples, and the same rates."""
    settings = replace(COARSE, method=method, terms=("spectrum", "radial"), bootstrap=20)
    changes = {"fit": {"bootstrap": 0}, "one": {}, "two": {"workers": 2}}
    for name, change in changes.items():
        make_models(store, tmp_path / name, settings=replace(settings, **change), groups=ONE_GROUP)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    name = "bg_cube_model_group0_table.fits.gz"
    fit, bootstrap = (read_background_model(tmp_path / folder / name) for folder in ("fit", "one"))
    np.testing.assert_array_equal(fit.rate.data, bootstrap.rate.data)
    assert (fit.meta["ERRKIND"], bootstrap.meta["ERRKIND"]) == ("COVARIANCE", "BOOTSTRAP")
    assert bootstrap.meta["NBOOT"] == 20
    ratio = bootstrap.error.data / fit.error.data
    assert np.median(ratio) == pytest.approx(1.0, abs=0.6)
    assert (ratio != 1).all()
    if method == "regression":
        model = read_regression_model(tmp_path / "one" / REGRESSION_FILE)
        assert (model.meta["ERRKIND"], model.meta["NBOOT"]) == ("BOOTSTRAP", 20)


def test_resume_knows_the_bootstrap(made: Path, store: Path) -> None:
    before = contents(made)
    make_models(store, made, settings=replace(COARSE, resume=True), groups=ONE_GROUP)
    assert contents(made) == before
    for n_samples in (0, 61):
        with pytest.raises(OutputError, match="other settings"):
            make_models(store, made, settings=replace(COARSE, resume=True, bootstrap=n_samples), groups=ONE_GROUP)


def test_command(store: Path, tmp_path: Path) -> None:
    command = ["make-models", str(store), "auto", str(tmp_path / "out"), "--catalog", "none", "--backend", "numpy"]
    command += ["--energy-edges", "0.1,1,10", "--pixels", "4", "--group-by", "east-west"]
    result = CliRunner().invoke(cli, [*command, "--bootstrap", "20"])
    assert result.exit_code == 0, result.output
    for path in (tmp_path / "out").glob("bg_cube_model_group*_table.fits.gz"):
        assert fits.getval(path, "NBOOT", "ERROR") == 20
    assert CliRunner().invoke(cli, [*command, "--bootstrap", "-3"]).exit_code == 2


def test_one_sample_has_no_scatter() -> None:
    for wrong in (1, -2):
        with pytest.raises(OptionError, match="at least 2 samples"):
            Settings(bootstrap=wrong)
