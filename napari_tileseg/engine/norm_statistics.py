"""What the norms of a network read of one plane: mean and variance, pooled over its tiles."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from napari_tileseg.engine.local_norm import local_norms
from napari_tileseg.engine.norm_passes import listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.norm_passes import Pass

SeenTile: TypeAlias = tuple[torch.Tensor, tuple[slice, ...]]
"""What the network is shown, normalised (1, channels, *spatial), and the part that counts."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and variance of what one norm reads, one number a channel: float64, on the CPU."""

    mean: torch.Tensor
    variance: torch.Tensor


Statistics = dict[str, Moments]
"""The moments of every norm of one plane, by the path of the norm."""


@torch.inference_mode()
def measure(
    network: Network,
    passes: Sequence[Pass],
    tiles: Callable[[], Iterable[SeenTile]],
    check: Callable[[], None] | None = None,
    progress: Callable[[float], None] | None = None,
    n_tiles: int = 0,
) -> Statistics:
    """Measure all norms on the tiles of one plane, and freeze them one after the other.

    Nothing of the size of the image is kept. The same tiles in the same order give the same
    bits. A run with less precision has to be measured with that precision: call it within the
    same `device.autocast`.

    Parameters
    ----------
    network
        With local norms; afterwards they are frozen to what was measured.
    passes
        See `measuring_passes`.
    tiles
        Gives all tiles of the plane anew for each pass: what the network is shown, normalised
        (1, channels, *spatial), and its `measured_core`. The context around a core has to be
        at least the receptive field of the network with local norms.
    check
        Called before each tile; what it raises ends the measuring.
    progress
        Told which share of the work is done, 0 to 1, after each tile.
    n_tiles
        How many tiles there are; if it is 0, nothing is told before they were counted once.
    """
    norms = local_norms(network)
    statistics: Statistics = {}
    work = sum(step.share for step in passes) or 1.0
    done = 0.0
    for step in passes:
        pools = {path: _Pool() for path in step.norms}
        seen = 0
        for tile, core in tiles():
            if check is not None:
                check()
            _listen(network, step, tile, core, pools)
            seen += 1
            if progress is not None and n_tiles:
                progress((done + step.share * seen / n_tiles) / work)
        n_tiles = seen
        done += step.share
        for path, pool in pools.items():
            statistics[path] = pool.moments()
            norms[path].freeze(statistics[path].mean, statistics[path].variance)
    return statistics


def apply(network: Network, statistics: Statistics) -> None:
    """Freeze the norms of a network to statistics that were measured before."""
    norms = local_norms(network)
    for path, moments in statistics.items():
        norms[path].freeze(moments.mean, moments.variance)


class _Enough(Exception):
    """The last norm of a pass was reached: nothing after it matters."""


def _listen(
    network: Network,
    step: Pass,
    tile: torch.Tensor,
    core: tuple[slice, ...],
    pools: dict[str, _Pool],
) -> None:
    """Add one tile to the pools of a pass."""
    cells = dict(zip(step.norms, step.cells, strict=True))
    stride = network.spec.stride

    def hear(path: str, values: torch.Tensor) -> None:
        axes = zip(core, tile.shape[2:], values.shape[2:], cells[path], strict=True)
        inside: tuple[Any, ...] = tuple(
            _scaled(part, pixels, found, count, stride) for part, pixels, found, count in axes
        )
        pools[path].add(values[(..., *inside)])
        if path == step.norms[-1]:
            raise _Enough

    norms = local_norms(network)
    with listening({path: norms[path] for path in step.norms}, hear), suppress(_Enough):
        network.module(tile)


def _scaled(core: slice, pixels: int, found: int, count: int, stride: int) -> slice:
    """Bring a core on one axis from pixels to the cells of a norm.

    Parameters
    ----------
    core
        In pixels of the tile; open at the borders of the image.
    pixels, found
        The length of the tile, and of what the norm reads, which lies in its middle.
    count, stride
        So many cells for so many pixels.
    """

    def cell(edge: int | None) -> int | None:
        if edge is None:
            return None
        return (2 * edge * count + found * stride - pixels * count) // (2 * stride)

    return slice(cell(core.start), cell(core.stop))


class _Pool:
    """Mean and variance of what arrives in parts (Chan, Golub & LeVeque 1983, eq. 1.5)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = torch.zeros(())
        self._squares = torch.zeros(())

    def add(self, values: torch.Tensor) -> None:
        """Add (1, channels, *spatial), of any device and float type."""
        count = values[0, 0].numel()
        if count == 0:
            return
        axes = (0, *range(2, values.ndim))
        spread, middle = torch.var_mean(values.float(), axes, correction=0)
        mean, squares = middle.cpu().double(), spread.cpu().double() * count
        apart = mean - self._mean
        share = count / (self._count + count)
        self._mean = self._mean + apart * share
        self._squares = self._squares + squares + apart.square() * (self._count * share)
        self._count += count

    def moments(self) -> Moments:
        return Moments(self._mean, self._squares / self._count)
