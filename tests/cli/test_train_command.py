import csv
import pickle

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_tileseg.errors import OutputError
from napari_tileseg.io.checkpoints import load_model, save_model
from napari_tileseg.training.start import new_network

DECODER = {"arguments": {"decoder_channels": [16, 8, 8], "encoder_depth": 3}}

NETWORK = (
    "--encoder", "resnet18", "--decoder-channels", "16,8,8",
    "--patch", "64", "--batch", "2", "--device", "cpu", "--precision", "fp32",
)  # fmt: skip


def _write(folder, seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        mask = np.zeros((80, 96), np.uint8)
        mask[rng.integers(0, 40) :, : rng.integers(40, 96)] = 1
        pixels = rng.normal(90 + 80 * mask, 12).astype(np.uint16)
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / "images" / f"{seed}.tif", pixels)
        Image.fromarray(mask).save(folder / "masks" / f"{seed}.png")


@pytest.fixture
def data(tmp_path):
    _write(tmp_path / "train", (1, 2))
    _write(tmp_path / "val", (3,))
    return tmp_path


@pytest.fixture
def train(tileseg, data):
    """Run `tileseg train` on two small images."""

    def run(*more, out="mine.safetensors", start=NETWORK):
        folder = data / "train"
        return tileseg(
            "train", "--images", folder / "images", "--masks", folder / "masks",
            "--out", data / out, *start, *more,
        )  # fmt: skip

    return run


def test_a_model_comes_out_that_knows_what_it_learnt_from(train, data):
    val = ("--val-images", data / "val/images", "--val-masks", data / "val/masks")
    code, _, err = train(
        *val, "--classes", "glass, cell", "--epochs", 2, "--half", "--csv", data / "curve.csv"
    )
    assert code == 0, err
    model = load_model(data / "mine.safetensors")
    assert [one.name for one in model.classes] == ["glass", "cell"]
    assert model.spec.name == "mine"
    assert model.spec.channels == ("grey",)
    assert model.spec.tile == 64
    images = model.provenance["images"]
    assert [one["name"] for one in images["train"]] == ["1", "2"]
    assert [len(one["sha256"]) for one in images["validation"]] == [64]
    assert model.provenance["settings"]["epochs"] == 2
    assert model.provenance["training"]["validation_miou"] > 0
    with (data / "curve.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == list(range(1, len(rows) + 1))
    assert float(rows[-1]["iou cell"]) >= 0


def test_a_finished_model_can_be_trained_on(train, data):
    train("--epochs", 1)
    code, _, err = train(
        "--base", data / "mine.safetensors", "--epochs", 1, "--patch", 64, "--batch", 2,
        out="next.safetensors", start=(),
    )  # fmt: skip
    assert code == 0, err
    first, second = load_model(data / "mine.safetensors"), load_model(data / "next.safetensors")
    assert second.spec.name == "next"
    assert second.architecture == first.architecture
    assert "images" in second.provenance["start"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--val-images", "x"), "belong together"),
        (("--split", "train"), "say which one it is with --layout"),
        (("--val-split", "val"), "say which one it is with --layout"),
        (("--layout", "voc"), "leave out --masks"),
        (("--classes", "a,b", "--colours", "voc"), "leave out --classes"),
        (("--base", "m.safetensors"), "Choose one of the two"),
        (("--classes", "a,a"), "name each class once"),
        (("--classes", "a, a ,b"), "name each class once"),
        (("--classes", "background"), "name what is to be found"),
        (("--decoder-channels", "a,b"), "no list of whole numbers"),
        (("--epochs", "0"), "at least 1"),
    ],
)
def test_options_that_make_no_sense_are_wrong_use(train, data, options, said):
    code, _, err = train(*options)
    assert code == 2
    assert said in err
    assert not (data / "mine.safetensors").exists()


def test_a_model_is_written_as_safetensors_only(train):
    code, _, err = train(out="mine.pth")
    assert code == 2
    assert "saved as .safetensors" in err


def test_masks_with_more_classes_than_names_are_said(train, data):
    Image.fromarray(np.full((80, 96), 2, np.uint8)).save(data / "train/masks/1.png")
    code, _, err = train("--classes", "glass,cell")
    assert code == 1
    assert "holds 2, but the model has 2 classes" in err


def test_one_class_is_the_foreground_of_a_network_with_one_output(train, data):
    code, _, err = train("--classes", "cell", "--epochs", 1)
    assert code == 0, err
    model = load_model(data / "mine.safetensors")
    assert model.spec.task == "binary"
    assert [one.name for one in model.classes] == ["background", "cell"]
    assert model.architecture.arguments["classes"] == 1


