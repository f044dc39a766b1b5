"""Make fluorescence micrographs of cells, with their true masks, out of nothing but numbers.

    python make_sample.py                     writes cells.tif and cells_mask.png beside this file
    python make_sample.py --train FOLDER      writes images and masks with other seeds for training

Cells in a monolayer touch each other; each has its own brightness. A microscope is imitated:
blur by the optics, light from out of focus, uneven illumination, photon and read noise. Equal
seeds give equal pixels.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]

CLASSES = ("background", "cytoplasm", "nucleus", "bacteria")
COLOURS = ("#000000", "#0072b2", "#e69f00", "#009e73")
SIDE_PX = 2048
PIXEL_SIZE_UM = 0.325
SEED = 2048
TRAINING_SEEDS = range(1, 9)
VALIDATION_SEEDS = range(101, 103)

OUTLINE = 1.36
"""Cells end here, in units of their radius: beyond 1, so that they reach their neighbours."""


def main() -> None:
    """Write the sample image, or images to train on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, help="folder for training and validation images")
    parser.add_argument("--side", type=int, default=1024, help="side of the training images, px")
    args = parser.parse_args()
    if args.train is None:
        here = Path(__file__).parent
        image, mask = micrograph(SEED, SIDE_PX)
        write_image(here / "cells.tif", image, PIXEL_SIZE_UM)
        write_mask(here / "cells_mask.png", mask)
        return
    for part, seeds in (("train", TRAINING_SEEDS), ("val", VALIDATION_SEEDS)):
        for seed in seeds:
            image, mask = micrograph(seed, args.side)
            write_image(args.train / part / "images" / f"cells_{seed}.tif", image, PIXEL_SIZE_UM)
            write_mask(args.train / part / "masks" / f"cells_{seed}.png", mask)


