import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from stubs import echo


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


def test_variants_are_averaged(tileseg, monkeypatch, folders):
    """A network that is right only at the left of what it is shown is mended by mirrored copies."""
    from torch import nn

    class LeftHalf(nn.Module):
        def forward(self, x):
            return x * (torch.arange(x.shape[-1]) < x.shape[-1] // 2)

    network = replace(echo(), module=LeftHalf())
    monkeypatch.setattr("napari_tileseg.io.checkpoints.load_model", lambda *_, **__: network)
    images, masks = folders
    arguments = ("evaluate", "--model", "left", "--images", images, "--masks", masks, "--json")
    _, out, _ = tileseg(*arguments, "--tile", "128")
    assert json.loads(out)["miou"] < 0.9
    _, out, _ = tileseg(*arguments, "--tile", "128", "--tta", "flips")
    assert json.loads(out)["miou"] == 1


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


def test_the_confusion_matrix_is_shown_and_in_the_json(tileseg, monkeypatch, folders):
    from stubs import echo

    monkeypatch.setattr("napari_tileseg.io.checkpoints.load_model", lambda *_, **__: echo(3))
    images, masks = folders
    truth = np.asarray(Image.open(masks / "tissue.png")).copy()
    found = truth.copy()
    truth[found == 1] = 2  # everything that is found as 1 truly is 2
    Image.fromarray(truth).save(masks / "tissue.png")
    words = ("evaluate", "--model", "echo", "--images", images, "--masks", masks)
    code, out, err = tileseg(*words, "--json")
    assert code == 0, err
    matrix = json.loads(out)["confusion"]
    assert matrix == [
        [int((found == 0).sum()), 0, 0],
        [0, 0, 0],
        [0, int((found == 1).sum()), int((found == 2).sum())],
    ]
    _, out, _ = tileseg(*words)
    rows = out.splitlines()[-3:]
    share = 100 * (found == 1).sum() / (found != 0).sum()
    assert rows[0].split()[-3:] == ["100.00", "0.00", "0.00"]
    assert rows[1].split()[-3:] == ["-", "-", "-"]
    assert rows[2].split()[-2] == f"{share:.2f}"


def test_all_masks_that_do_not_fit_are_named_before_any_work(tileseg, echo_model, folders):
    images, masks = folders
    pixels = tifffile.imread(images / "tissue.tif")
    tifffile.imwrite(images / "other.tif", pixels, photometric="rgb")
    Image.fromarray(np.zeros((70, 91), np.uint8)).save(masks / "tissue.png")
    Image.fromarray(np.full((70, 90), 7, np.uint8)).save(masks / "other.png")
    code, out, err = tileseg(
        "evaluate", "--model", echo_model, "--images", images, "--masks", masks, "--json"
    )
    assert code == 1
    assert out == ""
    assert "2 of 2 images cannot be used" in err
    assert "its mask is 70 × 91 px" in err
    assert "holds 7, but the model has 3 classes" in err


def test_colours_are_compared_by_the_names_of_the_classes(tileseg, echo_model, folders):
    from stubs import echo

    images, masks = folders
    truth = np.asarray(Image.open(masks / "tissue.png"))
    colours = np.array([(0, 0, 0), (0, 0, 9), (9, 0, 0)], np.uint8)[truth]
    Image.fromarray(colours).save(masks / "tissue.png")
    names = [one.name for one in echo().classes]
    table = masks.parent / "colours.txt"  # in another order than those of the model
    table.write_text(f"#090000 {names[2]}\n#000000 {names[0]}\n#000009 {names[1]}\n")
    words = ("evaluate", "--model", echo_model, "--images", images, "--masks", masks, "--json")
    code, out, err = tileseg(*words, "--colours", table)
    assert code == 0, err
    assert json.loads(out)["miou"] == 1
