from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import empty_labels, stream_plan
from napari_tileseg.engine.regions import blank, inside, tiles_for_mask, tiles_for_masks
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import NOT_COMPUTED, Task
from napari_tileseg.engine.tiles import cut_image
from napari_tileseg.errors import SettingsError
from napari_tileseg.settings import Blend, RunSettings
from stubs import Ramp, network


@st.composite
def masked_runs(draw: st.DrawFn):
    dims = draw(st.integers(1, 3))
    longest = {1: 120, 2: 60, 3: 24}[dims]
    shape = tuple(draw(st.integers(1, longest)) for _ in range(dims))
    coarse = tuple(draw(st.integers(1, size)) for size in shape)
    seed = draw(st.integers(0, 10**6))
    mask = np.random.default_rng(seed).random(coarse) < draw(st.floats(0, 0.3))
    wanted = RunSettings(
        tile=draw(st.integers(16, 24)),
        overlap=draw(st.floats(0, 0.75)),
        blend=draw(st.sampled_from(list(Blend))),
        device="cpu",
        batch=1,
    )
    return shape, mask, draw(st.sampled_from([1, 2, 4])), wanted


def _full_size(mask, shape):
    """Enlarge a mask by asking for each pixel of the image which pixel of it is nearest."""
    places = [
        [min(range(size), key=lambda one: abs((one + 0.5) * full / size - (pixel + 0.5)))
         for pixel in range(full)]
        for size, full in zip(mask.shape, shape, strict=True)
    ]  # fmt: skip
    return mask[np.ix_(*places)]


@settings(max_examples=50)
@given(masked_runs())
def test_pixels_inside_a_mask_equal_those_of_a_full_run(run):
    shape, mask, stride, wanted = run
    dims = len(shape)
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    source = Source(image, axes="C" + "ZYX"[-dims:], spatial_dims=dims)
    model = network(Ramp(3), dims=dims, stride=stride)
    plan = make_plan(source, model, wanted.but(probabilities=True))

    def labels_and_probabilities(tiles):
        wanted = None if tiles is None else lambda _: tiles
        labels = empty_labels(source, model)
        sure = np.zeros((3, *shape), np.float32)
        for patch in stream_plan(plan, source, model, wanted=wanted, provisional=False):
            kept = patch.labels if tiles is None else blank(mask, shape, patch.region, patch.labels)
            labels[patch.region] = kept
            sure[(slice(None), *patch.region)] = patch.probabilities
        return labels, sure

    full, full_sure = labels_and_probabilities(None)
    part, part_sure = labels_and_probabilities(tiles_for_mask(plan.grid, mask))
    within = inside(mask, shape, tuple(slice(0, size) for size in shape))
    np.testing.assert_array_equal(part, np.where(within, full, NOT_COMPUTED))
    np.testing.assert_array_equal(part_sure[:, within], full_sure[:, within])


@settings(max_examples=50)
@given(masked_runs())
def test_a_tile_is_needed_if_its_core_touches_the_mask_and_only_then(run):
    shape, mask, stride, _ = run
    grid = cut_image(
        shape, (16,) * len(shape), (8,) * len(shape), stride=stride, crop=bool(shape[0] % 2)
    )
    within = inside(mask, shape, tuple(slice(0, size) for size in shape))
    expected = [bool(within[tile.core].any()) for tile in grid]
    np.testing.assert_array_equal(tiles_for_mask(grid, mask), expected)


@settings(max_examples=50)
@given(masked_runs())
def test_a_pixel_belongs_to_the_nearest_pixel_of_the_mask(run):
    shape, mask, _, _ = run
    middles = [
        (np.arange(full) * 2 + 1) * size % (2 * full) != 0
        for size, full in zip(mask.shape, shape, strict=True)
    ]  # where two are as near, either will do
    clear = np.ix_(*middles)
    within = inside(mask, shape, tuple(slice(0, size) for size in shape))
    np.testing.assert_array_equal(within[clear], _full_size(mask, shape)[clear])


def test_a_pixel_of_a_coarse_mask_stands_for_its_whole_block():
    mask = np.zeros((4, 4), bool)
    mask[1, 2] = True
    within = inside(mask, (32, 64), (slice(0, 32), slice(0, 64)))
    expected = np.zeros((32, 64), bool)
    expected[8:16, 32:48] = True
    np.testing.assert_array_equal(within, expected)
    part = inside(mask, (32, 64), (slice(3, 4), slice(5, 12), slice(40, 50)))
    np.testing.assert_array_equal(part, expected[5:12, 40:50])


def test_several_labels_a_pixel_are_false_outside():
    mask = np.array([[True, False]])
    labels = np.ones((3, 4, 8), bool)
    kept = blank(mask, (4, 8), (slice(0, 4), slice(0, 8)), labels)
    assert kept.dtype == bool
    assert kept[:, :, :4].all()
    assert not kept[:, :, 4:].any()
    model = network(Ramp(3), task=Task.MULTILABEL)
    assert empty_labels(Source(np.zeros((4, 8))), model).dtype == kept.dtype


def test_blanking_leaves_the_patch_as_it_was():
    labels = np.ones((1, 4, 8), np.uint8)
    kept = blank(np.zeros((4, 8)), (4, 8), (slice(2, 3), slice(0, 4), slice(0, 8)), labels)
    assert (kept == NOT_COMPUTED).all()
    assert kept.dtype == np.uint8
    assert (labels == 1).all()


def test_a_lazy_mask_and_one_of_numbers_do_as_well():
    grid = cut_image((100, 90), (32, 32), (16, 16), stride=1, crop=True)
    mask = np.random.default_rng(0).random((50, 90)) < 0.01
    expected = tiles_for_mask(grid, mask)
    assert 0 < expected.sum() < len(expected)
    np.testing.assert_array_equal(tiles_for_mask(grid, mask * 3.0), expected)
    np.testing.assert_array_equal(tiles_for_mask(grid, da.from_array(mask, chunks=20)), expected)


def test_planes_have_one_mask_or_one_each():
    grid = cut_image((40, 40), (16, 16), (8, 8), stride=1, crop=True)
    masks = np.random.default_rng(0).random((2, 3, 20, 20)) < 0.02
    each = tiles_for_masks(grid, (2, 3), masks)
    assert each.shape == (2, 3, len(grid))
    np.testing.assert_array_equal(each[1, 2], tiles_for_mask(grid, masks[1, 2]))
    one = tiles_for_masks(grid, (2, 3), masks[0, 1])
    np.testing.assert_array_equal(one[1, 0], each[0, 1])
    np.testing.assert_array_equal(tiles_for_masks(grid, (), masks[0, 1]), each[0, 1])


@pytest.mark.parametrize("shape", [(40,), (41, 40), (0, 40), (2, 40, 40), (3, 41, 40)])
def test_a_mask_of_another_shape_is_refused(shape):
    grid = cut_image((40, 40), (16, 16), (8, 8), stride=1, crop=True)
    with pytest.raises(SettingsError, match="same axes, of the same size or smaller"):
        tiles_for_masks(grid, (3,), np.zeros(shape, bool))
