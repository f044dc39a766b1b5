"""Which sizes a U-Net without padding can be shown, and which it answers for."""

from __future__ import annotations

TRIM_PX = {"transposed": 0, "nearest": 0, "bilinear": 1, "pixelshuffle": 0}
"""Ways of upsampling, and what each makes up at the edge of a tile, in pixels."""

_PER_LEVEL_PX = 4
"""What two unpadded 3 x 3 convolutions take off a side length."""


def answer_size(size: int, depth: int, trim: int = 0) -> int | None:
    """Return the side length of the answer to a tile, in pixels.

    Parameters
    ----------
    size
        The side length of the tile, in pixels.
    depth
        How often the network halves its input.
    trim
        What is cut off every side after upsampling, in pixels.

    Returns
    -------
    None if the tile does not fit: some level cannot be halved, or nothing would be left.
    """
    for _ in range(depth):
        size -= _PER_LEVEL_PX
        if size <= 0 or size % 2:
            return None
        size //= 2
    size -= _PER_LEVEL_PX
    for _ in range(depth):
        size = 2 * (size - trim) - _PER_LEVEL_PX
    return size if size > 0 else None


def margin_of(depth: int, trim: int = 0) -> int:
    """Return the smallest margin for which all multiples of the stride can be answered.

    The network of the paper uses up 92 px on every side, but `size + 2 * 92` never fits it;
    with 94 px it always does, and the answer has 2 px too much on every side.
    """
    stride = 2**depth
    margin = 0
    while (answer_size(stride + 2 * margin, depth, trim) or 0) < stride:
        margin += 1
    return margin
