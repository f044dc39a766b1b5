"""Labels of a model put back bit by bit, whatever a person did meanwhile."""

import numpy as np
import pytest

from napari_tileseg.engine.spec import default_classes
from napari_tileseg.viewer.keepsakes import Keepsake
from napari_tileseg.viewer.layers import SegmentationLabels
from napari_tileseg.viewer.links import OURS
from napari_tileseg.viewer.results import Results

SHAPE = (3, 70, 90)


@pytest.fixture
def results():
    labels = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    labels[0, :20] = 255
    link = {
        "image": "x",
        "classes": ("a", "b", "c"),
        "meanings": {},
        "multilabel": False,
        "index": None,
    }
    layer = SegmentationLabels(labels, classes=default_classes(3), metadata={OURS: link})
    return Results([layer])


def another_run(layer):
    layer.reset_model()
    layer.stream_block(tuple(slice(0, n) for n in SHAPE), np.full(SHAPE, 1, np.uint8))


@pytest.mark.parametrize("packed", [False, True])
def test_former_labels_come_back_bit_by_bit_not_computed_included(results, packed):
    before = results.front.data.copy()
    keepsake = Keepsake(results)
    if packed:
        keepsake.pack()
    another_run(results.front)
    assert (results.front.data != before).any()
    keepsake.put_back(results)
    np.testing.assert_array_equal(results.front.data, before)


def test_what_a_person_vouched_for_since_stays(results):
    layer = results.front
    region = (slice(1, 2), slice(10, 40), slice(10, 40))
    before = layer.data.copy()
    keepsake = Keepsake(results)
    another_run(layer)
    layer.review(region, labels=np.full((1, 30, 30), 2, np.uint8))
    keepsake.put_back(results)
    expected = before.copy()
    expected[region] = 2
    np.testing.assert_array_equal(layer.data, expected)
    layer.release(region)
    np.testing.assert_array_equal(layer.data, before)


def test_what_the_model_said_below_a_person_is_kept_too(results):
    layer = results.front
    before = layer.data.copy()
    region = (slice(2, 3), slice(0, 30), slice(0, 30))
    layer.review(region, labels=np.full((1, 30, 30), 2, np.uint8))
    keepsake = Keepsake(results)
    another_run(layer)
    keepsake.put_back(results)
    layer.release(region)
    np.testing.assert_array_equal(layer.data, before)


def test_it_does_not_fit_labels_of_another_size(results):
    keepsake = Keepsake(results)
    assert keepsake.fits(results)
    results.front.data = np.zeros((3, 10, 10), np.uint8)
    assert not keepsake.fits(results)


def test_the_metadata_of_the_run_comes_back(results):
    keepsake = Keepsake(results)
    link = results.front.metadata[OURS]
    results.front.metadata = {OURS: {**link, "classes": ("x", "y", "z")}}
    keepsake.put_back(results)
    assert results.front.metadata[OURS] == link
