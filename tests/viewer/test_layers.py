"""The layer without a window: what its array, events and history say."""

import copy

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from napari.layers._layer_actions import _convert_dtype
from napari.layers.labels.labels import _MaskedPaintAtom

from napari_tileseg.annotation.edits import Stroke
from napari_tileseg.annotation.relabelling import Relabelling
from napari_tileseg.annotation.values import NOT_COMPUTED
from napari_tileseg.engine.spec import ClassInfo, default_classes
from napari_tileseg.errors import ImageError, ModelFitError
from napari_tileseg.viewer.layers import SegmentationLabels

CLASSES = (
    ClassInfo("background", "#000000"),
    ClassInfo("myelin", "#0072b2"),
    ClassInfo("axon", "#e69f00"),
    ClassInfo("nucleus", "#009e73"),
)
SHAPE = (40, 50)
EVERYTHING = (slice(0, 40), slice(0, 50))


def _layer(shape=SHAPE, **options):
    return SegmentationLabels.empty(shape, classes=CLASSES, **options)


def _fill(layer, label, region=None):
    region = region or tuple(slice(0, n) for n in layer.data.shape)
    layer.stream_block(region, np.full(tuple(r.stop - r.start for r in region), label))


def test_nothing_is_computed_at_first():
    layer = _layer()
    assert (layer.data == NOT_COMPUTED).all()
    assert layer.areas().tolist() == [0, 0, 0, 0, 2000]


def test_it_is_a_labels_layer_in_the_eyes_of_napari():
    viewer = ViewerModel()
    layer = viewer.add_layer(_layer(name="cells"))
    data, state, kind = layer.as_layer_data_tuple()
    assert kind == "labels"
    twin = Layer.create(copy.deepcopy(data), copy.deepcopy(state), kind)
    assert type(twin) is Labels
    np.testing.assert_allclose(twin.get_color(2), layer.get_color(2))
    assert twin.features.equals(layer.features)
    np.testing.assert_array_equal(twin.data, layer.data)


def _brush(layer):
    layer.brush_size = 8
    layer.paint((20, 20), 3)


def _bucket(layer):
    layer.fill((20, 20), 3)


def _polygon(layer):
    layer.paint_polygon([(10, 10), (10, 30), (30, 30), (30, 10)], 3)


def _erase(layer):
    layer.paint((20, 20), 0)


def _by_index(layer):
    layer.data_setitem((np.array([20, 20, -20]), np.array([20, 21, 5])), 3)


def _by_index_with_values(layer):
    layer.data_setitem((np.array([20, 20]), np.array([20, 21])), np.array([3, 2]))


def _review(layer):
    layer.review((slice(15, 25), slice(15, 25)))


@pytest.mark.parametrize(
    "tool", [_brush, _bucket, _polygon, _erase, _by_index, _by_index_with_values, _review]
)
def test_every_tool_vouches_and_undo_shows_the_newest_label_of_the_model(tool):
    layer = _layer()
    _fill(layer, 1)
    tool(layer)
    painted = layer.data.copy()
    vouched = layer.vouched.read(EVERYTHING)
    assert vouched[20, 20]
    _fill(layer, 2)
    np.testing.assert_array_equal(layer.data, np.where(vouched, painted, 2))
    layer.undo()
    assert layer.vouched.count == 0
    assert (layer.data == 2).all()
    layer.redo()
    np.testing.assert_array_equal(layer.vouched.read(EVERYTHING), vouched)
    np.testing.assert_array_equal(layer.data, np.where(vouched, painted, 2))


def test_tools_in_a_volume_vouch_in_the_plane_that_is_shown():
    viewer = ViewerModel()
    layer = viewer.add_layer(_layer((5, 40, 50)))
    viewer.dims.set_point(0, 3)
    _fill(layer, 1)
    layer.fill((3, 20, 20), 2)
    assert layer.vouched.count == 2000
    _fill(layer, 3)
    assert (layer.data[3] == 2).all()
    assert (np.delete(layer.data, 3, 0) == 3).all()
    layer.undo()
    assert (layer.data == 3).all()


def test_painting_over_the_same_label_vouches_and_can_be_undone():
    layer = _layer()
    _fill(layer, 1)
    layer.paint((20, 20), 1)
    count = layer.vouched.count
    assert count > 0
    _fill(layer, 2)
    assert layer.areas()[1] == count
    layer.undo()
    assert layer.areas().tolist() == [0, 0, 2000, 0, 0]


