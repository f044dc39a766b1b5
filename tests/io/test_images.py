import struct
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_tileseg.engine.source import Source
from napari_tileseg.errors import ImageError
from napari_tileseg.io.images import open_image
from napari_tileseg.io.samples import sample_image

RNG = np.random.default_rng(0)


def noise(*shape: int, dtype: str = "u1") -> np.ndarray:
    return RNG.integers(0, 200, shape).astype(dtype)


def test_a_pyramid_is_read_level_by_level_and_lazily(tmp_path: Path) -> None:
    finest = noise(700, 900)
    with tifffile.TiffWriter(tmp_path / "p.ome.tif") as tiff:
        options = {"tile": (128, 128), "compression": "zlib"}
        metadata = {"axes": "YX", "PhysicalSizeX": 70.0, "PhysicalSizeXUnit": "nm"}
        tiff.write(finest, subifds=2, metadata=metadata, **options)
        for step in (2, 4):
            tiff.write(finest[::step, ::step], subfiletype=1, **options)
    with open_image(tmp_path / "p.ome.tif") as opened:
        assert [level.shape for level in opened.levels] == [(700, 900), (350, 450), (175, 225)]
        assert all(isinstance(level, da.Array) for level in opened.levels)
        assert opened.levels[0].chunksize == (256, 256)
        for step, level in zip((1, 2, 4), opened.levels, strict=True):
            np.testing.assert_array_equal(level, finest[::step, ::step])
        assert (opened.name, opened.axes) == ("p", "YX")
        assert opened.pixel_size_um == pytest.approx(0.07)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", ">f4", "u1"])
def test_uncompressed_pixels_are_mapped_in_either_byte_order(tmp_path: Path, dtype: str) -> None:
    values = noise(40, 50, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, byteorder=">" if ">" in dtype else "<")
    with open_image(tmp_path / "a.tif") as opened:
        level = opened.levels[0]
        assert level.dtype.isnative
        np.testing.assert_array_equal(level, values)
        np.testing.assert_array_equal(level[5:9, 7:20], values[5:9, 7:20])