def test_the_foreground_of_a_binary_model_gets_a_new_name(train, data):
    train("--classes", "cell", "--epochs", 1)
    code, _, err = train(
        "--base", data / "mine.safetensors", "--classes", "nucleus", "--epochs", 1,
        "--patch", 64, "--batch", 2, out="next.safetensors", start=(),
    )  # fmt: skip
    assert code == 0, err
    names = [one.name for one in load_model(data / "next.safetensors").classes]
    assert names == ["background", "nucleus"]
    code, _, err = train("--base", data / "next.safetensors", "--classes", "background", start=())
    assert code == 2
    assert "name what is to be found" in err


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("curve.txt", "written as .csv"),
        ("train/images/1.tif", "written as .csv"),
        ("train/masks/curve.csv", "taken for an image or a mask"),
        ("table.csv", "is not the curve of a training"),
    ],
)
def test_a_table_takes_the_place_of_nothing_else(train, data, place, said):
    (data / "table.csv").write_text("patient,age\n1,60\n")
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    code, _, err = train("--csv", data / place)
    assert code != 0
    assert said in err
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("curve.csv", "written as .png"),
        ("train/masks/curve.png", "taken for an image or a mask"),
        ("photo.png", "is not the curve of a training"),
    ],
)
def test_a_picture_takes_the_place_of_nothing_else(train, data, place, said):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(data / "photo.png")
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    code, _, err = train("--curve", data / place)
    assert code != 0
    assert said in err
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


def test_a_table_is_printed_and_a_picture_drawn_again_and_again(train, data):
    val = ("--val-images", data / "val/images", "--val-masks", data / "val/masks")
    for _ in range(2):  # the picture of the first training is replaced
        code, out, err = train(*val, "--epochs", 3, "--curve", data / "curve.png")
        assert code == 0, err
    assert Image.open(data / "curve.png").size == (1000, 720)
    heading, *lines = out.splitlines()
    assert heading.split()[:6] == ["epoch", "steps", "minutes", "loss", "val", "mIoU"]
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert all(0 < float(line.split()[3]) < 10 for line in lines)
    assert "(0." in lines[-1]
    assert any("best so far" in line for line in lines)


def test_without_validation_the_table_has_no_scores(train):
    code, out, err = train("--epochs", 2)
    assert code == 0, err
    assert out.splitlines()[0].split() == ["epoch", "steps", "minutes", "loss"]
    assert len(out.splitlines()) == 3
    assert all(len(line.split()) == 4 for line in out.splitlines())


def test_quiet_prints_no_table(train):
    code, out, _ = train("--epochs", 1, "--quiet")
    assert code == 0
    assert out == ""


@pytest.mark.parametrize("words", [("--no-augment",), ("--augmentation", "0")])
def test_patches_can_be_learnt_from_as_they_are(train, data, words):
    code, _, err = train("--epochs", 1, *words)
    assert code == 0, err
    assert load_model(data / "mine.safetensors").provenance["settings"]["augmentation"] == 0


def _recolour(folder, palette):
    for path in folder.iterdir():
        colours = np.array(palette, np.uint8)[np.asarray(Image.open(path))]
        Image.fromarray(colours).save(path)


def test_masks_can_hold_colours(train, data):
    for part in ("train", "val"):
        _recolour(data / part / "masks", [(0, 0, 0), (230, 0, 40)])
    (data / "colours.txt").write_text("#000000 glass\n#e60028 cell\n#ffffff unknown\n")
    val = ("--val-images", data / "val/images", "--val-masks", data / "val/masks")
    table = ("--colours", data / "colours.txt")
    code, _, err = train(*val, *table, "--epochs", 1)
    assert code == 0, err
    model = load_model(data / "mine.safetensors")
    shown = [(one.name, one.colour) for one in model.classes]
    assert shown == [("glass", "#000000"), ("cell", "#e60028")]
    again = ("--base", data / "mine.safetensors", "--patch", 64, "--batch", 2, "--epochs", 1)
    code, _, err = train(*again, *table, out="next.safetensors", start=())
    assert code == 0, err
    (data / "colours.txt").write_text("#e60028 cell\n#000000 wall\n")
    code, _, err = train(*again, *table, out="next.safetensors", start=())
    assert code == 1
    assert "names wall, but the classes of the model are glass, cell" in err