def test_a_drag_is_one_step_of_undo_and_one_of_redo():
    layer = _layer()
    with layer.block_history():
        for column in range(10, 40, 3):
            layer.paint((20, column), 1)
            _fill(layer, 2)
    assert layer.data[20, 12] == 1
    assert layer.data[20, 39] == 1
    layer.undo()
    assert (layer.data == 2).all()
    layer.redo()
    assert layer.data[20, 12] == 1
    layer.undo()
    assert layer.vouched.count == 0


def test_two_labels_within_one_drag_are_taken_back_last_first_and_redone_first_first():
    layer = _layer()
    _fill(layer, 1)
    before = layer.data.copy()
    with layer.block_history():
        layer.paint((20, 20), 2)
        layer.paint((20, 22), 3)
    painted = layer.data.copy()
    for _ in range(2):
        layer.undo()
        np.testing.assert_array_equal(layer.data, before)
        assert not layer.vouched.count
        layer.redo()
        np.testing.assert_array_equal(layer.data, painted)


def test_an_aborted_drag_leaves_no_trace():
    layer = _layer()
    _fill(layer, 1)
    layer._begin_stroke()
    layer.paint((20, 20), 3)
    layer.paint((20, 30), 3)
    layer._abort_stroke()
    assert (layer.data == 1).all()
    assert layer.vouched.count == 0
    layer.undo()
    assert (layer.data == 1).all()


def test_undo_of_one_stroke_over_another_shows_the_earlier_stroke():
    layer = _layer()
    layer.paint((20, 20), 1)
    layer.paint((20, 20), 2)
    _fill(layer, 3)
    layer.undo()
    assert layer.data[20, 20] == 1
    layer.undo()
    assert layer.data[20, 20] == 3


def test_preserve_labels_also_lets_a_person_paint_where_nothing_is_computed():
    layer = _layer()
    _fill(layer, 0, (slice(0, 40), slice(0, 15)))
    _fill(layer, 2, (slice(0, 40), slice(15, 30)))
    layer.preserve_labels = True
    layer.brush_size = 60
    layer.paint((20, 20), 1)
    assert (layer.data[20, :15] == 1).all()
    assert (layer.data[20, 15:30] == 2).all()
    assert (layer.data[20, 30:] == 1).all()
    assert not layer.vouched.any((slice(0, 40), slice(15, 30)))


def test_listeners_hear_of_every_change_of_vouching_with_its_region():
    layer = _layer()
    heard = []
    layer.events.vouched_changed.connect(lambda event: heard.append(event.value))
    _fill(layer, 1)
    assert heard == []
    layer.paint((20, 20), 2)
    layer.undo()
    layer.redo()
    assert len(heard) == 3
    assert heard[0] == heard[1] == heard[2]
    rows, columns = heard[0]
    assert rows.start <= 20 < rows.stop
    assert columns.start <= 20 < columns.stop


def test_vouching_for_a_region_leaves_out_what_is_not_computed():
    layer = _layer()
    _fill(layer, 1, (slice(0, 40), slice(0, 10)))
    layer.review(EVERYTHING)
    assert layer.vouched.count == 400
    layer.release((slice(0, 40), slice(0, 5)))
    assert layer.vouched.count == 200
    layer.undo()
    assert layer.vouched.count == 400


def test_areas_are_those_of_a_full_count():
    layer = _layer()
    rng = np.random.default_rng(0)
    for _ in range(20):
        row, column = rng.integers(0, 30), rng.integers(0, 40)
        block = rng.integers(0, 4, (10, 10))
        layer.stream_block((slice(row, row + 10), slice(column, column + 10)), block)
        layer.paint(rng.integers(0, 40, 2), int(rng.integers(0, 4)))
        if rng.random() < 0.3:
            layer.undo()
    full = [np.count_nonzero(layer.data == value) for value in (0, 1, 2, 3, NOT_COMPUTED)]
    assert layer.areas().tolist() == full


def test_a_second_run_keeps_old_labels_in_sight_but_not_in_the_result():
    layer = _layer()
    _fill(layer, 1)
    layer.paint((20, 20), 3)
    layer.reset_model()
    assert layer.data[0, 0] == 1
    assert layer.result()[0, 0] == NOT_COMPUTED
    assert layer.result()[20, 20] == 3
    _fill(layer, 2, (slice(0, 10), slice(0, 50)))
    assert layer.result()[0, 0] == 2
    assert layer.result()[39, 0] == NOT_COMPUTED
    _fill(layer, 2)
    np.testing.assert_array_equal(layer.result(), layer.data)


