"""Weights without a description, and files that run code, at the command line."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from napari_tileseg.cli import FAILED, main
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
    assert "--arch and --classes" in err


def test_a_person_can_say_what_is_open(written, tmp_path, capsys):
    torch.save(written.state_dict(), tmp_path / "mine.pt")
    more = ["--arch", "scratch-unet", "activation=elu", "skip_first=false", "--classes", "a,b,c"]
    assert main(["info", str(tmp_path / "mine.pt"), "--json", *more]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["arguments"]["activation"], found["arguments"]["skip_first"]) == ("elu", False)
    assert found["arguments"]["widths"] == [[4, 4], [8, 8], [16, 16], [24, 24]]
    assert "skips" not in err


def test_a_file_that_runs_code_is_opened_when_it_is_trusted(tmp_path, capsys):
    path = str(tmp_path / "whole.pt")
    torch.save(nn.Conv2d(1, 3, 1), path)
    assert main(["info", path]) == FAILED
    assert "--trust" in capsys.readouterr().err
    assert main(["info", path, "--trust", "--quiet"]) == 0
    assert main(["info", path]) == 0
