"""In which order the norms of a network are measured, and how much of the network that takes.

The input of a norm depends on the norms before it. So each pass over the tiles runs the
network until the first norm that is not frozen yet, and no further; norms that follow and do
not depend on each other (the branches of a residual block) are measured in the same pass.
"""

from __future__ import annotations

import copy
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_tileseg.engine.local_norm import local_norms
from napari_tileseg.errors import ModelFitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_tileseg.engine.local_norm import FrozenInstanceNorm
    from napari_tileseg.engine.network import Network


@dataclass(frozen=True)
class Pass:
    """One pass over all tiles.

    Attributes
    ----------
    norms
        Paths of the norms that are measured, in the order in which the network comes to them.
    cells
        For each of them: how many cells of its input, on each axis, lie in one stride of the
        network.
    share
        How much of the network is run, between 0 and 1, in multiplications.
    """

    norms: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...]
    share: float


@torch.inference_mode()
def measuring_passes(network: Network) -> tuple[Pass, ...]:
    """Find the passes by running a network with local norms on tiny inputs, on the CPU.

    The sum of their shares is what measuring costs, in runs over the same tiles.

    Raises
    ------
    ModelFitError
        If a norm runs more than once for a tile, or reads what is not an array of pixels.
    """
    module = copy.deepcopy(network.module).to("cpu", torch.float32).eval()
    network = replace(network, module=module)
    small, large = _tiny(network, 2), _tiny(network, 3)
    shapes = [_shapes(network, tiny) for tiny in (small, large)]
    cells = {
        path: tuple(
            more - less for less, more in zip(shapes[0][path], shapes[1][path], strict=True)
        )
        for path in shapes[0]
    }
    if not all(count > 0 for counts in cells.values() for count in counts):
        raise _unfreezable(network, "some of its layers have the same size for every image")
    shares = _shares(network, small)
    return tuple(
        Pass(norms, tuple(cells[path] for path in norms), max(shares[path] for path in norms))
        for norms in _grouped(network, small, list(cells))
    )


def _tiny(network: Network, strides: int) -> torch.Tensor:
    spec = network.spec
    side = strides * spec.stride + 2 * spec.margin
    return torch.zeros((1, len(spec.channels), *(side,) * spec.spatial_dims))


@contextmanager
def listening(
    norms: Mapping[str, FrozenInstanceNorm], hear: Callable[[str, torch.Tensor], None]
) -> Iterator[None]:
    """Hand what norms are about to read to `hear`, together with their path."""

    def hook(path: str) -> Callable[..., None]:
        return lambda _, values: hear(path, values[0])

    with ExitStack() as hooks:
        for path, norm in norms.items():
            hooks.callback(norm.register_forward_pre_hook(hook(path)).remove)
        yield


def _shapes(network: Network, tiny: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """Return the spatial shape of what each norm reads, in the order of execution."""
    found: dict[str, tuple[int, ...]] = {}

    def note(path: str, values: torch.Tensor) -> None:
        if path in found:
            raise _unfreezable(network, f"its layer '{path}' runs more than once for a tile")
        if values.ndim != tiny.ndim or len(values) != len(tiny):
            raise _unfreezable(network, f"its layer '{path}' does not read an array of pixels")
        found[path] = tuple(values.shape[2:])

    with listening(local_norms(network), note):
        network.module(tiny)
    return found


def _unfreezable(network: Network, why: str) -> ModelFitError:
    return ModelFitError(
        f"The normalisation of '{network.spec.name}' cannot be measured on the whole image: {why}. "
        "Choose mode 'whole' if the image fits, else mode 'blend'."
    )


def _shares(network: Network, tiny: torch.Tensor) -> dict[str, float]:
    """Return which part of all multiplications comes before each norm."""
    done = 0
    before: dict[str, int] = {}

    def count(layer: Any, values: tuple[torch.Tensor, ...], answer: torch.Tensor) -> None:
        nonlocal done
        # a layer that enlarges multiplies once for each pixel that it reads
        places = min(values[0][0, 0].numel(), answer[0, 0].numel())
        done += layer.weight.numel() * places

    def note(path: str, _: torch.Tensor) -> None:
        before[path] = done

    with ExitStack() as hooks:
        for part in network.module.modules():
            if isinstance(part, nn.modules.conv._ConvNd):
                hooks.callback(part.register_forward_hook(count).remove)
        with listening(local_norms(network), note):
            network.module(tiny)
    return {path: first / max(1, done) for path, first in before.items()}


def _grouped(network: Network, tiny: torch.Tensor, order: list[str]) -> Iterator[tuple[str, ...]]:
    """Group norms that follow each other and do not depend on each other."""
    norms = local_norms(network)
    left = list(order)
    while left:
        for path in left:
            norms[path].mean.fill_(torch.nan)
        sound = _sound(network, tiny)
        # the first one depends on no other; a number out of range does not make it do so
        group = (left[0], *takewhile(sound.__contains__, left[1:]))
        for path in group:
            norms[path].mean.zero_()
        left = left[len(group) :]
        yield group


def _sound(network: Network, tiny: torch.Tensor) -> set[str]:
    """Return the norms that read nothing but numbers."""
    found = set()

    def note(path: str, values: torch.Tensor) -> None:
        if not bool(values.isnan().any()):
            found.add(path)

    with listening(local_norms(network), note):
        network.module(tiny)
    return found
