"""What all tests share: no network, no GPU unless there is one."""

from __future__ import annotations

import os
import secrets
import socket

import hypothesis
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("ours", deadline=None)  # machines differ too much
hypothesis.settings.load_profile("ours")

_LOCAL = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Leave what this computer knows about networks alone, and do not rely on it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILESEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _own_projects(tmp_path_factory, monkeypatch):
    """Let each test save its work where no other looks for it."""
    folder = tmp_path_factory.getbasetemp() / f"projects-{secrets.token_hex(8)}"
    monkeypatch.setenv("TILESEG_DATA", str(folder))


@pytest.fixture(autouse=True)
def _the_same_precision_on_every_machine(monkeypatch):
    """Let automatic precision be fp32: half precision is chosen by the clock."""
    from napari_tileseg.settings import Precision

    fast = "napari_tileseg.engine.precision.fast_precision"
    monkeypatch.setattr(fast, lambda device: Precision.FP32)


@pytest.fixture(autouse=True, scope="session")
def _no_network():
    """Fail at once where a test would wait for another computer."""
    connect = socket.socket.connect

    def refuse(self, address):
        inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if inet and not str(address[0]).startswith(_LOCAL):
            raise OSError(f"a test tried to reach {address[0]}; tests work without a network")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        yield


def pytest_collection_modifyitems(items):
    """Skip what needs a GPU where there is none."""
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if not needing:
        return
    import torch

    if not torch.cuda.is_available():
        for item in needing:
            item.add_marker(pytest.mark.skip(reason="there is no CUDA device here"))
