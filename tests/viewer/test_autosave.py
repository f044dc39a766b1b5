"""Autosave without a window and without waiting: every step is taken by hand."""

import errno
import shutil

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_tileseg.annotation.relabelling import Relabelling
from napari_tileseg.engine.spec import ClassInfo
from napari_tileseg.errors import ProjectError
from napari_tileseg.io import project_log
from napari_tileseg.io.project import Project
from napari_tileseg.io.project_place import user_folder
from napari_tileseg.viewer import autosave as autosaving
from napari_tileseg.viewer.autosave import Autosave
from napari_tileseg.viewer.layers import SegmentationLabels
from napari_tileseg.viewer.links import OURS
from napari_tileseg.viewer.restoring import add_layers, read_project
from napari_tileseg.viewer.results import Results
from tests.tasks import AtOnce

SHAPE = (300, 600)
EVERYTHING = (slice(0, 300), slice(0, 600))
CLASSES = tuple(
    ClassInfo(name, colour)
    for name, colour in (
        ("background", "#000000"),
        ("myelin", "#0072b2"),
        ("axon", "#e69f00"),
        ("nucleus", "#009e73"),
    )
)


class Window:
    """A viewer with one image, saved whenever it is said."""

    def __init__(self):
        self.viewer = ViewerModel()
        pixels = np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)
        self.image = self.viewer.add_image(pixels, name="slide")
        self.errors = []
        self.autosave = Autosave(
            self.viewer,
            AtOnce(),
            shape_of=lambda image: image.data.shape,
            choice_of=lambda image: {},
            on_change=lambda work: None,
            on_error=self.errors.append,
        )

    def add_labels(self):
        link = {
            "image": str(self.image.unique_id),
            "classes": tuple(one.name for one in CLASSES),
            "meanings": {},
            "multilabel": False,
            "index": None,
        }
        layer = SegmentationLabels.empty(SHAPE, classes=CLASSES, metadata={OURS: link})
        self.viewer.add_layer(layer)
        rng = np.random.default_rng(1)
        layer.stream_block(EVERYTHING, rng.integers(0, 4, SHAPE).astype(np.uint8))
        layer.review((slice(200, 290), slice(200, 290)))
        layer.data_setitem((np.arange(100), np.arange(100)), 2)
        return layer

    @property
    def work(self):
        return self.autosave.work_on(self.image)

    def steps(self, most=100):
        """Take one step after the other, until all is saved."""
        for _ in range(most):
            self.autosave.look()
            yield
            while self.autosave._copying:
                self.autosave._copy()
                yield

    def save(self):
        for _ in self.steps(4):
            pass


@pytest.fixture
def window(qapp):
    window = Window()
    yield window
    window.autosave.close()


def read(path):
    restored = read_project(path, SHAPE)
    restored.project.close()
    return restored


def require_equal(sheet, layer):
    for one, other in zip(sheet.words(EVERYTHING), layer.sheet.words(EVERYTHING), strict=True):
        np.testing.assert_array_equal(one, other)


def names(restored):
    return [name for name, _ in restored.sheets[-1][0]["classes"]]


def test_what_is_done_is_in_the_project_after_each_step(window):
    layer = window.add_labels()
    window.save()
    path = window.work.project.path
    require_equal(read(path).sheets[0][1], layer)
    layer.data_setitem((np.arange(50), np.full(50, 400)), 1)
    window.save()
    require_equal(read(path).sheets[0][1], layer)
    layer.undo()
    window.save()
    require_equal(read(path).sheets[0][1], layer)
    layer.stream_block((slice(0, 40), slice(500, 600)), np.full((40, 100), 3, np.uint8))
    window.save()
    require_equal(read(path).sheets[0][1], layer)


def test_an_image_that_is_only_looked_at_gets_no_folder(window):
    window.save()
    assert window.work.identity is not None
    assert window.work.project is None


