import json
import string
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_tileseg.engine.spec import NOT_COMPUTED, ClassInfo, default_classes
from napari_tileseg.errors import ImageError, OutputError
from napari_tileseg.io.labels import export, read_labels

CLASSES = (
    ClassInfo("background", "#000000"),
    ClassInfo("myelin", "#0072b2"),
    ClassInfo("axon", "#e69f00"),
)


def some_labels(*shape: int, seed: int = 0) -> np.ndarray:
    labels = np.random.default_rng(seed).integers(0, 3, shape, dtype=np.uint8)
    labels[..., :2, :3] = NOT_COMPUTED
    return labels


colours = st.text("0123456789abcdef", min_size=6, max_size=6).map("#{}".format)
names = st.text(st.characters(codec="utf-8"), max_size=12) | st.text(string.printable, max_size=12)
class_lists = st.lists(st.builds(ClassInfo, names, colours), min_size=1, max_size=6).map(tuple)
pixel_sizes = st.none() | st.floats(1e-4, 1e4)


@settings(max_examples=60)
@given(
    suffix=st.sampled_from([".ome.tif", ".tif", ".png"]),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    classes=class_lists,
    pixel_size_um=pixel_sizes,
    seed=st.integers(0, 99),
)
def test_an_export_read_back_is_the_same(
    suffix: str,
    height: int,
    width: int,
    classes: tuple[ClassInfo, ...],
    pixel_size_um: float | None,
    seed: int,
) -> None:
    labels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"labels{suffix}"
        assert export(labels, path, classes=classes, pixel_size_um=pixel_size_um) == path
        back = read_labels(path)
    np.testing.assert_array_equal(back.labels, labels)
    assert back.labels.dtype == np.uint8
    assert back.classes == classes
    assert back.pixel_size_um == pixel_size_um


@pytest.mark.parametrize("shape", [(3, 40, 50), (2, 3, 40, 50)])
def test_planes_of_a_stack_stay_apart(tmp_path: Path, shape: tuple[int, ...]) -> None:
    labels = some_labels(*shape)
    back = read_labels(export(labels, tmp_path / "stack.ome.tif", classes=CLASSES))
    np.testing.assert_array_equal(back.labels, labels)
    assert back.classes == CLASSES


def test_pixels_of_several_classes_are_one_channel_a_class(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).random((3, 60, 70)) > 0.5
    path = export(labels, tmp_path / "both.ome.tif", classes=CLASSES)
    back = read_labels(path)
    np.testing.assert_array_equal(back.labels, labels)
    assert back.labels.dtype == bool
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "CYX"
        described = ElementTree.fromstring(tiff.ome_metadata).iter()
        channels = [one.get("Name") for one in described if one.tag.endswith("}Channel")]
    assert channels == [one.name for one in CLASSES]


def test_a_large_result_is_tiled_compressed_and_a_pyramid(tmp_path: Path) -> None:
    labels = np.repeat(np.repeat(some_labels(150, 260), 20, 0), 20, 1)
    path = export(labels, tmp_path / "large.ome.tif", classes=CLASSES, pixel_size_um=0.5)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        levels = tiff.series[0].levels
        assert [level.shape for level in levels] == [
            (3000, 5200),
            (1500, 2600),
            (750, 1300),
            (375, 650),
        ]
        for step, level in zip((1, 2, 4, 8), levels, strict=True):
            np.testing.assert_array_equal(level.asarray(), labels[::step, ::step])
            assert level.keyframe.tile == (512, 512)
            assert level.keyframe.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert levels[0].keyframe.resolution == pytest.approx((20_000, 20_000))
    assert path.stat().st_size < labels.size / 10


def test_labels_are_read_piece_by_piece(tmp_path: Path) -> None:
    class Watched:
        shape, dtype = (3000, 4000), np.dtype(np.uint8)
        largest = 0

        def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
            sizes = [len(range(*one.indices(n))) for one, n in zip(key, self.shape, strict=True)]
            self.largest = max(self.largest, sizes[0] * sizes[1])
            return np.ones(sizes, np.uint8)

    watched = Watched()
    back = read_labels(export(watched, tmp_path / "a.tif"))
    assert watched.largest <= 512 * 512
    assert back.labels.shape == watched.shape
    assert (back.labels == 1).all()


def test_lazy_labels_of_other_integers_are_written(tmp_path: Path) -> None:
    labels = some_labels(700, 90)
    lazy = da.from_array(labels.astype(np.int64), chunks=(100, 90))
    for name in ("a.tif", "a.png"):
        np.testing.assert_array_equal(read_labels(export(lazy, tmp_path / name)).labels, labels)


