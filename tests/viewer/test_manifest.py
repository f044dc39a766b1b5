"""What napari is told about the plugin, and that each promise can be kept."""

from pathlib import Path

import npe2
import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest

import napari_tileseg
from napari_tileseg.io.labels import read_labels
from napari_tileseg.viewer.writers import write_labels

MANIFEST = Path(napari_tileseg.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(MANIFEST)


@pytest.fixture(scope="module", autouse=True)
def _plugins_are_known():
    """Find the installed plugins, as a window of napari does when it opens."""
    npe2.PluginManager.instance().discover()


def test_every_python_name_can_be_imported(manifest):
    manifest.validate_imports()


def test_the_widgets_have_the_names_that_the_demo_and_the_training_ask_for(manifest):
    assert [widget.display_name for widget in manifest.contributions.widgets] == [
        "Tiled Segmentation",
        "Train from Folders",
    ]


def test_both_bundled_models_can_be_reached_from_open_sample(manifest):
    assert {sample.key for sample in manifest.contributions.sample_data} == {
        "cells",
        "axon_myelin_sem",
    }


def test_plain_tif_files_of_others_are_left_alone(manifest):
    suffixes = {one for w in manifest.contributions.writers for one in w.filename_extensions}
    assert ".tif" not in suffixes
    assert suffixes == {".ome.tif", ".png"}


@pytest.mark.parametrize(
    ("command", "name", "side", "pixel_size_um"),
    [("sample_cells", "cells", 2048, 0.325), ("sample_axon_myelin", "nerve", 1024, 0.1)],
)
def test_the_sample_images_open_without_a_window(command, name, side, pixel_size_um):
    commands = npe2.PluginManager.instance().commands
    [(data, attributes, kind)] = commands.execute(f"napari-tileseg.{command}")
    assert kind == "image"
    assert data.shape == (side, side)
    assert attributes["name"] == name
    assert attributes["scale"] == pytest.approx((pixel_size_um, pixel_size_um))


def test_a_saved_layer_keeps_classes_and_pixel_size(tmp_path):
    from napari_tileseg.engine.spec import ClassInfo
    from napari_tileseg.viewer.layers import SegmentationLabels

    labels = np.array([[0, 1], [2, 255]], np.uint8)
    classes = [ClassInfo(n, c) for n, c in (("bg", "#000000"), ("a", "#ff0000"), ("b", "#00ff00"))]
    layer = SegmentationLabels(labels, classes=classes, scale=(0.5, 0.5), units=("um", "um"))
    layer.set_hidden({2})
    viewer = ViewerModel()
    viewer.add_layer(layer)
    written = layer.save(str(tmp_path / "out.ome.tif"), plugin="napari-tileseg")
    back = read_labels(written[0])
    np.testing.assert_array_equal(back.labels, labels)
    assert list(back.classes) == classes
    assert back.pixel_size_um == pytest.approx(0.5)


def test_labels_of_napari_itself_can_be_saved_too(tmp_path):
    viewer = ViewerModel()
    layer = viewer.add_labels(np.array([[0, 1], [2, 3]], np.uint8))
    data, attributes, _ = layer.as_layer_data_tuple()
    [path] = write_labels(str(tmp_path / "plain.png"), data, attributes)
    np.testing.assert_array_equal(read_labels(path).labels, layer.data)
