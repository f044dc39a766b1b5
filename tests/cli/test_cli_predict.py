from __future__ import annotations

import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
import zarr

from napari_tileseg import cli
from napari_tileseg.cli.output import _stem
from napari_tileseg.io.labels import read_labels


def test_labels_are_written_and_the_area_of_each_class_is_printed(
    tileseg, echo_model, rgb, tmp_path
):
    image, truth = rgb
    out = tmp_path / "new" / "labels.ome.tif"
    code, text, _ = tileseg("predict", image, "--model", echo_model, "--out", out, "--tile", 32)
    assert code == cli.DONE
    np.testing.assert_array_equal(read_labels(out).labels, truth)
    counts = np.bincount(truth.ravel(), minlength=3)
    rows = [line.split() for line in text.splitlines()[1:]]
    assert [row[-2] for row in rows] == [f"{count:,}" for count in counts]
    assert [row[-1] for row in rows] == [f"{count / truth.size:.1%}" for count in counts]


def test_a_saved_network_gives_the_same_labels_as_in_python(tileseg, tmp_path, tiny_checkpoint):
    import napari_tileseg as nts

    pixels = np.random.default_rng(3).integers(0, 255, (80, 100), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "image.tif", pixels)
    words = ["--out", tmp_path / "labels.png", "--device", "cpu", "--tile", 64]
    code, *_ = tileseg("predict", tmp_path / "image.tif", "--model", tiny_checkpoint, *words)
    assert code == cli.DONE
    model = nts.load_model(tiny_checkpoint)
    np.testing.assert_array_equal(
        read_labels(tmp_path / "labels.png").labels,
        nts.predict(pixels, model, tile=64, device="cpu"),
    )


def test_labels_say_what_they_were_made_with(tileseg, tmp_path, tiny_checkpoint):
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((80, 100), np.uint8))
    out = tmp_path / "labels.ome.tif"
    words = ["--out", out, "--device", "cpu", "--blend", "hann"]
    assert tileseg("predict", tmp_path / "image.tif", "--model", tiny_checkpoint, *words)[0] == 0
    with tifffile.TiffFile(out) as tiff:
        root = ElementTree.fromstring(tiff.ome_metadata)
    notes = {one.get("K"): one.text for one in root.iter()}
    assert notes["model sha256"] == sha256(tiny_checkpoint.read_bytes()).hexdigest()
    assert json.loads(notes["settings"]).items() >= {"blend": "hann", "device": "cpu"}.items()
    assert json.loads(notes["run"]) == {
        "mode": "blend",
        "tile": [64, 64],
        "blend": "hann",
        "precision": "fp32",
        "tile mismatch": 0.0,
    }


def test_several_images_go_into_a_folder(tileseg, echo_model, rgb, tmp_path):
    image, truth = rgb
    second = tmp_path / "other.ome.tif"
    second.write_bytes(image.read_bytes())
    out = tmp_path / "results"
    code, *_ = tileseg("predict", image, second, "--model", echo_model, "--out", out, "--quiet")
    assert code == cli.DONE
    assert sorted(path.name for path in out.iterdir()) == [
        "other_labels.ome.tif",
        "tissue_labels.ome.tif",
    ]
    np.testing.assert_array_equal(read_labels(out / "other_labels.ome.tif").labels, truth)


def test_quiet_prints_nothing(tileseg, echo_model, rgb, tmp_path):
    image, _ = rgb
    out = tmp_path / "labels.png"
    assert tileseg("predict", image, "--model", echo_model, "--out", out, "--quiet") == (0, "", "")


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tileseg, echo_model, rgb, tmp_path):
    image, _ = rgb
    out = tmp_path / "new" / "labels.png"
    words = ["--tile", 32, "--overlap", 0, "--dry-run"]
    code, _, err = tileseg("predict", image, "--model", echo_model, "--out", out, *words)
    assert code == cli.DONE
    assert re.search(r"About 9 tiles of 32 px · \d+ s · [\d.]+ [kM]B memory · [\d.]+ kB disk", err)
    assert "mode blend (gaussian), batch 1, precision fp32" in err
    assert not out.parent.exists()


def test_how_far_tiles_disagree_is_said_and_kept_with_the_labels(
    tileseg, echo_model, rgb, tmp_path
):
    out = tmp_path / "labels.ome.tif"
    words = ["--tile", 32, "--overlap", 0.5, "--out", out]
    code, _, err = tileseg("predict", rgb[0], "--model", echo_model, *words)
    assert code == cli.DONE
    assert "Where tiles meet, both give every pixel the same label." in err
    with tifffile.TiffFile(out) as tiff:
        assert '"tile mismatch": 0.0' in tiff.ome_metadata.replace("&quot;", '"')


