"""Networks of torchvision that answer with one array of logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn import functional

from napari_tileseg.models.libraries import import_torchvision_nets

if TYPE_CHECKING:
    import torch


class Answering(nn.Module):
    """What `torchvision.models.segmentation` makes, without the dictionary it answers with.

    Its parts have the same names, so that weights fit either way.
    """

    def __init__(self, made: Any) -> None:
        super().__init__()
        self.backbone = made.backbone
        self.classifier = made.classifier
        self.aux_classifier = made.aux_classifier

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes, H, W) for tiles (B, in_channels, H, W)."""
        coarse = self.classifier(self.backbone(tiles)["out"])
        return functional.interpolate(
            coarse, size=tiles.shape[2:], mode="bilinear", align_corners=False
        )


def made(name: str, in_channels: int, classes: int, aux_loss: bool) -> nn.Module:
    """Make a network of torchvision for images of any number of channels, with random weights."""
    make = getattr(import_torchvision_nets(), name)
    module = make(weights=None, weights_backbone=None, num_classes=classes, aux_loss=aux_loss)
    first = module.backbone["conv1"]
    if in_channels != first.in_channels:
        module.backbone["conv1"] = nn.Conv2d(
            in_channels, first.out_channels, 7, stride=2, padding=3, bias=False
        )
    return Answering(module)