def test_classes_name_colour_and_describe_labels():
    viewer = ViewerModel()
    layer = viewer.add_layer(_layer())
    _fill(layer, 2)
    assert "class: axon" in layer.get_status((5, 5), world=True)["value"]
    assert layer.get_color(2) == pytest.approx([0xE6 / 255, 0x9F / 255, 0, 1], abs=1e-3)
    assert layer.colormap.map(NOT_COMPUTED)[-1] == 0
    assert layer.colormap.map(0)[-1] == 0
    renamed = (*CLASSES[:2], ClassInfo("fibre", "#ff0000"))
    layer.set_classes(renamed)
    assert layer.classes == renamed
    assert "class: fibre" in layer.get_status((5, 5), world=True)["value"]
    assert layer.get_color(2) == pytest.approx([1, 0, 0, 1])
    assert "not computed" in layer.features["class"].tolist()


def test_hidden_classes_are_transparent_and_come_back():
    layer = _layer()
    layer.set_hidden({2})
    assert layer.colormap.map(2)[-1] == 0
    assert layer.colormap.map(1)[-1] == 1
    layer.set_hidden(())
    assert layer.colormap.map(2)[-1] == 1


def test_only_classes_can_be_selected_and_painted():
    layer = _layer()
    layer.selected_label = 77
    assert layer.selected_label == 3
    layer.selected_label = -1
    assert layer.selected_label == 0
    with pytest.raises(ModelFitError, match=r"no class 255.*0 background, 1 myelin"):
        layer.paint((5, 5), NOT_COMPUTED)


def test_setting_data_of_another_shape_starts_anew():
    layer = _layer()
    layer.paint((20, 20), 1)
    layer.data = np.full((7, 9), 2)
    assert layer.data.dtype == np.uint8
    assert layer.vouched.count == 0
    assert layer.areas().tolist() == [0, 0, 63, 0, 0]
    layer.undo()
    assert (layer.data == 2).all()


@pytest.mark.parametrize("change", [lambda data: data, lambda data: data.astype(np.int16)])
def test_setting_the_same_labels_in_any_type_keeps_the_person_and_the_model(change):
    layer = _layer()
    _fill(layer, 1)
    layer.paint((20, 20), 2)
    count = layer.vouched.count
    layer.data = change(layer.data)
    assert layer.data.dtype == np.uint8
    assert layer.vouched.count == count > 0
    _fill(layer, 3)
    assert layer.areas().tolist() == [0, 0, count, 2000 - count, 0]
    layer.undo()
    assert (layer.data == 3).all()


def test_converting_the_data_type_in_the_layer_list_keeps_the_person():
    viewer = ViewerModel()
    layer = viewer.add_layer(_layer())
    layer.paint((20, 20), 2)
    count = layer.vouched.count
    viewer.layers.selection.active = layer
    _convert_dtype(viewer.layers, "int16")
    assert layer.vouched.count == count > 0


def test_setting_other_labels_of_the_same_shape_is_one_undoable_stroke_where_they_differ():
    layer = _layer()
    _fill(layer, 1)
    layer.paint((20, 20), 2)
    painted = layer.vouched.count
    other = layer.data.copy()
    other[:5, :10] = 3
    layer.data = other
    assert layer.vouched.count == painted + 50
    np.testing.assert_array_equal(layer.data, other)
    assert layer.areas().tolist() == [0, 1950 - painted, painted, 50, 0]
    layer.undo()
    assert layer.vouched.count == painted
    assert (layer.data[:5, :10] == 1).all()


def test_setting_data_with_a_number_that_is_no_class_is_refused_before_anything_is_written():
    layer = _layer()
    _fill(layer, 1)
    other = layer.data.copy()
    other[3:5, 3] = 2, 9
    with pytest.raises(ModelFitError, match="no class 9"):
        layer.data = other
    assert (layer.data == 1).all()
    assert layer.vouched.count == 0


def test_undo_and_redo_wait_for_the_end_of_a_drag():
    layer = _layer()
    _fill(layer, 0)
    layer.paint((20, 20), 1)
    with layer.block_history():
        layer.paint((20, 20), 2)
        layer.undo()
        assert layer.data[20, 20] == 2
    layer.undo()
    assert layer.data[20, 20] == 1
    layer.undo()
    assert layer.vouched.count == 0
    assert (layer.data == 0).all()


