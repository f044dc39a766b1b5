"""What the panel "Train from Folders" shows, from values alone."""

import math

import numpy as np
import pytest

from napari_tileseg.io.layouts import Layout
from napari_tileseg.session.folder_training import (
    FolderChoice,
    FolderTraining,
    Stage,
    resolve_folders,
)
from napari_tileseg.training.metrics import Confusion
from napari_tileseg.training.train import TrainReport
from tests.stubs import small_conv

PAIRS = FolderChoice(images="images", masks="masks")


def step(epoch, number, loss, *, right=None, best=None, stopped=""):
    """Return a report; `right` of ten pixels were found in what it was judged by."""
    validation = None
    if right is not None:
        validation = Confusion(2)
        labels = np.array([1] * right + [0] * (10 - right), np.uint8)
        validation.add(np.append(labels, 0), np.array([1] * 10 + [0], np.uint8))
    return TrainReport(epoch, number, number / 10, float(number), loss, validation, best, stopped)


def after(*reports, choice=PAIRS):
    known = FolderTraining(choice=choice).begun()
    for one in reports:
        known = known.advanced(one)
    return known


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (FolderChoice(), "images are in"),
        (FolderChoice(images="a"), "masks"),
        (FolderChoice(images="a", masks="b", val_images="c"), "both, or neither"),
    ],
)
def test_what_is_missing_is_said_before_anything_can_begin(choice, said):
    view = resolve_folders(FolderTraining(choice=choice))
    assert not view.can_train
    assert said in view.hint


@pytest.mark.parametrize("choice", [PAIRS, FolderChoice(Layout.VOC, images="VOC2012")])
def test_with_all_that_is_needed_it_can_begin(choice):
    view = resolve_folders(FolderTraining(choice=choice))
    assert view.can_train
    assert view.has_masks == (choice.layout is Layout.PAIRS)


def test_an_epoch_is_one_line_with_the_mean_of_its_losses():
    rows = after(step(1, 1, 1.0), step(1, 2, math.nan), step(1, 3, 0.4), step(2, 4, 0.3)).rows
    assert [row.epoch for row in rows] == [1, 2]
    assert rows[0].loss == pytest.approx(0.7)
    assert rows[1].loss == 0.3


def test_only_the_best_epoch_is_marked():
    net = small_conv()
    known = after(
        step(1, 1, 1.0, right=5, best=net),
        step(2, 2, 0.5, right=9, best=net),
        step(3, 3, 0.4, right=7),
    )
    assert [row.best for row in known.rows] == [False, True, False]
    assert "epoch 2" in resolve_folders(known.ended()).result


def test_while_it_trains_nothing_but_cancel_can_be_chosen():
    view = resolve_folders(after(step(1, 1, 1.0, best=small_conv())))
    assert (view.can_train, view.can_stop, view.can_use) == (False, True, False)
    assert "10 %" in view.progress_text


def test_a_model_can_be_used_when_it_has_ended_and_there_is_one():
    assert resolve_folders(after(step(1, 1, 1.0, best=small_conv())).ended()).can_use
    without = resolve_folders(after(step(1, 1, 1.0)).ended())
    assert not without.can_use
    assert "too early" in without.result


def test_a_failure_is_told_and_what_was_found_by_then_stays():
    known = after(step(1, 1, 1.0, best=small_conv())).ended("The disk is full.")
    view = resolve_folders(known)
    assert view.problem == "The disk is full."
    assert view.can_use
    assert known.stage is Stage.IDLE


def test_beginning_again_forgets_the_last_training_but_not_the_choice():
    known = after(step(1, 1, 1.0, best=small_conv())).ended().begun()
    assert (known.rows, known.has_result, known.choice) == ((), False, PAIRS)
