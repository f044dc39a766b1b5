"""Labels painted over an image, for a person to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_OPACITY = 0.45
_DARK, _BRIGHT = 0.5, 99.5
"""The percentiles of the intensities that become black and white."""


def painted_over(
    pixels: NDArray[np.generic], labels: NDArray[np.uint8], colours: Sequence[str]
) -> NDArray[np.uint8]:
    """Paint labels over an image.

    Parameters
    ----------
    pixels
        (channels, rows, columns): three or more are red, green and blue, else the first is grey.
    labels
        (rows, columns) class indices; the first class is background, which is not painted, nor is
        what is no class.
    colours
        Of the classes, as "#rrggbb".

    Returns
    -------
    (rows, columns, RGB) uint8.
    """
    chosen = pixels[[0, 1, 2] if len(pixels) >= 3 else [0, 0, 0]]
    shown = np.nan_to_num(chosen.astype(np.float32), posinf=0, neginf=0)
    low, high = np.percentile(shown, (_DARK, _BRIGHT))
    stretched = (shown - low) / max(float(high - low), 1e-6)
    picture = np.ascontiguousarray(255 * np.clip(stretched, 0, 1).transpose(1, 2, 0))
    table = np.array([_rgb(one) for one in colours], np.float32)
    coloured = (labels > 0) & (labels < len(colours))
    picture[coloured] *= 1 - _OPACITY
    picture[coloured] += _OPACITY * table[labels[coloured]]
    return picture.astype(np.uint8)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
