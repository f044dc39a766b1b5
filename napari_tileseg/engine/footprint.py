"""How much memory a network takes for a tile, found without running it.

The network is walked through with tensors that have a shape but no pixels. What it holds at
each step is added up: a tensor counts from when it is made until nobody holds it any more.

These are torch's "meta" tensors, followed by a function mode: "fake" tensors and a dispatch
mode would load a compiler, which does not go together with some graphics drivers.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from napari_tileseg.engine.device import in_fast_layout
from napari_tileseg.engine.half_decoder import InFull, computing_in
from napari_tileseg.engine.tiles import round_up
from napari_tileseg.settings import Precision

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_tileseg.engine.network import Network

_LOG = logging.getLogger(__name__)

_SMALL_PX = 128
"""A network that cannot be walked through is run once for real, on a tile of about this size."""

_DTYPES = {
    Precision.BF16: torch.bfloat16,
    Precision.BF16_DECODER: torch.bfloat16,
    Precision.FP16: torch.float16,
}

_CONVOLUTIONS = (torch.conv2d, torch.conv3d, torch.conv_transpose2d, torch.conv_transpose3d)

_ALLOWANCE = 1.15
"""What kernels take besides, and what lies idle between tensors; measured on three networks."""


@dataclass(frozen=True)
class Footprint:
    """Memory that a network takes, in bytes.

    Attributes
    ----------
    weights
        Its parameters and buffers.
    peak
        The most that one forward holds besides these: input, activations, answer.
    """

    weights: int
    peak: int


def footprint(
    network: Network,
    tile: Sequence[int],
    *,
    batch: int = 1,
    device: torch.device | None = None,
    precision: Precision = Precision.FP32,
) -> Footprint:
    """Find out how much memory a forward takes; nothing is computed.

    Parameters
    ----------
    network
        Neither its weights nor its state is touched.
    tile
        The size of a tile in pixels on each spatial axis, without the margin.
    batch
        How many tiles at once.
    device, precision
        Where, and in which number format; the CPU if None.
    """
    on_cpu = device is None or device.type == "cpu"
    dtype = _DTYPES.get(precision, torch.float32)
    weights = sum(one.nbytes for one in _tensors_of(network.module))
    shape = (batch, len(network.spec.channels), *(n + 2 * network.spec.margin for n in tile))
    try:
        hollow = _without_pixels(computing_in(network, precision).module, dtype)
        tiles = torch.empty(shape, device="meta")
        peak = _most_held(hollow, tiles, dtype, on_cpu=on_cpu)
    except Exception as error:  # noqa: BLE001 - whatever a network cannot do without pixels
        _LOG.debug("memory is measured on a small tile instead: %s", error)
        # nobody knows how much of it is the encoder
        known = torch.float32 if precision is Precision.BF16_DECODER else dtype
        peak = _scaled_up(network, shape) * known.itemsize // 4
    return Footprint(weights, round(peak * _ALLOWANCE))


def _scaled_up(network: Network, shape: tuple[int, ...]) -> int:
    """Run a small tile where the network is, and scale by the number of pixels."""
    spec, device = network.spec, network.device
    side = round_up(_SMALL_PX, spec.stride) + 2 * spec.margin
    small = (1, shape[1], *(min(size, side) for size in shape[2:]))
    tiles = torch.zeros(small, device=device)
    held = _most_held(network.module, tiles, torch.float32, on_cpu=device.type == "cpu")
    return round(held * prod(shape) / prod(small))


def _most_held(module: nn.Module, tiles: torch.Tensor, dtype: torch.dtype, *, on_cpu: bool) -> int:
    held = _Held(_tensors_of(module), on_cpu=on_cpu)
    with torch.inference_mode(), held:
        answer = module(in_fast_layout(tiles.clone()).to(dtype))
        answer.float()
    return held.most


def _without_pixels(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Copy a module without its weights: what it remembers of tensors must not be these."""
    known: dict[int, Any] = {}
    parts = [part for part in module.modules() if isinstance(part, InFull)]
    in_full = {id(one) for part in parts for one in _tensors_of(part)}
    for one in _tensors_of(module):
        kind = one.dtype if id(one) in in_full or not one.is_floating_point() else dtype
        hollow = torch.empty_strided(one.shape, one.stride(), dtype=kind, device="meta")
        is_weight = isinstance(one, nn.Parameter)
        known[id(one)] = nn.Parameter(hollow, requires_grad=False) if is_weight else hollow
    return copy.deepcopy(module, known)


def _tensors_of(module: nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _rearranged(tiles: torch.Tensor, kernel: torch.Tensor) -> int:
    """Return the bytes of the copy that a convolution makes of its input on a CPU."""
    return 0 if prod(kernel.shape[2:]) == 1 else tiles.nbytes


class _Held(TorchFunctionMode):
    """Adds up the memory of all tensors that are made while it is on, and still held."""

    def __init__(self, besides: Iterator[torch.Tensor], *, on_cpu: bool) -> None:
        super().__init__()
        self._besides = {_weakly(one.untyped_storage()) for one in besides}
        self._held: dict[StorageWeakRef, int] = {}
        self._on_cpu = on_cpu
        self.most = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and look at what it has made."""
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor):
                self._take(one.untyped_storage())
        self._held = {ref: size for ref, size in self._held.items() if not ref.expired()}  # type: ignore[no-untyped-call]
        copies = self._on_cpu and func in _CONVOLUTIONS
        besides = _rearranged(*args[:2]) if copies else 0
        self.most = max(self.most, sum(self._held.values()) + besides)
        return made

    def _take(self, storage: torch.UntypedStorage) -> None:
        ref = _weakly(storage)
        if ref not in self._besides:
            self._held[ref] = storage.nbytes()


def _weakly(storage: torch.UntypedStorage) -> StorageWeakRef:
    return StorageWeakRef(storage)  # type: ignore[no-untyped-call]
