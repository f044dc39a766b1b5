"""Images to measure on: real ones of any size, and huge ones that exist nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.io.images import open_image
from napari_tileseg.io.samples import sample_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_tileseg.bench.setup import Setup


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    """Return uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def real_image(setup: Setup, side: int) -> NDArray[Any]:
    """Return the image of the setup as (side, side), continued by mirroring or cut."""
    path = setup.image or sample_image(setup.model if setup.model in _SAMPLES else "cells")
    with open_image(path) as opened:
        pixels = np.asarray(opened.levels[0][:side, :side])
    return mirrored(pixels, side)


_SAMPLES = ("cells", "axon_myelin_sem")


def mirrored(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    """Continue an image (H, W) by mirroring it at its borders until it is (side, side)."""
    missing = [(0, max(0, side - length)) for length in pixels.shape]
    return np.pad(pixels, missing, mode="symmetric")[:side, :side]


class Endless:
    """A uint8 image (rows, columns) whose pixels are made from their place when they are read."""

    dtype = np.dtype(np.uint8)

    def __init__(self, rows: int, columns: int | None = None) -> None:
        self.shape = (rows, rows if columns is None else columns)

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.uint8]:
        rows, columns = (
            np.arange(*part.indices(size), dtype=np.uint32)
            for part, size in zip(key, self.shape, strict=True)
        )
        # patches of 64 px, each with a ramp of its own
        coarse = ((rows // 64)[:, None] * np.uint32(40503)) ^ (
            (columns // 64)[None] * np.uint32(30011)
        )
        return coarse.astype(np.uint8) + (columns % 64).astype(np.uint8)