def test_channels_and_axes_are_handed_on(tileseg, echo_model, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 255, (4, 40, 50), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", pixels, photometric="minisblack")
    out = tmp_path / "labels.png"
    words = ["--out", out, "--axes", "CYX", "--channels", "3,1,0"]
    code, *_ = tileseg("predict", tmp_path / "stack.tif", "--model", echo_model, *words)
    assert code == cli.DONE
    np.testing.assert_array_equal(read_labels(out).labels, pixels[[3, 1, 0]].argmax(0))


def test_probabilities_are_kept_where_asked(tileseg, echo_model, rgb, tmp_path):
    image, truth = rgb
    words = ["--out", tmp_path / "labels.png", "--probabilities", tmp_path / "p.zarr"]
    assert tileseg("predict", image, "--model", echo_model, *words)[0] == cli.DONE
    array = zarr.open_array(tmp_path / "p.zarr", mode="r")
    assert array.shape == (3, *truth.shape)
    assert len(array.attrs["classes"]) == 3
    np.testing.assert_allclose(array[:].sum(0), 1, atol=2e-3)
    assert (array[:].argmax(0) == truth).mean() > 0.99  # float16 rounds some to a tie
    assert tileseg("predict", image, "--model", echo_model, *words)[0] == cli.DONE  # replaces it


@pytest.fixture
def multilabel_model(monkeypatch):
    from napari_tileseg.engine.spec import Task
    from stubs import echo

    model = echo(task=Task.MULTILABEL)
    monkeypatch.setattr("napari_tileseg.io.checkpoints.load_model", lambda source, **_: model)
    return model


def test_a_multilabel_model_writes_one_plane_for_each_class(
    tileseg, multilabel_model, rgb, tmp_path
):
    image, _ = rgb
    out = tmp_path / "labels.ome.tif"
    code, text, _ = tileseg("predict", image, "--model", "m", "--out", out)
    assert code == cli.DONE
    found = read_labels(out)
    above = tifffile.imread(image).transpose(2, 0, 1) > 0
    np.testing.assert_array_equal(found.labels.astype(bool), above)
    assert found.classes == multilabel_model.classes
    assert [line.split()[-2] for line in text.splitlines()[1:]] == [
        f"{n:,}" for n in above.sum((1, 2))
    ]


def test_the_names_of_many_images_keep_what_is_special_about_them():
    images = [Path(name) for name in ("a.ome.tif", "b.v2.TIFF", "c.ome.zarr", "d")]
    assert [_stem(image) for image in images] == ["a", "b.v2", "c", "d"]


# what can go wrong


@pytest.fixture
def kept(tmp_path):
    """Write a file that an earlier run might have left, to see whether it survives."""
    path = tmp_path / "labels.png"
    path.write_bytes(b"earlier work")
    yield path
    assert path.read_bytes() == b"earlier work"
    assert not [one.name for one in tmp_path.iterdir() if one.name.endswith(".part")]


def test_a_missing_image_is_named(tileseg, kept):
    code, _, err = tileseg("predict", "nowhere.tif", "--model", "cells", "--out", kept)
    assert code == cli.FAILED
    assert "There is no image 'nowhere.tif'" in err


def test_a_missing_model_is_named(tileseg, rgb, kept):
    code, _, err = tileseg("predict", rgb[0], "--model", "no_such_model", "--out", kept)
    assert code == cli.FAILED
    assert "no_such_model" in err


def test_a_wrong_number_of_channels_says_what_to_do(tileseg, echo_model, tmp_path, kept):
    tifffile.imwrite(tmp_path / "grey.tif", np.zeros((40, 40), np.uint8))
    code, _, err = tileseg("predict", tmp_path / "grey.tif", "--model", echo_model, "--out", kept)
    assert code == cli.FAILED
    assert "reads 3 channels" in err
    assert "--channels 0,0,0" in err


def test_a_device_that_does_not_exist_names_those_that_do(tileseg, echo_model, rgb, kept):
    words = ["--model", echo_model, "--out", kept, "--device", "cuda:77"]
    code, _, err = tileseg("predict", rgb[0], *words)
    assert code == cli.FAILED
    assert "There is no device 'cuda:77' here. There is: cpu" in err


def test_a_folder_that_is_a_file_is_refused_before_any_work(tileseg, rgb, kept):
    out = kept / "labels.png"
    code, _, err = tileseg("predict", rgb[0], "--model", "cells", "--out", out)
    assert code == cli.FAILED
    assert f"'{out}' cannot be written" in err


def test_more_than_a_png_can_hold_is_refused_before_any_work(tileseg, multilabel_model, rgb, kept):
    code, _, err = tileseg("predict", rgb[0], "--model", "m", "--out", kept)
    assert code == cli.FAILED
    assert "PNG holds one plane of labels, but these are 3 x 70 x 90" in err
    assert ".ome.tif" in err


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_stack_of_too_many_axes_is_refused_before_any_work(
    tileseg, monkeypatch, echo_model, tmp_path, more
):
    pixels = np.zeros((2, 2, 2, 3, 20, 20), np.uint8)
    np.save(tmp_path / "stack.npy", pixels)
    monkeypatch.setattr("napari_tileseg.cli.segment.stream_plan", _no_work)
    words = ["--axes", "ATZCYX", "--out", tmp_path / "labels.ome.tif", *more]
    code, _, err = tileseg("predict", tmp_path / "stack.npy", "--model", echo_model, *words)
    assert code == cli.FAILED
    assert "Labels of shape (2, 2, 2, 20, 20) cannot be written" in err


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_store_for_several_classes_a_pixel_is_refused_before_any_work(
    tileseg, multilabel_model, rgb, tmp_path, more
):
    out = tmp_path / "labels.zarr"
    code, _, err = tileseg("predict", rgb[0], "--model", "m", "--out", out, *more)
    assert code == cli.FAILED
    assert "A zarr store holds one label for each pixel" in err
    assert not out.exists()


def _no_work(*_, **__):
    raise AssertionError("work was begun")


def test_a_suffix_means_the_same_in_capitals(tileseg, echo_model, rgb, tmp_path):
    out = tmp_path / "LABELS.ZARR"
    words = ("predict", rgb[0], "--model", echo_model, "--out", out)
    assert tileseg(*words)[0] == cli.DONE
    np.testing.assert_array_equal(read_labels(out).labels[:], rgb[1])
    assert tileseg(*words, "--resume")[0] == cli.DONE
    code, _, err = tileseg(*words, "--resume", "--probabilities", tmp_path / "p.zarr")
    assert code == cli.FAILED
    assert "was begun without --probabilities" in err


def test_an_unknown_suffix_is_refused_before_any_work(tileseg, echo_model, rgb, tmp_path):
    out = tmp_path / "labels.jpg"
    code, _, err = tileseg("predict", rgb[0], "--model", echo_model, "--out", out)
    assert code == cli.FAILED
    assert "'labels.jpg' is no format for labels. Choose one of: .ome.tif" in err
    assert not out.exists()


def test_a_setting_out_of_bounds_is_wrong_use(tileseg, rgb, kept):
    words = ["--model", "cells", "--out", kept, "--tile", 3]
    code, _, err = tileseg("predict", rgb[0], *words)
    assert code == cli.WRONG_USE
    assert "from 16 to 16384 px" in err


def test_labels_do_not_overwrite_their_image(tileseg, rgb):
    before = rgb[0].read_bytes()
    code, _, err = tileseg("predict", rgb[0], "--model", "cells", "--out", rgb[0])
    assert code == cli.WRONG_USE
    assert "would overwrite the image" in err
    assert rgb[0].read_bytes() == before


def test_two_images_of_one_name_are_not_written_to_one_file(tileseg, rgb, tmp_path):
    image = rgb[0]
    twin = tmp_path / "copy" / image.name
    twin.parent.mkdir()
    twin.write_bytes(image.read_bytes())
    code, _, err = tileseg("predict", image, twin, "--model", "cells", "--out", tmp_path / "out")
    assert code == cli.WRONG_USE
    assert "would both be written" in err


def test_a_cancelled_run_leaves_the_existing_result_alone(
    tileseg, monkeypatch, echo_model, rgb, kept
):
    from napari_tileseg.engine.predict import stream_plan

    def interrupted(*args, **options):
        yield next(iter(stream_plan(*args, **options)))
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_tileseg.cli.segment.stream_plan", interrupted)
    words = ["--model", echo_model, "--out", kept, "--probabilities", kept.with_name("p.zarr")]
    code, _, err = tileseg("predict", rgb[0], *words)
    assert code == cli.CANCELLED
    assert "cancelled" in err
    assert not kept.with_name("p.zarr").exists()


def test_a_cancelled_run_into_a_store_says_how_to_go_on(
    tileseg, monkeypatch, echo_model, rgb, tmp_path
):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_tileseg.cli.stored.stream_plan", interrupted)
    out = tmp_path / "labels.zarr"
    code, _, err = tileseg("predict", rgb[0], "--model", echo_model, "--out", out)
    assert code == cli.CANCELLED
    assert f"What is finished is in '{out}'; go on with --resume." in err


@pytest.mark.skipif(sys.platform == "win32", reason="signals are different there")
def test_ctrl_c_ends_the_program_with_exit_code_3(tmp_path, tiny_checkpoint):
    import signal

    tifffile.imwrite(tmp_path / "large.tif", np.zeros((6000, 6000), np.uint8))
    words = ["predict", tmp_path / "large.tif", "--model", tiny_checkpoint, "--tile", "64"]
    code = "import sys; from napari_tileseg.cli import main; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words), "--out", str(tmp_path / "labels.png")],
        stderr=subprocess.PIPE,
        text=True,
        # tests that run in the background of a shell ignore Ctrl-C, and so would the program
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as program:
        first = program.stderr.readline()  # printed when the run begins
        program.send_signal(signal.SIGINT)
        rest = program.stderr.read()
    assert "large" in first
    assert program.returncode == cli.CANCELLED, rest
    assert "Traceback" not in rest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.tif", tiny_checkpoint.name]
