from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_tileseg.errors import ImageError, ModelFitError, SettingsError
from napari_tileseg.io.colour_tables import ColourTable, Entry
from napari_tileseg.io.known_tables import cityscapes, cityscapes_label_ids, voc
from napari_tileseg.io.masks import read_mask

TISSUE = ColourTable(
    "tissue",
    [Entry(0x000000, "glass"), Entry(0xFF0000, "cell"), Entry(0xFFFFFF, "ignore")],
)


def _painted(labels: np.ndarray, table: ColourTable = TISSUE) -> np.ndarray:
    """Return (H, W, 3) colours of class indices; 255 becomes white."""
    palette = np.full((256, 3), 255, np.uint8)
    for index, one in enumerate(table.classes):
        palette[index] = list(bytes.fromhex(one.colour[1:]))
    return palette[labels]


@pytest.mark.parametrize(
    "text",
    [
        "#000000 glass\n#ff0000 cell\n#ffffff ignore\n",
        "glass,0,0,0\ncell,255,0,0\nunknown,255,255,255",
        "name,r,g,b\nglass,0,0,0\ncell,255,0,0\nvoid,255,255,255\n",
        "0 0 0 glass\r\n\r\n255 0 0\tcell\r\n255 255 255 Ignore\r\n",
        "# label:color_rgb:parts:actions\nglass:0,0,0::\ncell:255,0,0::\nignore:255,255,255::\n",
        "// what we agreed on\nglass: #000000\ncell: #FF0000\nignore: #ffffff",
        '\ufeff"glass";0;0;0\n"cell";255;0;0\n"ignore";255;255;255',
    ],
)
def test_tables_are_read_however_people_write_them(tmp_path: Path, text: str) -> None:
    (tmp_path / "colours.txt").write_text(text, encoding="utf-8")
    table = ColourTable.read(tmp_path / "colours.txt")
    assert [(one.name, one.colour) for one in table.classes] == [
        ("glass", "#000000"),
        ("cell", "#ff0000"),
    ]
    colours = np.array([[(0, 0, 0), (255, 0, 0), (255, 255, 255)]], np.uint8)
    assert table.decode(colours, "mask").tolist() == [[0, 1, 255]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#000000 glass\nred cell", "Line 2 of the table 'colours.txt' is 'red cell'"),
        ("0,0,0,1", "Line 1"),
        ("cell,0,0,300", "Line 1"),
        ("#000000", "Line 1"),
        ("#000000 glass\n#000000 cell", "#000000 is twice"),
        ("#ffffff ignore", "names 0 classes"),
        ("", "names 0 classes"),
        ("\n".join(f"#{i:06x} class {i}" for i in range(256)), "names 256 classes"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "colours.txt").write_text(text)
    with pytest.raises(SettingsError, match=said):
        ColourTable.read(tmp_path / "colours.txt")


def test_a_table_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        ColourTable.read(tmp_path / "none.txt")
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ImageError, match="it is no text"):
        ColourTable.read(tmp_path / "picture.txt")


def test_several_colours_can_mean_one_class() -> None:
    table = ColourTable("t", [Entry(1, "a"), Entry(2, "b"), Entry(3, "a")])
    colours = np.array([[(0, 0, 3), (0, 0, 2), (0, 0, 1)]], np.uint8)
    assert table.decode(colours, "mask").tolist() == [[0, 1, 0]]
    assert [one.colour for one in table.classes] == ["#000001", "#000002"]


@given(st.lists(st.sampled_from([0, 1, 255]), min_size=1, max_size=60))
def test_what_was_painted_is_read_back(values: list[int]) -> None:
    labels = np.array([values], np.uint8)
    assert (TISSUE.decode(_painted(labels), "mask") == labels).all()


def test_colours_that_are_not_in_the_table_are_counted_with_the_nearest_name() -> None:
    colours = _painted(np.zeros((20, 30), np.uint8))
    colours[:2, :5] = (250, 10, 0)
    colours[5, :3] = (1, 1, 1)
    with pytest.raises(ModelFitError) as caught:
        TISSUE.decode(colours, "a.png")
    said = str(caught.value)
    assert "'a.png' holds 2 colours not in the table 'tissue', in 13 of its pixels" in said
    assert "#fa0a00 (10 px, nearest: cell #ff0000); #010101 (3 px, nearest: glass #000000)" in said


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "tif"])
def test_colours_are_read_from_every_kind_of_picture(tmp_path: Path, mode: str) -> None:
    labels = np.random.default_rng(0).choice([0, 1, 255], (12, 17)).astype(np.uint8)
    picture = Image.fromarray(_painted(labels))
    path = tmp_path / ("mask.tif" if mode == "tif" else "mask.png")
    if mode == "P":
        picture.quantize(3).save(path)  # the numbers of this palette are nobody's classes
    else:
        (picture if mode == "tif" else picture.convert(mode)).save(path)
    assert (read_mask(path, TISSUE) == labels).all()


def test_grey_values_can_be_colours_too(tmp_path: Path) -> None:
    labels = np.eye(9, dtype=np.uint8)
    Image.fromarray(labels * 255).save(tmp_path / "mask.png")
    table = ColourTable("grey", [Entry(0, "glass"), Entry(0xFFFFFF, "cell")])
    assert (read_mask(tmp_path / "mask.png", table) == labels).all()
    Image.fromarray(labels > 0).save(tmp_path / "mask.png")
    assert (read_mask(tmp_path / "mask.png", table) == labels).all()


def test_what_holds_no_certain_colours_is_refused(tmp_path: Path) -> None:
    rgba = np.zeros((4, 5, 4), np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((4, 5), np.uint16)).save(tmp_path / "b.png")
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "c.jpg")
    for name, said in (("a.png", "transparent"), ("b.png", "uint16"), ("c.jpg", "JPEG")):
        with pytest.raises(ImageError, match=said):
            read_mask(tmp_path / name, TISSUE)


def test_colours_without_a_table_are_said(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        with pytest.raises(ImageError, match=r"holds colours.*--colours"):
            read_mask(tmp_path / name)


def test_the_palette_of_pascal_voc_is_the_known_one() -> None:
    table = voc()
    known = {0: "#000000", 1: "#800000", 8: "#400000", 15: "#c08080", 20: "#004080"}
    assert len(table.classes) == 21
    assert {index: table.classes[index].colour for index in known} == known
    assert table.classes[15].name == "person"
    border = np.array([[(224, 224, 192)]], np.uint8)
    assert table.decode(border, "mask") == 255


def test_the_labels_and_the_colours_of_cityscapes_agree() -> None:
    table, of_label = cityscapes(), cityscapes_label_ids()
    names = [one.name for one in table.classes]
    assert len(names) == 19
    known = {7: "road", 11: "building", 26: "car", 33: "bicycle"}
    assert {label: names[of_label[label]] for label in known} == known
    assert (of_label[[0, 4, 9, 29, 255]] == 255).all()
    colours = np.array([[(128, 64, 128), (0, 0, 142), (111, 74, 0)]], np.uint8)
    assert table.decode(colours, "mask").tolist() == [[0, 13, 255]]
