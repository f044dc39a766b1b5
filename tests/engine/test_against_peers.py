"""On identical tiles the merge agrees with MONAI and pytorch-toolbelt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer, sliding_window_inference
from pytorch_toolbelt.inference.tiles import ImageSlicer, TileMerger

from napari_tileseg.engine.blend import Shares
from napari_tileseg.engine.canvas import UNIT, Canvas
from napari_tileseg.engine.tiles import TileGrid, cut_image
from napari_tileseg.settings import Blend
from stubs import Ramp, small_conv

OUTPUTS = 3


def _merged(grid: TileGrid, image: torch.Tensor, blend: Blend) -> torch.Tensor:
    canvas, shares = Canvas(grid), Shares(grid, blend, unit=UNIT)
    merged = torch.zeros((OUTPUTS, *grid.shape))
    for tile in grid:
        logits = Ramp(OUTPUTS)(image[(None, slice(None), *tile.outer)])[0]
        added = canvas.add(tile, logits, shares.of(tile))
        merged[(slice(None), *tile.core)] = added.evidence / added.unit
    return merged


@pytest.mark.parametrize("mode", ["constant", "gaussian"])
@pytest.mark.parametrize(
    ("shape", "tile", "overlap"),
    [
        ((300, 260), (64, 64), 0.25),
        ((300, 260), (96, 64), 0.5),
        ((128, 128), (64, 64), 0.0),
        ((30, 36, 28), (16, 16, 16), 0.25),
        ((200,), (48,), 0.5),
    ],
)
def test_constant_and_gaussian_equal_monai(mode, shape, tile, overlap):
    image = torch.rand((1, *shape), generator=torch.Generator().manual_seed(0))
    theirs = sliding_window_inference(
        image[None], tile, 1, Ramp(OUTPUTS), overlap=overlap, mode=mode
    )[0]
    step = [int(size * (1 - overlap)) for size in tile]
    grid = cut_image(shape, tile, step, stride=1, crop=False)
    ours = _merged(grid, image, Blend(mode))
    assert (ours - theirs).abs().max() <= 1e-6


@pytest.mark.parametrize(("tile", "step"), [(64, 48), (64, 32), (32, 32)])
def test_pyramid_equals_the_merger_of_pytorch_toolbelt(tile, step):
    side = tile + 3 * step  # a size at which both lie on the same grid
    image = torch.rand((1, side, side), generator=torch.Generator().manual_seed(0))
    slicer = ImageSlicer((side, side), tile_size=tile, tile_step=step, weight="pyramid")
    merger = TileMerger(slicer.target_shape, OUTPUTS, slicer.weight)
    for piece, crop in zip(slicer.split(image[0].numpy()), slicer.crops, strict=True):
        logits = Ramp(OUTPUTS)(torch.from_numpy(np.ascontiguousarray(piece))[None, None])
        merger.integrate_batch(logits, [crop])
    theirs = merger.merge()
    grid = cut_image((side, side), (tile, tile), (step, step), stride=1, crop=False)
    assert len(grid) == len(slicer.crops)
    ours = _merged(grid, image, Blend.PYRAMID)
    assert (ours - theirs).abs().max() <= 1e-6


def test_whole_image_mode_is_monais_simple_inferer():
    model = small_conv()
    image = torch.rand((1, 64, 80), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        theirs = SimpleInferer()(image[None], model.module)[0]
        grid = cut_image((64, 80), (64, 80), (64, 80), stride=1, crop=False)
        share = Shares(grid, Blend.GAUSSIAN, unit=UNIT).of(grid[0])
        ours = Canvas(grid).add(grid[0], model.logits(image[None])[0], share).evidence
    assert (ours - theirs).abs().max() <= 1e-6
