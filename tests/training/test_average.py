import pytest
import torch
from torch import nn

from napari_tileseg.training.average import Average


def _linear(value: float) -> nn.Linear:
    module = nn.Linear(1, 1)
    for weight in module.parameters():
        nn.init.constant_(weight, value)
    return module


@pytest.mark.parametrize(("kept", "expected"), [(0.0, 5.0), (0.25, 4.0), (1.0, 1.0)])
def test_it_comes_to_rest_where_the_weights_are_but_for_the_share_that_is_kept(kept, expected):
    average = Average(_linear(1.0), decay=0.5, kept=kept)
    for _ in range(60):
        average.update(_linear(5.0))
    assert torch.allclose(average.module.weight, torch.tensor(expected))
    assert average.updates == 60


def test_what_is_averaged_is_left_as_it_is():
    module = _linear(5.0)
    average = Average(_linear(1.0), kept=0.25)
    average.update(module)
    assert float(module.weight.detach()) == 5.0
