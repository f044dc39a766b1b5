"""A survey is the image seen from a distance, and costs what was touched."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.annotation.sheet import Sheet
from napari_tileseg.annotation.survey import CORRECTED, OPEN, REVIEWED, survey

SHAPE = (3, 300, 530)
steps = st.sampled_from([(1, 1, 1), (1, 2, 2), (1, 64, 64), (2, 1, 16), (1, 256, 256)])


@st.composite
def boxes(draw, multiples=(1, 1, 1)):
    region = []
    for size, step in zip(SHAPE, multiples, strict=True):
        start = draw(st.integers(0, (size - 1) // step)) * step
        region.append(slice(start, draw(st.integers(start + 1, size))))
    return tuple(region)


def _sheet(painted, reviewed):
    sheet = Sheet.empty(SHAPE)
    half = (slice(0, 3), slice(0, 150), slice(0, 530))
    sheet.write_model(half, np.zeros((3, 150, 530)))
    shape = tuple(axis.stop - axis.start for axis in painted)
    mask = np.random.default_rng(0).random(shape) < 0.3
    for stroke in (sheet.painting(painted, mask, 1), sheet.reviewing(reviewed)):
        if stroke is not None:
            sheet.apply(stroke)
    return sheet


@given(st.data(), boxes(), boxes(), steps)
def test_a_cell_says_what_its_pixels_say(data, painted, reviewed, cell):
    sheet = _sheet(painted, reviewed)
    region = data.draw(boxes(cell))
    found = survey(sheet, region, cell)
    for spot in np.ndindex(found.shape):
        pixels = tuple(
            slice(axis.start + i * step, min(axis.stop, axis.start + (i + 1) * step))
            for i, step, axis in zip(spot, cell, region, strict=True)
        )
        if spot != tuple(n - 1 for n in found.shape) and spot != (0, 0, 0):
            continue  # the corners are where counting goes wrong
        expected = CORRECTED * sheet.corrected.any(pixels) + REVIEWED * sheet.reviewed.any(pixels)
        first = tuple(axis.start for axis in pixels)
        assert found[spot] == (expected or OPEN * (sheet.shown[first] == 255))


def test_a_dot_is_seen_from_far_away_in_an_enormous_image():
    sheet = Sheet(np.zeros((100_000, 100_000), np.uint8), counts=np.eye(256, dtype=np.int64)[0])
    dot = (slice(70_123, 70_124), slice(5, 6))
    sheet.apply(sheet.painting(dot, np.ones((1, 1), bool), 1))
    found = survey(sheet, (slice(0, 100_000), slice(0, 100_000)), (256, 256))
    assert found.shape == (391, 391)
    assert found[70_123 // 256, 0] == CORRECTED
    assert np.count_nonzero(found) == 1
