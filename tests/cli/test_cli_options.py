from __future__ import annotations

import argparse

import pytest

from napari_tileseg.cli.options import add_settings, settings_from
from napari_tileseg.errors import SettingsError
from napari_tileseg.settings import Blend, Mode, RunSettings, TrainSettings


def read(kind, *words):
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_settings(parser, kind)
    return settings_from(parser.parse_args(words), kind)


@pytest.mark.parametrize("kind", [RunSettings, TrainSettings])
def test_without_options_the_settings_are_the_defaults(kind):
    assert read(kind) == kind()


@pytest.mark.parametrize("kind", [RunSettings, TrainSettings])
def test_every_knob_is_an_option_with_its_help_and_default(kind):
    parser = argparse.ArgumentParser()
    add_settings(parser, kind)
    text = " ".join(parser.format_help().split())
    for name, knob in kind.knobs().items():
        assert "--" + name.replace("_", "-") in text
        assert knob.help in text
        assert f"[default: {knob.automatic}]" in text or getattr(kind, name) is not None


def test_options_become_settings_of_their_type():
    words = [
        "--tile",
        "96",
        "--overlap",
        "0.5",
        "--blend",
        "crop",
        "--channels",
        "2,0",
        "--probabilities",
    ]
    assert read(RunSettings, *words) == RunSettings(
        tile=96, overlap=0.5, blend=Blend.CROP, channels=(2, 0), probabilities=True
    )


def test_an_underscore_becomes_a_hyphen():
    assert read(TrainSettings, "--learning-rate", "0.1").learning_rate == 0.1


def test_an_explicit_blend_implies_tiles():
    assert read(RunSettings, "--blend", "hann").mode is Mode.BLEND


@pytest.mark.parametrize("mode", ["whole", "exact", "calibrated", "frozen-norm"])
def test_a_blend_where_nothing_is_blended_is_refused(mode):
    with pytest.raises(SettingsError, match=f"nothing to blend.*{mode}"):
        read(RunSettings, "--blend", "hann", "--mode", mode)


def test_modes_and_variants_go_by_their_names():
    words = "--mode frozen-norm --tta d4 --tta-mean probabilities --memory-gb 4 --skip-empty"
    assert read(RunSettings, *words.split()) == RunSettings(
        mode=Mode.FROZEN_NORM, tta="d4", tta_mean="probabilities", memory_gb=4.0, skip_empty=True
    )


def test_a_value_out_of_bounds_is_refused_in_the_words_of_the_settings():
    with pytest.raises(SettingsError, match=r"Tile \(tile\) is 3; it has to be from 16 to 16384"):
        read(RunSettings, "--tile", "3")


@pytest.mark.parametrize("words", [("--blend", "soft"), ("--tile", "big"), ("--channels", "red")])
def test_a_value_of_the_wrong_kind_is_refused_by_the_parser(words):
    with pytest.raises(argparse.ArgumentError):
        read(RunSettings, *words)