def test_a_second_window_reads_only_and_changes_nothing(window, qapp):
    layer = window.add_labels()
    window.save()
    path = window.work.project.path
    second = Window()
    second.add_labels().data_setitem((np.arange(9), np.arange(9)), 3)
    second.save()
    assert second.work.is_read_only
    assert second.work.work.read_only
    second.autosave.close()
    require_equal(read(path).sheets[0][1], layer)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_labels_that_get_other_numbers_count_when_all_of_them_are_saved(
    window, monkeypatch, tmp_path
):
    """Whenever the program ends, labels and classes belong together."""
    monkeypatch.setattr(autosaving, "_MOST", 1)
    layer = window.add_labels()
    for _ in window.steps(12):
        pass
    before = layer.data.copy()
    classes = (CLASSES[0], CLASSES[1], CLASSES[3])
    Results([layer]).change_classes(classes, Relabelling.merging(2, 1))
    assert (layer.data != before).any()
    seen = set()
    for number, _ in enumerate(window.steps(12)):
        twin = shutil.copytree(window.work.project.path, tmp_path / f"{number}.tileseg")
        restored = read(twin)
        (entry, sheet) = restored.sheets[0]
        seen.add(len(entry["classes"]))
        expected = before if len(entry["classes"]) == 4 else layer.data
        np.testing.assert_array_equal(sheet.shown, expected)
    assert seen == {3, 4}
    require_equal(read(window.work.project.path).sheets[0][1], layer)


def test_a_merged_class_stays_merged_for_the_next_run(window):
    layer = window.add_labels()
    network_names = tuple(one.name for one in CLASSES)
    merged = (CLASSES[0], CLASSES[1], CLASSES[3])
    Results([layer]).change_classes(merged, Relabelling.merging(2, 1))
    before = layer.metadata[OURS]
    assert before["meanings"] == {network_names: (0, 1, 1, 2)}
    window.save()
    restored = read(window.work.project.path)
    assert names(restored) == ["background", "myelin", "nucleus"]
    (again,) = add_layers(window.viewer, window.image, None, restored, own=True)
    assert again.metadata[OURS] == before
    assert Results([again]).meaning == (0, 1, 1, 2)


def test_what_could_not_be_written_is_told_and_written_later(window, monkeypatch):
    layer = window.add_labels()
    window.save()
    path, before = window.work.project.path, layer.data.copy()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    layer.data_setitem((np.arange(50), np.full(50, 400)), 1)
    with monkeypatch.context() as patch:
        patch.setattr(project_log.os, "fsync", full)
        window.save()
    assert "cannot be saved" in window.work.work.problem
    np.testing.assert_array_equal(read(path).sheets[0][1].shown, before)
    window.save()
    assert window.work.work.problem, "it is not tried all the time"
    window.work.retry_at = 0.0
    window.save()
    assert not window.work.work.problem
    require_equal(read(path).sheets[0][1], layer)
    assert not window.errors


def test_a_folder_that_was_taken_away_is_made_anew_with_all_that_is_there(window, tmp_path):
    layer = window.add_labels()
    window.save()
    path = window.work.project.path
    path.rename(tmp_path / "elsewhere.tileseg")
    layer.data_setitem((np.arange(50), np.full(50, 400)), 1)
    window.save()
    assert "not there any more" in window.work.work.problem
    window.work.retry_at = 0.0
    window.save()
    assert not window.work.work.problem
    require_equal(read(path).sheets[0][1], layer)


def test_closing_saves_what_was_painted_last(window):
    layer = window.add_labels()
    window.autosave.look()
    layer.data_setitem((np.arange(50), np.full(50, 400)), 1)
    window.autosave.close()
    (path,) = user_folder().iterdir()
    require_equal(read(path).sheets[0][1], layer)


def test_layers_that_were_removed_are_let_go_also_where_nothing_is_saved(window, qapp):
    window.add_labels()
    window.save()
    second = Window()
    layer = second.add_labels()
    second.save()
    assert second.work.is_read_only
    second.viewer.layers.remove(layer)
    second.save()
    assert not second.work.layers
    assert second.work.label_shape is None
    second.autosave.close()


def test_a_project_of_another_size_is_refused_with_both_sizes(window):
    window.add_labels()
    window.save()
    with pytest.raises(ProjectError, match=r"600 × 300 px.*600 × 299 px"):
        read_project(window.work.project.path, (299, 600))
    assert Project.open(window.work.project.path, read_only=True).sheets
