"""Layers that normalise by what they see need more than one value of each channel."""

from __future__ import annotations

from typing import Any

from torch import nn

from napari_tileseg.errors import SettingsError

_OVER_THE_BATCH = nn.modules.batchnorm._BatchNorm
_OVER_EACH_PATCH = nn.modules.instancenorm._InstanceNorm


def refuse_single_values(module: nn.Module) -> None:
    """Make the first pass of a training raise `SettingsError` where a layer sees too little.

    Deep inside a network a patch has shrunk to a few values, or to one; how many can only be
    known by running it.
    """
    for layer in module.modules():
        if isinstance(layer, (_OVER_THE_BATCH, _OVER_EACH_PATCH)):
            layer.register_forward_pre_hook(_check)


def _check(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
    seen = inputs[0]  # (B, channels, *spatial)
    patches = seen.shape[0] if isinstance(layer, _OVER_THE_BATCH) else 1
    if layer.training and patches * seen[0, 0].numel() == 1:
        raise SettingsError(
            "Deep inside this network a patch shrinks to a single value, which cannot be "
            "normalised. Choose a --batch of at least 2; if that does not help, a larger --patch."
        )
