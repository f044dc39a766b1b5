from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch
import zarr

from napari_tileseg.engine.source import Source
from napari_tileseg.errors import ImageError, ModelFitError
from stubs import echo

EVERYTHING = (slice(0, 40), slice(0, 50))


@pytest.mark.parametrize(
    ("shape", "options", "axes", "leading", "channels"),
    [
        ((40, 50), {}, "YX", (), 1),
        ((40, 50, 3), {}, "YXC", (), 3),
        ((40, 50, 4), {}, "YXC", (), 4),
        ((7, 40, 50), {}, "ZYX", (7,), 1),
        ((2, 7, 40, 50), {}, "TZYX", (2, 7), 1),
        ((7, 40, 50, 3), {}, "ZYXC", (7,), 3),
        ((7, 40, 50), {"axes": "CYX"}, "CYX", (), 7),
        ((2, 7, 40, 50), {"axes": "TCYX"}, "TCYX", (2,), 7),
        ((40, 50, 3), {"axes": "YXS"}, "YXC", (), 3),
        ((40, 50, 3), {"rgb": False}, "ZYX", (40,), 1),
        ((7, 40, 50), {"spatial_dims": 3}, "ZYX", (), 1),
        ((2, 7, 40, 50), {"spatial_dims": 3}, "TZYX", (2,), 1),
    ],
)
def test_axes_are_named_or_guessed(shape, options, axes, leading, channels):
    source = Source(np.zeros(shape, np.uint8), **options)
    assert source.axes == axes
    assert source.leading_shape == leading
    assert source.n_channels == channels


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "pyramid"])
def test_any_array_like_gives_the_same_pixels(kind, tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (2, 40, 50), np.uint8)
    data = {
        "numpy": lambda: array,
        "dask": lambda: da.from_array(array, chunks=16),
        "zarr": lambda: zarr.create_array(str(tmp_path / "a.zarr"), data=array, chunks=(1, 16, 16)),
        "pyramid": lambda: [array, array[:, ::2, ::2]],
    }[kind]()
    source = Source(data, axes="CYX")
    region = (slice(3, 21), slice(30, 50))
    read = source.read((), region, (1, 0))
    np.testing.assert_array_equal(read, array[[1, 0], 3:21, 30:50])
    assert read.dtype == np.uint8


def test_channels_last_and_a_repeated_channel_come_in_the_order_wanted():
    array = np.random.default_rng(0).random((3, 40, 50, 3))
    read = Source(array).read((1,), EVERYTHING, (2, 2, 0))
    np.testing.assert_array_equal(read, array[1].transpose(2, 0, 1)[[2, 2, 0]])


def test_a_volume_is_read_whatever_the_order_of_its_axes():
    array = np.random.default_rng(0).random((5, 6, 7))
    read = Source(array, axes="XZY", spatial_dims=3).read((), (slice(0, 6),) * 3, (0,))
    np.testing.assert_array_equal(read[0], array.transpose(1, 2, 0)[:6, :6, :6])


def test_bool_is_read_as_numbers():
    assert Source(np.ones((4, 4), bool)).read((), (slice(0, 4),) * 2, (0,)).dtype == np.uint8


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((4, 4), complex), r"complex.*numpy\.abs"),
        (np.zeros((0, 4)), "is empty"),
        (np.zeros(4), "at least 2 are needed"),
        (np.array([["a", "b"]]), "not numbers"),
        ([], "no pyramid level"),
        ("image.tif", "open_image"),
        ([[1, 2], [3, 4]], r"numpy\.asarray"),
        ([np.zeros((8, 8)), np.zeros((8, 8))], r"numpy\.stack"),
        ([np.zeros((4, 4)), np.zeros((8, 8))], "finest level first"),
        (torch.zeros((4, 4)), r"image\.numpy\(\)"),
    ],
)
def test_what_is_no_image_is_refused_with_what_to_do(data, message):
    with pytest.raises(ImageError, match=message):
        Source(data)


@pytest.mark.parametrize("axes", ["YX", "YYX", "TCZ"])
def test_axes_that_do_not_fit_are_refused(axes):
    with pytest.raises(ImageError, match="axes="):
        Source(np.zeros((3, 4, 5)), axes=axes)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_numbers_are_found_and_placed(bad):
    image = np.zeros((40, 50), np.float32)
    image[12, 34] = bad
    with pytest.raises(ImageError, match=r"y 12, x 34.*nan_to_num"):
        Source(image).read((), (slice(8, 40), slice(16, 48)), (0,))


def test_a_damaged_store_is_an_image_error():
    class Broken:
        shape, dtype = (10, 10), np.dtype("u1")

        def __getitem__(self, key):
            raise OSError("read failed")

    with pytest.raises(ImageError, match="what is finished is kept"):
        Source(Broken()).read((), (slice(0, 5),) * 2, (0,))


def test_an_alpha_channel_is_left_out():
    assert Source(np.zeros((40, 50, 4), np.uint8)).check(echo(3).spec) == (0, 1, 2)


def test_a_model_for_other_channels_is_refused_with_what_to_type():
    source = Source(np.zeros((2, 40, 50), np.uint8), axes="CYX", name="nuclei")
    with pytest.raises(ModelFitError, match=r"reads 3 channels.*'nuclei' has 2.*0,1,1"):
        source.check(echo(3).spec)
    with pytest.raises(ModelFitError, match="no channel 5"):
        source.check(echo(3).spec, (0, 1, 5))
    with pytest.raises(ModelFitError, match="but 2 were chosen"):
        source.check(echo(3).spec, (0, 1))
    assert source.check(echo(3).spec, (1, 1, 0)) == (1, 1, 0)


def test_channels_taken_for_planes_are_pointed_out():
    with pytest.raises(ModelFitError, match="axes='CYX'"):
        Source(np.zeros((3, 40, 50), np.uint8)).check(echo(3).spec)


def test_the_hint_names_one_axis_of_channels_and_all_spatial_ones():
    with pytest.raises(ModelFitError, match="axes='CZYX'"):
        Source(np.zeros((3, 8, 40, 50), np.uint8), spatial_dims=3).check(echo(3, dims=3).spec)
    with pytest.raises(ModelFitError, match="axes='TCYX'"):
        Source(np.zeros((3, 3, 40, 50), np.uint8)).check(echo(3).spec)


@pytest.mark.parametrize("dtype", [">u2", ">f8", np.longdouble])
def test_pixels_come_in_a_dtype_that_torch_knows(dtype):
    image = np.arange(12, dtype=dtype).reshape(3, 4)
    read = Source(image).read((), (slice(0, 3), slice(0, 4)), (0,))
    np.testing.assert_array_equal(torch.from_numpy(read)[0].double(), image.astype(float))
