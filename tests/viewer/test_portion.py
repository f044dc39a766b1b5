"""A run for a part of an image: the same labels there, and no more tiles than it takes."""

import numpy as np
import pytest

from napari_tileseg.engine.doubt import STEP_PX
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import predict, stream_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.settings import RunSettings
from napari_tileseg.viewer.portion import Portion
from stubs import Ramp, network

BOXES = [
    (slice(0, 40), slice(0, 30)),
    (slice(101, 150), slice(37, 99)),
    (slice(170, 190), slice(205, 210)),
    (slice(0, 190), slice(0, 210)),
]


def cut_run(image, model, settings, box, **axes):
    source = Source(image, **axes)
    plan = make_plan(source, model, settings)
    portion, found, asked = Portion(box), np.full(source.label_shape, 255, np.uint8), 0
    stream = stream_plan(
        plan,
        source,
        model,
        provisional=False,
        wanted=lambda grid: portion.tiles(grid, plan.leading_shape),
    )
    for patch in stream:
        asked = patch.tiles_total
        inner = portion.cut(patch)
        if inner is not None:
            found[inner.region] = inner.labels
    return found, asked, plan.n_tiles


@pytest.mark.parametrize("box", BOXES)
def test_a_part_tells_the_doubt_of_its_own_pixels_only(box):
    image = np.random.default_rng(0).integers(0, 255, (190, 210), np.uint8)
    model, settings = network(Ramp(3), outputs=3), RunSettings(tile=64, blend="gaussian")
    source = Source(image)
    plan = make_plan(source, model, settings)
    whole, found = np.full((2, *image.shape), np.nan)
    for patch in stream_plan(plan, source, model, provisional=False, doubts=True):
        for told, one in ((whole, patch), (found, Portion(box).cut(patch))):
            if one is not None:
                rows, columns = (
                    [at for at in range(part.start, part.stop) if at % STEP_PX == 0]
                    for part in one.region
                )
                told[np.ix_(rows, columns)] = one.doubt
    outside = np.ones(image.shape, bool)
    outside[box] = False
    assert np.isnan(found[outside]).all()
    np.testing.assert_array_equal(found[box], whole[box])
    assert np.isfinite(found).any()


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("blend", ["gaussian", "crop"])
def test_a_part_has_the_labels_of_a_full_run_and_nothing_else_is_written(box, blend):
    image = np.random.default_rng(0).integers(0, 255, (190, 210), np.uint8)
    model, settings = network(Ramp(3), outputs=3), RunSettings(tile=64, overlap=0.25, blend=blend)
    found, asked, every = cut_run(image, model, settings, box)
    whole = predict(image, model, tile=64, overlap=0.25, blend=blend)
    outside = np.ones(image.shape, bool)
    outside[box] = False
    np.testing.assert_array_equal(found[box], whole[box])
    assert (found[outside] == 255).all()
    assert asked == every if not outside.any() else asked < every


def test_a_part_of_one_plane_takes_no_tile_of_the_others():
    image = np.random.default_rng(1).integers(0, 255, (3, 100, 120), np.uint8)
    box = (slice(1, 2), slice(10, 20), slice(5, 90))
    model, settings = network(Ramp(3), outputs=3), RunSettings(tile=64, blend="gaussian")
    found, asked, every = cut_run(image, model, settings, box, axes="TYX")
    whole = predict(image, model, axes="TYX", tile=64, blend="gaussian")
    np.testing.assert_array_equal(found[box], whole[box])
    assert (found != 255).sum() == 10 * 85
    assert asked <= every / 3


@pytest.mark.parametrize("blend", ["gaussian", "crop"])
def test_a_part_of_a_volume_has_the_labels_of_a_full_run(blend):
    image = np.random.default_rng(2).integers(0, 255, (2, 40, 50, 60), np.uint8)
    box = (slice(1, 2), slice(12, 20), slice(5, 30), slice(41, 60))
    model = network(Ramp(3), outputs=3, dims=3)
    settings = RunSettings(tile=32, overlap=0.25, blend=blend)
    found, asked, every = cut_run(image, model, settings, box, axes="TZYX", spatial_dims=3)
    whole = predict(image, model, axes="TZYX", tile=32, overlap=0.25, blend=blend)
    np.testing.assert_array_equal(found[box], whole[box])
    assert (found != 255).sum() == 8 * 25 * 19
    assert asked < every / 2
