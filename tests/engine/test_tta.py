from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.engine.spec import Task
from napari_tileseg.engine.tiles import cut_image
from napari_tileseg.engine.tta import Variant, averaged, variants
from napari_tileseg.errors import SettingsError
from stubs import Counting, Echo, Ramp, network

ALL = [("none", 2, 1), ("flips", 1, 2), ("flips", 2, 4), ("flips", 3, 8), ("d4", 2, 8)]


def _tiles(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(("tta", "dims", "count"), [*ALL, ("d4", 3, 8), ("d4", 1, 2)])
def test_every_variant_is_another_view_and_can_be_undone(tta, dims, count):
    tiles = _tiles(2, 3, *(4,) * dims)
    looks = variants(tta, dims)
    assert looks[0] == Variant()
    views = {look.apply(tiles).numpy().tobytes() for look in looks}
    assert len(looks) == len(views) == count
    for look in looks:
        torch.testing.assert_close(look.undo(look.apply(tiles)), tiles, rtol=0, atol=0)


def test_the_eight_views_of_a_square_are_closed_under_turning():
    tiles = _tiles(1, 1, 5, 5)
    turned = tiles.rot90(1, (-2, -1))
    assert {look.apply(tiles).numpy().tobytes() for look in variants("d4", 2)} == {
        look.apply(turned).numpy().tobytes() for look in variants("d4", 2)
    }


@pytest.mark.parametrize(("tta", "dims", "count"), ALL)
def test_a_network_that_does_not_mind_gives_the_same_bits(tta, dims, count):
    tiles = _tiles(2, 3, *(6,) * dims)
    answer = averaged(Echo(), tiles, variants(tta, dims), network(Echo()))
    torch.testing.assert_close(answer, tiles, rtol=0, atol=0)


def test_a_network_that_minds_gives_the_mean():
    class Columns(nn.Module):
        def forward(self, tiles):
            return torch.arange(tiles.shape[-1], dtype=torch.float32).expand(tiles.shape)

    answer = averaged(Columns(), _tiles(1, 1, 2, 4), variants("flips", 2), network(Columns()))
    np.testing.assert_array_equal(answer, np.full((1, 1, 2, 4), 1.5))
    answer = averaged(Columns(), _tiles(1, 1, 2, 4), variants("d4", 2), network(Columns()))
    by_hand = (1.5 + np.full((2, 4), 0.5)) / 2  # transposed, it counts the two rows
    np.testing.assert_array_equal(answer[0, 0], by_hand)


def test_all_views_go_through_the_network_at_once_where_they_can():
    inner = Counting(Echo())
    averaged(inner, _tiles(3, 1, 8, 8), variants("d4", 2), network(inner))
    assert inner.shapes == [(24, 1, 8, 8)]
    inner.shapes.clear()
    averaged(inner, _tiles(3, 1, 8, 4), variants("d4", 2), network(inner))
    assert inner.shapes == [(12, 1, 8, 4), (12, 1, 4, 8)]
    inner.shapes.clear()
    averaged(inner, _tiles(3, 1, 8, 8), variants("flips", 2), network(inner), at_once=5)
    assert [shape[0] for shape in inner.shapes] == [5, 5, 2]


@pytest.mark.parametrize("mean", ["logits", "probabilities"])
@pytest.mark.parametrize("tta", ["flips", "d4"])
def test_company_in_the_batch_does_not_change_a_bit(tta, mean):
    model = network(Ramp(3))
    tiles = _tiles(4, 1, 8, 6) * 5
    looks = variants(tta, 2)
    together = averaged(model.module, tiles, looks, model, mean=mean)
    for index in range(4):
        alone = averaged(model.module, tiles[index : index + 1], looks, model, mean=mean)
        torch.testing.assert_close(alone[0], together[index], rtol=0, atol=0)


def test_a_flipped_image_gives_the_flipped_answer_in_the_same_bits():
    model = network(Ramp(3))
    tiles = _tiles(1, 1, 7, 5)
    answer = averaged(model.module, tiles, variants("flips", 2), model)
    for axes in [(-1,), (-2,), (-2, -1)]:
        flipped = averaged(model.module, tiles.flip(axes), variants("flips", 2), model)
        torch.testing.assert_close(flipped, answer.flip(axes), rtol=0, atol=0)


@pytest.mark.parametrize("task", list(Task))
def test_the_mean_of_probabilities_is_what_it_says(task):
    outputs = 1 if task is Task.BINARY else 3
    model = network(Ramp(outputs), outputs=outputs, task=task)
    to_sure = torch.sigmoid if task is not Task.MULTICLASS else lambda one: one.softmax(1)
    tiles, looks = _tiles(2, 1, 6, 6) * 3, variants("flips", 2)
    answer = averaged(model.module, tiles, looks, model, mean="probabilities")
    each = [to_sure(look.undo(model.module(look.apply(tiles)))) for look in looks]
    torch.testing.assert_close(to_sure(answer), sum(each) / len(looks), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.MULTILABEL])
def test_a_network_that_is_very_sure_of_something_else_each_time_stays_finite(task):
    class Sure(nn.Module):
        def forward(self, tiles):
            return tiles * torch.arange(-1, 3) * 1e4

    answer = averaged(
        Sure(),
        _tiles(1, 3, 4, 4),
        variants("d4", 2),
        network(Sure(), task=task),
        mean="probabilities",
    )
    assert torch.isfinite(answer).all()


def test_tiles_with_enough_context_give_what_the_whole_image_gives():
    class Pooling(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.Conv2d(1, 3, 3, padding=1).double()

        def forward(self, tiles):
            coarse = functional.max_pool2d(self.conv(tiles), 4)
            return functional.interpolate(coarse, scale_factor=4, mode="nearest")

    model = network(Pooling(), stride=4)
    image = _tiles(1, 1, 56, 40).double()
    grid = cut_image((56, 40), (24, 24), (12, 12), stride=4, crop=True)
    for tta in ("flips", "d4"):
        looks = variants(tta, 2)
        whole = averaged(model.module, image, looks, model)
        for tile in grid:
            part = averaged(model.module, image[(..., *tile.outer)], looks, model)
            core = part[(..., *tile.core_within)]
            torch.testing.assert_close(core, whole[(..., *tile.core)], rtol=0, atol=1e-12)


def test_an_unknown_way_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match="none, flips, d4"):
        variants("rotate", 2)
    with pytest.raises(SettingsError, match="logits, probabilities"):
        averaged(Echo(), _tiles(1, 3, 4, 4), variants("flips", 2), network(Echo()), mean="max")
