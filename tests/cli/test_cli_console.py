from __future__ import annotations

from argparse import Namespace

import pytest

from napari_tileseg.cli import console

TALKING, QUIET = Namespace(quiet=False), Namespace(quiet=True)


@pytest.fixture
def clock(monkeypatch):
    """Let the test say what time it is."""
    now = [100.0]
    monkeypatch.setattr("napari_tileseg.cli.console.time.monotonic", lambda: now[0])
    return now


def test_in_a_log_file_progress_is_a_line_every_ten_seconds(capsys, clock):
    with console.progress(TALKING, "slide") as advance:
        for done in range(1, 31):
            clock[0] += 1
            advance(done, 40)
    assert capsys.readouterr().err.splitlines() == [
        "slide: 10 of 40 tiles, 30 s left",
        "slide: 20 of 40 tiles, 20 s left",
        "slide: 30 of 40 tiles, 10 s left",
    ]


def test_in_a_terminal_progress_is_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with console.progress(TALKING, "slide [1]") as advance:
        advance(40, 40)
    out, err = capsys.readouterr()
    assert not out
    assert "slide [1]" in err
    assert "40/40" in err


def test_what_is_gone_over_first_is_told_and_does_not_count_as_tiles(capsys, clock):
    with console.progress(TALKING, "slide") as advance:
        for share in (0.25, 0.5, 1):
            clock[0] += 10
            advance.survey(share)
        clock[0] += 10
        advance(10, 40)
    assert capsys.readouterr().err.splitlines() == [
        "slide: going over the whole image first, 25 %, 30 s left",
        "slide: going over the whole image first, 50 %, 20 s left",
        "slide: going over the whole image first, 100 %, 0 s left",
        "slide: 10 of 40 tiles, 30 s left",
    ]


def test_in_a_terminal_the_bar_says_what_is_gone_over_first(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with console.progress(TALKING, "slide") as advance:
        advance.survey(0.42)
    assert "first, 42 %" in " ".join(capsys.readouterr().err.split())


def test_quiet_says_nothing(capsys, clock):
    with console.progress(QUIET, "slide") as advance:
        clock[0] += 100
        advance.survey(1)
        advance(1, 2)
    console.note(QUIET, "a note")
    assert capsys.readouterr() == ("", "")
