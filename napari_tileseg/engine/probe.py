"""How far a network looks, found by where one NaN spreads.

A pixel that is not a number makes every output not a number that depends on it, whatever
the weights are. The probe is structural: it never finds less than the true receptive field.
It runs on strips as thin as the network allows, so that it takes seconds on a CPU.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

import torch

from napari_tileseg.engine.tiles import round_up

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network

VERSION = 2
"""Rises whenever the probe can find something else in the same network."""

_LENGTHS = (512, 1024, 2048, 4096)
_AT_ONCE_PX = 2**18
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ReceptiveField:
    """How far outputs look, in pixels, on each spatial axis.

    Attributes
    ----------
    before, after
        Context needed towards the start and towards the end of each axis.
    bounded
        False if outputs depend on all of the input, or on its size: then no halo is enough,
        and `before` and `after` are what was found until then.
    size_dependent
        Whether the same pixels get other answers in a larger input, or at another place of it,
        although no pixel beyond the receptive field matters (resizing with aligned corners).
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    bounded: bool
    size_dependent: bool = False

    @property
    def halo(self) -> int:
        """Context that is enough on every side, in pixels."""
        return max(*self.before, *self.after)


class Memory(Protocol):
    """Keeps what probes found for longer than a program runs; `io.known_facts` has one."""

    def get(self, network: Network, which: str) -> ReceptiveField | None:
        """Return what was found, None if nothing is known."""

    def put(self, network: Network, which: str, field: ReceptiveField) -> None:
        """Remember what was found."""


_memory: Memory | None = None
_KNOWN: WeakKeyDictionary[Network, dict[str, ReceptiveField]] = WeakKeyDictionary()
_AS_IT_IS, _FROZEN = "as it is", "norms frozen"


def remember_in(place: Memory | None) -> None:
    """Look there before probing, and write there what was found."""
    global _memory
    _memory = place


def memory() -> Memory | None:
    """Return where receptive fields are remembered, if anywhere."""
    return _memory


def receptive_field(network: Network) -> ReceptiveField:
    """Probe a network on the CPU, once; its own module is not touched.

    Every phase of the stride is probed, at growing lengths until the NaN stays inside.
    """
    known = known_field(network)
    return _learnt(network, _AS_IT_IS, network) if known is None else known


def frozen_field(network: Network) -> ReceptiveField:
    """Probe a network as it is once its InstanceNorms are frozen; see `local_norm`."""
    from napari_tileseg.engine.local_norm import with_local_norms

    known = _recalled(network, _FROZEN)
    return _learnt(network, _FROZEN, with_local_norms(network)) if known is None else known


def known_field(network: Network) -> ReceptiveField | None:
    """Return the receptive field if it was probed before, without probing."""
    return _recalled(network, _AS_IT_IS)


def _recalled(network: Network, which: str) -> ReceptiveField | None:
    known = _KNOWN.setdefault(network, {})
    if which not in known and _memory is not None:
        found = _memory.get(network, which)
        if found is not None:
            known[which] = found
    return known.get(which)


def _learnt(network: Network, which: str, probed: Network) -> ReceptiveField:
    field = _KNOWN.setdefault(network, {})[which] = _probed(probed)
    if _memory is not None:
        _memory.put(network, which, field)
    return field


def _probed(network: Network) -> ReceptiveField:
    module = copy.deepcopy(network.module).to("cpu", torch.float32).eval()
    network = replace(network, module=module)
    before, after, bounded, depends = [], [], True, False
    for axis in range(network.spec.spatial_dims):
        left, right, inside, length = _along(network, axis)
        before.append(left)
        after.append(right)
        bounded = bounded and inside
        if inside:
            depends = depends or _size_dependent(network, axis, max(left, right), length)
    return ReceptiveField(tuple(before), tuple(after), bounded and not depends, depends)


def _along(network: Network, axis: int) -> tuple[int, int, bool, int]:
    left = right = 0
    for length in _LENGTHS:
        padded = round_up(length, network.spec.stride)
        left, right, inside = _spread(network, axis, padded)
        if inside:
            break
    return left, right, inside, padded


@torch.inference_mode()
def _spread(network: Network, axis: int, length: int) -> tuple[int, int, bool]:
    """Return how far NaNs in the middle reach to either side, and whether they stay inside."""
    stride, margin = network.spec.stride, network.spec.margin
    middle = length // 2 // stride * stride
    shape = _strip(network, axis, length)
    at_once = max(1, _AT_ONCE_PX // prod(shape))
    left = right = 0
    for first in range(0, stride, at_once):
        phases = range(middle + first, middle + min(first + at_once, stride))
        strips = torch.zeros((len(phases), len(network.spec.channels), *shape))
        for strip, place in zip(strips, phases, strict=True):
            strip.select(axis + 1, place + margin).fill_(torch.nan)
        answers = network.logits(strips)
        for answer, place in zip(answers, phases, strict=True):
            other = [dim for dim in range(answer.ndim) if dim != axis + 1]
            reached = answer.isnan().any(dim=other).nonzero().flatten()
            if len(reached) == 0:
                continue
            first_reached, last_reached = int(reached[0]), int(reached[-1])
            if first_reached == 0 or last_reached == length - 1:
                return place, length - 1 - place, False
            left = max(left, last_reached - place)
            right = max(right, place - first_reached)
    return left, right, True


@torch.inference_mode()
def _size_dependent(network: Network, axis: int, halo: int, length: int) -> bool:
    """Compare the same pixels in a long input and in its two ends, away from where these end.

    The far end begins an odd number of strides later: it also tells a network that counts its
    place, or that downsamples more than its description says.
    """
    stride, margin = network.spec.stride, network.spec.margin
    more = round_up(max(64, length // 3), 2 * stride) + stride
    generator = torch.Generator().manual_seed(0)
    channels = len(network.spec.channels)
    long = torch.rand((1, channels, *_strip(network, axis, length + more)), generator=generator)
    answer, kept = network.logits(long), length - halo - 1
    for start, inside in ((0, 0), (more, halo + 1)):
        end = network.logits(long.narrow(axis + 2, start, length + 2 * margin))
        ours = answer.narrow(axis + 2, start + inside, kept)
        theirs = end.narrow(axis + 2, inside, kept)
        if bool((ours - theirs).abs().max() > _TOLERANCE * (theirs.std() + 1e-12)):
            return True
    return False


def _strip(network: Network, axis: int, length: int) -> list[int]:
    """Return the size of an input that is long on one axis and as thin as can be on others."""
    shape = [network.spec.stride] * network.spec.spatial_dims
    shape[axis] = length
    return [size + 2 * network.spec.margin for size in shape]
