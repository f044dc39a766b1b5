from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_tileseg import cli
from napari_tileseg.bench import BENCHMARKS, ON_REQUEST
from napari_tileseg.bench.figures import Figure, skipped
from napari_tileseg.bench.pixels import Endless, mirrored
from napari_tileseg.bench.timing import in_turn, ratio

GOOD = Figure("speed", 2.0, "", 1.5, "higher", "3 pairs")
BAD = Figure("memory", 700.0, "MB", 500.0)
TOLD = Figure("wait", 0.5, "s")


@pytest.fixture
def figures(monkeypatch):
    """Let every benchmark yield what is put into this list."""
    found = []
    monkeypatch.setattr("napari_tileseg.cli.bench.measure", lambda name, setup: iter(found))
    return found


def test_a_figure_is_held_to_its_bar_in_the_right_direction():
    assert GOOD.met
    assert not Figure("speed", 1.4, "", 1.5, "higher").met
    assert BAD.met is False
    assert Figure("memory", 500.0, "MB", 500.0).met
    assert TOLD.met is None
    assert skipped("peer", "not installed").met is None


def test_figures_are_printed_with_their_bars_and_written_as_json(tileseg, figures, tmp_path):
    figures[:] = [GOOD, TOLD, skipped("peer", "not installed")]
    file = tmp_path / "figures.json"
    code, out, _ = tileseg("bench", "overhead", "--json", file)
    assert code == cli.DONE
    for word in ("speed", "≥ 1.5", "met", "3 pairs", "0.5 s", "skipped: not installed"):
        assert word in out
    content = json.loads(file.read_text())
    assert content["benchmarks"]["overhead"][0]["met"] is True
    assert content["benchmarks"]["overhead"][2]["value"] is None
    assert {"cpu", "threads", "torch"} <= content["machine"].keys()


def test_threads_are_those_of_processes_that_measure_by_themselves_too(
    tileseg, figures, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    figures[:] = [GOOD]
    before = torch.get_num_threads()
    try:
        tileseg("bench", "memory", "--threads", "1")
        assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (1, "1")
    finally:
        torch.set_num_threads(before)


def test_a_missed_bar_is_a_failure_unless_sizes_are_small(tileseg, figures):
    figures[:] = [GOOD, BAD]
    code, out, said = tileseg("bench", "memory")
    assert code == cli.FAILED
    assert "MISSED" in out
    assert "1 of the bars is missed" in said
    assert tileseg("bench", "memory", "--quick")[0] == cli.DONE


def test_without_a_name_every_benchmark_runs_that_ends_soon(tileseg, figures, monkeypatch):
    ran = []
    monkeypatch.setattr(
        "napari_tileseg.cli.bench.measure", lambda name, setup: ran.append(name) or iter([GOOD])
    )
    assert tileseg("bench", "--quick")[0] == cli.DONE
    assert ran == [name for name in BENCHMARKS if name not in ON_REQUEST]


def test_what_was_measured_before_an_error_is_written(tileseg, monkeypatch, tmp_path):
    def measure(name, setup):
        yield GOOD
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_tileseg.cli.bench.measure", measure)
    file = tmp_path / "figures.json"
    assert tileseg("bench", "peers", "--json", file)[0] == cli.CANCELLED
    assert json.loads(file.read_text())["benchmarks"]["peers"][0]["name"] == "speed"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["speed"], "There is no benchmark 'speed'"),
        (["peers", "--images", "."], "go together"),
        (["peers", "--pairs", "0"], "--pairs"),
    ],
)
def test_wrong_use_is_told(tileseg, words, said):
    code, _, err = tileseg("bench", *words)
    assert code == cli.WRONG_USE
    assert said in err


def test_the_help_names_every_benchmark_and_loads_no_torch():
    code = (
        "import sys; from napari_tileseg.cli import build_parser; build_parser();"
        "assert not {'torch', 'napari', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_benchmark_can_be_loaded():
    from importlib import import_module

    for name in set(BENCHMARKS) - {"memory20"}:
        assert callable(import_module(f"napari_tileseg.bench.{name}").measure)


def test_things_are_timed_in_turn_and_compared_pair_by_pair():
    ran = []
    seconds = in_turn({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, 3)
    assert ran == ["a", "b", "b", "a", "a", "b"]
    assert [len(one) for one in seconds.values()] == [3, 3]
    assert ratio([2.0, 30.0, 8.0], [1.0, 10.0, 2.0]) == 3.0


def test_an_endless_image_has_the_same_pixels_however_it_is_read():
    image = Endless(300)
    whole = image[0:300, 0:300]
    np.testing.assert_array_equal(image[70:200, 130:290], whole[70:200, 130:290])
    assert whole.std() > 20


def test_a_mirrored_image_has_the_wanted_size_and_begins_with_the_original():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    larger = mirrored(pixels, 5)
    assert larger.shape == (5, 5)
    np.testing.assert_array_equal(larger[:3, :4], pixels)
    np.testing.assert_array_equal(larger[3], larger[2])