LAYOUTS = {
    "grey": ({}, (30, 40), "YX"),
    "grey, compressed strips": ({"compression": "zlib", "rowsperstrip": 7}, (90, 40), "YX"),
    "LZW": ({"compression": "lzw"}, (30, 40), "YX"),
    "colours": ({"photometric": "rgb"}, (30, 40, 3), "YXC"),
    "colours in planes": ({"photometric": "rgb", "planarconfig": "separate"}, (3, 30, 40), "CYX"),
    "ome channels": ({"ome": True, "metadata": {"axes": "CYX"}}, (2, 30, 40), "CYX"),
    "ome stack": ({"ome": True, "metadata": {"axes": "TZCYX"}}, (2, 3, 2, 30, 40), "TZCYX"),
    "imagej": ({"imagej": True, "metadata": {"axes": "ZCYX"}}, (3, 2, 30, 40), "ZCYX"),
    "plain pages": ({"photometric": "minisblack"}, (5, 30, 40), "QYX"),
    "tiled colours": ({"photometric": "rgb", "tile": (16, 16)}, (30, 40, 3), "YXC"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_tiff_keeps_its_pixels_and_axes(tmp_path: Path, layout: str) -> None:
    options, shape, axes = LAYOUTS[layout]
    values = noise(*shape)
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    with open_image(tmp_path / "a.tif") as opened:
        assert opened.axes == axes
        np.testing.assert_array_equal(opened.levels[0], values)
        source = Source(opened.levels, axes=opened.axes)
        assert source.spatial_shape == (
            values.shape[axes.index("Y")],
            values.shape[axes.index("X")],
        )


def test_channels_of_colours_keep_both_axes(tmp_path: Path) -> None:
    values = noise(2, 30, 40, 3)
    options = {"ome": True, "photometric": "rgb", "metadata": {"axes": "CYXS"}}
    tifffile.imwrite(tmp_path / "a.ome.tif", values, **options)
    with open_image(tmp_path / "a.ome.tif") as opened:
        assert opened.axes[1:] == "YXC"
        assert len(set(opened.axes)) == 4


PIXEL_SIZES = {
    "imagej": ({"imagej": True, "resolution": (4.0, 4.0), "metadata": {"unit": "um"}}, 0.25),
    "centimetres": ({"resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER"}, 0.25),
    "a printer's inches": ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
    "aperio": ({"description": "Aperio Image|AppMag = 20|MPP = 0.4990|Top = 1"}, 0.499),
    "ome in micrometres": (
        {"ome": True, "metadata": {"PhysicalSizeX": 0.3, "PhysicalSizeXUnit": "µm"}},
        0.3,
    ),
    "ome in pixels": (
        {"ome": True, "metadata": {"PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel"}},
        None,
    ),
    "nothing": ({}, None),
}


@pytest.mark.parametrize("origin", PIXEL_SIZES)
def test_the_pixel_size_is_found_where_the_file_says_it(tmp_path: Path, origin: str) -> None:
    options, expected = PIXEL_SIZES[origin]
    tifffile.imwrite(tmp_path / "a.tif", noise(30, 40), **options)
    with open_image(tmp_path / "a.tif") as opened:
        assert opened.pixel_size_um == (None if expected is None else pytest.approx(expected))


def test_the_largest_image_of_a_slide_is_taken(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "slide.tif") as tiff:
        tiff.write(noise(20, 20), metadata=None)
        tiff.write(noise(60, 80), metadata=None)
    with open_image(tmp_path / "slide.tif") as opened:
        assert opened.levels[0].shape == (60, 80)


@pytest.mark.parametrize(
    ("mode", "suffix", "shape", "axes"),
    [
        ("L", "png", (20, 30), "YX"),
        ("I;16", "png", (20, 30), "YX"),
        ("RGB", "png", (20, 30, 3), "YXC"),
        ("RGBA", "png", (20, 30, 4), "YXC"),
        ("1", "png", (20, 30), "YX"),
        ("LA", "png", (20, 30), "YX"),
        ("RGB", "bmp", (20, 30, 3), "YXC"),
        ("L", "jpg", (20, 30), "YX"),
        ("RGB", "jpg", (20, 30, 3), "YXC"),
        ("CMYK", "jpg", (20, 30, 3), "YXC"),
    ],
)
def test_pictures_of_every_mode_open(
    tmp_path: Path, mode: str, suffix: str, shape: tuple[int, ...], axes: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (30, 20), 1 if mode in ("1", "I;16") else None).save(path)
    with open_image(path) as opened:
        assert (np.asarray(opened.levels[0]).shape, opened.axes) == (shape, axes)


def test_sixteen_bits_of_a_picture_are_kept(tmp_path: Path) -> None:
    values = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    Image.fromarray(values).save(tmp_path / "a.png")
    with open_image(tmp_path / "a.png") as opened:
        np.testing.assert_array_equal(opened.levels[0], values)


def test_a_palette_becomes_the_colours_it_stands_for(tmp_path: Path) -> None:
    indices = Image.frombytes("P", (2, 1), b"\x00\x01")
    indices.putpalette(bytes([10, 20, 30, 40, 50, 60]))
    indices.save(tmp_path / "colours.png")
    indices.putpalette(bytes([10, 10, 10, 90, 90, 90]))
    indices.save(tmp_path / "greys.png")
    with open_image(tmp_path / "colours.png") as opened:
        np.testing.assert_array_equal(opened.levels[0], [[[10, 20, 30], [40, 50, 60]]])
    with open_image(tmp_path / "greys.png") as opened:
        np.testing.assert_array_equal(opened.levels[0], [[10, 90]])


def test_a_large_picture_opens_and_pillows_limit_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    with open_image(tmp_path / "a.png") as opened:
        assert opened.levels[0].shape == (20, 30)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_arrays_of_numpy_are_mapped(tmp_path: Path) -> None:
    values = noise(40, 50, 3)
    np.save(tmp_path / "a.npy", values)
    with open_image(tmp_path / "a.npy") as opened:
        assert opened.axes == "YXC"
        np.testing.assert_array_equal(opened.levels[0], values)


@pytest.mark.parametrize("version", [2, 3])
def test_a_plain_zarr_array_opens(tmp_path: Path, version: int) -> None:
    values = noise(2, 70, 80)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=values.shape, chunks=(1, 32, 32), dtype="u1", zarr_format=version
    )
    array[:] = values
    with open_image(tmp_path / "a.zarr") as opened:
        assert opened.axes[1:] == "YX"
        np.testing.assert_array_equal(opened.levels[0], values)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_opens_with_levels_axes_and_pixel_size(tmp_path: Path, version: str) -> None:
    finest = noise(2, 64, 80)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2 if version == "0.4" else 3)
    for step in (1, 2):
        level = finest[:, ::step, ::step]
        group.create_array(f"s{step}", shape=level.shape, chunks=(1, 32, 32), dtype="u1")[:] = level
    group.create_group("labels")
    multiscales = [
        {
            "axes": [{"name": "c", "type": "channel"}]
            + [{"name": name, "type": "space", "unit": "nanometer"} for name in "yx"],
            "datasets": [
                {
                    "path": f"s{step}",
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [1, 70 * step, 70 * step]}
                    ],
                }
                for step in (1, 2)
            ],
        }
    ]
    described = {"multiscales": multiscales}
    group.attrs.update(described if version == "0.4" else {"ome": {"version": "0.5", **described}})
    with open_image(tmp_path / "a.zarr") as opened:
        assert opened.axes == "CYX"
        assert [level.shape for level in opened.levels] == [(2, 64, 80), (2, 32, 40)]
        assert opened.pixel_size_um == pytest.approx(0.07)
        np.testing.assert_array_equal(opened.levels[0], finest)


