"""Modules that look at the whole of their input, so that a tile differs from its image.

They are found by their type, or by the names that the usual libraries give them, so that a
person reads which ones they are. Whether outputs depend on everything is measured by `probe`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.engine.spec import ModelSpec

_TYPES = (
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)

_NAMES = (
    # squeeze and excitation, and what followed it
    "SqueezeExcit",
    "SEModule",
    "SELayer",
    "SEBlock",
    "GatherExcite",
    "GlobalContext",
    "GlobalResponseNorm",
    "EcaModule",
    "EseModule",
    "CbamModule",
    "SelectiveKernel",
    "SplitAttn",
    # attention
    "Attention",
    "Attn",
    "SABlock",
    "NonLocal",
    "PABBlock",
    # pooled context
    "ASPPPooling",
    "PSPBlock",
    "AdaptivePool",
    "AdaptiveAvgMaxPool",
)
_PARTS = ("_se_reduce",)
"""Submodules of those that have no module of their own for what looks at everything."""

_LEFT_OVER = ("global_pool", "_avg_pooling")
"""What encoders keep of the classifier they once were; a segmentation never calls it."""


class Known(Protocol):
    """What an architecture says about itself; `models.facts.Facts` is one."""

    @property
    def stride(self) -> int:
        """See `ModelSpec`."""

    @property
    def margin(self) -> int:
        """See `ModelSpec`."""

    @property
    def spatial_dims(self) -> int:
        """See `ModelSpec`."""

    @property
    def size_dependent(self) -> tuple[str, ...]:
        """Why answers depend on the tile's size, for a person to read."""


def with_facts(spec: ModelSpec, module: nn.Module, known: Known) -> ModelSpec:
    """Return a description with what the network itself says, whatever stood there before."""
    return replace(
        spec,
        stride=known.stride,
        margin=known.margin,
        spatial_dims=known.spatial_dims,
        global_context=(*known.size_dependent, *modules_with_global_context(module)),
    )


def modules_with_global_context(module: nn.Module) -> tuple[str, ...]:
    """Name the modules that look at their whole input, as "path (Type)"."""
    return tuple(_named(module))


def _named(module: nn.Module) -> Iterator[str]:
    for path, part in module.named_modules():
        if not any(name in path.split(".") for name in _LEFT_OVER) and _looks_at_all(part):
            yield f"{path} ({type(part).__name__})"


def _looks_at_all(part: nn.Module) -> bool:
    if isinstance(part, _TYPES) or any(hasattr(part, name) for name in _PARTS):
        return True
    if isinstance(part, nn.Upsample):
        return bool(part.align_corners)  # where samples are taken depends on the size
    if isinstance(part, nn.LayerNorm):
        return len(part.normalized_shape) > 1
    if not any(name in type(part).__name__ for name in _NAMES):
        return False
    # the gates of an Attention U-Net (Oktay et al., 2018) weigh each pixel by itself
    gated = any(hasattr(one, "psi") for one in part.modules())
    # an attention that was left out stays behind as a module without weights
    return not gated and any(True for _ in part.parameters())
