from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_tileseg as nts
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import Focus, stream_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Normalisation, NormalisationKind, Task
from napari_tileseg.errors import (
    Cancelled,
    DeviceError,
    ImageError,
    ModelFitError,
    NetworkError,
    SettingsError,
)
from napari_tileseg.settings import Blend, Mode, RunSettings
from stubs import Counting, Echo, Ramp, echo, network, small_conv


@st.composite
def runs(draw: st.DrawFn):
    dims = draw(st.integers(1, 3))
    longest = {1: 150, 2: 50, 3: 20}[dims]
    shape = tuple(draw(st.integers(1, longest)) for _ in range(dims))
    stride = draw(st.sampled_from([1, 2, 4]))
    settings_ = RunSettings(
        tile=draw(st.integers(16, 40)),
        overlap=draw(st.floats(0, 0.75)),
        blend=draw(st.sampled_from(list(Blend))),
        batch=draw(st.integers(1, 5)),
        device="cpu",
    )
    return shape, stride, settings_


def _source(image: np.ndarray) -> Source:
    dims = image.ndim - 1
    return Source(image, axes="C" + "ZYX"[-dims:], spatial_dims=dims)


@settings(max_examples=80)
@given(runs())
def test_an_echo_model_gives_the_image_back(run):
    shape, stride, wanted = run
    dims = len(shape)
    image = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    source = _source(image)
    model = echo(3, dims=dims, stride=stride)
    plan = make_plan(source, model, wanted.but(probabilities=True))
    labels = np.full(source.label_shape, 99, np.uint8)
    sure = np.zeros((3, *source.label_shape), np.float32)
    for patch in stream_plan(plan, source, model, provisional=False):
        labels[patch.region] = patch.labels
        sure[(slice(None), *patch.region)] = patch.probabilities
    np.testing.assert_array_equal(labels, image.argmax(0))
    expected = torch.from_numpy(image).softmax(0).numpy()
    np.testing.assert_allclose(sure, expected, atol=2e-6)


@settings(max_examples=60)
@given(runs(), st.integers(0, 10**6))
def test_the_order_of_tiles_does_not_matter(run, seed):
    shape, stride, wanted = run
    dims = len(shape)
    image = np.random.default_rng(0).integers(0, 3, (1, *shape)).astype(np.float32)
    source = _source(image)
    model = network(Ramp(3), dims=dims, stride=stride)
    plan = make_plan(source, model, wanted)
    raster = _labels(plan, source, model)
    generator = np.random.default_rng(seed)
    focus = Focus(generator.uniform(0, 50, dims))
    labels = np.full(source.label_shape, 99, np.uint8)
    counts = np.zeros(source.label_shape, int)
    for patch in stream_plan(plan, source, model, focus=focus):
        focus.move(generator.uniform(0, 50, dims))
        if patch.final:
            labels[patch.region] = patch.labels
            counts[patch.region] += 1
    np.testing.assert_array_equal(labels, raster)
    assert (counts == 1).all()


def _labels(plan, source, model):
    labels = np.full(source.label_shape, 99, np.uint8)
    for patch in stream_plan(plan, source, model, provisional=False):
        labels[patch.region] = patch.labels
    return labels


def test_whole_image_mode_equals_the_model():
    model = small_conv(stride=4)
    image = np.random.default_rng(0).random((64, 48)).astype(np.float32)
    with torch.inference_mode():
        logits = model.module(torch.from_numpy(image)[None, None])[0]
    source = Source(image)
    plan = make_plan(source, model, RunSettings(mode=Mode.WHOLE, probabilities=True))
    (patch,) = stream_plan(plan, source, model)
    assert patch.final
    np.testing.assert_array_equal(patch.labels, logits.argmax(0))
    np.testing.assert_allclose(patch.probabilities, logits.softmax(0), atol=1e-6)


def test_whole_image_mode_pads_to_the_stride_and_crops_back():
    inner = Counting(small_conv(stride=16).module)
    model = network(inner, stride=16)
    labels = nts.predict(np.random.default_rng(0).random((33, 70)), model, mode="whole")
    assert labels.shape == (33, 70)
    assert inner.shapes == [(1, 1, 48, 80)]


def test_a_halo_over_the_receptive_field_gives_the_whole_image():
    model = small_conv(stride=4)
    image = np.random.default_rng(0).random((120, 100))
    whole = nts.predict(image, model, mode="whole")
    cropped = nts.predict(image, model, blend="crop", tile=32, overlap=0.25)
    np.testing.assert_array_equal(cropped, whole)


