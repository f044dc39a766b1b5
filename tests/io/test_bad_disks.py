"""Read-only folders and full disks, real ones: root is not stopped by file modes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from disks import make_read_only, small_disk
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.errors import OutputError
from napari_tileseg.io.checkpoints import save_model
from napari_tileseg.io.labels import export

LABELS = np.random.default_rng(0).integers(0, 250, (900, 900), dtype=np.uint8)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own: 128 kB."""
    with small_disk(tmp_path / "disk") as folder:
        yield folder


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
    make_read_only(disk)
    with pytest.raises(OutputError, match=r"is read-only\. Choose another folder") as caught:
        writers(network)[name](target)
    assert str(caught.value).endswith("The existing file is untouched.")
    assert [one.name for one in disk.iterdir()] == [name]
    assert target.read_bytes() == b"old"
