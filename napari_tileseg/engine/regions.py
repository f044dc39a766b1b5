"""Which tiles a region of interest needs, and what of their labels lies inside it.

A mask may be coarser than the image: each of its pixels then stands for a block of the
image, and a pixel of the image belongs to the pixel of the mask that lies over its middle.
Every tile whose core touches the mask is computed, so each pixel inside is merged from the
same tiles as in a full run, with the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.engine.spec import NOT_COMPUTED
from napari_tileseg.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.arrays import ArrayLike
    from napari_tileseg.engine.tiles import TileGrid


def tiles_for_mask(grid: TileGrid, mask: ArrayLike) -> NDArray[np.bool_]:
    """Return which tiles of a plane a mask needs.

    Parameters
    ----------
    grid
        The tiles of one plane.
    mask
        What is not 0 is wanted; as many axes as the plane, and at most its size. It is read
        in strips, so it may be a lazy array of any size.

    Returns
    -------
    (tiles,) bool.

    Raises
    ------
    SettingsError
        If the mask has other axes than the plane, or is larger or empty.
    """
    _check(mask.shape, grid.shape)
    spans = [
        [_over(core, size, axis.size) for core in axis.cores]
        for axis, size in zip(grid.axes, mask.shape, strict=True)
    ]
    rest = [np.asarray(mask[part]).astype(bool).any(axis=0) for part in spans[0]]
    touched: NDArray[np.bool_] = np.stack(rest)
    for axis, parts in enumerate(spans[1:], start=1):
        before = (slice(None),) * axis
        touched = np.stack([touched[(*before, part)].any(axis=axis) for part in parts], axis=axis)
    return touched.ravel()


def tiles_for_masks(
    grid: TileGrid, leading_shape: tuple[int, ...], mask: ArrayLike
) -> NDArray[np.bool_]:
    """Return which tiles of every plane a mask needs, as `stream_plan` takes it.

    Parameters
    ----------
    grid, leading_shape
        The tiles of one plane, and how many planes there are.
    mask
        As in `tiles_for_mask`: one for all planes, or with the leading axes in front.

    Returns
    -------
    (*leading_shape, tiles) bool.

    Raises
    ------
    SettingsError
        If the mask does not fit.
    """
    shape = tuple(mask.shape)
    if len(shape) == len(grid.axes):
        return np.broadcast_to(tiles_for_mask(grid, mask), (*leading_shape, len(grid))).copy()
    if shape[: len(leading_shape)] != leading_shape:
        raise _misfit(shape, (*leading_shape, *grid.shape))
    wanted = np.zeros((*leading_shape, len(grid)), bool)
    for plane in np.ndindex(*leading_shape):
        wanted[plane] = tiles_for_mask(grid, mask[plane])
    return wanted


def inside(mask: ArrayLike, shape: Sequence[int], region: Sequence[slice]) -> NDArray[np.bool_]:
    """Return which pixels of a region lie inside a mask.

    Parameters
    ----------
    mask
        Of one plane, as in `tiles_for_mask`.
    shape
        The size of the plane in pixels.
    region
        Slices in pixels; those of leading axes, in front, are passed over.

    Returns
    -------
    Bool, in the size of the region on the axes of the plane.
    """
    sizes = tuple(mask.shape)
    spatial = region[-len(sizes) :]
    triples = list(zip(spatial, sizes, shape, strict=True))
    parts = [_over((part.start, part.stop), size, full) for part, size, full in triples]
    block = np.asarray(mask[tuple(parts)]).astype(bool)
    places = [
        _belongs(np.arange(part.start, part.stop), size, full) - kept.start
        for (part, size, full), kept in zip(triples, parts, strict=True)
    ]
    found: NDArray[np.bool_] = block[np.ix_(*places)]
    return found


def blank(
    mask: ArrayLike,
    shape: Sequence[int],
    region: Sequence[slice],
    labels: NDArray[Any],
    value: int = NOT_COMPUTED,
) -> NDArray[Any]:
    """Return labels in which what lies outside a mask is not computed.

    Parameters
    ----------
    mask, shape, region
        As in `inside`.
    labels
        (..., *region): those of a patch. Several labels a pixel (bool) become False outside.
    value
        What stands for "not computed" in uint8 labels.
    """
    outside = labels.dtype.type(False if labels.dtype == bool else value)
    kept: NDArray[Any] = np.where(inside(mask, shape, region), labels, outside)
    return kept


def _belongs(pixels: NDArray[np.intp], size: int, full: int) -> NDArray[np.intp]:
    """Return the pixel of a mask of `size` over the middle of pixels of an image of `full`."""
    return (2 * pixels + 1) * size // (2 * full)


def _over(span: tuple[int, int], size: int, full: int) -> slice:
    """Return the pixels of a mask that lie over the pixels [first, last) of an image."""
    first, last = _belongs(np.array([span[0], span[1] - 1]), size, full)
    return slice(int(first), int(last) + 1)


def _check(sizes: Sequence[int], wanted: Sequence[int]) -> None:
    fits = len(sizes) == len(wanted) and all(
        0 < size <= full for size, full in zip(sizes, wanted, strict=True)
    )
    if not fits:
        raise _misfit(sizes, wanted)


def _misfit(sizes: Sequence[int], wanted: Sequence[int]) -> SettingsError:
    return SettingsError(
        f"The mask has the shape {tuple(sizes)}, the image {tuple(wanted)} without its "
        "channels. Give a mask with the same axes, of the same size or smaller."
    )
