from __future__ import annotations

import pytest
import torch

from napari_tileseg.engine import compiled as module
from stubs import network


class Failing(torch.nn.Module):
    """Stands for what torch makes of a module that it cannot compile."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.calls = 0

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        raise self.error


def _compiled(monkeypatch, error):
    failing = Failing(error)
    monkeypatch.setattr(torch, "compile", lambda plain, **_: failing)
    return module.compiled(network(torch.nn.Conv2d(1, 3, 3, padding=1))), failing


def test_what_cannot_be_compiled_runs_as_it_is_and_is_not_tried_again(monkeypatch):
    fast, failing = _compiled(monkeypatch, RuntimeError("no compiler"))
    tiles = torch.randn(1, 1, 8, 8)
    for _ in range(3):
        assert torch.equal(fast.module(tiles), fast.module.plain(tiles))
    assert failing.calls == 1


def test_memory_that_runs_out_is_not_taken_for_a_failure_to_compile(monkeypatch):
    fast, failing = _compiled(monkeypatch, torch.OutOfMemoryError("out of memory"))
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            fast.module(torch.randn(1, 1, 8, 8))
    assert failing.calls == 2
