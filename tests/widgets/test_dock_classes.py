"""The class list of the dock says what is on the canvas."""

import numpy as np
import pytest
from gated import Gated, gated_network
from qtpy.QtCore import Qt


@pytest.fixture
def dock_after(viewer, dock, image, qtbot):
    """Return what runs a model of a task and gives the dock."""

    def run(task):
        module = Gated()
        module.let(10_000)
        viewer.add_image(image, name="slide")
        dock.session.set_model(gated_network(module, task=task), "stub")
        dock.controller.run()
        qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)
        return dock

    return run


def eyes(dock):
    return [row.eye.isChecked() for row in dock.class_list.rows]


def test_painting_is_counted_without_a_run(viewer, dock_after, qtbot):
    dock = dock_after("multiclass")
    layer = viewer.layers[-1]
    before = dock.session.view.classes[1].area
    layer.brush_size = 40
    layer.paint((100, 100), 1)
    qtbot.waitUntil(lambda: dock.session.view.classes[1].area != before, timeout=20_000)
    pixels = int(np.count_nonzero(layer.data == 1))
    assert dock.session.view.classes[1].area == f"{pixels:,} px"
    layer.undo()
    qtbot.waitUntil(lambda: dock.session.view.classes[1].area == before, timeout=20_000)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_hidden_class_is_hidden_after_another_image_and_back(viewer, dock_after, task):
    dock = dock_after(task)
    dock.controller.classes.show(1, False)
    other = viewer.add_image(np.zeros((64, 64), np.uint8), name="other")
    dock.controller.choose_image(other.unique_id)
    dock.controller.choose_image(viewer.layers["slide"].unique_id)
    assert eyes(dock) == [True, False, True]
    dock.controller.classes.rename(2, "cell")
    assert eyes(dock) == [True, False, True]
    ours = [one for one in viewer.layers if " · " in one.name]
    assert all(one.visible for one in ours) == (task == "multiclass")


def test_the_eye_follows_the_layer_list(viewer, dock_after):
    dock = dock_after("multilabel")
    viewer.layers[-1].visible = False
    assert eyes(dock) == [True, True, False]
    viewer.layers[-1].visible = True
    assert eyes(dock) == [True, True, True]


def test_all_labels_come_back_as_they_were(viewer, dock_after):
    dock = dock_after("multilabel")
    dock.controller.classes.show(1, False)
    dock.controller.classes.toggle_labels()
    assert eyes(dock) == [False, False, False]
    dock.controller.classes.toggle_labels()
    assert eyes(dock) == [True, False, True]


def test_a_class_that_is_merged_stays_merged_in_the_next_run(viewer, dock_after, qtbot):
    dock = dock_after("multiclass")
    layer = viewer.layers[-1]
    assert set(np.unique(layer.data)) == {0, 1, 2}
    layer.paint((100, 100), 2)
    dock.class_list.merge_requested.emit(1, 2)
    assert [row.name.text() for row in dock.class_list.rows] == ["background", "bright"]
    merged = layer.data.copy()
    assert set(np.unique(merged)) == {0, 1}
    dock.controller.run()
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)
    assert dock.controller.chosen.results.front is layer
    np.testing.assert_array_equal(layer.data, merged)


def test_a_new_class_can_be_painted_and_deleted(dock_after, qtbot):
    dock = dock_after("multiclass")
    layer = dock.controller.chosen.results.front
    before = layer.data.copy()
    qtbot.mouseClick(dock.class_list.add_button, Qt.MouseButton.LeftButton)
    assert layer.selected_label == 3
    layer.paint((100, 100), 3)
    qtbot.waitUntil(lambda: dock.class_list.rows[3].vouched.text() != "", timeout=20_000)
    dock.class_list.recolour_requested.emit(3, "#123456")
    assert layer.classes[3].colour == "#123456"
    dock.controller.classes.show(3, False)
    dock.class_list.delete_requested.emit(3)
    assert eyes(dock) == [True, True, True]
    assert len(dock.class_list.rows) == 3
    np.testing.assert_array_equal(layer.data, before)
    assert layer.vouched.count == 0


def test_classes_that_overlap_cannot_be_merged(dock_after):
    dock = dock_after("multilabel")
    dock.class_list.merge_requested.emit(1, 2)
    assert "overlap" in dock.session.view.notice.text
    assert len(dock.class_list.rows) == 3