def _drag_into_an_error(layer):
    with layer.block_history():
        layer.paint((20, 20), 2)
        raise RuntimeError("in the middle of a drag")


def test_a_drag_that_ended_in_an_error_can_be_undone():
    layer = _layer()
    with pytest.raises(RuntimeError, match="drag"):
        _drag_into_an_error(layer)
    layer.undo()
    assert layer.vouched.count == 0


def test_filling_the_label_that_is_shown_vouches_as_the_brush_does():
    layer = _layer()
    _fill(layer, 1, (slice(0, 40), slice(0, 10)))
    layer.fill((5, 5), 1)
    assert layer.vouched.count == 400
    layer.undo()
    assert layer.vouched.count == 0


def test_preserve_labels_lets_a_person_fill_what_is_not_computed_and_nothing_else():
    layer = _layer()
    _fill(layer, 2, (slice(0, 40), slice(0, 10)))
    layer.preserve_labels = True
    layer.fill((5, 5), 1)
    assert layer.vouched.count == 0
    layer.fill((5, 30), 1)
    assert layer.areas().tolist() == [0, 1600, 400, 0, 0]
    assert layer.preserve_labels


def test_dragging_the_bucket_over_what_it_has_filled_is_one_stroke():
    layer = _layer()
    with layer.block_history():
        layer.fill((5, 5), 1)
        layer.fill((5, 9), 1)
        assert len(layer._staged_history) == 1
    layer.undo()
    assert layer.vouched.count == 0


@pytest.mark.parametrize("label", [7, NOT_COMPUTED, 300, -1, [1, 7]])
def test_writing_a_number_that_is_no_class_is_refused_before_anything_is_written(label):
    layer = _layer()
    with pytest.raises(ModelFitError, match="no class"):
        layer.data_setitem((np.array([1, 2]), np.array([1, 1])), label)
    assert (layer.data == NOT_COMPUTED).all()
    assert layer.vouched.count == 0


def test_declaring_right_a_number_that_is_no_class_is_refused_before_anything_is_written():
    layer = _layer()
    labels = np.full(SHAPE, NOT_COMPUTED, np.uint8)
    labels[0, :2] = 1, 7
    with pytest.raises(ModelFitError, match="no class 7"):
        layer.review(EVERYTHING, labels=labels)
    assert layer.vouched.count == 0
    mask = np.zeros(SHAPE, bool)
    mask[0, 0] = True
    assert layer.review(EVERYTHING, mask, labels)
    assert layer.data[0, 0] == 1


def test_a_review_is_undone_and_redone_like_a_stroke():
    layer = _layer()
    _fill(layer, 1)
    layer.paint((20, 20), 2)
    painted = layer.corrected.count
    assert layer.review(EVERYTHING)
    assert not layer.review(EVERYTHING)
    _fill(layer, 3)
    assert layer.areas().tolist() == [0, 2000 - painted, painted, 0, 0]
    layer.undo()
    assert layer.areas().tolist() == [0, 0, painted, 2000 - painted, 0]
    layer.redo()
    assert layer.reviewed.count == 2000
    assert layer.unreview((slice(0, 40), slice(0, 10)))
    assert layer.reviewed.count == 1600
    layer.undo()
    layer.undo()
    layer.undo()
    assert layer.vouched.count == 0
    assert (layer.data == 3).all()


def test_what_is_put_back_is_shown_and_cannot_be_undone():
    layer = _layer()
    _fill(layer, 1)
    layer.paint((20, 20), 2)
    layer.review((slice(0, 5), slice(0, 50)))
    words = layer.sheet.words(EVERYTHING)
    other = _layer()
    other.paint((1, 1), 3)
    heard = []
    other.events.vouched_changed.connect(lambda event: heard.append(event.value))
    other.restore(EVERYTHING, *words)
    assert heard == [EVERYTHING]
    other.undo()
    np.testing.assert_array_equal(other.data, layer.data)
    assert other.vouched_areas().tolist() == layer.vouched_areas().tolist()
    _fill(other, 2)
    assert other.reviewed.count == 250
    assert (other.data[:5] == 1).all()


