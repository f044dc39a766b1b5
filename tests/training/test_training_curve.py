import math

import numpy as np
import pytest

from napari_tileseg.engine.spec import default_classes
from napari_tileseg.training.curve import Score, draw_curve
from napari_tileseg.training.plot import Line, Panel

RED = (255, 0, 0)


def _drawn(losses, scores=(), classes=3):
    picture = draw_curve(losses, scores, default_classes(classes), title="t", loss_name="dice")
    return np.asarray(picture)


def _rows_of(pixels, colour):
    near = np.abs(pixels.astype(int) - colour).sum(-1) < 60
    return np.flatnonzero(near.any(1))


def test_a_lower_loss_is_drawn_lower():
    from PIL import Image

    panel = Panel((50, 20, 250, 120), (0, 10), (0, 2), "step", "loss")
    line = Line("loss", "#ff0000", [(0, 2.0), (10, 0.0)], width=3)
    pixels = np.asarray(panel.drawn(Image.new("RGB", (400, 160), "white"), [line]))
    left, right = pixels[:, 52:60], pixels[:, 240:248]
    assert _rows_of(left, RED).mean() < 30
    assert _rows_of(right, RED).mean() > 110


def test_skipped_steps_leave_a_gap_and_break_nothing():
    from PIL import Image

    panel = Panel((50, 20, 250, 120), (0, 10), (0, 2), "step", "loss")
    points = [(0, 1.0), (3, 1.0), (4, math.nan), (6, math.nan), (7, 1.0), (10, 1.0)]
    line = Line("loss", "#ff0000", points, width=3)
    pixels = np.asarray(panel.drawn(Image.new("RGB", (400, 160), "white"), [line]))
    columns = np.flatnonzero((np.abs(pixels.astype(int) - RED).sum(-1) < 60).any(0))
    assert {60, 100, 200, 240} <= set(columns)
    assert not set(range(115, 185)) & set(columns)
    assert _drawn([math.nan, 1.0, math.nan]).shape == (720, 1000, 3)


def test_scores_have_a_part_of_their_own():
    scores = [Score(step, 0.5, (0.4, math.nan, 0.6)) for step in (10, 20)]
    without, with_scores = _drawn([1.0] * 20), _drawn([1.0] * 20, scores)
    assert not (without == with_scores).all()
    orange = (0xE6, 0x9F, 0x00)  # the colour of the third class
    assert _rows_of(with_scores, orange).size
    assert not _rows_of(without, orange).size


@pytest.mark.parametrize("losses", [[], [0.0], [2.0], [math.nan], [0.1] * 3000, [1e9, 1.0]])
def test_every_training_can_be_drawn(losses):
    scores = [Score(1, math.nan, (math.nan,) * 9), Score(2, 0.3, (0.3,) * 9)]
    assert _drawn(losses).std() > 0
    assert _drawn(losses, scores, classes=9).std() > 0
