"""Work on disk as a person meets it, in a viewer without a window."""

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_tileseg.engine.spec import default_classes
from napari_tileseg.io.project import Project
from napari_tileseg.session import Session
from napari_tileseg.viewer.controller import Controller
from napari_tileseg.viewer.layers import SegmentationLabels
from napari_tileseg.viewer.links import OURS
from napari_tileseg.viewer.restoring import read_project

SHAPE = (40, 50)


class Window:
    """A viewer with the image of a file, and what the dock would be bound to."""

    def __init__(self, path):
        self.viewer = ViewerModel()
        self.image = self.viewer.add_image(tifffile.imread(path), name="slide")
        # as if a reader had opened it; no reader is known without a window
        self.image._source = self.image.source.model_copy(update={"path": str(path)})
        self.session = Session()
        self.controller = Controller(self.viewer, self.session)
        self.controller.start()
        self.projects = self.controller.projects

    @property
    def work(self):
        return self.session.view.work

    def paint(self, label=2):
        link = {
            "image": str(self.image.unique_id),
            "classes": ("a", "b", "c"),
            "meanings": {},
            "multilabel": False,
            "index": None,
        }
        layer = SegmentationLabels.empty(SHAPE, classes=default_classes(3), metadata={OURS: link})
        self.viewer.add_layer(layer)
        self.controller.chosen.open()
        layer.data_setitem((np.arange(40), np.arange(40)), label)
        return layer


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, np.zeros(SHAPE, np.uint8))
    return path


@pytest.fixture
def open_window(qapp, slide, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "napari_tileseg.viewer.recent.user_state_path", lambda *_, **__: tmp_path / "state"
    )
    windows = []

    def opened():
        windows.append(Window(slide))
        return windows[-1]

    yield opened
    for window in windows:
        window.controller.close()


def is_saved(window):
    window.projects._autosave.look()
    work = window.projects._work
    has_project = window.projects.project is not None
    return has_project and not (work.is_busy or work.is_dirty or work.has_news())


def read(path):
    restored = read_project(path, SHAPE)
    restored.project.close()
    return [sheet.shown for _, sheet in restored.sheets]


def test_a_second_window_on_the_same_image_says_why_it_does_not_save(open_window, slide, qtbot):
    first = open_window()
    layer = first.paint()
    qtbot.waitUntil(lambda: is_saved(first), timeout=10_000)
    second = open_window()
    second.paint(1)
    qtbot.waitUntil(lambda: bool(second.work.warning), timeout=10_000)
    assert "another napari window" in second.work.warning
    assert second.work.saved_line == "not saved"
    assert first.work.saved_line.startswith("saved")
    (shown,) = read(slide.with_name("slide.tif.tileseg"))
    np.testing.assert_array_equal(shown, layer.data)


def test_a_window_that_only_reads_can_save_under_another_name(open_window, slide, qtbot):
    first = open_window()
    first.paint()
    qtbot.waitUntil(lambda: is_saved(first), timeout=10_000)
    second = open_window()
    layer = second.paint(1)
    qtbot.waitUntil(lambda: bool(second.work.warning), timeout=10_000)
    second.projects.save_as(str(slide.with_name("mine")))
    qtbot.waitUntil(lambda: is_saved(second), timeout=10_000)
    assert not second.work.warning
    assert second.work.footer.endswith("mine.tileseg")
    np.testing.assert_array_equal(read(slide.with_name("mine.tileseg"))[0], layer.data)


def test_under_another_name_all_goes_on_there_and_the_former_folder_stays(
    open_window, slide, qtbot
):
    window = open_window()
    layer = window.paint()
    qtbot.waitUntil(lambda: is_saved(window), timeout=10_000)
    former, before = window.projects.project.path, layer.data.copy()
    window.projects.project.add_history({"what": "taught"})
    window.projects.save_as(str(slide.with_name("mine")))
    qtbot.waitUntil(lambda: is_saved(window), timeout=10_000)
    layer.data_setitem((np.full(50, 20), np.arange(50)), 1)
    qtbot.waitUntil(lambda: is_saved(window), timeout=10_000)
    path = window.projects.project.path
    assert path == slide.with_name("mine.tileseg")
    np.testing.assert_array_equal(read(path)[0], layer.data)
    np.testing.assert_array_equal(read(former)[0], before)
    Project.open(former).close()  # nobody holds it any more
    assert [one["what"] for one in window.projects.project.history] == ["taught"]


def test_a_name_that_is_taken_is_refused_and_the_work_stays_where_it_was(open_window, slide, qtbot):
    window = open_window()
    window.paint()
    qtbot.waitUntil(lambda: is_saved(window), timeout=10_000)
    window.projects.save_as(str(window.projects.project.path))
    qtbot.waitUntil(lambda: window.session.view.notice is not None, timeout=10_000)
    assert "Choose another name" in window.session.view.notice.text
    assert is_saved(window)
    assert window.projects.project.path == slide.with_name("slide.tif.tileseg")


def test_nothing_to_save_is_said_instead_of_asked_where_to(open_window):
    window = open_window()
    assert not window.projects.can_save_as()
    assert "nothing to save" in window.session.view.notice.text


def test_settings_of_run_and_teaching_are_those_of_then(open_window, qtbot):
    window = open_window()
    window.paint()
    window.session.set_settings(window.session.settings.but(tile=320, overlap=0.5))
    learning = window.session.learning
    learning.set_settings(learning.known.settings.but(minutes=7.5))
    qtbot.waitUntil(lambda: is_saved(window), timeout=10_000)
    settings = window.session.settings, learning.known.settings
    window.controller.close()
    window = open_window()
    qtbot.waitUntil(lambda: bool(window.work.offer), timeout=10_000)
    window.projects.go_on()
    qtbot.waitUntil(lambda: not window.work.offer and len(window.viewer.layers) == 2)
    assert (window.session.settings, window.session.learning.known.settings) == settings
