import json

import numpy as np
import pytest
import tifffile
from PIL import Image


@pytest.fixture
def folders(tmp_path, rgb):
    """Return a folder with one RGB image, and one with the mask of its brightest channel."""
    path, labels = rgb
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    path.rename(images / "tissue.tif")
    Image.fromarray(labels).save(masks / "tissue.png")
    return images, masks


def test_json_stands_alone_on_stdout(tileseg, echo_model, folders):
    images, masks = folders
    code, out, _ = tileseg(
        "evaluate", "--model", echo_model, "--images", images, "--masks", masks, "--json"
    )
    figures = json.loads(out)
    assert code == 0
    assert figures["miou"] == 1
    assert figures["images"] == [{"name": "tissue", "miou": 1.0}]
    assert set(figures["per_class"]) == {"background", "class 1", "class 2"}


def test_the_table_names_classes_and_images(tileseg, echo_model, folders):
    images, masks = folders
    code, out, _ = tileseg("evaluate", "--model", echo_model, "--images", images, "--masks", masks)
    assert code == 0
    assert "class 2" in out
    assert "tissue" in out
    assert "1.0000" in out


def test_wrong_labels_lower_the_score(tileseg, echo_model, folders):
    images, masks = folders
    Image.fromarray(np.zeros((70, 90), np.uint8)).save(masks / "tissue.png")
    _, out, _ = tileseg(
        "evaluate", "--model", echo_model, "--images", images, "--masks", masks, "--json"
    )
    figures = json.loads(out)
    assert figures["miou"] < 0.2
    assert figures["per_class"]["class 1"] == {"iou": 0.0, "dice": 0.0, "pixels": 0}


def test_files_that_do_not_pair_up_end_it_before_any_work(tileseg, echo_model, folders):
    images, masks = folders
    tifffile.imwrite(images / "other.tif", np.zeros((9, 9), np.uint8))
    code, out, err = tileseg(
        "evaluate", "--model", echo_model, "--images", images, "--masks", masks, "--json"
    )
    assert code == 1
    assert out == ""
    assert "no mask for other.tif" in err


def test_a_mask_with_too_many_classes_is_said(tileseg, echo_model, folders):
    images, masks = folders
    Image.fromarray(np.full((70, 90), 9, np.uint8)).save(masks / "tissue.png")
    code, _, err = tileseg("evaluate", "--model", echo_model, "--images", images, "--masks", masks)
    assert code == 1
    assert "holds 9, but the model has 3 classes" in err


def test_axes_can_be_said(tileseg, echo_model, folders):
    images, masks = folders
    turned = tifffile.imread(images / "tissue.tif").transpose(2, 0, 1)
    tifffile.imwrite(images / "tissue.tif", turned, photometric="minisblack", metadata=None)
    words = ("evaluate", "--model", echo_model, "--images", images, "--masks", masks, "--json")
    code, out, err = tileseg(*words, "--axes", "CYX")
    assert code == 0, err
    assert json.loads(out)["miou"] == 1


def test_foreground_that_was_saved_as_255_is_said(tileseg, monkeypatch, folders):
    from stubs import echo

    monkeypatch.setattr("napari_tileseg.io.checkpoints.load_model", lambda *_, **__: echo(2))
    images, masks = folders
    Image.fromarray(np.eye(70, 90, dtype=np.uint8) * 255).save(masks / "tissue.png")
    code, _, err = tileseg("evaluate", "--model", "echo", "--images", images, "--masks", masks)
    assert code == 1
    assert "255 means unknown here; save foreground as 1" in err


def test_a_class_that_is_named_twice_is_refused(tileseg, echo_model, folders):
    images, masks = folders
    words = ("evaluate", "--model", echo_model, "--images", images, "--masks", masks)
    code, _, err = tileseg(*words, "--classes", "cell,cell,nucleus")
    assert code == 2
    assert "name each class once" in err