def test_merging_classes_changes_model_person_and_what_undo_brings_back():
    layer = _layer()
    _fill(layer, 3)
    layer.paint((20, 20), 1)
    layer.paint((20, 20), 2)
    count = layer.vouched.count
    layer.selected_label = 3
    layer.relabel(Relabelling.merging(1, into=2), (CLASSES[0], *CLASSES[2:]))
    assert layer.areas().tolist() == [0, count, 2000 - count, 0]
    assert layer.selected_label == 2
    assert layer.sheet.renumbered == 1
    layer.undo()
    assert layer.data[20, 20] == 1  # it was "myelin", which "axon" has taken in
    layer.undo()
    assert (layer.data == 2).all()
    layer.redo()
    assert layer.vouched_areas().tolist() == [0, count, 0]


def test_deleting_a_class_takes_back_the_vouching_for_its_pixels():
    layer = _layer()
    _fill(layer, 2)
    layer.paint((20, 20), 3)
    count = layer.vouched.count
    layer.paint((5, 40), 1)
    layer.relabel(Relabelling.deleting(3), CLASSES[:3])
    assert layer.vouched.count == count
    assert layer.data[20, 20] == 2
    layer.relabel(Relabelling.deleting(2), CLASSES[:2])
    assert layer.areas().tolist() == [2000 - count, count, 0]
    layer.undo()
    layer.undo()
    assert layer.vouched.count == 0
    layer.redo()
    assert layer.vouched.count == 0  # what was painted then has no meaning any more


def test_labels_that_cannot_be_written_to_are_copied():
    layer = SegmentationLabels(np.broadcast_to(np.uint8(1), SHAPE), classes=CLASSES)
    layer.paint((20, 20), 2)
    assert layer.data[20, 20] == 2


@pytest.mark.parametrize("shape", [(7, 9), (80, 90), (2, 40, 50)])
def test_a_run_into_labels_that_were_replaced_by_others_of_another_size_is_told(shape):
    layer = _layer()
    layer.data = np.zeros(shape, np.uint8)
    with pytest.raises(ImageError, match="replaced by an array of another size"):
        _fill(layer, 1, EVERYTHING)
    assert (layer.data == 0).all()
    layer.reset_model()
    _fill(layer, 1)
    assert (layer.data == 1).all()


def test_labels_written_by_others_are_counted_after_setting_data():
    layer = _layer()
    layer.data[...] = 1
    layer.data = layer.data
    assert layer.areas()[1] == 2000


@pytest.mark.parametrize(
    ("data", "message"),
    [(np.zeros((3, 3)), "whole numbers"), (np.full((3, 3), 1000), "from 1000 to 1000")],
)
def test_labels_that_are_no_class_numbers_are_refused(data, message):
    with pytest.raises(ImageError, match=message):
        SegmentationLabels(data, classes=CLASSES)


def test_bool_blocks_of_a_multilabel_model_are_shown_as_zero_and_one():
    layer = SegmentationLabels.empty(SHAPE, classes=default_classes(2))
    layer.stream_block(EVERYTHING, np.tri(*SHAPE, dtype=bool))
    np.testing.assert_array_equal(layer.data, np.tri(*SHAPE, dtype=np.uint8))


def test_a_ray_into_a_volume_goes_through_what_is_not_computed():
    layer = _layer((5, 5, 5))
    assert layer._calculate_value_from_ray(np.array([255, 255, 2, 1], np.uint8)) == 2
    assert layer._calculate_value_from_ray(np.array([255, 255], np.uint8)) is None


def test_napari_still_has_the_hooks_that_painting_comes_through():
    """If one of these goes, painting would no longer vouch: adapt viewer/layers.py."""
    hooks = ["_apply_mask_to_data", "_load_history", "_abort_stroke", "_save_history"]
    hooks += ["_validate_label_in_range", "_calculate_value_from_ray", "_partial_labels_refresh"]
    hooks += ["_get_flood_mask_and_bbox", "_commit_staged_history"]
    hooks += ["_accumulate_updated_slice", "_get_update_slices", "_update_thumbnail"]
    assert [name for name in hooks if not callable(getattr(Labels, name, None))] == []
    plain = Labels(np.zeros(SHAPE, np.uint8))
    plain.paint((20, 20), 1)
    assert isinstance(plain._undo_history[0][0], _MaskedPaintAtom)
    ours = _layer()
    ours.paint((20, 20), 1)
    assert isinstance(ours._undo_history[0][0], Stroke)
