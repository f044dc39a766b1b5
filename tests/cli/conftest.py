from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_tileseg.cli import main
from stubs import echo


@pytest.fixture
def tileseg(capsys):
    """Run the command as a person does; returns (exit code, stdout, stderr)."""

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def echo_model(monkeypatch):
    """Make every --model the network whose logits are the three channels of the image."""
    monkeypatch.setattr("napari_tileseg.io.checkpoints.load_model", lambda source, **_: echo())
    return "echo"


@pytest.fixture
def tiny_checkpoint(tmp_path):
    """Save a small network with random weights that reads grey images; return its path."""
    import torch

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
    from napari_tileseg.io.checkpoints import save_model
    from napari_tileseg.models.registry import build

    arguments = {
        "encoder_name": "resnet18",
        "encoder_weights": None,
        "encoder_depth": 3,
        "decoder_channels": [16, 16, 8],
        "in_channels": 1,
        "classes": 3,
    }
    torch.manual_seed(0)
    architecture = Architecture("smp.Unet", arguments)
    spec = ModelSpec("tiny", default_classes(3), stride=8, tile=64, pixel_size_um=0.5)
    network = Network(build(architecture), spec, architecture)
    return save_model(network, tmp_path / "tiny.safetensors")


@pytest.fixture
def rgb(tmp_path):
    """Write an RGB image in which the brightest channel is known: (path, labels)."""
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 255, (70, 90, 3), dtype=np.uint8)
    path = tmp_path / "tissue.tif"
    tifffile.imwrite(path, pixels, photometric="rgb")
    return path, pixels.argmax(-1).astype(np.uint8)
