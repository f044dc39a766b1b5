"""Which weights of a network are its head, its decoder and its encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable

_CONVOLUTIONS = (nn.modules.conv._ConvNd, nn.Linear)
_OVER_THE_BATCH = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Parts:
    """The names of the weights of a network, from its answer backwards."""

    head: tuple[str, ...]
    decoder: tuple[str, ...]
    encoder: tuple[str, ...]


def parts_of(module: nn.Module, n_outputs: int) -> Parts:
    """Divide the weights of a network.

    Parameters
    ----------
    module
        A network. One that has a part called encoder is divided there; of any other, the half
        of the weights nearer to the image counts as one.
    n_outputs
        How many channels it answers with; the last layer with so many is the head.
    """
    names = [name for name, _ in module.named_parameters()]
    head = _head(module, n_outputs, names)
    rest = [name for name in names if name not in head]
    if isinstance(getattr(module, "encoder", None), nn.Module):
        encoder = {name for name in rest if name.startswith("encoder.")}
    else:
        encoder = set(rest[: len(rest) // 2])
    return Parts(
        tuple(name for name in names if name in head),
        tuple(name for name in rest if name not in encoder),
        tuple(name for name in rest if name in encoder),
    )


def freeze_norms(module: nn.Module) -> None:
    """Let layers that normalise over a batch use what they learnt before, not a few patches."""
    for layer in module.modules():
        if isinstance(layer, _OVER_THE_BATCH) and layer.track_running_stats:
            layer.eval()


def let_change(module: nn.Module, names: Iterable[str]) -> None:
    """Let the weights of these names change, and no other ones."""
    chosen = set(names)
    for name, weight in module.named_parameters():
        weight.requires_grad_(name in chosen)


def _head(module: nn.Module, n_outputs: int, names: list[str]) -> set[str]:
    last = [
        name
        for name, layer in module.named_modules()
        if isinstance(layer, _CONVOLUTIONS) and _outputs(layer) == n_outputs
    ][-1:]
    prefix = f"{last[0]}." if last and last[0] else ""
    return {name for name in names if name.startswith(prefix)} if last else set(names[-2:])


def _outputs(layer: nn.Module) -> int:
    return int(getattr(layer, "out_channels", 0) or getattr(layer, "out_features", 0))
