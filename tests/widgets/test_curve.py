"""The curves while a model learns, looked at pixel by pixel."""

import numpy as np
import pytest
from qtpy.QtGui import QImage

from napari_tileseg.session.teaching import Point
from napari_tileseg.widgets.curve import Curve, nice_above, smooth
from napari_tileseg.widgets.style import apply_style

LOSS, DICE = (224, 138, 30), (74, 155, 224)


@pytest.fixture(params=["dark", "light"])
def curve(qtbot, request):
    widget = Curve()
    qtbot.addWidget(widget)
    apply_style(widget, request.param)
    widget.resize(320, 150)
    widget.show()
    return widget


def pixels(widget):
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    flat = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8)
    return flat.reshape(image.height(), image.bytesPerLine() // 4, 4)[:, :, 2::-1].astype(int)


def rows_of(picture, colour, columns=slice(None)):
    near = (np.abs(picture[:, columns] - colour) < 12).all(2)
    return np.flatnonzero(near[20:].any(1)) + 20  # below the legend


def test_before_the_first_step_there_is_no_curve(curve):
    picture = pixels(curve)
    assert rows_of(picture, LOSS).size == 0
    assert rows_of(picture, DICE).size == 0


def test_a_falling_loss_falls_and_a_rising_dice_rises(curve):
    curve.show_points(tuple(Point(t, 1 - t / 20, 0.5 + t / 50) for t in range(20)))
    picture = pixels(curve)
    left, right = slice(40, 90), slice(220, 280)
    assert rows_of(picture, LOSS, left).mean() < rows_of(picture, LOSS, right).mean()
    assert rows_of(picture, DICE, left).mean() > rows_of(picture, DICE, right).mean()


def test_without_a_proof_there_is_no_second_curve(curve):
    curve.show_points(tuple(Point(t, 1 - t / 40) for t in range(20)))
    assert rows_of(pixels(curve), LOSS).size
    assert rows_of(pixels(curve), DICE).size == 0


def test_what_is_drawn_is_also_said_for_those_who_do_not_see_it(curve):
    curve.show_points((Point(0, None, 0.71), Point(1, 0.4), Point(2, 0.4, 0.83)))
    assert curve.accessibleDescription() == "loss 0.4, Dice 0.710 at first, 0.830 now"


def test_the_mean_follows_and_starts_at_the_first_value():
    assert smooth([2.0, 2.0, 2.0]) == [2.0, 2.0, 2.0]
    assert smooth([4.0, 0.0])[1] == 2.0
    assert 0.5 < smooth([1.0] * 50 + [0.0] * 3)[-1] < 1.0


@pytest.mark.parametrize(
    ("value", "above"), [(0.7, 0.8), (1.0, 1.0), (1.15, 1.2), (23, 30), (95, 100)]
)
def test_axes_end_at_round_numbers(value, above):
    assert nice_above(value) == pytest.approx(above)


@pytest.mark.parametrize(("seconds", "above"), [(45, 50), (61, 120), (179, 180), (3000, 3000)])
def test_times_end_at_whole_minutes(seconds, above):
    assert nice_above(seconds, minutes=True) == pytest.approx(above)