def micrograph(seed: int, side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an image and its mask, both (side, side) uint8."""
    rng = np.random.default_rng(seed)
    culture = Culture(rng, side)
    light, mask = culture.cytoplasm()
    culture.nuclei(light, mask)
    culture.bacteria(light, mask)
    return through_the_microscope(rng, light), mask


@dataclass(frozen=True)
class Ellipse:
    """Where something is; lengths in pixels, angle in radians."""

    centre_yx: tuple[float, float]
    radius: float
    stretch: float
    angle: float

    def distance(self, y: Array, x: Array) -> Array:
        """Return the distance from the centre, 1 on the outline."""
        dy, dx = y - self.centre_yx[0], x - self.centre_yx[1]
        along = dy * np.sin(self.angle) + dx * np.cos(self.angle)
        across = dy * np.cos(self.angle) - dx * np.sin(self.angle)
        return np.hypot(along / self.stretch, across * self.stretch) / self.radius

    def window(self, reach: float) -> tuple[slice, slice]:
        """Return the pixels within `reach` radii of the centre."""
        top, left = (int(c - reach * self.radius) for c in self.centre_yx)
        span = int(2 * reach * self.radius) + 1
        return slice(max(top, 0), max(top + span, 0)), slice(max(left, 0), max(left + span, 0))


@dataclass(frozen=True)
class Cell(Ellipse):
    """An ellipse with a nucleus; brightness in photons."""

    brightness: float
    contrast: float

    def nucleus(self, rng: np.random.Generator) -> Cell:
        """Return the outline of the nucleus as a cell of its own."""
        shift = rng.normal(0, 0.1 * self.radius, 2)
        return Cell(
            centre_yx=(self.centre_yx[0] + shift[0], self.centre_yx[1] + shift[1]),
            radius=self.radius * rng.uniform(0.38, 0.5),
            stretch=1 + (self.stretch - 1) * 0.6,
            angle=self.angle + rng.normal(0, 0.2),
            brightness=self.brightness * self.contrast,
            contrast=1.0,
        )


class Culture:
    """A field of cells that grow until they touch."""

    def __init__(self, rng: np.random.Generator, side: int) -> None:
        self._rng = rng
        self._side = side
        axis = np.arange(side, dtype=np.float32)
        self._y = axis[:, None] + self._wobble(16, 7) + self._wobble(5, 1.5)
        self._x = axis[None, :] + self._wobble(16, 7) + self._wobble(5, 1.5)
        self._inner_y = axis[:, None] + self._wobble(14, 2.5)  # nuclei are rounder than cells
        self._inner_x = axis[None, :] + self._wobble(14, 2.5)
        self._cells = self._seed()
        self._owner = np.full((side, side), -1, np.int32)

    def _wobble(self, smooth_px: float, amplitude_px: float) -> Array:
        return amplitude_px * texture(self._rng, self._side, smooth_px)

    def _seed(self) -> list[Cell]:
        """Scatter cells, no two too close, more in some places than in others."""
        rng, side = self._rng, self._side
        crowd = texture(rng, side, 160)
        cells: list[Cell] = []
        for _ in range(side * side // 1500):
            place = rng.uniform(-40, side + 40, 2)
            inside = np.clip(place, 0, side - 1).astype(int)
            density = crowd[inside[0], inside[1]]
            if density < -0.9:
                continue
            radius = rng.uniform(34, 56) * (1.12 - 0.1 * density)
            if any(np.hypot(*(place - c.centre_yx)) < 0.8 * (radius + c.radius) for c in cells):
                continue
            cells.append(
                Cell(
                    centre_yx=(float(place[0]), float(place[1])),
                    radius=radius,
                    stretch=rng.uniform(1.0, 1.35),
                    angle=rng.uniform(0, np.pi),
                    brightness=float(np.clip(rng.lognormal(0, 0.4), 0.45, 2.2)),
                    contrast=rng.uniform(1.7, 2.8),
                )
            )
        return cells

    def cytoplasm(self) -> tuple[Array, NDArray[np.uint8]]:
        """Return the light of all cytoplasm, and the mask so far."""
        shape = (self._side, self._side)
        nearest = np.full(shape, OUTLINE, np.float32)
        light = np.zeros(shape, np.float32)
        fibres = np.exp(-np.abs(texture(self._rng, self._side, 2.2)) * 2.5)
        patchy = 1 + 0.22 * texture(self._rng, self._side, 7)
        for index, cell in enumerate(self._cells):
            at = cell.window(2.1)
            distance = cell.distance(self._y[at], self._x[at])
            mine = distance < nearest[at]
            body = 0.42 + 0.58 * np.clip(1 - (distance / OUTLINE) ** 2, 0, 1)
            glow = cell.brightness * body * patchy[at] * (0.62 + 0.7 * fibres[at])
            light[at] = np.where(mine, glow, light[at])
            nearest[at] = np.where(mine, distance, nearest[at])
            self._owner[at] = np.where(mine, index, self._owner[at])
        # neighbours overlap less where they touch: a faint dark seam
        seam = np.zeros(shape, bool)
        seam[1:] |= self._owner[1:] != self._owner[:-1]
        seam[:, 1:] |= self._owner[:, 1:] != self._owner[:, :-1]
        light *= 1 - 0.75 * np.clip(2.2 * blurred(seam.astype(np.float32), 1.6), 0, 1)
        return light, (self._owner >= 0).astype(np.uint8)

    def nuclei(self, light: Array, mask: NDArray[np.uint8]) -> None:
        """Add the nuclei: brighter, with coarse chromatin and darker nucleoli."""
        chromatin = 1 + 0.2 * texture(self._rng, self._side, 3)
        nucleoli = texture(self._rng, self._side, 5) > 1.75
        inner = chromatin * (1 - 0.45 * blurred(nucleoli.astype(np.float32), 1.2))
        for index, cell in enumerate(self._cells):
            nucleus = cell.nucleus(self._rng)
            at = nucleus.window(2.2)
            distance = nucleus.distance(self._inner_y[at], self._inner_x[at])
            inside = (distance < 1) & (self._owner[at] == index)
            dome = 0.75 + 0.25 * np.clip(1 - distance**2, 0, 1)
            light[at] = np.where(inside, nucleus.brightness * dome * inner[at], light[at])
            mask[at][inside] = 2

    def bacteria(self, light: Array, mask: NDArray[np.uint8]) -> None:
        """Add small bright rods in loose groups, on cells and between them."""
        rng, side = self._rng, self._side
        for _ in range(max(side * side // 70_000, 1)):
            middle = rng.uniform(0, side, 2)
            for _ in range(rng.integers(3, 16)):
                y, x = middle + rng.normal(0, 45, 2)
                self._rod(light, mask, float(y), float(x))

    def _rod(self, light: Array, mask: NDArray[np.uint8], y: float, x: float) -> None:
        rng = self._rng
        half, thick = rng.uniform(4, 8), rng.uniform(2.4, 3.3)
        angle, brightness = rng.uniform(0, np.pi), rng.uniform(2.6, 5.0)
        top, left = max(int(y) - 12, 0), max(int(x) - 12, 0)
        if not (0 <= y < self._side and 0 <= x < self._side):
            return
        at = slice(top, int(y) + 13), slice(left, int(x) + 13)
        rows = np.arange(top, min(int(y) + 13, self._side))[:, None] - y
        columns = np.arange(left, min(int(x) + 13, self._side))[None, :] - x
        along = rows * np.sin(angle) + columns * np.cos(angle)
        across = rows * np.cos(angle) - columns * np.sin(angle)
        away = np.hypot(np.maximum(np.abs(along) - half, 0), across)
        light[at] = np.maximum(light[at], brightness * np.clip(thick + 0.5 - away, 0, 1))
        mask[at][away < thick] = 3


def through_the_microscope(rng: np.random.Generator, light: Array) -> NDArray[np.uint8]:
    """Return what the camera records of the light: (side, side) uint8."""
    side = len(light)
    sharp = blurred(light, 1.3)
    haze = blurred(light, 35)
    photons = np.clip((0.8 * sharp + 0.22 * haze + 0.1) * uneven(rng, side), 0.02, None) * 48
    recorded = rng.poisson(photons) + rng.normal(0, 2.2, light.shape)
    return np.clip(10 + 1.25 * recorded, 0, 255).astype(np.uint8)


def uneven(rng: np.random.Generator, side: int) -> Array:
    """Return illumination that falls off from somewhere near the middle, (side, side)."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    middle = rng.uniform(-0.35, 0.35, 2)
    fall_off = (axis[:, None] - middle[0]) ** 2 + (axis[None, :] - middle[1]) ** 2
    return 1.1 - rng.uniform(0.18, 0.3) * fall_off + 0.04 * texture(rng, side, side / 6)


def texture(rng: np.random.Generator, side: int, smooth_px: float) -> Array:
    """Return smooth noise with mean 0 and standard deviation 1, (side, side)."""
    noise = blurred(rng.standard_normal((side, side)).astype(np.float32), smooth_px)
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def blurred(image: Array, sigma_px: float) -> Array:
    """Blur with a Gaussian; the image goes on periodically beyond its border."""
    frequency = [np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1])[None]]
    squared = frequency[0] ** 2 + frequency[1] ** 2
    transfer = np.exp(-2 * (np.pi * sigma_px) ** 2 * squared)
    return np.fft.irfft2(np.fft.rfft2(image) * transfer, image.shape).astype(np.float32)


def write_image(path: Path, image: NDArray[np.uint8], pixel_size_um: float) -> None:
    """Write a compressed, tiled OME-TIFF with its pixel size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = {"PhysicalSizeX": pixel_size_um, "PhysicalSizeY": pixel_size_um}
    tifffile.imwrite(
        path,
        image,
        ome=True,
        tile=(256, 256),
        compression="zlib",
        predictor=True,
        metadata={"axes": "YX", **size},
    )


def write_mask(path: Path, mask: NDArray[np.uint8]) -> None:
    """Write class indices as a palette PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(mask, mode="P")
    picture.putpalette(bytes.fromhex("".join(colour[1:] for colour in COLOURS)))
    picture.save(path, optimize=True)


if __name__ == "__main__":
    main()
