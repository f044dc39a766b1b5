"""The task that `tileseg bench context` makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_tileseg.bench import context
from napari_tileseg.bench.context_task import TILE, made, right, taught
from napari_tileseg.bench.setup import Setup


def test_objects_lie_more_than_four_tiles_from_the_marker_and_all_are_of_one_kind():
    images, targets = made(40, 0)
    kinds = set()
    for image, target in zip(images, targets, strict=True):
        objects = np.flatnonzero(target.any(0))
        ends = np.abs(image).reshape(TILE, -1, TILE).mean(axis=(0, 2))
        marker = int(ends[[0, -1]].argmax()) * (target.shape[1] - TILE)
        nearest = np.minimum(np.abs(objects - marker), np.abs(objects - marker - TILE)).min()
        assert nearest >= 4 * TILE
        kinds |= {frozenset(np.unique(target))}
    assert kinds == {frozenset({0, 1}), frozenset({0, 2})}


def test_half_of_the_objects_are_right_by_chance_and_none_if_none_is_seen():
    _, targets = made(200, 0)
    assert right(np.ones_like(targets), targets) == pytest.approx(0.5, abs=0.1)
    assert right(np.zeros_like(targets), targets) == 0
    assert right(targets, targets) == 1


def test_the_marker_cannot_be_seen_from_afar():
    images, targets = made(60, 0)
    small = context._shrunk(torch.from_numpy(images)[:, None])[:, 0].numpy()
    across = TILE // context.SMALLER
    for image, target in zip(small, targets, strict=True):
        left = target[:, : target.shape[1] // 2].any()  # then the marker is at the other end
        tile = image[:, -across:] if left else image[:, :across]
        # noise of 0.3, of which 64 pixels become one
        assert np.abs(tile).max() < 5 * 0.3 / 8


def test_tiles_by_themselves_are_put_where_they_came_from():
    images, _ = made(3, 0)
    pieces = context._cropped(torch.from_numpy(images)[:, None])
    assert pieces.shape == (21, 1, TILE, TILE)
    assert torch.equal(pieces[8, 0], torch.from_numpy(images[1, :, TILE : 2 * TILE]))


def test_what_is_measured_of_xt_can_be_measured():
    setup, (images, _) = Setup(quick=True), made(1, 0)
    xt = context._xt(setup, "full")
    assert [one.value for one in context._orders(xt, images, setup)] == [0, 0]
    module = xt.module
    before = module.head.weight.detach().clone()
    taught(module, 1, 0, context._cropped)
    assert (module.head.weight != before).any()
    for way in (context._by_tiles, context._made_small, context._whole):
        assert way(xt, images).shape == images.shape
