"""Make an electron micrograph of a nerve in cross-section, with its true mask, out of numbers.

    python make_nerve.py                      writes nerve.tif and nerve_mask.png beside this file

Fibres of all sizes grow until they press each other flat; each is a dark axon in a bright sheath
of myelin. A scanning electron microscope is imitated: blur, uneven brightness, lines of the scan,
noise. Equal seeds give equal pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from make_sample import Array, Ellipse, blurred, texture, uneven, write_image

from napari_tileseg.engine.spec import ClassInfo
from napari_tileseg.io.labels import export

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = (
    ClassInfo("background", "#000000"),
    ClassInfo("myelin", "#0072b2"),
    ClassInfo("axon", "#e69f00"),
)
SIDE_PX = 1024
PIXEL_SIZE_UM = 0.1
SEED = 7

TISSUE = 0.52
"""Brightness of what lies between the fibres; 1 is that of myelin."""

BENT_PX = 30
"""Fibres are bent out of their ellipses by at most about this much."""

FAR = 1000.0
"""Pixels; farther than any fibre reaches."""


def main() -> None:
    """Write the sample image and its mask."""
    here = Path(__file__).parent
    image, mask = nerve(SEED, SIDE_PX)
    write_image(here / "nerve.tif", image, PIXEL_SIZE_UM)
    export(mask, here / "nerve_mask.png", classes=CLASSES, pixel_size_um=PIXEL_SIZE_UM)


def nerve(seed: int, side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an image and its mask, both (side, side) uint8."""
    rng = np.random.default_rng(seed)
    section = Section(rng, side)
    return through_the_scanner(rng, section.paint()), section.mask


@dataclass(frozen=True)
class Fibre(Ellipse):
    """An ellipse with a sheath of some thickness; brightness 1 is that of usual myelin."""

    sheath: float
    myelin: float
    axon: float