def test_all_files_that_do_not_fit_are_named_at_once(train, data):
    _recolour(data / "train/masks", [(0, 0, 0), (9, 9, 9)])
    (data / "colours.txt").write_text("#000000 glass\n#ff0000 cell\n")
    code, _, err = train("--colours", data / "colours.txt")
    assert code == 1
    assert "2 of 2 images cannot be used" in err
    assert err.count("#090909") == 2
    assert "nearest: glass #000000" in err
    for name, size in (("1", (80, 90)), ("2", (81, 96))):
        Image.fromarray(np.zeros(size, np.uint8)).save(data / f"train/masks/{name}.png")
    code, _, err = train()
    assert code == 1
    assert "'1' is 80 × 96 px, but its mask is 80 × 90 px" in err
    assert "'2' is 80 × 96 px, but its mask is 81 × 96 px" in err


def test_a_folder_like_pascal_voc_is_learnt_from_by_its_lists(tileseg, data):
    root = data / "VOC"
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for part, stems in (("train", ("1", "2")), ("val", ("3",))):
        (lists / f"{part}.txt").write_text("\n".join(stems))
        for stem in stems:
            for old, new in (("images", "JPEGImages"), ("masks", "SegmentationClass")):
                (root / new).mkdir(exist_ok=True)
                found = next((data / part / old).glob(f"{stem}.*"))
                found.rename(root / new / found.name)
    words = ("--layout", "voc", "--images", root, "--out", data / "voc.safetensors")
    code, _, err = tileseg("train", *words, *NETWORK, "--val-split", "val", "--epochs", 1)
    assert code == 0, err
    model = load_model(data / "voc.safetensors")
    assert len(model.classes) == 21
    assert [one["name"] for one in model.provenance["images"]["validation"]] == ["3"]
    words = ("--model", data / "voc.safetensors", "--layout", "voc", "--images", root)
    code, out, err = tileseg("evaluate", *words, "--tile", 64, "--device", "cpu")
    assert code == 0, err
    assert "aeroplane" in out


def test_the_help_lists_every_loss_and_an_example(tileseg):
    from napari_tileseg.settings import Loss

    code, out, _ = tileseg("train", "--help")
    assert code == 0
    assert all(f"  {one} " in out for one in Loss)
    assert "tileseg train --images" in out


def test_a_curve_of_an_earlier_training_is_replaced_by_the_new_one(train, data):
    (data / "curve.csv").write_text("step,epoch,seconds,loss,miou\n99,9,9.9,9.9,\n")
    code, _, err = train("--epochs", 1, "--csv", data / "curve.csv")
    assert code == 0, err
    with (data / "curve.csv").open() as stream:
        assert next(csv.DictReader(stream))["step"] == "1"


def test_a_place_that_cannot_be_written_ends_it_before_any_work(train, data):
    (data / "file").write_text("no folder")
    code, _, err = train("--images", data / "missing", out="file/mine.safetensors")
    assert code == 1
    assert "Choose another place with --out" in err


def test_the_folder_of_the_model_is_made(train, data):
    code, _, err = train("--epochs", 1, out="new/mine.safetensors")
    assert code == 0, err
    assert (data / "new/mine.safetensors").exists()


def _failing(times, monkeypatch):
    """Let the first saves fail as on a full disk; return the list of all attempts."""
    import napari_tileseg.io.checkpoints as module

    attempts, save = [], module.save_model

    def attempt(*args, **options):
        attempts.append(args)
        if len(attempts) <= times:
            raise OutputError("the disk is full.")
        return save(*args, **options)

    monkeypatch.setattr(module, "save_model", attempt)
    return attempts


def test_a_save_that_fails_is_made_good_by_the_next(train, data, monkeypatch):
    attempts = _failing(1, monkeypatch)
    code, _, err = train("--epochs", 3)
    assert code == 0, err
    assert len(attempts) > 1
    assert "the disk is full. This will be tried again." in err
    assert load_model(data / "mine.safetensors").spec.name == "mine"


def test_saves_that_fail_to_the_end_fail_the_command_after_the_last_step(train, data, monkeypatch):
    attempts = _failing(1000, monkeypatch)
    code, _, err = train("--epochs", 3, "--csv", data / "curve.csv")
    assert code == 1
    assert "error: the disk is full." in err
    assert len(attempts) > 2
    assert len((data / "curve.csv").read_text().splitlines()) > 2


def test_one_small_patch_a_step_is_refused_in_a_sentence(train):
    code, _, err = train("--patch", 32, "--batch", 1, start=("--encoder", "resnet18"))
    assert code == 2
    assert "Choose a --batch of at least 2" in err


