"""A made task that no tile can solve alone: what objects are, a marker far away decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import nn

TILE = 32
"""What a tile, and a region of xT, measures, in pixels."""

ROWS, COLUMNS = 1, 7
"""How many tiles there are in a made image."""

CLASSES = 3

SMALLER = 8
"""When so many pixels along each side become one, the marker is gone."""

_MARKER_PX, _STRIPE_PX = 24, SMALLER // 2
_CONTRAST = 1.5
_RADIUS_PX = 5
_OBJECTS = 4
_NOISE = 0.3
_AWAY = 4
"""Between the tile of the marker and those of the objects lie so many tiles."""

_BATCH = 16
_RATE = 2e-3
_WEIGHTS = (0.05, 1.0, 1.0)
"""Nearly all pixels are background."""


def made(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return images (count, H, W) and what their pixels are, (count, H, W).

    In a tile at one end lies a square with stripes, and discs at the other end: of class 1 if the
    stripes lie, of class 2 if they stand. Everything else is noise. From afar, when a few pixels
    become one, the square cannot be seen: what becomes one pixel holds whole stripes, as many
    dark ones as bright ones.
    """
    rng = np.random.default_rng(seed)
    images, targets = zip(*(_one(rng) for _ in range(count)), strict=True)
    return np.stack(images), np.stack(targets)


def _one(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    shape = ROWS * TILE, COLUMNS * TILE
    image = rng.normal(0, _NOISE, shape).astype(np.float32)
    target = np.zeros(shape, np.uint8)
    kind = int(rng.integers(2))
    places = np.array((shape[0] - _MARKER_PX, TILE - _MARKER_PX)) // SMALLER + 1
    row, column = SMALLER * rng.integers(places)
    stripes = np.where(np.arange(_MARKER_PX) // _STRIPE_PX % 2, _CONTRAST, -_CONTRAST)
    square = np.broadcast_to(stripes, (_MARKER_PX, _MARKER_PX))
    square = square if kind else square.T
    image[row : row + _MARKER_PX, column : column + _MARKER_PX] += square
    down, across = np.indices(shape)
    first = (1 + _AWAY) * TILE + _RADIUS_PX
    for _ in range(_OBJECTS):
        middle = rng.integers((_RADIUS_PX, first), (shape[0] - _RADIUS_PX, shape[1] - _RADIUS_PX))
        disc = (down - middle[0]) ** 2 + (across - middle[1]) ** 2 <= _RADIUS_PX**2
        image[disc & (target == 0)] += 1
        target[disc] = 1 + kind
    if rng.integers(2):
        image, target = image[:, ::-1], target[:, ::-1]
    return image.copy(), target.copy()


def taught(
    module: nn.Module,
    steps: int,
    seed: int,
    shown: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> None:
    """Train a module in place, always with the same images for the same seed.

    Parameters
    ----------
    module
        From (B, 1, H, W) to logits (B, classes, H, W).
    steps
        How many batches it sees.
    seed
        Of the images.
    shown
        What is done with a batch (B, C, H, W) of images or targets before the module sees it, such
        as cutting it up.
    """
    shown = shown or (lambda batch: batch)
    optimiser = torch.optim.AdamW(module.parameters(), lr=_RATE)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    weights = torch.tensor(_WEIGHTS)
    module.train()
    for step in range(steps):
        images, targets = (torch.from_numpy(one)[:, None] for one in made(_BATCH, seed + step))
        wanted = shown(targets)[:, 0].long()
        loss = functional.cross_entropy(module(shown(images)), wanted, weights)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        rates.step()
    module.eval()


def right(labels: NDArray[np.uint8], targets: NDArray[np.uint8]) -> float:
    """Return the share of pixels of objects that have the right class."""
    return float((labels == targets)[targets > 0].mean())
