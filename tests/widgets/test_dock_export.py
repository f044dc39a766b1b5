"""Labels into files from the dock: what is in sight is what is saved, and nothing is lost."""

import threading

import numpy as np
import pytest
import tifffile
from gated import Gated, gated_network
from qtpy.QtWidgets import QFileDialog

from napari_tileseg.io import labels as files
from napari_tileseg.io.labels import read_labels
from napari_tileseg.session import State


def run(dock, qtbot, origin, tiles=10_000):
    """Run a model that is let go on for some tiles, then cancel it if it has not ended."""
    module = Gated()
    module.let(tiles)
    dock.session.set_model(gated_network(module), origin)
    dock.controller.run()
    if tiles < 10_000:
        qtbot.waitUntil(lambda: module.begun > tiles, timeout=20_000)
        dock.controller.cancel()
        module.let(10_000)
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)


@pytest.fixture
def finished(viewer, dock, image, qtbot):
    """The dock after a run."""
    viewer.add_image(image, name="slide")
    run(dock, qtbot, "first model")
    return dock


@pytest.fixture
def slow(monkeypatch):
    """Let writing wait until it is let go on."""
    gate = threading.Event()
    write = files.export

    def export(*args, **options):
        gate.wait(10)
        return write(*args, **options)

    monkeypatch.setattr(files, "export", export)
    yield gate
    gate.set()


def export(dock, qtbot, target):
    dock.controller.export(str(target))
    qtbot.waitUntil(lambda: str(target) in dock.session.view.export_result, timeout=20_000)
    qtbot.waitUntil(lambda: dock.session.view.can_export, timeout=20_000)


def notes(path):
    with tifffile.TiffFile(path) as tiff:
        return tiff.ome_metadata


def test_after_a_cancelled_second_run_all_say_what_is_shown(viewer, finished, qtbot, tmp_path):
    layer = viewer.layers[-1]
    before = layer.data.copy()
    run(finished, qtbot, "second model", tiles=1)
    assert finished.session.view.state is State.CANCELLED
    export(finished, qtbot, tmp_path / "button.ome.tif")
    assert finished.session.view.export_result.endswith("part of it is from an earlier run")
    [saved] = layer.save(str(tmp_path / "writer.ome.tif"), plugin="napari-tileseg")
    for path in (tmp_path / "button.ome.tif", saved):
        np.testing.assert_array_equal(read_labels(path).labels, before)
    shown = np.bincount(before.ravel(), minlength=3)
    assert [f"{n:,} px" for n in shown] == [one.area for one in finished.session.view.classes]
    assert "first model" in notes(tmp_path / "button.ome.tif")


def test_after_runs_for_the_view_all_models_are_named_until_a_full_run(
    viewer, finished, qtbot, tmp_path
):
    viewer.scene.camera.center, viewer.scene.camera.zoom = (40, 60), 20
    for _ in range(2):
        module = Gated()
        module.let(10_000)
        finished.session.set_model(gated_network(module), "second model")
        finished.controller.run_view()
        qtbot.waitUntil(lambda: not finished.session.view.busy, timeout=20_000)
    export(finished, qtbot, tmp_path / "mixed.ome.tif")
    told = notes(tmp_path / "mixed.ome.tif")
    assert "first model" in told
    assert told.count("second model") == 1
    run(finished, qtbot, "second model")
    export(finished, qtbot, tmp_path / "whole.ome.tif")
    assert "first model" not in notes(tmp_path / "whole.ome.tif")


def test_a_file_says_the_run_that_made_the_labels(viewer, finished, qtbot, tmp_path):
    finished.session.set_model(gated_network(), "another model")
    finished.session.set_settings(finished.session.settings.but(overlap=0.5))
    export(finished, qtbot, tmp_path / "out.ome.tif")
    told = notes(tmp_path / "out.ome.tif")
    assert "first model" in told
    assert "another model" not in told
    assert "0.5" not in told
    assert finished.session.view.export_result.endswith("out.ome.tif")


@pytest.mark.parametrize("painted", [False, True])
def test_a_file_says_whether_a_person_corrected_it(viewer, finished, qtbot, tmp_path, painted):
    if painted:
        viewer.layers[-1].paint((50, 50), 1)
    export(finished, qtbot, tmp_path / "out.png")
    from PIL import Image

    with Image.open(tmp_path / "out.png") as picture:
        told = str(picture.text)
    assert f'"corrected": {str(painted).lower()}' in told


def test_while_a_file_is_written_the_button_waits(finished, slow, qtbot, tmp_path):
    finished.controller.export(str(tmp_path / "out.png"))
    assert finished.session.view.export_line == "saving out.png …"
    assert not finished.export_panel.export.isEnabled()
    slow.set()
    qtbot.waitUntil(lambda: finished.session.view.export_line == "out.png", timeout=20_000)
    assert finished.export_panel.export.isEnabled()


def test_a_window_that_closes_waits_for_the_file(finished, slow, qtbot, tmp_path):
    finished.controller.export(str(tmp_path / "out.png"))
    threading.Timer(0.5, slow.set).start()
    finished.controller.close()
    assert [one.name for one in tmp_path.glob("*.p*")] == ["out.png"]


def test_what_was_saved_is_told_of_its_own_image(viewer, finished, slow, qtbot, tmp_path):
    finished.controller.export(str(tmp_path / "out.png"))
    other = viewer.add_image(np.zeros((64, 64), np.uint8), name="other")
    slide = viewer.layers["slide"]
    finished.controller.choose_image(other.unique_id)
    slow.set()
    qtbot.waitUntil(lambda: finished.session.view.notice is not None, timeout=20_000)
    assert "'slide'" in finished.session.view.notice.text
    assert finished.session.view.export_result == ""
    finished.controller.choose_image(slide.unique_id)
    assert finished.session.view.export_result.endswith("out.png")


def test_a_second_run_forgets_where_the_first_was_saved(finished, qtbot, tmp_path):
    export(finished, qtbot, tmp_path / "out.png")
    run(finished, qtbot, "second model")
    assert finished.session.view.export_result == ""


def test_labels_go_beside_the_file_of_their_image(viewer, dock, image, tmp_path):
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        tifffile.imwrite(folder / "slide.tif", image)
    layers = [viewer.open(folder / "slide.tif", plugin="napari")[0] for folder in folders]
    for layer, folder in zip(layers, folders, strict=True):
        dock.controller.choose_image(layer.unique_id)
        assert dock.export_panel.path.parent == folder


def test_a_folder_that_somebody_chose_stays(viewer, dock, image, tmp_path, monkeypatch):
    viewer.add_image(image, name="slide")
    chosen = str(tmp_path / "mine.png")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (chosen, ""))
    dock.export_panel._browse.click()
    tifffile.imwrite(tmp_path / "slide.tif", image)
    (tmp_path / "deeper").mkdir()
    tifffile.imwrite(tmp_path / "deeper" / "other.tif", image)
    [layer] = viewer.open(tmp_path / "deeper" / "other.tif", plugin="napari")
    dock.controller.choose_image(layer.unique_id)
    assert dock.export_panel.path.parent == tmp_path


def test_that_a_file_will_be_replaced_is_said_before(finished, qtbot, tmp_path):
    panel = finished.export_panel
    panel.name.setText(str(tmp_path / "out.ome.tif"))
    assert panel.replaces.isHidden()
    export(finished, qtbot, tmp_path / "out.ome.tif")
    assert not panel.replaces.isHidden()
    panel.name.setText(str(tmp_path / "new.ome.tif"))
    assert panel.replaces.isHidden()
    panel.name.setText("x" * 5000)
    assert panel.replaces.isHidden()
