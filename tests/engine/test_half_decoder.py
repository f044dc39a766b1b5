"""The encoder in full precision, what follows in half."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from napari_tileseg.engine.footprint import footprint
from napari_tileseg.engine.half_decoder import InFull, computing_in, has_encoder
from napari_tileseg.engine.predict import predict
from napari_tileseg.errors import ModelFitError
from napari_tileseg.settings import Precision
from stubs import network, small_conv

CPU_IN_HALF = {"device_type": "cpu", "dtype": torch.bfloat16}


class Encoder(nn.Module):
    """Answers with two maps, and remembers in what it computed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.computed_in: torch.dtype | None = None

    def forward(self, tiles: torch.Tensor) -> list[torch.Tensor]:
        features = self.conv(tiles)
        self.computed_in = features.dtype
        return [tiles, features]


class EncoderDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.head = nn.Conv2d(4, 3, 1)
        self.read: torch.dtype | None = None

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        features = self.encoder(tiles)[-1]
        self.read = features.dtype
        answer: torch.Tensor = self.head(features)
        return answer


def test_only_what_follows_the_encoder_computes_in_half_precision():
    model = computing_in(network(EncoderDecoder()), Precision.BF16_DECODER)
    with torch.inference_mode(), torch.autocast(**CPU_IN_HALF):
        answer = model.module(torch.rand(1, 1, 16, 16))
    assert model.module.encoder.computed_in is torch.float32
    assert model.module.read is torch.bfloat16
    assert answer.dtype is torch.bfloat16


@pytest.mark.parametrize("precision", [one for one in Precision if one != "bf16-decoder"])
def test_other_precisions_need_no_other_network(precision):
    model = network(EncoderDecoder())
    assert computing_in(model, precision) is model


def test_the_network_itself_is_left_as_it_is_and_shares_its_weights():
    model = network(EncoderDecoder())
    other = computing_in(model, Precision.BF16_DECODER)
    assert not isinstance(model.module.encoder, InFull)
    assert isinstance(other.module.encoder, InFull)
    assert isinstance(other.module.encoder, Encoder)
    pairs = zip(model.module.parameters(), other.module.parameters(), strict=True)
    assert all(one is another for one, another in pairs)
    with torch.inference_mode(), torch.autocast(**CPU_IN_HALF):
        model.module(torch.rand(1, 1, 16, 16))
    assert model.module.encoder.computed_in is torch.bfloat16


def test_a_tile_that_goes_to_the_cpu_is_computed_in_full():
    model = computing_in(network(EncoderDecoder()), Precision.BF16_DECODER)
    with torch.inference_mode():
        answer = model.logits(torch.rand(1, 1, 16, 16))
    assert model.module.read is torch.float32
    assert answer.dtype is torch.float32


def test_a_copy_of_the_network_has_weights_of_its_own():
    other = computing_in(network(EncoderDecoder()), Precision.BF16_DECODER)
    copied = copy.deepcopy(other.module)
    nn.init.zeros_(copied.encoder.conv.weight)
    nn.init.zeros_(copied.encoder.conv.bias)
    features = copied.encoder(torch.rand(1, 1, 8, 8))[-1]
    assert not features.any()
    assert other.module.encoder.conv.weight.any()


def test_it_can_be_asked_for_twice():
    once = computing_in(network(EncoderDecoder()), Precision.BF16_DECODER)
    twice = computing_in(once, Precision.BF16_DECODER)
    assert type(twice.module.encoder) is type(once.module.encoder)


def test_a_network_without_an_encoder_is_told_so():
    assert not has_encoder(small_conv())
    with pytest.raises(ModelFitError, match="has no encoder"):
        predict(np.zeros((40, 40), np.float32), small_conv(), precision="bf16-decoder")


def test_labels_are_nearer_to_full_precision_than_in_half():
    torch.manual_seed(0)
    model = network(smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=3), stride=32)
    image = np.random.default_rng(0).normal(size=(160, 192)).astype(np.float32)
    full, partly, half = (
        predict(image, model, device="cpu", tile=96, mode="blend", precision=one)
        for one in ("fp32", "bf16-decoder", "bf16")
    )
    assert 0 < (partly != full).sum() < (half != full).sum()


def test_memory_counts_the_encoder_in_full():
    model = network(EncoderDecoder())
    full, partly, half = (
        footprint(model, (512, 512), precision=one).peak
        for one in (Precision.FP32, Precision.BF16_DECODER, Precision.BF16)
    )
    assert half < partly <= full


class LooksAtPixels(EncoderDecoder):
    """Cannot be walked through without pixels."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return super().forward(tiles + float(tiles.max() > 1))


def test_memory_of_what_cannot_be_walked_through_is_not_guessed_too_low():
    model = network(LooksAtPixels())
    full, partly = (
        footprint(model, (512, 512), precision=one).peak
        for one in (Precision.FP32, Precision.BF16_DECODER)
    )
    assert partly == full