class Section:
    """Fibres side by side in a cut across a nerve."""

    def __init__(self, rng: np.random.Generator, side: int) -> None:
        self._rng = rng
        self._side = side
        self._fibres = self._scatter()
        self._owner, self._depth = self._grow()
        inside = self._depth - self._of_fibre("sheath", 0.0)
        ragged = 0.6 * texture(rng, side, 4) + 0.12 * texture(rng, side, 14) * self._size()
        self._lumen = inside + ragged  # positive in the axon
        self.mask = (self._depth > 0).astype(np.uint8)
        self.mask[(self._depth > 2) & (self._lumen > 0)] = 2

    def _scatter(self) -> list[Fibre]:
        """Put down large fibres first and smaller ones into the gaps."""
        rng, side = self._rng, self._side
        holes = texture(rng, side, 22) > 1.7
        radii = np.sort(rng.lognormal(np.log(12), 0.55, side * side // 640))[::-1]
        placed = np.empty((0, 3))
        fibres = []
        for radius in np.clip(radii, 5.5, 52):
            for place in rng.uniform(-0.5 * radius, side + 0.5 * radius, (60, 2)):
                gap = np.hypot(*(placed[:, :2] - place).T) - 0.96 * placed[:, 2]
                inside = np.clip(place, 0, side - 1).astype(int)
                if (gap < 0.96 * radius).any() or holes[inside[0], inside[1]]:
                    continue
                placed = np.vstack([placed, [*place, radius]])
                fibres.append(self._fibre(place, float(radius)))
                break
        return fibres

    def _fibre(self, place: NDArray[np.float64], radius: float) -> Fibre:
        rng = self._rng
        thin = rng.normal(0.60 + 0.0022 * radius, 0.05)  # share of the radius that is axon
        pale = rng.random() < 0.08
        return Fibre(
            centre_yx=(float(place[0]), float(place[1])),
            radius=radius,
            stretch=rng.uniform(1.0, 1.28),
            angle=rng.uniform(0, np.pi),
            sheath=max(radius * (1 - float(np.clip(thin, 0.45, 0.78))), 2.4),
            myelin=float(np.clip(rng.normal(1.0, 0.05), 0.85, 1.1)),
            axon=rng.uniform(0.45, 0.6) if pale else rng.uniform(0.25, 0.4),
        )

    def _grow(self) -> tuple[NDArray[np.int32], Array]:
        """Return the fibre of each pixel (-1: none near), and how deep inside it lies, px."""
        rng, side = self._rng, self._side
        axis = np.arange(side, dtype=np.float32)
        bends = ((34, 6.0), (13, 2.2), (5, 0.8))
        y = axis[:, None] + sum(a * texture(rng, side, s) for s, a in bends)
        x = axis[None, :] + sum(a * texture(rng, side, s) for s, a in bends)
        owner = np.full((side, side), -1, np.int32)
        first = np.full((side, side), FAR, np.float32)
        second = first.copy()
        for index, fibre in enumerate(self._fibres):
            at = fibre.window(2.2 + BENT_PX / fibre.radius)
            away = (fibre.distance(y[at], x[at]) - 1) * fibre.radius
            nearer = away < first[at]
            second[at] = np.where(nearer, first[at], np.minimum(second[at], away))
            first[at] = np.where(nearer, away, first[at])
            owner[at] = np.where(nearer, index, owner[at])
        # where two fibres press on each other, half of what both claim is lost to each
        seam = 1.3 + 0.4 * texture(rng, side, 9)
        return owner, np.minimum(-first, (second - first) / 2 - seam).astype(np.float32)

    def _of_fibre(self, what: str, elsewhere: float) -> Array:
        values = [getattr(fibre, what) for fibre in self._fibres] + [elsewhere]
        return np.asarray(values, np.float32)[self._owner]

    def _size(self) -> Array:
        return self._of_fibre("radius", 0.0)

    def paint(self) -> Array:
        """Return the brightness of everything, myelin about 1."""
        light = self._tissue()
        light = np.where(self.mask == 1, self._myelin(), light)
        light = np.where(self.mask == 2, self._axoplasm(), light)
        return light.astype(np.float32)

    def _tissue(self) -> Array:
        """Return what lies between: pale and dark processes with thin bright membranes."""
        rng, side = self._rng, self._side
        membranes: Array = np.exp(-np.abs(texture(rng, side, 4)) * 4)
        return TISSUE + 0.09 * texture(rng, side, 9) + 0.25 * membranes

    def _myelin(self) -> Array:
        """Return sheaths: layered, darker at the outer rim, here and there split."""
        rng, side = self._rng, self._side
        layers = 0.025 * np.cos(self._depth * 1.9 + 1.5 * texture(rng, side, 10))
        rim = np.clip(self._depth / 2.5, 0, 1)
        split: Array = np.exp(-(((self._lumen + 2.5 + texture(rng, side, 12)) / 0.9) ** 2))
        where = np.clip(texture(rng, side, 18) - 1.2, 0, 1) * (self._size() > 16)
        body = 0.86 + 0.14 * rim + layers + 0.03 * texture(rng, side, 3) - 0.35 * split * where
        return self._of_fibre("myelin", 1.0) * body

    def _axoplasm(self) -> Array:
        """Return axons: dark, grainy, with mitochondria that are somewhat brighter."""
        rng, side = self._rng, self._side
        grain = 1 + 0.07 * texture(rng, side, 1.5) + 0.06 * texture(rng, side, 12)
        spots = blurred((texture(rng, side, 3.2) > 1.9).astype(np.float32), 0.8)
        return self._of_fibre("axon", TISSUE) * grain + 0.24 * spots


def through_the_scanner(rng: np.random.Generator, light: Array) -> NDArray[np.uint8]:
    """Return what the detector records of the light: (side, side) uint8."""
    side = len(light)
    seen = 0.93 * blurred(light, 1.15) + 0.07 * blurred(light, 14)
    lines = 0.008 * rng.standard_normal((side, 1))
    signal = seen * (0.55 + 0.45 * uneven(rng, side)) + lines
    noise = 0.05 * texture(rng, side, 0.65) * np.sqrt(0.4 + 0.6 * signal)
    return np.clip(212 * (signal + noise), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