def test_one_output_gives_the_known_answer_and_is_not_empty():
    """A bright disc, a network with one logit: brighter than 0.5 is foreground."""

    class Brighter(torch.nn.Module):
        def forward(self, tiles):
            return (tiles - 0.5) * 20

    y, x = np.mgrid[:200, :200]
    disc = (y - 90) ** 2 + (x - 110) ** 2 < 60**2
    labels = nts.predict(disc.astype(np.float32), network(Brighter(), task=Task.BINARY))
    np.testing.assert_array_equal(labels, disc)
    assert 0 < labels.sum() < labels.size


def test_several_labels_a_pixel_come_as_one_array_a_class():
    image = np.random.default_rng(0).normal(size=(3, 60, 70))
    model = network(Echo(), outputs=3, channels=3, task=Task.MULTILABEL)
    labels = nts.predict(image, model, axes="CYX")
    assert labels.dtype == bool
    np.testing.assert_array_equal(labels, image > 0)


def test_leading_axes_are_walked_plane_by_plane_the_displayed_one_first():
    image = np.random.default_rng(0).normal(size=(2, 3, 70, 60))
    model = network(Ramp(2), outputs=2)
    labels = nts.predict(image, model)
    for t, z in np.ndindex(2, 3):
        np.testing.assert_array_equal(labels[t, z], nts.predict(image[t, z], model))
    first = next(iter(nts.stream(image, model, focus=(1, 2, 30, 30))))
    assert first.region[:2] == (slice(1, 2), slice(2, 3))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float16", "float64", "?"])
def test_every_real_dtype_is_read(dtype):
    image = (np.random.default_rng(0).random((40, 50)) * 100).astype(dtype)
    labels = nts.predict(image, small_conv())
    expected = nts.predict(image.astype(np.float32), small_conv())
    np.testing.assert_array_equal(labels, expected)


def test_a_lazy_image_is_never_read_as_a_whole():
    largest = []

    def block(block_info=None):
        return np.ones(block_info[None]["chunk-shape"], np.uint8)

    lazy = da.map_blocks(block, chunks=((500,) * 5, (500,) * 5), dtype=np.uint8)

    class Watched:
        shape, dtype = lazy.shape, lazy.dtype

        def __getitem__(self, key):
            part = lazy[key]
            largest.append(part.size)
            return part

    zscore = Normalisation(NormalisationKind.ZSCORE)
    nts.predict(Watched(), small_conv(normalisation=zscore), tile=64)
    assert max(largest) == 256 * 256


def test_the_first_tile_lies_at_the_focus_and_shows_at_once():
    first = next(iter(nts.stream(np.zeros((300, 300)), small_conv(), focus=(200, 100))))
    assert (first.tiles_done, first.final) == (1, False)
    assert all(p.start <= at < p.stop for p, at in zip(first.region, (200, 100), strict=True))


def test_no_tile_is_computed_before_it_is_asked_for():
    inner = Counting(small_conv().module)
    patches = nts.stream(np.zeros((150, 150)), network(inner), device="cpu", precision="fp32")
    assert len(inner.shapes) == 0
    next(patches)
    assert len(inner.shapes) == 1
    patches.close()
    assert len(inner.shapes) == 1


def test_stopping_keeps_what_was_given():
    asked = []
    model = small_conv()
    source = Source(np.zeros((300, 300)))
    plan = make_plan(source, model, RunSettings(device="cpu"))
    patches = stream_plan(plan, source, model, should_stop=lambda: len(asked) > 0)
    assert next(patches).tiles_done == 1
    asked.append(1)
    with pytest.raises(Cancelled):
        list(patches)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_provisional_labels_of_an_echo_are_final_ones(task, threshold):
    image = np.random.default_rng(0).normal(size=(2, 80, 90)).astype(np.float32)
    if task is Task.BINARY:
        image = image[:1]
    model = network(
        Echo(), outputs=2, channels=len(image), task=task, threshold=threshold, stride=4
    )
    final = nts.predict(image, model, axes="CYX")
    for patch in nts.stream(image, model, axes="CYX", overlap=0.5):
        np.testing.assert_array_equal(patch.labels, final[(..., *patch.region)])


@pytest.mark.parametrize("mode", ["whole", "blend"])
@pytest.mark.parametrize("offset", [-1000, 600, 1e6])
def test_the_highest_of_very_large_logits_wins(mode, offset):
    image = (np.random.default_rng(0).random((3, 64, 64)) * 400 + offset).astype(np.float32)
    labels = nts.predict(image, echo(3), axes="CYX", mode=mode)
    np.testing.assert_array_equal(labels, image.argmax(0))


