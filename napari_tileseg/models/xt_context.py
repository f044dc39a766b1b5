"""The context encoder of xT: tokens of a region look at tokens of the whole image.

An image is a grid of regions, each with the same number of tokens. The encoder goes over it
row by row, and asks for the rows when it needs them. So the same code runs over a tensor in
training and over a bank of tokens on disk, and what it holds at a time does not grow with the
height of the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

from napari_tileseg.models.xt_blocks import Block, places
from napari_tileseg.models.xt_views import Far, View, far_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_FAINT = 0.1
"""At first tokens say where they lie fainter than what they show; how loud it gets is learnt."""

_RANDOM_CELLS = 1024
"""In training a crop lies at a random place of so many cells: where it comes from is not known."""


class Regions(Protocol):
    """Tokens of all regions of an image, or of several of one size."""

    @property
    def shape(self) -> tuple[int, int]:
        """How many regions there are along each axis."""

    def row(self, index: int) -> torch.Tensor:
        """Return one row of regions, (B, columns, tokens, dim)."""


class Stacked:
    """Regions that all lie in one tensor (B, rows, columns, tokens, dim)."""

    def __init__(self, tokens: torch.Tensor) -> None:
        self._tokens = tokens

    @property
    def shape(self) -> tuple[int, int]:
        """How many regions there are along each axis."""
        return self._tokens.shape[1], self._tokens.shape[2]

    def row(self, index: int) -> torch.Tensor:
        """Return one row of regions, (B, columns, tokens, dim)."""
        return self._tokens[:, index]


class ContextEncoder(nn.Module):
    """Lets every region know the image.

    Parameters
    ----------
    channels
        Of the features that tokens are made of, and that context is added to.
    side
        How many tokens a region has along each axis.
    view
        At which regions a region looks.
    dim, blocks, heads
        Of the attention.
    """

    def __init__(
        self, channels: int, side: int, view: View, *, dim: int, blocks: int, heads: int
    ) -> None:
        super().__init__()
        self.side = side
        self.view = view
        self.dim = dim
        self.enter = nn.Sequential(nn.RMSNorm(channels), nn.Linear(channels, dim))
        self.loudness = nn.Parameter(torch.tensor(_FAINT))
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(blocks))
        last = nn.Linear(dim, channels)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.leave = nn.Sequential(nn.RMSNorm(dim), last)

    def tokens(self, features: torch.Tensor) -> torch.Tensor:
        """Return tokens (B, h * w, dim) of the coarsest features (B, channels, h, w)."""
        tokens: torch.Tensor = self.enter(features.flatten(2).transpose(1, 2))
        return tokens

    def added(self, context: torch.Tensor) -> torch.Tensor:
        """Return what context (B, dim, h, w) adds to the coarsest features; at first nothing."""
        added: torch.Tensor = self.leave(context.movedim(1, -1))
        return added.movedim(-1, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the context of tokens (B, rows, columns, side², dim), in the same shape."""
        origin = (0, 0)
        if self.training:
            chosen = torch.randint(_RANDOM_CELLS, (2,)).tolist()
            origin = (chosen[0], chosen[1])
        for number in range(len(self.blocks)):
            tokens = torch.stack(list(self.layer(number, Stacked(tokens), origin)), dim=1)
        return tokens

    def layer(
        self, number: int, regions: Regions, origin: tuple[int, int] = (0, 0)
    ) -> Iterator[torch.Tensor]:
        """Run one block over all regions.

        Parameters
        ----------
        number
            Which block.
        regions
            What the block before has answered; first of all, `tokens`.
        origin
            Where the first token lies in its image, in cells.

        Yields
        ------
        (B, columns, tokens, dim) for one row of regions after the other. A row is not read any
        more once it has been answered, so the answer may be written over it.
        """
        block = self.blocks[number]
        assert isinstance(block, Block)
        reader = _Rows(self, block, regions, origin if number == 0 else None)
        n_rows, n_columns = regions.shape
        far = far_of(self.view, regions.shape, self.side, reader.offered_once)
        for row in range(n_rows):
            tokens = reader.tokens(row)
            if far is not None and not far.pooled:
                # a whole row at a time would need memory for each of its tokens with each other
                yield torch.stack([block(one, far.offered) for one in tokens.unbind(1)], dim=1)
                continue
            answers = [
                self._region(block, tokens[:, column], reader, (row, column), far, regions.shape)
                for column in range(n_columns)
            ]
            yield torch.stack(answers, dim=1)

    def _region(
        self,
        block: Block,
        tokens: torch.Tensor,
        reader: _Rows,
        place: tuple[int, int],
        far: Far | None,
        shape: tuple[int, int],
    ) -> torch.Tensor:
        near = self.view.near(place, shape)
        reader.forget_before(min(row for row, _ in near))
        offered = [reader.offered(row)[:, columns].flatten(1, 2) for row, columns in near]
        weights = None
        if far is not None:
            n_near = sum(one.shape[1] for one in offered)
            beyond = far.weights(near[0], near[-1])
            weights = torch.cat([beyond.new_zeros(n_near), beyond])
            offered.append(far.offered)
        answer: torch.Tensor = block(tokens, torch.cat(offered, dim=1), weights)
        return answer


class _Rows:
    """Reads rows of regions for one block, and keeps what they offer for a while."""

    def __init__(
        self,
        encoder: ContextEncoder,
        block: Block,
        regions: Regions,
        origin: tuple[int, int] | None,
    ) -> None:
        self._encoder = encoder
        self._block = block
        self._regions = regions
        self._origin = origin
        self._offered: dict[int, torch.Tensor] = {}

    def tokens(self, row: int) -> torch.Tensor:
        """Return tokens (B, columns, tokens, dim), with their place if this is the first block."""
        tokens = self._regions.row(row)
        if self._origin is None:
            return tokens
        found = self._places(row, tokens.shape[1], tokens.device) * self._encoder.loudness
        return tokens + found.to(tokens.dtype)

    def offered(self, row: int) -> torch.Tensor:
        """Return keys and values (B, columns, tokens, 2 dim)."""
        if row not in self._offered:
            self._offered[row] = self.offered_once(row)
        return self._offered[row]

    def offered_once(self, row: int) -> torch.Tensor:
        """Return the same without keeping it."""
        return self._block.offered(self.tokens(row))

    def forget_before(self, row: int) -> None:
        """Keep nothing of the rows before this one."""
        for known in [one for one in self._offered if one < row]:
            del self._offered[known]

    def _places(self, row: int, columns: int, device: torch.device) -> torch.Tensor:
        assert self._origin is not None
        side, dim = self._encoder.side, self._encoder.dim
        down = torch.arange(side, device=device) + (row * side + self._origin[0])
        across = torch.arange(columns * side, device=device) + self._origin[1]
        found = places(down, across, dim)  # (side, columns * side, dim)
        return torch.unflatten(found, 1, (columns, side)).transpose(0, 1).flatten(1, 2)