def test_the_sample_image_opens() -> None:
    with open_image(sample_image()) as opened:
        assert min(opened.levels[0].shape[:2]) >= 2048


def test_slides_of_jpeg_tiles_open() -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "format_samples"
    if not folder.is_dir():
        pytest.skip("the format samples are not on this computer")
    for path in folder.iterdir():
        with open_image(path) as opened:
            assert opened.axes == "YXC"
            assert opened.pixel_size_um is not None
            assert np.asarray(opened.levels[0][:50, :50]).std() > 0


def refused(path: Path, said: str) -> None:
    with pytest.raises(ImageError, match=said), open_image(path):
        pass


def test_what_is_no_image_says_so(tmp_path: Path) -> None:
    refused(tmp_path / "missing.tif", r"There is no file .*missing\.tif.*Check the name")
    refused(tmp_path, "is a folder, not an image. Choose a file inside")
    for name, content, said in (
        ("empty.tif", b"", r"is empty \(0 bytes\)\. Copy or download"),
        ("page.png", b"<!DOCTYPE html><p>", "is a web page.*'raw' or 'download'"),
        ("notes.tif", b"no image at all", "is not an image.*These can be read: TIFF"),
        (
            "bad.png",
            b"\x89PNG\r\n\x1a\n" + b"0" * 40,
            "not complete or is damaged.*Copy or download",
        ),
        ("bad.npy", b"\x93NUMPY\x01\x00v\x00{", "not complete or damaged.*numpy.save"),
        ("bad.tif", b"II*\x00" + b"\xff" * 8, "TIFF file that is not complete or is damaged"),
    ):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, said)


@pytest.mark.parametrize("options", [{}, {"tile": (64, 64), "compression": "zlib"}])
def test_a_truncated_tiff_is_refused_before_it_is_read(tmp_path: Path, options: dict) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(300, 300), **options)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(path, "not complete.*Copy or download")


def test_damaged_tiles_are_named_when_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(128, 128), tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[3]
    content = bytearray(path.read_bytes())
    content[offset : offset + 200] = bytes(200)
    path.write_bytes(content)
    with open_image(path) as opened:
        whole = np.asarray(opened.levels[0][:10, :10])
        assert whole.shape == (10, 10)
        with pytest.raises(ImageError, match=r"'a\.tif' is damaged.*Copy or download"):
            np.asarray(opened.levels[0][100:, 100:])


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_a_truncated_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise(300, 300)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(path, "not complete or is damaged.*Copy or download")


def test_a_picture_beyond_memory_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    Image.new("L", (8, 8)).save(path)
    content = bytearray(path.read_bytes())
    content[18:26] = struct.pack("<ii", 2**30, 2**20)
    path.write_bytes(content)
    refused(path, r"1,073,741,824 × 1,048,576 px and needs .* GB of memory.*tiled TIFF")


def test_pickled_objects_in_numpy_files_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    refused(tmp_path / "a.npy", "holds Python objects, not numbers")


def test_an_image_without_pixels_or_with_one_axis_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 5)))
    refused(tmp_path / "none.npy", r"is empty: its size is 0 × 5")
    np.save(tmp_path / "line.npy", np.zeros(5))
    refused(tmp_path / "line.npy", r"has 1 axes .* at least two")


def test_zarr_folders_that_hold_no_single_image_say_what_they_hold(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    refused(tmp_path / "a.zarr", "zarr folder with no array")
    for name in ("one", "two"):
        group.create_array(name, shape=(4, 4), chunks=(4, 4), dtype="u1")
    refused(tmp_path / "a.zarr", "the arrays one, two and no description")
    (tmp_path / "a.zarr" / "zarr.json").write_text("{")
    refused(tmp_path / "a.zarr", "zarr folder that cannot be read.*Copy it again")


def test_a_closed_image_cannot_be_read_any_more(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(64, 64), tile=(16, 16), compression="zlib")
    with open_image(tmp_path / "a.tif") as opened:
        level = opened.levels[0]
        assert np.asarray(level).shape == (64, 64)
    with pytest.raises(ImageError, match="no longer there"):
        np.asarray(level)
    (tmp_path / "a.tif").unlink()  # works on Windows only if nothing holds the file