def test_a_training_without_a_result_fails(train, monkeypatch):
    monkeypatch.setattr("napari_tileseg.training.train.train", lambda *_, **__: (one for one in ()))
    code, _, err = train()
    assert code == 1
    assert "before there was a model to save" in err


def test_a_training_without_a_step_leaves_the_earlier_curve(train, data, monkeypatch):
    earlier = "step,epoch,seconds,loss,miou\n99,9,9.9,9.9,\n"
    (data / "curve.csv").write_text(earlier)
    monkeypatch.setattr("napari_tileseg.training.train.train", lambda *_, **__: (one for one in ()))
    train("--csv", data / "curve.csv")
    assert (data / "curve.csv").read_text() == earlier


def test_files_that_do_not_pair_up_are_named(train, data):
    (data / "train/masks/2.png").unlink()
    code, _, err = train()
    assert code == 1
    assert "no mask for 2.tif" in err


def test_an_image_cannot_be_learnt_from_and_judge_too(train, data):
    folder = data / "train"
    code, _, err = train("--val-images", folder / "images", "--val-masks", folder / "masks")
    assert code == 1
    assert "Keep them apart" in err


def test_an_architecture_that_is_not_there_is_said(train):
    code, _, err = train("--arch", "smp.Uned")
    assert code == 1
    assert "Did you mean" in err


def test_an_architecture_takes_its_arguments(train, data):
    code, _, err = train(
        "--arch", "res-unet", "base_channels=4", "depth=2", "upsampling=pixelshuffle",
        "--epochs", 1, "--patch", 64, "--batch", 2, start=(),
    )  # fmt: skip
    assert code == 0, err
    assert load_model(data / "mine.safetensors").architecture.arguments == {
        "in_channels": 1,
        "classes": 2,
        "base_channels": 4,
        "depth": 2,
        "upsampling": "pixelshuffle",
    }


@pytest.mark.parametrize("ending", [".pt", ".safetensors", ".bin"])  # told by its content
def test_an_encoder_begins_with_the_weights_of_a_file(train, data, ending):
    source = new_network("m", ["a", "b"], ["grey"], encoder="resnet18", **DECODER)
    with torch.no_grad():
        source.module.encoder.conv1.weight.fill_(0.25)
    path = data / f"encoder{ending}"
    if ending == ".safetensors":
        save_model(source, path)
    else:
        torch.save(source.module.encoder.state_dict(), path)
    code, _, err = train("--encoder-weights", path, "--epochs", 1, "--learning-rate", 1e-7)
    assert code == 0, err
    learnt = load_model(data / "mine.safetensors").module.encoder.conv1.weight
    assert torch.allclose(learnt, torch.full_like(learnt, 0.25), atol=1e-3)


def test_a_file_of_encoder_weights_runs_no_code(train, data):
    path, witness = data / "encoder.pt", data / "witness"
    pickled = pickle.dumps(Touching(str(witness)))
    path.write_bytes(pickled)
    code, _, err = train("--encoder-weights", path)
    assert code == 1
    assert "'encoder.pt' is a pickled Python object" in err
    assert not witness.exists()
    (data / "page.pt").write_text("<html></html>")
    assert "is a web page" in train("--encoder-weights", data / "page.pt")[2]
    assert "no file with encoder weights" in train("--encoder-weights", data / "missing.pt")[2]


def test_a_wrong_file_of_encoder_weights_is_refused_before_any_image_is_read(train, data):
    for image in (data / "train/images").iterdir():
        image.write_bytes(b"no image")
    (data / "page.pt").write_text("<html></html>")
    assert "is a web page" in train("--encoder-weights", data / "page.pt")[2]


class Touching:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_an_argument_without_a_value_is_wrong_use(train):
    code, _, err = train("--arch", "res-unet", "depth", start=())
    assert code == 2
    assert "KEY=VALUE" in err


def test_ctrl_c_keeps_the_best_so_far(train, data, monkeypatch):
    import napari_tileseg.training.train as module

    whole = module.train

    def interrupted(*args, **options):
        for report in whole(*args, **options):
            yield report
            if report.best is not None:
                raise KeyboardInterrupt

    monkeypatch.setattr(module, "train", interrupted)
    code, _, err = train("--epochs", 50)
    assert code == 3
    assert "The best model so far is" in err
    assert load_model(data / "mine.safetensors").spec.name == "mine"
