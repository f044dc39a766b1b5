import numpy as np
import pytest

from napari_tileseg.training.metrics import Confusion


def test_figures_equal_those_counted_by_hand() -> None:
    truth = np.array([[0, 0, 0, 1], [1, 1, 2, 255]], np.uint8)
    labels = np.array([[0, 0, 1, 1], [1, 2, 2, 0]], np.uint8)
    confusion = Confusion(3)
    confusion.add(labels, truth)
    assert confusion.counts.tolist() == [[2, 1, 0], [0, 2, 1], [0, 0, 1]]
    assert confusion.iou.tolist() == [2 / 3, 2 / 4, 1 / 2]
    assert confusion.dice.tolist() == [4 / 5, 4 / 6, 2 / 3]
    assert confusion.miou == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)
    assert confusion.pixel_accuracy == pytest.approx(5 / 7)
    assert confusion.pixels.tolist() == [3, 3, 1]


def test_a_class_in_neither_is_left_out_of_the_mean() -> None:
    confusion = Confusion(4)
    confusion.add(np.array([0, 1], np.uint8), np.array([0, 1], np.uint8))
    assert confusion.miou == 1
    assert np.isnan(confusion.iou[2:]).all()


def test_a_class_that_is_only_predicted_counts_as_wrong() -> None:
    confusion = Confusion(3)
    confusion.add(np.array([0, 2], np.uint8), np.array([0, 0], np.uint8))
    assert confusion.iou[2] == 0
    assert confusion.miou == pytest.approx((0.5 + 0) / 2)


def test_images_are_pooled_pixel_by_pixel() -> None:
    rng = np.random.default_rng(3)
    truth, labels = rng.integers(0, 3, (2, 6, 50), dtype=np.uint8)
    whole, parts = Confusion(3), Confusion(3)
    whole.add(labels, truth)
    for row in range(6):
        one = Confusion(3)
        one.add(labels[row], truth[row])
        parts += one
    assert (whole.counts == parts.counts).all()


def test_without_a_known_pixel_there_is_no_figure() -> None:
    confusion = Confusion(2)
    confusion.add(np.zeros(4, np.uint8), np.full(4, 255, np.uint8))
    assert np.isnan(confusion.miou)
    assert np.isnan(confusion.pixel_accuracy)


def test_iou_and_dice_equal_those_of_segmentation_models_pytorch() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    import torch

    rng = np.random.default_rng(5)
    truth, labels = rng.integers(0, 4, (2, 3, 40, 50), dtype=np.uint8)
    truth[rng.random(truth.shape) < 0.2] = 255
    confusion = Confusion(4)
    confusion.add(labels, truth)
    unknown = torch.from_numpy(truth == 255)
    theirs = torch.from_numpy(labels).long().masked_fill(unknown, -1)
    target = torch.from_numpy(truth).long().masked_fill(unknown, -1)
    stats = smp.metrics.get_stats(theirs, target, mode="multiclass", ignore_index=-1, num_classes=4)
    tp, fp, fn, _ = (one.sum(0) for one in stats)
    np.testing.assert_allclose(confusion.iou, (tp / (tp + fp + fn)).numpy())
    np.testing.assert_allclose(confusion.dice, (2 * tp / (2 * tp + fp + fn)).numpy(), rtol=1e-6)


def test_stray_pixels_of_a_class_that_is_not_there_do_not_decide():
    truth = np.repeat([0, 0, 0, 2], 100).astype(np.uint8)
    clean, stray = Confusion(3), Confusion(3)
    clean.add(truth, truth)
    said = truth.copy()
    said[:3] = 1
    stray.add(said, truth)
    assert stray.mean_dice < 0.7
    assert stray.dice_of_true == pytest.approx((2 * 297 / 597 + 1) / 2)
    assert clean.dice_of_true == 1
    assert np.isnan(Confusion(3).dice_of_true)
