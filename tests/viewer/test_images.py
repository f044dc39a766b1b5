"""From napari layers to sources of pixels, without a window."""

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_tileseg.viewer.images import geometry, likely_channel_axis, open_layer, pixel_size_um


def test_rgb_is_what_the_layer_says():
    rgb = Image(np.zeros((40, 50, 3), np.uint8), name="slide")
    source, facts = open_layer(rgb)
    assert (source.n_channels, source.label_shape) == (3, (40, 50))
    assert facts.kind == "RGB"


def test_a_stack_of_three_is_planes_unless_somebody_says_channels():
    stack = Image(np.zeros((3, 40, 50), np.uint8), rgb=False)
    planes, _ = open_layer(stack)
    assert (planes.n_channels, planes.label_shape) == (1, (3, 40, 50))
    channels, facts = open_layer(stack, channel_axis=0)
    assert (channels.n_channels, channels.label_shape) == (3, (40, 50))
    assert facts.channels == ("channel 0", "channel 1", "channel 2")


def test_an_axis_that_is_called_channel_is_taken_for_one():
    named = Image(np.zeros((5, 2, 40, 50)), axis_labels=("t", "channel", "y", "x"))
    assert likely_channel_axis(named) == 1
    assert likely_channel_axis(Image(np.zeros((5, 2, 40, 50)))) is None


def test_of_a_pyramid_the_finest_level_is_read():
    pyramid = Image([np.zeros((80, 64)), np.zeros((40, 32))], multiscale=True)
    source, _ = open_layer(pyramid)
    assert source.label_shape == (80, 64)


def test_volumes_keep_their_depth_for_a_model_that_reads_it():
    source, facts = open_layer(Image(np.zeros((2, 8, 40, 50))), spatial_dims=3)
    assert source.spatial_shape == (8, 40, 50)
    assert source.leading_shape == (2,)
    assert facts.size.replace("\u00a0", " ") == "50 × 40 × 8 px"


@pytest.mark.parametrize(
    ("units", "scale", "expected"),
    [("um", 0.5, 0.5), ("nm", 500, 0.5), ("mm", 0.001, 1.0), ("pixel", 3, None)],
)
def test_the_pixel_size_needs_units_of_length(units, scale, expected):
    layer = Image(np.zeros((4, 5)), scale=(scale, scale), units=(units, units))
    assert pixel_size_um(layer) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("channel_axis", [None, 0])
def test_labels_lie_exactly_on_their_image(channel_axis):
    image = Image(
        np.zeros((3, 40, 50)),
        scale=(1, 0.5, 0.25),
        translate=(0, 7, -3),
        rotate=[[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]],
        shear=(0, 0, 0.3),
        affine=np.diag([1, 2, 2, 1]),
        units=("pixel", "um", "um"),
    )
    source, _ = open_layer(image, channel_axis=channel_axis)
    shared = geometry(image, channel_axis)
    labels = Labels(np.zeros(source.label_shape, np.uint8), **shared)
    kept = [axis for axis in range(3) if axis != channel_axis]
    for point in ([0, 0, 0], [0, 39, 49], [0, 10, 3]):
        world = np.array(image.data_to_world(point))[kept]
        np.testing.assert_allclose(labels.data_to_world(np.array(point)[kept]), world)
