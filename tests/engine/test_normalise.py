from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_tileseg.engine.normalise import scaling_for
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Normalisation, NormalisationKind
from napari_tileseg.errors import ImageError, ModelFitError

FIXED, PERCENTILE, ZSCORE, NONE = (
    NormalisationKind.FIXED,
    NormalisationKind.PERCENTILE,
    NormalisationKind.ZSCORE,
    NormalisationKind.NONE,
)


def _scaled(image, normalisation, **options):
    source = Source(image, **options)
    channels = tuple(range(source.n_channels))
    scaling = scaling_for(source, normalisation, channels)
    whole = tuple(slice(0, size) for size in source.spatial_shape)
    raw = source.read((0,) * len(source.leading_shape), whole, channels)
    return scaling.apply(torch.from_numpy(raw)[None])[0].numpy()


def test_uint8_is_divided_by_255_then_by_the_model():
    image = np.full((8, 8, 3), (0, 51, 255), np.uint8)
    wanted = Normalisation(FIXED, mean=(0.5, 0.1, 0.2), std=(0.5, 0.2, 0.4))
    scaled = _scaled(image, wanted, axes="YXC")
    np.testing.assert_allclose(scaled[:, 0, 0], [-1, 0.5, 2], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_other_dtypes_come_from_their_percentiles(dtype):
    image = np.arange(10_000).reshape(100, 100).astype(dtype)
    scaled = _scaled(image, Normalisation(FIXED, mean=(0.5,), std=(0.5,)))
    low, high = np.percentile(image, [0.1, 99.9])
    np.testing.assert_allclose(scaled[0], ((image - low) / (high - low) - 0.5) / 0.5, atol=1e-5)


def test_zscore_gives_mean_0_and_std_1_a_channel():
    image = np.random.default_rng(0).normal((5, 900), (2, 30), (120, 130, 2))
    scaled = _scaled(image, Normalisation(ZSCORE), axes="YXC")
    np.testing.assert_allclose(scaled.mean(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=(1, 2)), 1, atol=1e-4)


def test_bool_and_none_are_read_as_they_are():
    image = np.eye(8, dtype=bool)
    np.testing.assert_array_equal(_scaled(image, Normalisation(FIXED))[0], image)
    np.testing.assert_array_equal(_scaled(image * 7, Normalisation(NONE))[0], image * 7)


@pytest.mark.parametrize("kind", [PERCENTILE, ZSCORE])
def test_an_image_of_one_value_becomes_0_not_nan(kind):
    assert not _scaled(np.full((20, 20), 300, np.uint16), Normalisation(kind)).any()


def test_a_large_image_is_sampled_and_the_sample_is_bounded():
    class Watched:
        shape, dtype = (30_000, 40_000), np.dtype("u2")
        pixels = 0

        def __getitem__(self, key):
            rows, columns = (np.arange(part.start, part.stop) for part in key)
            Watched.pixels += len(rows) * len(columns)
            return (rows[:, None] // 30 + columns[None] // 40).astype(np.uint16)

    scaling = scaling_for(Source(Watched()), Normalisation(PERCENTILE), (0,))
    assert 1_000_000 < Watched.pixels < 4_000_000
    low, high = scaling.shift[0], scaling.shift[0] + 1 / scaling.factor[0]
    assert 0 <= low < 100
    assert 1900 < high < 2000


def test_all_planes_share_one_scaling():
    stack = np.stack([np.full((64, 64), value, np.uint16) for value in (0, 1000)])
    assert _scaled(stack, Normalisation(PERCENTILE, low=0, high=100), axes="TYX").max() == 0


def test_means_for_other_channels_are_refused():
    with pytest.raises(ModelFitError, match="3 channels, but reads 1"):
        _scaled(np.zeros((8, 8)), Normalisation(FIXED, mean=(0.1, 0.2, 0.3)))


def test_nan_is_met_before_the_first_tile():
    with pytest.raises(ImageError, match="not numbers"):
        _scaled(np.full((8, 8), np.nan), Normalisation(ZSCORE))


@pytest.mark.parametrize("shape", [(1000, 1000, 1000), (2, 300, 900, 900), (100, 2_000_000)])
def test_the_sample_is_bounded_in_every_shape(shape):
    class Watched:
        dtype, pixels, reads = np.dtype("u1"), 0, set()

        def __init__(self):
            self.shape = shape

        def __getitem__(self, key):
            sizes = [part.stop - part.start for part in key if isinstance(part, slice)]
            Watched.pixels += np.prod(sizes)
            Watched.reads.add(str(key))
            return np.arange(np.prod(sizes), dtype=np.uint8).reshape(sizes)

    source = Source(Watched(), spatial_dims=min(len(shape), 3))
    scaling_for(source, Normalisation(ZSCORE), (0,))
    assert 500_000 < Watched.pixels < 3_000_000
    assert len(Watched.reads) >= 24


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64])
def test_a_signal_on_a_large_offset_survives(dtype):
    signal = np.random.default_rng(0).integers(0, 200, (64, 64))
    image = (signal + 100_000_000).astype(dtype)
    scaled = _scaled(image, Normalisation(ZSCORE))[0]
    np.testing.assert_allclose(scaled, (signal - signal.mean()) / signal.std(), atol=1e-4)


def test_reading_can_be_stopped():
    def stop():
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        scaling_for(
            Source(np.zeros((64, 64))), Normalisation(ZSCORE), (0,), "model", before_read=stop
        )
