"""Networks of which only what follows the encoder computes in half precision.

Where labels change under half precision, most of that comes from the encoder: what it rounds
is passed through all that follows. Most of the time goes to the decoder, whose maps are large.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from napari_tileseg.errors import ModelFitError
from napari_tileseg.settings import Precision

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network


class InFull(nn.Module):
    """Mixed into the class of an encoder: under autocast it computes in fp32, and hands on bf16.

    On a GPU fp32 is what torch is set to: with TF32 its products are rounded to 10 bits.
    """

    def forward(self, tiles: torch.Tensor) -> Any:
        """Return what the encoder answers; in half precision if what follows computes in it."""
        kind = tiles.device.type
        if tiles.is_meta:  # tensors without pixels are never cast by themselves
            answer = super().forward(tiles.float())
        elif torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                answer = super().forward(tiles.float())
        else:
            return super().forward(tiles)
        return tree_map_only(torch.Tensor, lambda one: one.to(torch.bfloat16), answer)


def has_encoder(network: Network) -> bool:
    """Whether a network says which part of it is an encoder."""
    return isinstance(getattr(network.module, "encoder", None), nn.Module)


def computing_in(network: Network, precision: Precision) -> Network:
    """Return a network as it has to be for a precision; one with the same weights, or itself.

    Raises
    ------
    ModelFitError
        If the precision is one of the decoder, and there is no encoder to tell it from.
    """
    if precision is not Precision.BF16_DECODER:
        return network
    if not has_encoder(network):
        raise ModelFitError(
            f"'{network.spec.name}' has no encoder that could compute in fp32 by itself; "
            "choose precision bf16, fp32 or auto."
        )
    module = _with_same_weights(network.module)
    _put_in_full(module.encoder)
    return replace(network, module=module)


def _put_in_full(encoder: nn.Module) -> None:
    if not isinstance(encoder, InFull):
        kind = type(encoder)
        encoder.__class__ = type(f"{kind.__name__}InFull", (InFull, kind), {})


def _with_same_weights(module: nn.Module) -> Any:
    weights = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(one): one for one in weights})
