"""Weights without a description, and files that run code, at the command line."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from napari_tileseg.cli import FAILED, WRONG_USE, main
from written_unets import STYLES, Written


@pytest.fixture
def written() -> Written:
    return Written(STYLES["inc, down, up, outc"]).eval()


def test_weights_alone_are_recognised_and_what_is_open_is_said(written, tmp_path, capsys):
    torch.save(written.state_dict(), tmp_path / "mine.pt")
    assert main(["info", str(tmp_path / "mine.pt"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["architecture"] == "scratch-unet"
    assert err.startswith("The weights do not say whether skips come before")
    assert "--arch (with normalisation=...) and --classes" in err


def test_a_person_can_say_what_is_open(written, tmp_path, capsys):
    torch.save(written.state_dict(), tmp_path / "mine.pt")
    more = ["--arch", "scratch-unet", "activation=elu", "skip_first=false", "--classes", "a,b,c"]
    assert main(["info", str(tmp_path / "mine.pt"), "--json", *more]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["arguments"]["activation"], found["arguments"]["skip_first"]) == ("elu", False)
    assert found["arguments"]["widths"] == [[4, 4], [8, 8], [16, 16], [24, 24]]
    assert "skips" not in err


def test_a_person_can_say_which_intensities_it_expects(written, tmp_path, capsys):
    torch.save(written.state_dict(), tmp_path / "mine.pt")
    path, arch = str(tmp_path / "mine.pt"), ["--arch", "scratch-unet", "normalisation=zscore"]
    assert main(["info", path, "--json"]) == 0
    usual = json.loads(capsys.readouterr()[0])["normalisation"]
    assert main(["info", path, "--json", *arch]) == 0
    out, err = capsys.readouterr()
    assert "zscore" in str(json.loads(out)["normalisation"])
    assert "zscore" not in str(usual)
    assert "intensities" not in err
    assert "skips" in err
    assert main(["info", path, "--arch", "scratch-unet", "normalisation=loud"]) == WRONG_USE
    assert "fixed, percentile, zscore, none" in capsys.readouterr().err


def test_a_file_that_runs_code_is_opened_when_it_is_trusted(tmp_path, capsys):
    path = str(tmp_path / "whole.pt")
    torch.save(nn.Conv2d(1, 3, 1), path)
    assert main(["info", path]) == FAILED
    assert "--trust" in capsys.readouterr().err
    assert main(["info", path, "--trust", "--quiet"]) == 0
    assert main(["info", path]) == 0