def test_a_palette_shows_the_colours_of_the_classes(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 2, 3, NOT_COMPUTED]], np.uint8)
    path = export(labels, tmp_path / "a.png", classes=CLASSES)
    with Image.open(path) as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), labels)
        shown = np.asarray(picture.convert("RGB"))[0]
    assert ["#" + bytes(one).hex() for one in shown[:3]] == [one.colour for one in CLASSES]
    assert len({bytes(one) for one in shown}) == 5


def test_provenance_goes_along(tmp_path: Path) -> None:
    provenance = {"model": "m\x01 <&>", "settings": {"tile": 512}, "file": tmp_path}
    with tifffile.TiffFile(
        export(some_labels(9, 9), tmp_path / "a.tif", provenance=provenance)
    ) as t:
        text = t.ome_metadata
    assert "napari-tileseg/provenance" in text
    notes = {one.get("K"): one.text for one in ElementTree.fromstring(text).iter()}
    assert json.loads(notes["settings"]) == {"tile": 512}
    with Image.open(
        export(some_labels(9, 9), tmp_path / "a.png", provenance=provenance)
    ) as picture:
        assert json.loads(picture.info["napari-tileseg"])["provenance"]["model"] == "m\x01 <&>"


def test_names_alone_get_colours_and_the_format_can_be_given(tmp_path: Path) -> None:
    path = export(some_labels(9, 9), tmp_path / "a.labels", classes=["a", "b"], to="png")
    back = read_labels(path)
    assert [one.name for one in back.classes] == ["a", "b"]
    assert [one.colour for one in back.classes] == [one.colour for one in default_classes(2)]


def test_masks_of_other_programs_are_read(tmp_path: Path) -> None:
    values = some_labels(20, 30)
    Image.fromarray(values).save(tmp_path / "grey.png")
    tifffile.imwrite(tmp_path / "plain.tif", values)
    np.save(tmp_path / "a.npy", values)
    Image.fromarray(values > 1).save(tmp_path / "bits.png")
    for name in ("grey.png", "plain.tif", "a.npy"):
        back = read_labels(tmp_path / name)
        np.testing.assert_array_equal(back.labels, values)
        assert (back.classes, back.pixel_size_um) == ((), None)
    np.testing.assert_array_equal(read_labels(tmp_path / "bits.png").labels, values > 1)


@pytest.mark.parametrize(
    ("labels", "name", "said"),
    [
        (some_labels(2, 9, 9), "a.png", r"PNG holds one plane.*\(2, 9, 9\).*\.ome\.tif"),
        (some_labels(9, 9), "a.jpg", r"suffix '\.jpg'\. There are: ome-tiff \(\.ome\.tif, .*; png"),
        (some_labels(9, 9).astype(float), "a.tif", "whole numbers.*float64.*astype"),
        (some_labels(9, 9).astype(int) * 200, "a.tif", "hold the value 51000.*0 to 254"),
        (some_labels(9, 9).astype(int) - 1, "a.png", "hold the value -1.*0 to 254"),
        (some_labels(9, 9)[0], "a.tif", r"shape \(9,\) cannot be written"),
        (np.zeros((0, 9), np.uint8), "a.tif", r"shape \(0, 9\).*none may be empty"),
        (np.zeros((1, 1, 1, 9, 9), np.uint8), "a.tif", "up to two more"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is_lost(
    tmp_path: Path, labels: np.ndarray, name: str, said: str
) -> None:
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(OutputError, match=said):
        export(labels, tmp_path / name)
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"old"


def test_what_goes_along_is_checked(tmp_path: Path) -> None:
    for more, said in (
        ({"classes": [ClassInfo("a", "red")]}, "colour of the class 'a' is 'red'.*#rrggbb"),
        ({"classes": ["x"] * 256}, "256 classes; at most 255"),
        ({"pixel_size_um": 0.0}, "pixel size is 0.0 µm; it has to be above 0"),
        ({"to": "zarr"}, "format 'zarr'. There are: ome-tiff"),
    ):
        with pytest.raises(OutputError, match=said):
            export(some_labels(9, 9), tmp_path / "a.tif", **more)
    assert list(tmp_path.iterdir()) == []


def test_files_without_class_indices_are_refused(tmp_path: Path) -> None:
    colour = np.zeros((9, 9, 3), np.uint8)
    Image.fromarray(colour).save(tmp_path / "c.png")
    Image.fromarray(colour).save(tmp_path / "c.jpg")
    tifffile.imwrite(tmp_path / "c.tif", colour, photometric="rgb")
    np.save(tmp_path / "f.npy", np.zeros((9, 9)))
    for name, said in (
        ("c.png", r"holds colours \(RGB\), not class indices.*one number a pixel"),
        ("c.tif", "holds colours, not class indices.*one number a pixel"),
        ("c.jpg", "JPEG picture, which changes the numbers.*PNG or TIFF"),
        ("f.npy", "holds float64; labels are whole numbers"),
        ("missing.png", "There is no file"),
    ):
        with pytest.raises(ImageError, match=said):
            read_labels(tmp_path / name)
