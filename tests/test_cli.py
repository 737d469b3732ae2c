"""The command line, as a user calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
from astropy.table import Table
from click import Context, Option
from click.testing import CliRunner, Result

from gpucube.arrays.backend import backend_statuses
from gpucube.cli import cli
from gpucube.cli import look as look_commands
from gpucube.cli import make_models as make_models_module
from tests.stores import DAMAGES, copy_store, event_file

COMMANDS = cli.list_commands(Context(cli))
WORKING = {status.name for status in backend_statuses() if status.works}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_commands() -> None:
    assert {"attach", "make-models", "make-test-dataset", "info", "backends", "demo", "plot"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"gpucube {command}" in result.output
    assert "\\b" not in result.output


def test_make_models_info_and_plot(store: Path, tmp_path: Path) -> None:
    result = run("make-models", store, "gadf", tmp_path / "out", "--catalog", "none", "--backend", "auto", "--test")
    assert result.exit_code == 0, result.output
    assert "8 observations: 8 used" in result.output
    assert ("backend auto: NumPy (" in result.output) == ("cupy" not in WORKING)
    model = sorted((tmp_path / "out").glob("bg_cube_model_*_table.fits.gz"))[0]
    for path, word in ((store, "scheme GADF"), (model, "ALTAZ"), (tmp_path / "out", model.name)):
        result = run("info", path)
        assert result.exit_code == 0, result.output
        assert word in result.output
    result = run("plot", model, "--out", tmp_path / "pictures")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "pictures").glob("*.png"))) >= 2


def test_michi_is_mayer2015(store: Path, tmp_path: Path) -> None:
    assert run("make-models", store, "auto", tmp_path / "a", "--catalog", "none", "--a-la-michi").exit_code == 0
    assert (
        run("make-models", store, "auto", tmp_path / "b", "--catalog", "none", "--method", "mayer2015").exit_code == 0
    )
    names = [path.name for path in (tmp_path / "a").iterdir()]
    assert names
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_michi_contradicts_another_method(store: Path, tmp_path: Path) -> None:
    result = run("make-models", store, "auto", tmp_path / "a", "--a-la-michi", "--method", "default")
    assert result.exit_code == 2


def test_image_of_a_model_is_told_apart(store: Path, tmp_path: Path) -> None:
    run("make-models", store, "auto", tmp_path / "out", "--catalog", "none", "--test", "-l", "error")
    image = next((tmp_path / "out").glob("*_image.fits.gz"))
    result = run("info", image)
    assert result.exit_code == 1
    assert "table file" in result.output


def test_skipped_observation_is_status_3(store: Path, tmp_path: Path) -> None:
    damaged = copy_store(store, tmp_path / "data")
    DAMAGES["truncated"][0](event_file(damaged, 2))
    result = run("make-models", damaged, "auto", tmp_path / "out", "--catalog", "none")
    assert result.exit_code == 3
    assert "observation 2 skipped" in result.output
    assert (Table.read(tmp_path / "out" / "bg_event_ledger.ecsv")["STATUS"] == "skipped").sum() == 1
    result = run("make-models", damaged, "auto", tmp_path / "strict", "--catalog", "none", "--strict")
    assert result.exit_code == 1


def test_groups_that_a_user_asks_for(store: Path, tmp_path: Path) -> None:
    common = ("--catalog", "none", "--backend", "numpy")
    by = ("--group-by", "zenith", "--min-livetime", "50 min", "--group-by", "east-west")
    result = run("make-models", store, "auto", tmp_path / "a", *common, *by)
    assert result.exit_code == 0, result.output
    assert "bins in zenith angle" in result.output
    assert "AZ 180..360 deg" in result.output
    groups = tmp_path / "a" / "bg_observation_groups.ecsv"
    assert run("make-models", store, "auto", tmp_path / "b", *common, "--groups", groups).exit_code == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    result = run("make-models", store, "auto", tmp_path / "c", *common, "--groups", groups, *by)
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("make-models", "nowhere", "auto", "out"), "nowhere"),
        (("make-models", "{empty}", "auto", "out"), "no index file"),
        (("make-models", "{empty}", "HESS", "out"), "runinfo"),
        (("make-models", "{store}", "auto", "{tmp}/x", "--catalog", "{tmp}/none.fits"), "none.fits"),
        (("make-models", "{store}", "auto", "{store}/obs-index.fits.gz", "--catalog", "none"), "is a file"),
        (("make-models", "{store}", "auto", "{tmp}/x", "--group-by", "ALT"), "for example ALT:0,45"),
        (("make-models", "{store}", "auto", "{tmp}/x", "--group-by", "zenith"), "--min-livetime"),
        (("make-models", "{store}", "auto", "{tmp}/x", "--min-observations", "2"), "--group-by zenith"),
        (("make-models", "{store}", "auto", "{tmp}/x", "--group-by", "NSB:0,1"), "ALT_PNT"),
        (("make-models", "{store}", "auto", "{tmp}/x", "--groups", "{tmp}/no.ecsv"), "no.ecsv"),
        (("make-models", "{store}", "auto", "{tmp}/x", "--groups", "{store}"), "name the file of groups"),
        (
            ("make-models", "{store}", "auto", "{tmp}/x", "--catalog", "{store}"),
            "is a folder, not a table (name a file",
        ),
        (("make-models", "{store}/obs-index.fits.gz", "GADF", "{tmp}/x"), "this is a file (name its folder: {store})"),
        (("info", "{tmp}/nothing.fits"), "no such file"),
        (("info", "{store}/obs-index.fits.gz"), "no background model"),
        (("plot", "{tmp}/nothing.fits"), "no such file"),
        (("plot", "{tmp}"), "no models"),
    ],
)
def test_user_errors_are_one_line_and_status_1(
    arguments: tuple[str, ...], word: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    result = run(*(text.format(store=store, tmp=tmp_path, empty=tmp_path / "empty") for text in arguments))
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if "gpucube: error:" in line]
    assert len(lines) == 1
    assert word.format(store=store) in lines[0]
    assert "Traceback" not in result.output


def test_usage_is_status_2() -> None:
    assert run("make-models").exit_code == 2
    assert run("make-models", "a", "b", "c").exit_code == 2


@pytest.mark.skipif("cupy" in WORKING, reason="there is a GPU")
def test_no_gpu_is_one_line(store: Path, tmp_path: Path) -> None:
    result = run("make-models", store, "auto", tmp_path / "out", "--backend", "cupy")
    assert result.exit_code == 1
    assert [line for line in result.output.splitlines() if line.startswith("gpucube: error: backend cupy:")]
    assert "--backend numpy" in result.output
    assert not (tmp_path / "out").exists()


def test_bug_shows_no_traceback(monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    def broken(path: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(look_commands, "describe_folder", broken)
    result = run("info", store)
    assert result.exit_code == 1
    assert "unexpected ZeroDivisionError: oops" in result.output
    assert "Traceback" not in result.output


def test_ctrl_c_is_one_line_and_status_130(monkeypatch: pytest.MonkeyPatch, store: Path, tmp_path: Path) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(look_commands, "describe_folder", interrupted)
    result = run("info", store)
    assert (result.exit_code, result.output) == (130, "gpucube: interrupted\n")
    monkeypatch.setattr(make_models_module, "make_models", interrupted)
    result = run("make-models", store, "auto", tmp_path / "out")
    assert result.exit_code == 130
    last = result.output.strip().splitlines()[-1]
    assert last.startswith("gpucube: interrupted; with --resume")


def test_backends() -> None:
    result = run("backends")
    assert result.exit_code == 0
    assert "numpy" in result.output
    assert "array_api_strict" not in result.output
    if "cupy" not in WORKING:
        assert "[cuda13]" in result.output or "driver" in result.output


def test_make_test_dataset(tmp_path: Path) -> None:
    out = tmp_path / "data"
    arguments = ("make-test-dataset", out, "--n-obs", 2, "--trigger-rate", 1, "--scheme", "HESS")
    assert run(*arguments).exit_code == 0
    assert (out / "runinfo.fits").is_file()
    result = run(*arguments)
    assert result.exit_code == 1
    assert "overwrite" in result.output
    assert run(*arguments, "--overwrite").exit_code == 0


def test_demo(tmp_path: Path) -> None:
    for _ in range(2):
        result = run("demo", tmp_path / "demo", "--backend", "numpy")
        assert result.exit_code == 0, result.output
    assert list((tmp_path / "demo" / "pictures").glob("*.png"))


def test_every_option_has_a_description() -> None:
    for name in COMMANDS:
        command = cli.get_command(Context(cli), name)
        assert command is not None
        options = [option for option in command.params if isinstance(option, Option)]
        assert [option.name for option in options if not option.help] == []
