"""Read-only folders and full disks, real ones: root is not stopped by file modes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.errors import OutputError
from napari_tileseg.io.checkpoints import save_model
from napari_tileseg.io.labels import export

LABELS = np.random.default_rng(0).integers(0, 250, (900, 900), dtype=np.uint8)


def _mount(folder: Path, options: str) -> None:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a file system needs root on Linux")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own: 128 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    _mount(folder, "size=128k")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def network() -> Network:
    recipe = Architecture("a network", {})
    module = torch.nn.Conv2d(64, 64, 9)
    return Network(module, ModelSpec("m", default_classes(2)), recipe)


def writers(network: Network) -> dict[str, Callable[[Path], object]]:
    return {
        "labels.ome.tif": lambda path: export(LABELS, path),
        "labels.png": lambda path: export(LABELS, path),
        "model.safetensors": lambda path: save_model(network, path),
    }


@pytest.mark.parametrize("name", ["labels.ome.tif", "labels.png", "model.safetensors"])
@pytest.mark.parametrize("existing", [True, False])
def test_a_full_disk_loses_nothing(disk: Path, network: Network, name: str, existing: bool) -> None:
    target = disk / name
    if existing:
        target.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"is full\. Free some room") as caught:
        writers(network)[name](target)
    kept = "The existing file is untouched." if existing else "Nothing was written."
    assert str(caught.value).endswith(kept)
    assert [one.name for one in disk.iterdir()] == ([name] if existing else [])
    assert not existing or target.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["labels.ome.tif", "labels.png", "model.safetensors"])
def test_a_read_only_folder_loses_nothing(disk: Path, network: Network, name: str) -> None:
    target = disk / name
    target.write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(OutputError, match=r"is read-only\. Choose another folder") as caught:
        writers(network)[name](target)
    assert str(caught.value).endswith("The existing file is untouched.")
    assert [one.name for one in disk.iterdir()] == [name]
    assert target.read_bytes() == b"old"