def test_stopping_is_seen_before_the_first_tile():
    asked = []

    class Watched:
        shape, dtype = (4000, 4000), np.dtype("u2")

        def __getitem__(self, key):
            asked.append(key)
            return np.ones([part.stop - part.start for part in key], np.uint16)

    zscore = Normalisation(NormalisationKind.ZSCORE)
    model, source = small_conv(normalisation=zscore), Source(Watched())
    plan = make_plan(source, model, RunSettings())
    with pytest.raises(Cancelled):
        next(stream_plan(plan, source, model, should_stop=lambda: len(asked) >= 2))
    assert len(asked) == 2


def test_two_runs_on_one_network_are_stopped_apart():
    model, source = small_conv(), Source(np.zeros((100, 100)))
    plan = make_plan(source, model, RunSettings())
    stopped = stream_plan(plan, source, model, should_stop=lambda: len(done) > 0)
    done = []
    next(stopped)
    done.append(1)
    assert list(stream_plan(plan, source, model))[-1].tiles_done == plan.n_tiles
    with pytest.raises(Cancelled):
        list(stopped)


def test_a_focus_in_the_plane_means_the_first_one():
    image = np.zeros((3, 100, 100))
    first = next(iter(nts.stream(image, small_conv(), focus=(90, 90))))
    assert first.region == (slice(0, 1), slice(68, 100), slice(68, 100))
    with pytest.raises(SettingsError, match=r"3 axes \(Z, Y, X\)"):
        nts.stream(image, small_conv(), focus=(1, 2, 3, 4))


def test_an_explicit_tile_is_taken_also_where_the_whole_image_would_fit():
    model = small_conv(global_context=("norm (InstanceNorm2d)",))
    plan = make_plan(Source(np.zeros((100, 120))), model, RunSettings(tile=32))
    assert plan.mode is Mode.BLEND


def test_an_overlap_that_the_grid_does_not_allow_is_said():
    plan = make_plan(
        Source(np.zeros((100, 100))), small_conv(stride=32), RunSettings(tile=32, overlap=0.5)
    )
    assert "cannot overlap by 50%" in plan.notes[0]


def test_provisional_labels_are_those_of_the_tiles_so_far():
    model, image = network(Ramp(3)), np.zeros((32, 56))
    patches = list(nts.stream(image, model, tile=32, overlap=0.25, device="cpu"))
    alone = nts.predict(image[:, :32], model)
    assert not patches[0].final
    np.testing.assert_array_equal(patches[0].labels, alone)
    assert sum(patch.labels.size for patch in patches if patch.final) == image.size


def test_the_batch_size_does_not_change_the_labels():
    image = np.random.default_rng(0).random((150, 130))
    one = nts.predict(image, small_conv(), batch=1)
    np.testing.assert_array_equal(one, nts.predict(image, small_conv(), batch=7))


def test_nothing_in_a_run_carries_gradients():
    seen = []

    class Watching(torch.nn.Conv2d):
        def forward(self, tiles):
            answer = super().forward(tiles)
            seen.append(answer.requires_grad or not torch.is_inference_mode_enabled())
            return answer

    nts.predict(np.zeros((20, 20)), network(Watching(1, 3, 1)))
    assert seen == [False]
    assert not torch.is_inference_mode_enabled()


def test_automatic_prefers_the_whole_image_where_the_network_looks_at_everything():
    model = network(Counting(small_conv().module), global_context=("norm (InstanceNorm2d)",))
    source = Source(np.zeros((100, 120)))
    small = make_plan(source, model, RunSettings())
    assert (small.mode, small.n_tiles) == (Mode.WHOLE, 1)
    assert "as a whole" in small.notes[0]
    large = make_plan(Source(np.zeros((1000, 1200))), model, RunSettings())
    assert large.mode is Mode.BLEND
    assert "seams are possible" in large.notes[0]
    assert make_plan(source, model, RunSettings(blend="hann")).mode is Mode.BLEND


def test_a_tile_off_the_grid_is_rounded_up_and_said():
    plan = make_plan(Source(np.zeros((900, 900))), small_conv(stride=32), RunSettings(tile=100))
    assert plan.tile == (128, 128)
    assert "multiples of 32 px" in plan.notes[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (5, 7), (31, 33)])
