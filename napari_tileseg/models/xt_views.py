"""At which other regions a region looks, token by token, and how the rest is summed up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

Columns = tuple[int, slice]
"""A row of regions, and which of its columns."""


class Attention(StrEnum):
    """The ways in which regions look at each other."""

    FULL = "full"
    """Every token at every token; above a budget, far tokens are summed up in larger cells."""

    WINDOW = "window"
    """At the regions around: what slides along with a region (Beltagy et al., "Longformer", 2020,
    arXiv:2004.05150, section 3.1), so that each block looks further."""

    MEMORY = "memory"
    """At the regions before it, row by row: the memory of Transformer-XL (Dai et al., 2019,
    arXiv:1901.02860), which xT has. It lies in the bank, so that tiles may still come in any
    order."""

    NONE = "none"
    """At nothing but itself: no context encoder at all."""


@dataclass(frozen=True)
class View:
    """At which regions a region looks.

    Attributes
    ----------
    attention
        See `Attention`.
    reach
        How many regions away those around it lie.
    memory
        How many regions before it are remembered.
    budget
        How many tokens all are looked at one by one; of more than that, only those nearby.
    """

    attention: Attention
    reach: int = 1
    memory: int = 4
    budget: int = 16_384

    def near(self, place: tuple[int, int], shape: tuple[int, int]) -> list[Columns]:
        """Return the regions that are looked at token by token, row by row.

        Parameters
        ----------
        place
            Row and column of the region that looks.
        shape
            How many regions there are along each axis.
        """
        row, column = place
        if self.attention is not Attention.MEMORY:
            columns = slice(max(0, column - self.reach), min(shape[1], column + self.reach + 1))
            rows = range(max(0, row - self.reach), min(shape[0], row + self.reach + 1))
            return [(one, columns) for one in rows]
        last = row * shape[1] + column
        first = max(0, last - self.memory)
        return [
            (one, slice(max(first - one * shape[1], 0), min(last + 1 - one * shape[1], shape[1])))
            for one in range(first // shape[1], row + 1)
        ]


class Far:
    """What all regions together offer: token by token, or summed up in square cells.

    Attributes
    ----------
    offered
        (B, cells, 2 dim).
    pooled
        Whether cells stand for more than one token.
    """

    def __init__(self, offered: torch.Tensor, side: int, cell: int, shape: tuple[int, int]) -> None:
        self.offered = offered
        self.pooled = cell > 1
        self._side = side
        ends = [torch.arange(0, n * side + cell, cell, device=offered.device) for n in shape]
        self._edges = [
            torch.clamp(end, max=n * side)[: -(-n * side // cell) + 1]
            for end, n in zip(ends, shape, strict=True)
        ]

    def weights(self, first: Columns, last: Columns) -> torch.Tensor:
        """Return the logarithm of how many tokens of each cell lie outside of a window, (cells,).

        Parameters
        ----------
        first, last
            The first and the last row of the window, in regions.
        """
        window = (slice(first[0], last[0] + 1), first[1])
        sizes, inside = [], []
        for edges, part in zip(self._edges, window, strict=True):
            begin, end = part.start * self._side, part.stop * self._side
            sizes.append((edges[1:] - edges[:-1]).float())
            overlap = edges[1:].clamp(max=end) - edges[:-1].clamp(min=begin)
            inside.append(overlap.clamp(min=0).float())
        outside = torch.outer(*sizes) - torch.outer(*inside)
        return outside.log().flatten()


def far_of(
    view: View, shape: tuple[int, int], side: int, offered: Callable[[int], torch.Tensor]
) -> Far | None:
    """Sum up what all regions offer, until there are few enough cells; None for a local view.

    Mean values of keys and values, with the number of tokens as a weight, are what attention
    comes to where the tokens of a cell are alike. The work grows with the number of tokens, not
    with its square.

    Parameters
    ----------
    view
        Says how many cells there may be.
    shape
        How many regions there are along each axis.
    side
        How many tokens a region has along each axis.
    offered
        Returns keys and values of a row, (B, columns, side², 2 dim).
    """
    if view.attention is not Attention.FULL:
        return None
    cell = cell_side(shape, side, view.budget)
    within = math.gcd(cell, side)  # first inside of regions, then over several
    rows = []
    for row in range(shape[0]):
        grid = torch.unflatten(offered(row), 2, (side, side)).permute(0, 4, 2, 1, 3).flatten(3)
        rows.append(functional.avg_pool2d(grid, within) if within > 1 else grid)
    cells = torch.cat(rows, dim=2)
    if cell > within:
        cells = functional.avg_pool2d(
            cells, cell // within, ceil_mode=True, count_include_pad=False
        )
    return Far(cells.flatten(2).transpose(1, 2), side, cell, shape)


def cell_side(shape: tuple[int, int], side: int, budget: int) -> int:
    """Return how many tokens the side of a cell has, so that the cells are within a budget.

    It divides the side of a region, or is a multiple of it.
    """
    size, cell = [n * side for n in shape], 1
    if size[0] * size[1] <= budget:
        return cell
    while (-(-size[0] // cell)) * (-(-size[1] // cell)) > max(1, budget // 4):
        cell = _next(cell, side)
    return cell


def _next(cell: int, side: int) -> int:
    """Return the next larger divisor of a side, or a multiple of the side by a power of two."""
    if cell >= side:
        return 2 * cell
    return next(one for one in range(cell + 1, side + 1) if side % one == 0)
