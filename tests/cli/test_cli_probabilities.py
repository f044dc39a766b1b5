"""Probabilities replace nothing but probabilities."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import zarr

from napari_tileseg import cli
from napari_tileseg.io.labels import read_labels


@pytest.fixture
def predict(tileseg, echo_model, rgb, tmp_path):
    """Segment the image of the tests with --probabilities at a place; (exit code, stderr)."""

    def run(place, *, image=rgb[0], model=echo_model, out=tmp_path / "labels.png", more=()):
        words = ["--model", model, "--out", out, "--probabilities", place, *more]
        code, _, err = tileseg("predict", image, *words)
        return code, err

    return run


def _contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def no_work(monkeypatch):
    """Fail if an image is opened: what is refused is refused before any work."""

    def fail(*_):
        raise AssertionError("work was begun")

    monkeypatch.setattr("napari_tileseg.io.images.open_image", fail)


@pytest.fixture
def stop(echo_model, monkeypatch):
    """Let the disk be full after so many chunks of labels, or never."""
    from napari_tileseg.io import sheets
    from napari_tileseg.io.finished import Finished

    monkeypatch.setattr(sheets, "_CHUNK", {2: 16})
    add = Finished.add

    def after(count):
        def until_full(self, key):
            if count is not None and self.done.sum() >= count:
                raise OSError(28, "No space left on device")
            add(self, key)

        monkeypatch.setattr(Finished, "add", until_full)

    return after


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize("name", ["photos", "photos.zarr"])
def test_a_folder_of_other_things_is_never_replaced(predict, no_work, tmp_path, name, dry):
    folder = tmp_path / name
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "thesis.txt").write_text("years of work")
    before = _contents(tmp_path)
    code, err = predict(folder, more=dry)
    assert code == cli.FAILED
    assert "has to end in .zarr" in err if name == "photos" else "it is not replaced" in err
    assert _contents(tmp_path) == before


def test_a_zarr_array_that_is_not_ours_is_never_replaced(predict, no_work, tmp_path):
    zarr.save_array(str(tmp_path / "scan.zarr"), np.ones((8, 8), np.uint8))
    before = _contents(tmp_path)
    code, err = predict(tmp_path / "scan.zarr")
    assert code == cli.FAILED
    assert "is no folder of probabilities, so it is not replaced" in err
    assert _contents(tmp_path) == before


def test_a_file_and_a_link_are_not_replaced(predict, no_work, tmp_path):
    (tmp_path / "file.zarr").write_text("text")
    (tmp_path / "real").mkdir()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "real")
    for name in ("file.zarr", "link.zarr"):
        code, err = predict(tmp_path / name)
        assert code == cli.FAILED
        assert "it is not replaced" in err
    assert (tmp_path / "file.zarr").read_text() == "text"
    assert (tmp_path / "link.zarr").is_symlink()


@pytest.mark.parametrize("place", ["image.zarr", "image.zarr/p.zarr"])
def test_probabilities_keep_away_from_the_image(predict, no_work, tmp_path, place):
    image = tmp_path / "image.zarr"
    zarr.save_array(str(image), np.ones((8, 8, 3), np.uint8))
    before = _contents(image)
    code, err = predict(tmp_path / place, image=image)
    assert code == cli.FAILED
    assert f"would be mixed up with '{image}'" in err
    assert _contents(image) == before


def test_probabilities_keep_away_from_the_labels_and_the_model(predict, no_work, tmp_path):
    model = tmp_path / "all.zarr" / "model.safetensors"
    model.parent.mkdir()
    model.write_text("weights")
    code, err = predict(model.parent, model=model)
    assert (code, "would be mixed up with" in err) == (cli.FAILED, True)
    code, err = predict(tmp_path / "new.zarr", out=tmp_path / "new.zarr" / "labels.png")
    assert (code, "would be mixed up with" in err) == (cli.FAILED, True)
    assert not (tmp_path / "new.zarr").exists()


def test_earlier_probabilities_are_replaced_whatever_the_case_of_the_suffix(predict, rgb, tmp_path):
    place = tmp_path / "P.ZARR"
    assert predict(place)[0] == cli.DONE
    zarr.open_array(place, mode="r+")[:] = 0
    assert predict(place)[0] == cli.DONE
    array = zarr.open_array(place, mode="r")
    assert array.attrs["tileseg"] == "probabilities"
    np.testing.assert_allclose(array[:].sum(0), 1, atol=2e-3)
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png").labels, rgb[1])
    assert {one.name for one in tmp_path.iterdir()} == {rgb[0].name, "labels.png", "P.ZARR"}


def test_what_appears_during_the_run_is_not_replaced(predict, monkeypatch, tmp_path):
    from napari_tileseg.engine.predict import stream_plan

    place = tmp_path / "p.zarr"

    def meanwhile(*args, **options):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        (place / "thesis.txt").write_text("years of work")
        yield from stream_plan(*args, **options)

    monkeypatch.setattr("napari_tileseg.cli.segment.stream_plan", meanwhile)
    code, err = predict(place)
    assert code == cli.FAILED
    assert "it is not replaced" in err
    assert [one.name for one in place.iterdir()] == ["thesis.txt"]
    assert not [one.name for one in tmp_path.iterdir() if one.name.endswith(".part")]


def test_probabilities_and_confidence_beside_a_store_are_gone_on_with(tileseg, rgb, tmp_path, stop):
    out, kept, sure = (tmp_path / name for name in ("a.zarr", "p.zarr", "c.zarr"))
    words = ("predict", rgb[0], "--model", "echo", "--out", out, "--tile", "32")
    words = (*words, "--probabilities", kept, "--confidence", sure)
    stop(3)
    assert tileseg(*words)[0] == cli.FAILED
    assert (zarr.open_array(out)[:] == 255).any()
    stop(None)
    code, _, err = tileseg(*words)
    assert (code, "--resume" in err) == (cli.FAILED, True)
    assert tileseg(*words, "--resume")[0] == cli.DONE
    values = zarr.open_array(kept)[:].astype(float)
    np.testing.assert_allclose(values.sum(axis=0), 1, atol=2e-3)
    np.testing.assert_array_equal(zarr.open_array(out)[:], rgb[1])
    np.testing.assert_allclose(zarr.open_array(sure)[:] / 255, values.max(axis=0), atol=3e-3)


def test_confidence_goes_beside_labels_in_a_file(tileseg, echo_model, rgb, tmp_path):
    words = ("predict", rgb[0], "--model", echo_model, "--out", tmp_path / "labels.png")
    assert tileseg(*words, "--confidence", tmp_path / "c.zarr")[0] == cli.DONE
    array = zarr.open_array(tmp_path / "c.zarr", mode="r")
    assert (array.dtype, array.shape) == (np.uint8, rgb[1].shape)
    assert array.attrs["tileseg"] == "confidence"
    assert array[:].min() >= 255 // 3
    code, _, err = tileseg(*words, "--probabilities", tmp_path / "c.zarr")
    assert (code, "is no folder of probabilities" in err) == (cli.FAILED, True)
