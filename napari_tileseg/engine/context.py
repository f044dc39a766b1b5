"""Networks of which every region knows the whole image, computed in two passes over the tiles.

The first pass fills a bank with a few numbers for each place of the image. Then the context
encoder goes over the bank, and the second pass computes each tile with what the bank says
about it. So tiles may come in any order, with the same bits, and no tile sees another.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import nn

from napari_tileseg.engine import context_bank
from napari_tileseg.engine.context_bank import TokenBank, bank_bytes
from napari_tileseg.settings import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.tiles import Tile

_KEPT = 2
"""Banks of so many planes are kept; a stack that is looked through needs one at a time."""


class Regions(Protocol):
    """Tokens of all regions of an image."""

    @property
    def shape(self) -> tuple[int, int]:
        """How many regions there are along each axis."""

    def row(self, index: int) -> torch.Tensor:
        """Return one row of regions, (B, columns, tokens, dim)."""


@runtime_checkable
class ContextModule(Protocol):
    """What a network has to offer so that it can be computed in two passes; `models.xt` does.

    Attributes
    ----------
    region
        The side of a region, in pixels.
    halo
        What is shown around regions, in pixels.
    cell
        How many pixels a token stands for, along each axis.
    dim
        How many numbers a token has.
    """

    region: int
    halo: int
    cell: int
    dim: int

    @property
    def passes(self) -> int:
        """How often the context encoder goes over all regions; 0 if there is none."""

    def region_tokens(self, shown: torch.Tensor) -> torch.Tensor:
        """Return tokens (B, rows, columns, tokens, dim) of regions shown with their halo."""

    def context_pass(self, number: int, regions: Regions) -> Iterator[torch.Tensor]:
        """Run one pass; yield a row of regions after the other, which is then read no more."""

    def answer(self, shown: torch.Tensor, window: torch.Tensor | None = None) -> torch.Tensor:
        """Return logits of regions, shown with their halo and the context (B, dim, h, w)."""


class Placed(nn.Module):
    """Answers for regions of an image that the context is known of.

    Attributes
    ----------
    window
        The context (1, dim, h, w) of what is shown next; zeros if None.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.window: torch.Tensor | None = None

    def forward(self, shown: torch.Tensor) -> torch.Tensor:
        """Return logits without the halo."""
        module = context_module(self.module)
        if module.passes == 0:
            return module.answer(shown)
        if self.window is not None:
            return module.answer(shown, self.window.to(shown.device))
        cells = [size // module.cell for size in shown.shape[2:]]
        return module.answer(shown, shown.new_zeros(len(shown), module.dim, *cells))


class Contexts:
    """A network, and what each plane of a stack as a whole tells each of its regions.

    Parameters
    ----------
    network
        One for which `has_context` holds.
    shape
        The size of a plane in pixels.

    Attributes
    ----------
    network
        What computes the tiles, once it was told where: see `look_at`.
    """

    def __init__(self, network: Network, shape: tuple[int, ...]) -> None:
        self.network = placed(network)
        self._module = context_module(network.module)
        self._shape = shape
        self._banks: dict[tuple[int, ...], TokenBank] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="tileseg-", ignore_cleanup_errors=True)

    def fill(
        self,
        plane: tuple[int, ...],
        tiles: Iterable[tuple[Tile, torch.Tensor]],
        check: Callable[[], None] | None = None,
    ) -> None:
        """Get to know a plane, if that was not done before.

        Parameters
        ----------
        plane
            Any index that tells planes apart.
        tiles
            All tiles of the plane, each with what the network is shown of it; looked at only if
            they are needed.
        check
            Called often; may raise `Cancelled`.
        """
        if self._module.passes == 0 or plane in self._banks:
            return
        while len(self._banks) >= _KEPT:
            self._banks.pop(next(iter(self._banks))).close()
        bank = self._new_bank()
        try:
            self._read(bank, tiles, check or (lambda: None))
            self._spread(bank, check or (lambda: None))
        except BaseException:
            bank.close()
            raise
        self._banks[plane] = bank

    def look_at(self, plane: tuple[int, ...], tile: Tile) -> None:
        """Say which tile the network is shown next."""
        shows = self.network.module
        assert isinstance(shows, Placed)
        if self._module.passes == 0:
            return
        cell, border = self._module.cell, self._module.halo // self._module.cell
        rows, columns = (
            range(part.start // cell - border, part.stop // cell + border) for part in tile.outer
        )
        shows.window = self._banks[plane].window(rows, columns)

    @property
    def nbytes(self) -> int:
        """What banks take now, in memory or on disk."""
        return sum(bank.nbytes for bank in self._banks.values())

    def close(self) -> None:
        """Give up all banks."""
        for bank in self._banks.values():
            bank.close()
        self._banks.clear()
        self._folder.cleanup()

    def _new_bank(self) -> TokenBank:
        return TokenBank(*_bank_size(self._module, self._shape), Path(self._folder.name))

    @torch.inference_mode()
    def _read(
        self,
        bank: TokenBank,
        tiles: Iterable[tuple[Tile, torch.Tensor]],
        check: Callable[[], None],
    ) -> None:
        region = self._module.region
        for tile, shown in tiles:
            check()
            first = [part.start // region for part in tile.outer]
            bank.put((first[0], first[1]), self._module.region_tokens(shown))

    @torch.inference_mode()
    def _spread(self, bank: TokenBank, check: Callable[[], None]) -> None:
        seen = bank.on(self.network.device)
        for number in range(self._module.passes):
            for row, tokens in enumerate(self._module.context_pass(number, seen)):
                check()
                bank.put((row, 0), tokens[:, None])


def bank_memory(network: Network, shape: tuple[int, ...], planes: int) -> int:
    """Return what the banks of a run hold in memory at most, in bytes.

    Parameters
    ----------
    network, shape
        See `Contexts`.
    planes
        How many of them there are.
    """
    module = context_module(network.module)
    nbytes = bank_bytes(*_bank_size(module, shape)) if module.passes else 0
    return nbytes * min(planes, _KEPT) if nbytes <= context_bank.IN_MEMORY_BYTES else 0


def _bank_size(module: ContextModule, shape: tuple[int, ...]) -> tuple[tuple[int, int], int, int]:
    """Return regions along each axis, tokens along the side of one, numbers of a token."""
    rows, columns = (-(-size // module.region) for size in shape)
    return (rows, columns), module.region // module.cell, module.dim


def has_context(network: Network) -> bool:
    """Whether a network can be computed in two passes, so that every tile knows the image."""
    return isinstance(network.module, ContextModule)


def context_module(module: nn.Module) -> ContextModule:
    """Return a module as what it is known to be."""
    assert isinstance(module, ContextModule)
    return module


def placed(network: Network) -> Network:
    """Return what computes tiles of whole regions, shown with their halo; weights are shared."""
    module = context_module(network.module)
    spec = replace(network.spec, stride=module.region, margin=module.halo, global_context=())
    return replace(network, module=Placed(network.module).eval(), spec=spec)


def shown_network(network: Network, mode: Mode) -> Network:
    """Return what computes the tiles of a run: the network itself but in mode 'context'."""
    return placed(network) if mode is Mode.CONTEXT else network
