"""Who said what, seen from a distance: for a picture that is smaller than the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.annotation.values import NOT_COMPUTED

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_tileseg.annotation.model_sheet import ModelSheet
    from napari_tileseg.annotation.sparse import Region

CORRECTED, REVIEWED, OPEN = 1, 2, 4
"""Bits of a cell: something in it is corrected; is reviewed; nothing is computed there yet."""


def survey(sheet: ModelSheet, region: Region, steps: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Say of every cell of a region who spoke about it.

    Parameters
    ----------
    sheet
        The labels.
    region
        Its starts are multiples of `steps`.
    steps
        Size of a cell in pixels, one number an axis.

    Returns
    -------
    uint8, one number a cell: bits `CORRECTED`, `REVIEWED`, `OPEN`; 0: the model's word.

    Notes
    -----
    However small, what a person said shows; what is not computed is looked up at the first pixel
    of a cell. It costs the chunks that a person touched and one pixel a cell.
    """
    sampled = tuple(
        slice(axis.start, axis.stop, step) for axis, step in zip(region, steps, strict=True)
    )
    cells = np.where(sheet.shown[sampled] == NOT_COMPUTED, np.uint8(OPEN), np.uint8(0))
    cells[sheet.corrected.cells(region, steps)] = CORRECTED
    cells[sheet.reviewed.cells(region, steps)] |= REVIEWED
    cells[cells > OPEN] &= CORRECTED | REVIEWED
    return cells