def test_images_smaller_than_a_tile_are_fine(shape):
    image = np.random.default_rng(0).random(shape)
    assert nts.predict(image, small_conv(stride=32), tile=64).max() <= 2


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (np.zeros((2, 40, 50)), {"axes": "CYX"}, ModelFitError, "reads 1 channel"),
        (np.zeros((0, 50)), {}, ImageError, "empty"),
        (np.full((40, 50), np.nan), {}, ImageError, "not numbers"),
        (np.zeros((40, 50), complex), {}, ImageError, "complex"),
        (np.zeros((40, 50)), {"device": "cuda:99"}, DeviceError, "There is: cpu"),
        (np.zeros((40, 50)), {"device": "cpu", "precision": "fp16"}, DeviceError, "bf16"),
        (np.zeros((40, 50)), {"tile": 3}, SettingsError, "from 16 to"),
        (np.zeros((40, 50)), {"blend": "soft"}, SettingsError, "gaussian"),
        (np.zeros((40, 50)), {"tiel": 512}, SettingsError, "There are: .*tile"),
        (np.zeros((40, 50)), {"channels": 0}, SettingsError, "whole numbers"),
        (np.zeros((40, 50)), {"channels": (0.5,)}, SettingsError, "whole numbers"),
    ],
)
def test_bad_input_gets_a_clear_error(image, options, error, message):
    with pytest.raises(error, match=message):
        nts.predict(image, small_conv(), **options)


def test_a_path_is_not_a_model():
    with pytest.raises(ModelFitError, match="load_model"):
        nts.predict(np.zeros((4, 4)), "model.pt")


def test_a_network_with_other_classes_than_said_is_refused():
    with pytest.raises(NetworkError, match="number of classes"):
        nts.predict(np.zeros((40, 50)), network(torch.nn.Conv2d(1, 5, 1), outputs=3))


def test_running_out_of_memory_says_what_helps():
    class Hungry(torch.nn.Module):
        def forward(self, tiles):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceError, match="smaller tile"):
        nts.predict(np.zeros((40, 50)), network(Hungry()))


class ShortOfMemory(torch.nn.Module):
    """Refuses batches over a size, as a device with little memory does."""

    def __init__(self, largest):
        super().__init__()
        self.largest = largest
        self.sizes = []

    def forward(self, tiles):
        self.sizes.append(len(tiles))
        if len(tiles) > self.largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.stack([tiles[:, 0], 1 - tiles[:, 0]], dim=1)


@pytest.mark.parametrize("largest", [1, 3])
def test_short_of_memory_only_the_failing_batch_is_run_again_in_halves(largest):
    image = np.random.default_rng(0).random((150, 150))
    module = ShortOfMemory(largest)
    labels = nts.predict(image, network(module, outputs=2), batch=8, precision="fp32")
    np.testing.assert_array_equal(labels, nts.predict(image, network(ShortOfMemory(99), outputs=2)))
    refused = [size for size in module.sizes if size > largest]
    assert refused == ([8, 4, 2] if largest == 1 else [8, 4]) * 2
    assert sum(module.sizes) - sum(refused) == 36


@settings(max_examples=40)
@given(runs(), st.integers(0, 10**6))
def test_tiles_left_out_change_no_bit_elsewhere(run, seed):
    shape, stride, wanted_settings = run
    image = np.random.default_rng(0).integers(0, 3, (1, *shape)).astype(np.float32)
    source, model = _source(image), network(Ramp(3), dims=len(shape), stride=stride)
    plan = make_plan(source, model, wanted_settings)
    full = _labels(plan, source, model)
    wanted = np.random.default_rng(seed).random(len(plan.grid)) < 0.7
    left_out = np.zeros(shape, bool)
    for number in np.flatnonzero(~wanted):
        left_out[plan.grid[int(number)].core] = True
    labels = np.full(shape, 99, np.uint8)
    done = 0
    for patch in stream_plan(plan, source, model, wanted=lambda _: wanted, provisional=False):
        labels[patch.region] = patch.labels
        done = patch.tiles_done
        assert patch.tiles_total == wanted.sum()
    np.testing.assert_array_equal(labels, np.where(left_out, 99, full))
    assert done <= wanted.sum()


def test_numbers_of_numpy_and_devices_of_torch_are_settings_too():
    options = {"tile": np.int64(32), "overlap": np.float32(0.5), "device": torch.device("cpu")}
    assert nts.predict(np.zeros((40, 50)), small_conv(), channels=[0], **options).shape == (40, 50)
