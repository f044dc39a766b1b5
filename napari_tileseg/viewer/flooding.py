"""The area that the bucket fills, found without looking at all of a large image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.annotation.sparse import box_around

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_tileseg.annotation.sparse import Region

WINDOW_PX = 1 << 20
"""So many pixels are looked at first; the window grows where the area reaches its edge."""


def flooded(
    labels: npt.NDArray[np.uint8], seed: tuple[int, ...], window_px: int = WINDOW_PX
) -> tuple[npt.NDArray[np.bool_], Region]:
    """Return which pixels hang together with one of them and have its label.

    Pixels hang together where they share an edge (a face in a volume), as for napari's bucket.

    Parameters
    ----------
    labels
        A plane or a volume.
    seed
        The index of the pixel.
    window_px
        How many pixels are looked at first.

    Returns
    -------
    A mask, and the box around its true pixels, whose shape it has.
    """
    from skimage.segmentation import flood

    half = max(1, round(window_px ** (1 / labels.ndim) / 2))
    window = tuple(
        slice(max(0, at - half), min(size, at + half + 1))
        for at, size in zip(seed, labels.shape, strict=True)
    )
    while True:
        place = tuple(at - axis.start for at, axis in zip(seed, window, strict=True))
        mask = flood(labels[window], place, connectivity=1)  # type: ignore[no-untyped-call]
        box = box_around(mask)
        larger = _grown(window, box, labels.shape)
        if larger == window:
            there = zip(window, box, strict=True)
            return mask[box], tuple(slice(w.start + b.start, w.start + b.stop) for w, b in there)
        window = larger


def _grown(window: Region, box: Region, shape: tuple[int, ...]) -> Region:
    """Move those sides of a window outwards that a box inside of it touches."""
    sides = []
    for axis, inside, size in zip(window, box, shape, strict=True):
        length = axis.stop - axis.start
        low = max(0, axis.start - length) if inside.start == 0 else axis.start
        high = min(size, axis.stop + length) if inside.stop == length else axis.stop
        sides.append(slice(low, high))
    return tuple(sides)
