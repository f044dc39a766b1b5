"""A network that is tried out takes no more memory than a small tile is worth."""

import pytest
import torch

from napari_tileseg.engine.spec import Architecture
from napari_tileseg.errors import CheckpointError
from napari_tileseg.models import registry
from napari_tileseg.models.bounded import Bounded

HUNGRY = [
    ("smp.Unet", {"encoder_name": "resnet18", "in_channels": 1, "img_size": 3840}),
    ("smp.FPN", {"encoder_name": "resnet18", "upsampling": 64, "classes": 4096}),
    ("xt", {"encoder_name": "resnet18", "region": 2048, "halo": 2048}),
    ("apcnet", {"encoder_name": "resnet18", "scales": [2500], "channels": 1}),
]


@pytest.mark.parametrize(("name", "arguments"), HUNGRY)
def test_arguments_that_take_gigabytes_for_a_small_tile_are_refused_before_they_do(
    name, arguments
) -> None:
    with pytest.raises(CheckpointError, match=r"takes an array of [0-9,]+ numbers"):
        registry.build(Architecture(name, arguments))


def test_nothing_is_made_that_is_refused_and_the_rest_is_as_without_it() -> None:
    wide = torch.ones(1).expand(2**20)
    with Bounded("it"):
        assert float((wide * 2).sum()) == 2**21
        with pytest.raises(CheckpointError, match="it with these arguments"):
            wide[:, None] * wide  # 4 TB
