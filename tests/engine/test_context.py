"""Every tile knows the whole image: two passes over the tiles, and a bank between them."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest
import torch
from torch import nn

from disks import small_disk
from napari_tileseg.engine import context_bank
from napari_tileseg.engine.context_bank import TokenBank
from napari_tileseg.engine.estimate import estimate
from napari_tileseg.engine.meter import Meter
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import Focus, predict, stream_plan
from napari_tileseg.engine.reading import read_tile
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.tiles import Tile
from napari_tileseg.errors import Cancelled, ModelFitError, OutputError
from napari_tileseg.settings import Mode, RunSettings
from stubs import network


class AboveMean(nn.Module):
    """Class 1 is what is brighter than the mean of the image; a token is the mean of a cell."""

    region, halo, cell, dim, passes = 16, 4, 4, 1, 2

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.one.weight)
        self.seen = []

    def region_tokens(self, shown):
        self.seen.append(tuple(shown.shape))
        cells = nn.functional.avg_pool2d(self.one(shown)[..., 4:-4, 4:-4], 4)
        rows, columns = (size // 4 for size in cells.shape[2:])
        return (
            cells.reshape(1, rows, 4, columns, 4).transpose(2, 3).reshape(1, rows, columns, 16, 1)
        )

    def context_pass(self, number, regions):
        rows = [regions.row(row).clone() for row in range(regions.shape[0])]
        mean = torch.stack(rows).mean()
        for row in rows:
            yield torch.full_like(row, float(mean)) if number else row * 1.0

    def answer(self, shown, window=None):
        inner = self.one(shown)[..., 4:-4, 4:-4]
        mean = nn.functional.interpolate(window, scale_factor=4)[..., 4:-4, 4:-4]
        return torch.cat([torch.zeros_like(inner), inner - mean], dim=1)

    def forward(self, tiles):
        inner = self.one(tiles)
        return torch.cat([torch.zeros_like(inner), inner - tiles.mean()], dim=1)


@pytest.fixture
def model():
    return network(AboveMean(), outputs=2, stride=16, global_context=("looks at everything",))


@pytest.fixture
def image():
    bright = np.random.default_rng(0).random((64, 96)).astype(np.float32)
    bright[:, 70:] += 3
    return bright


def sure(image, model, *, focus=None, wanted=None, **options):
    source = Source(image)
    options = {"device": "cpu", "precision": "fp32"} | options
    plan = make_plan(source, model, RunSettings(probabilities=True, **options))
    result = np.zeros((2, *source.label_shape), np.float32)
    for patch in stream_plan(plan, source, model, provisional=False, focus=focus, wanted=wanted):
        result[(slice(None), *patch.region)] = patch.probabilities
    return result


def test_every_tile_knows_the_whole_image(image, model):
    labels = predict(image, model, tile=16)
    np.testing.assert_array_equal(labels, image > image.mean())
    tiles_alone = predict(image, model, tile=16, mode="blend")
    assert (tiles_alone != labels).mean() > 0.2


@pytest.mark.parametrize("point", [(60, 90), (0, 0), (20, 50)])
def test_the_order_of_tiles_changes_no_bit(image, model, point):
    np.testing.assert_array_equal(
        sure(image, model, tile=16), sure(image, model, tile=16, focus=Focus(point))
    )


def test_a_bank_on_disk_gives_the_same_bits_and_leaves_nothing_behind(
    image, model, monkeypatch, tmp_path
):
    in_memory = sure(image, model, tile=32)
    monkeypatch.setattr(context_bank, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = []
    monkeypatch.setattr(
        TokenBank,
        "window",
        lambda *of, window=TokenBank.window: (
            files.extend(tmp_path.rglob("*.tokens")),
            window(*of),
        )[1],
    )
    np.testing.assert_array_equal(sure(image, model, tile=32), in_memory)
    assert files
    assert list(tmp_path.iterdir()) == []


def test_a_bank_that_finds_no_room_on_disk_says_so(image, model, monkeypatch, tmp_path):
    monkeypatch.setattr(context_bank, "IN_MEMORY_BYTES", 0)
    with small_disk(tmp_path / "disk") as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        sure(image, model, tile=32)
        larger = np.tile(image, (40, 40))
        with pytest.raises(OutputError, match="TMPDIR"):
            predict(larger, model, tile=32)
        assert list(disk.iterdir()) == []


def test_a_run_that_is_gone_on_with_gives_the_same_bits(image, model):
    whole = sure(image, model, tile=16)
    rest = sure(image, model, tile=16, wanted=lambda grid: np.arange(len(grid)) % 3 == 0)
    done = rest.any(0)
    assert 0.2 < done.mean() < 0.5
    np.testing.assert_array_equal(rest[:, done], whole[:, done])


def test_every_plane_of_a_stack_has_its_own_context(image, model):
    stack = np.stack([image, image**2, 5 - image, image])
    labels = predict(stack, model, axes="ZYX", tile=32)
    np.testing.assert_array_equal(labels, stack > stack.mean(axis=(1, 2), keepdims=True))


def test_the_image_is_read_once_for_the_bank_whatever_is_wanted_of_it(image, model):
    source = Source(image)
    plan = make_plan(source, model, RunSettings(tile=16, device="cpu"))
    for _ in stream_plan(plan, source, model, wanted=lambda grid: np.arange(len(grid)) == 5):
        pass
    assert len(model.module.seen) == 24
    assert set(model.module.seen) == {(1, 1, 24, 24)}


def test_it_is_told_how_far_the_first_pass_is(image, model):
    told, source = [], Source(np.stack([image, image]), axes="ZYX")
    plan = make_plan(source, model, RunSettings(tile=16, device="cpu"))
    for _ in stream_plan(plan, source, model, meter=Meter(on_survey=told.append)):
        pass
    np.testing.assert_allclose(told, 2 * [(tile + 1) / 24 for tile in range(24)])


def test_the_automatic_mode_gives_context_to_networks_that_ask_for_it(image, model):
    plan = make_plan(Source(image), model, RunSettings())
    assert plan.mode is Mode.CONTEXT
    assert plan.margin == 4
    chosen = make_plan(Source(image), model, RunSettings(tta="flips", compile=True, batch=3))
    assert len(chosen.notes) == 2
    np.testing.assert_array_equal(
        predict(image, model, tta="flips", compile=True, batch=3), image > image.mean()
    )


def test_a_network_without_a_context_encoder_is_told_so(image):
    plain = network(nn.Conv2d(1, 3, 3, padding=1))
    with pytest.raises(ModelFitError, match="mode 'auto'"):
        make_plan(Source(image), plain, RunSettings(mode="context"))


def test_what_context_costs_is_known_before_a_run(image, model):
    source = Source(image)
    found = estimate(make_plan(source, model, RunSettings(device="cpu")), source, model)
    assert found.seconds > 0
    assert model.module.seen == []


def test_the_memory_of_banks_is_known_before_a_run(image, model, monkeypatch):
    def memory(planes):
        source = Source(np.stack(planes * [image]), axes="ZYX")
        plan = make_plan(source, model, RunSettings(tile=16, device="cpu"))
        return estimate(plan, source, model, keeps_labels=False).memory_bytes

    one, two, three = memory(1), memory(2), memory(3)
    assert two - one == 4 * 6 * 16 * 2  # regions, tokens of each, two bytes for each
    assert two == three
    monkeypatch.setattr(context_bank, "IN_MEMORY_BYTES", 0)
    assert memory(3) == one - (two - one)


def test_the_first_pass_can_be_cancelled(image, model, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = Source(image)
    plan = make_plan(source, model, RunSettings(tile=16, device="cpu"))
    with pytest.raises(Cancelled):
        list(stream_plan(plan, source, model, should_stop=lambda: len(model.module.seen) > 3))
    assert len(model.module.seen) == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [0, 2**20])
def test_beyond_the_image_a_bank_gives_the_nearest_tokens(monkeypatch, tmp_path, limit):
    monkeypatch.setattr(context_bank, "IN_MEMORY_BYTES", limit)
    bank = TokenBank((2, 3), 2, 5, tmp_path)
    tokens = torch.arange(2 * 3 * 4 * 5.0).reshape(1, 2, 3, 4, 5)
    bank.put((0, 0), tokens[:, :, :1])
    bank.put((0, 1), tokens[:, :, 1:])
    assert torch.equal(bank.row(1), tokens[:, 1])
    grid = tokens[0].reshape(2, 3, 2, 2, 5).permute(4, 0, 2, 1, 3).reshape(5, 4, 6)
    padded = nn.functional.pad(grid[None], (2, 2, 2, 2), mode="replicate")
    assert torch.equal(bank.window(range(-2, 6), range(-2, 8)), padded)
    assert torch.equal(bank.window(range(1, 4), range(2, 8)), padded[..., 3:6, 4:10])
    assert (len(list(tmp_path.iterdir())) == 1) == (limit == 0)
    bank.close()
    assert list(tmp_path.iterdir()) == []


def test_numbers_beyond_half_precision_stay_numbers(tmp_path):
    bank = TokenBank((1, 1), 1, 1, tmp_path)
    bank.put((0, 0), torch.full((1, 1, 1, 1, 1), 1e9))
    assert torch.isfinite(bank.row(0)).all()


@pytest.mark.parametrize("size", [3, 17, 40])
def test_what_lies_beyond_a_border_is_a_mirror_of_the_image_not_of_a_tile(size):
    image = np.random.default_rng(0).random((size, size)).astype(np.float32)
    whole = np.pad(image, [(4, 4 + 16)] * 2, mode="symmetric")
    for first in range(0, size, 16):
        outer = (slice(first, first + 16), slice(0, 16))
        shown = read_tile(Source(image), (), Tile((0, 0), outer, outer), (0,), 4)
        np.testing.assert_array_equal(shown[0], whole[first : first + 24, :24])
