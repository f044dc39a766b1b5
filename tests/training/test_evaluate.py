import json

import numpy as np
import pytest

from napari_tileseg import evaluate
from napari_tileseg.engine.spec import Task
from napari_tileseg.errors import ModelFitError
from stubs import echo, small_conv


def _case(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return an RGB image whose brightest channel is known."""
    pixels = np.random.default_rng(seed).random((40, 50, 3), np.float32)
    return pixels, pixels.argmax(-1).astype(np.uint8)


def test_a_model_that_is_always_right_scores_one() -> None:
    pixels, mask = _case()
    report = evaluate(echo(), [pixels], [mask], tile=32, overlap=0.25)
    assert report.miou == 1
    assert report.pooled.pixel_accuracy == 1


def test_the_json_has_the_agreed_form() -> None:
    pixels, mask = _case()
    other, truth = _case(1)
    wrong = np.where(truth == 1, 2, truth)
    figures = evaluate(echo(), [pixels, other], [mask, wrong]).to_json()
    assert list(figures) == [
        "miou", "mean_dice", "pixel_accuracy", "per_class", "images", "confusion",
    ]  # fmt: skip
    assert list(figures["per_class"]) == ["background", "class 1", "class 2"]
    assert list(figures["per_class"]["class 1"]) == ["iou", "dice", "pixels"]
    assert figures["per_class"]["class 1"]["pixels"] == int((mask == 1).sum())
    assert figures["images"][0] == {"name": "image 0", "miou": 1.0}
    assert figures["images"][1]["miou"] < 1
    json.loads(json.dumps(figures, allow_nan=False))


def test_a_class_in_neither_is_null() -> None:
    pixels, mask = _case()
    pixels[..., 2] = 0
    figures = evaluate(echo(), [pixels], [np.where(mask == 2, 255, mask)]).to_json()
    assert figures["per_class"]["class 2"] == {"iou": None, "dice": None, "pixels": 0}


def test_unknown_pixels_are_left_out() -> None:
    pixels, mask = _case()
    mask[:20] = (mask[:20] + 1) % 3
    assert evaluate(echo(), [pixels], [mask]).miou < 0.7
    mask[:20] = 255
    assert evaluate(echo(), [pixels], [mask]).miou == 1


def test_a_mask_with_too_many_classes_is_refused() -> None:
    pixels, mask = _case()
    mask[0, 0] = 3
    with pytest.raises(ModelFitError, match="holds 3, but the model has 3 classes"):
        evaluate(echo(), [pixels], [mask])


def test_a_model_with_several_classes_a_pixel_is_refused() -> None:
    with pytest.raises(ModelFitError, match="several classes at once"):
        evaluate(small_conv(task=Task.MULTILABEL), [np.zeros((40, 50))], [np.zeros((40, 50), int)])


def test_axes_can_be_said() -> None:
    pixels, mask = _case()
    channels_first = pixels.transpose(2, 0, 1)
    assert evaluate(echo(), [channels_first], [mask], axes="CYX").miou == 1


def test_a_model_of_volumes_is_compared_with_volumes() -> None:
    pixels = np.random.default_rng(0).random((12, 2, 40, 50, 2), np.float32)
    mask = pixels.argmax(-1).astype(np.uint8).swapaxes(0, 1)
    report = evaluate(echo(channels=2, dims=3), [pixels], [mask], axes="ZTYXC", mode="whole")
    assert report.miou == 1


def test_foreground_that_was_saved_as_255_is_refused() -> None:
    pixels = np.random.default_rng(0).random((40, 50, 2), np.float32)
    mask = pixels.argmax(-1).astype(np.uint8)
    with pytest.raises(ModelFitError, match="255 means unknown here; save foreground as 1"):
        evaluate(echo(channels=2), [pixels], [mask * np.uint8(255)], axes="YXC")


def test_one_mask_without_foreground_among_others_is_evaluated() -> None:
    pixels = np.random.default_rng(0).random((40, 50, 2), np.float32)
    mask = pixels.argmax(-1).astype(np.uint8)
    empty = np.where(mask == 1, 255, mask)
    assert evaluate(echo(channels=2), [pixels] * 2, [mask, empty], axes="YXC").miou == 1
