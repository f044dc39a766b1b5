from __future__ import annotations

import subprocess
import sys

import pytest

from napari_tileseg import cli
from napari_tileseg.cli import COMMANDS
from napari_tileseg.errors import Cancelled, ImageError, SettingsError


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(tileseg, command):
    code, out, _ = tileseg(command, "--help")
    assert code == cli.DONE
    assert f"example:\n  tileseg {command}" in out
    assert "--quiet" in out
    assert "--verbose" in out


@pytest.mark.parametrize("words", [[], ["segment"], ["predict"], ["info"], ["export", "a"]])
def test_wrong_use_is_exit_code_2_and_shows_the_usage(tileseg, words):
    code, out, err = tileseg(*words)
    assert code == cli.WRONG_USE
    assert not out
    assert err.startswith("usage: tileseg")


def test_the_version_is_printed(tileseg):
    code, out, _ = tileseg("--version")
    assert code == cli.DONE
    assert out.startswith("tileseg ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ImageError("This is no image."), cli.FAILED),
        (SettingsError("Too large."), cli.WRONG_USE),
        (Cancelled("Stopped."), cli.CANCELLED),
        (KeyboardInterrupt(), cli.CANCELLED),
    ],
)
def test_what_goes_wrong_becomes_one_line_and_an_exit_code(tileseg, monkeypatch, error, code):
    def fail(args):
        raise error

    monkeypatch.setattr("napari_tileseg.cli.models.run", fail)
    got, out, err = tileseg("models")
    assert got == code
    assert not out
    assert err.startswith("tileseg: ")
    assert err.count("\n") == 1
    assert str(error) in err


def test_verbose_shows_where_an_error_comes_from(tileseg, tmp_path):
    quiet = tileseg("info", tmp_path / "none.tif")[2]
    verbose = tileseg("info", "-v", tmp_path / "none.tif")[2]
    assert "Traceback" not in quiet
    assert "Traceback" in verbose
    assert verbose.endswith(quiet)


def test_quiet_and_verbose_exclude_each_other(tileseg):
    assert tileseg("models", "-v", "--quiet")[0] == cli.WRONG_USE


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are different there")
@pytest.mark.parametrize("buffered", [True, False])
def test_a_reader_that_has_seen_enough_ends_it_quietly(tiny_checkpoint, buffered):
    code = "import sys; from napari_tileseg.cli import main; sys.exit(main())"
    python = [sys.executable] if buffered else [sys.executable, "-u"]
    with subprocess.Popen(
        [*python, "-c", code, "info", str(tiny_checkpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        program.stdout.close()  # as `head` does, long before anything is printed
        said = program.stderr.read()
    assert program.returncode == cli.FAILED
    assert not said
