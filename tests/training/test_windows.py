"""Squares around all that is vouched for."""

import numpy as np

from napari_tileseg.annotation.sparse import bounding, shape_of
from napari_tileseg.training.windows import _gathered

MOST = 384


def boxes_of_chunks(chance):
    """Return boxes as they come: one in each of some chunks of 256 px, row by row."""
    for y, x in np.ndindex(12, 12):
        if chance.random() < 0.7:
            low = chance.integers(0, 200, 2)
            high = low + chance.integers(1, 57, 2)
            yield tuple(
                slice(256 * at + int(a), 256 * at + int(b))
                for at, a, b in zip((y, x), low, high, strict=True)
            )


def test_every_box_is_in_one_group_as_if_each_was_compared_with_every_other():
    for seed in range(5):
        boxes = list(boxes_of_chunks(np.random.default_rng(seed)))
        found = list(_gathered(boxes, MOST))
        left, expected = list(boxes), []
        while left:
            group = [left.pop(0)]
            for box in left[:]:
                if max(shape_of(bounding([*group, box]))) <= MOST:
                    group.append(box)
                    left.remove(box)
            expected.append(group)
        assert found == expected
        assert len(found) < len(boxes) / 2
