from __future__ import annotations

import numpy as np
import pytest

import napari_tileseg as nts
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import stream_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Task
from napari_tileseg.errors import SettingsError
from napari_tileseg.settings import RunSettings
from stubs import Counting, Ramp, network

FILL = 200


def _slide(shape=(1400, 1800)):
    """Something with texture on a slide that is white, but not everywhere the same white."""
    rng = np.random.default_rng(0)
    image = np.full(shape, 250, np.uint8)
    image += rng.integers(0, 3, shape, dtype=np.uint8)
    image[..., 300:700, 500:900] = rng.integers(0, 255, (*shape[:-2], 400, 400), dtype=np.uint8)
    return image


def _run(image, **options):
    module = Counting(Ramp(3))
    task = options.pop("task", Task.MULTICLASS)
    model = network(module, outputs=3, tile=256, task=task)
    source = Source(image)
    plan = make_plan(source, model, RunSettings(precision="fp32", **options))
    several = (3,) if task is Task.MULTILABEL else ()
    labels = np.full((*several, *source.label_shape), FILL, np.uint8)
    times = np.zeros(source.label_shape, int)
    for patch in stream_plan(plan, source, model, provisional=False):
        assert patch.final
        labels[(..., *patch.region)] = patch.labels
        times[patch.region] += 1
    assert (times == 1).all()
    return labels, module


@pytest.mark.parametrize("blend", ["gaussian", "crop"])
def test_empty_tiles_are_left_out_and_no_other_pixel_changes(blend):
    image = _slide()
    full, all_tiles = _run(image, blend=blend)
    skipped, few_tiles = _run(image, blend=blend, skip_empty=True)
    assert len(few_tiles.shapes) < 0.4 * len(all_tiles.shapes)
    np.testing.assert_array_equal(skipped[300:700, 500:900], full[300:700, 500:900])
    changed = skipped != full
    assert (skipped[changed] == 0).all()


def test_planes_of_a_stack_are_looked_at_each_by_itself():
    image = np.full((2, 1400, 1800), 250, np.uint8)
    image[1] = _slide()
    labels, _ = _run(image, skip_empty=True)
    assert (labels[0] < FILL).all()
    np.testing.assert_array_equal(labels[1, 300:700, 500:900], _run(image)[0][1, 300:700, 500:900])


def test_where_nothing_is_a_multilabel_network_finds_nothing():
    labels, module = _run(_slide(), skip_empty=True, task=Task.MULTILABEL)
    assert len(module.shapes) < 30
    assert not labels[:, -200:, -200:].any()


def test_the_coarse_level_of_a_pyramid_says_what_is_empty():
    image = _slide((2400, 2400))
    pyramid = [image, image[::2, ::2]]
    full, _ = _run(image)
    labels, module = _run(pyramid, skip_empty=True)
    assert len(module.shapes) < 30
    np.testing.assert_array_equal(labels[300:700, 500:900], full[300:700, 500:900])


@pytest.mark.parametrize("leading", [(), (2,)])
def test_inside_a_mask_labels_are_those_of_a_full_run_and_outside_there_are_none(leading):
    image = np.random.default_rng(0).random((*leading, 300, 400)).astype(np.float32)
    mask = np.zeros((*leading, 30, 40), bool)
    mask[..., 10:14, 3:9] = True
    module = Counting(Ramp(3))
    model = network(module, outputs=3, tile=64)
    full = nts.predict(image, model, precision="fp32")
    n_full = len(module.shapes)
    masked = nts.predict(image, model, precision="fp32", mask=mask)
    assert len(module.shapes) - n_full < 0.3 * n_full
    fine = mask.repeat(10, axis=-2).repeat(10, axis=-1)
    np.testing.assert_array_equal(masked[fine], full[fine])
    assert (masked[~fine] == 255).all()


def test_a_mask_that_is_no_array_is_refused_with_what_to_do():
    with pytest.raises(SettingsError, match=r"numpy\.asarray"):
        nts.predict(np.zeros((20, 20)), network(Ramp(3), outputs=3), mask=[[True]])
