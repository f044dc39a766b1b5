from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.networks.nets import BasicUNet, UNet
from torch import nn

from napari_tileseg.engine.frozen_norm import FrozenNorms, measured_core
from napari_tileseg.engine.global_context import modules_with_global_context
from napari_tileseg.engine.local_norm import freezable, with_local_norms
from napari_tileseg.engine.probe import receptive_field
from napari_tileseg.engine.tiles import cut_image, round_up
from napari_tileseg.errors import Cancelled, ModelFitError
from stubs import network

AFFINE = ("instance", {"affine": True})


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    torch.manual_seed(0)


def _instance_net(module: nn.Module, **options):
    """Wrap a network whose norms matter, as training would make them."""
    for part in module.modules():
        if isinstance(part, nn.modules.instancenorm._InstanceNorm) and part.affine:
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_(0, 0.5)
    return network(module, global_context=modules_with_global_context(module), **options)


def _basic_unet():
    module = BasicUNet(2, 1, 3, features=(4, 4, 4, 4, 4, 4), norm=AFFINE)
    return _instance_net(module, stride=16)


def _residual_unet():
    module = UNet(2, 1, 3, channels=(4, 8, 8), strides=(2, 2), num_res_units=2, norm="instance")
    return _instance_net(module, stride=4)


def _volume_unet():
    module = UNet(3, 1, 2, channels=(2, 4), strides=(2,), norm=AFFINE)
    return _instance_net(module, outputs=2, dims=3, stride=2)


class Branches(nn.Module):
    """A residual block of which both branches are normalised."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.first_norm = nn.InstanceNorm2d(4)
        self.second = nn.Conv2d(4, 3, 3, padding=1)
        self.second_norm = nn.InstanceNorm2d(3)
        self.short_norm = nn.InstanceNorm2d(3)
        self.short = nn.Conv2d(1, 3, 1)

    def forward(self, tiles):
        inner = self.first_norm(self.first(tiles)).relu()
        return self.second_norm(self.second(inner)) + self.short_norm(self.short(tiles))


class Unpadded(nn.Module):
    """Uses up a margin of 9 pixels: 2 + 2 * 2 + 3."""

    def __init__(self):
        super().__init__()
        self.top = nn.Sequential(nn.Conv2d(1, 4, 5), nn.InstanceNorm2d(4), nn.ReLU())
        self.low = nn.Sequential(nn.Conv2d(4, 4, 5), nn.InstanceNorm2d(4), nn.ReLU())
        self.end = nn.Sequential(nn.Conv2d(4, 4, 7), nn.InstanceNorm2d(4), nn.Conv2d(4, 3, 1))

    def forward(self, tiles):
        half = self.low(nn.functional.max_pool2d(self.top(tiles), 2))
        return self.end(nn.functional.interpolate(half, scale_factor=2))


def _image(*shape: int) -> np.ndarray:
    """Make noise on a slope, with one bright corner: no tile is like another."""
    noise = np.random.default_rng(0).random(shape)
    slope = sum(np.ix_(*(np.linspace(0, 2, size) for size in shape)))
    noise[tuple(slice(size // 4) for size in shape)] += 4
    return (noise * (1 + slope)).astype(np.float32)


def _shown(image: np.ndarray, model) -> torch.Tensor:
    """Return what the network is shown of the whole image."""
    spec = model.spec
    after = [round_up(size, spec.stride) - size + spec.margin for size in image.shape]
    padded = np.pad(image, [(spec.margin, more) for more in after], mode="symmetric")
    return torch.from_numpy(padded)[None, None]


def _tiles(image: np.ndarray, model, grid):
    whole = _shown(image, model)
    more = 2 * model.spec.margin
    for tile in grid:
        outer = tuple(slice(part.start, part.stop + more) for part in tile.outer)
        yield (
            tile,
            whole[(..., *outer)],
            measured_core(tile, image.shape, stride=model.spec.stride, margin=model.spec.margin),
        )


def _grid(image: np.ndarray, model, halo: int, core: int):
    stride = model.spec.stride
    halo = round_up(halo, stride)
    tile, step = (2 * halo + core,) * image.ndim, (core,) * image.ndim
    return cut_image(image.shape, tile, step, stride=stride, crop=True)


@torch.inference_mode()
def _whole(image: np.ndarray, model) -> np.ndarray:
    answer = model.logits(_shown(image, model))[0].numpy()
    return answer[(slice(None), *(slice(size) for size in image.shape))]


@torch.inference_mode()
def _tiled(image: np.ndarray, model, grid) -> np.ndarray:
    result = np.full((model.spec.n_outputs, *image.shape), np.nan, np.float32)
    for tile, shown, _ in _tiles(image, model, grid):
        answer = model.logits(shown)[0].numpy()
        result[(slice(None), *tile.core)] = answer[(slice(None), *tile.core_within)]
    return result


def _seen(image: np.ndarray, model, grid):
    """Return what gives the tiles for measuring, anew whenever it is asked."""
    return lambda: (seen for _, *seen in _tiles(image, model, grid))


def _frozen(image: np.ndarray, model, grid) -> FrozenNorms:
    frozen = FrozenNorms(model)
    frozen.freeze((), _seen(image, model, grid))
    return frozen


def _branches():
    return _instance_net(Branches())


def _unpadded():
    return _instance_net(Unpadded(), stride=2, margin=9)


def _error(found: np.ndarray, whole: np.ndarray) -> float:
    return float(np.abs(found - whole).max() / whole.std())


CASES = [
    pytest.param(_basic_unet, (423, 517), 112, 96, id="BasicUNet"),
    pytest.param(_residual_unet, (117, 142), 24, 32, id="residual UNet"),
    pytest.param(_volume_unet, (27, 39, 29), 4, 8, id="3-D UNet"),
    pytest.param(_branches, (37, 51), 2, 11, id="branches"),
    pytest.param(_unpadded, (61, 83), 0, 16, id="margin"),
]


@pytest.mark.parametrize(("build", "shape", "halo", "core"), CASES)
def test_tiles_with_frozen_norms_equal_the_whole_image(build, shape, halo, core):
    model, image = build(), _image(*shape)
    grid = _grid(image, model, halo, core)
    frozen = _frozen(image, model, grid)
    assert len(grid) >= 9
    whole = _whole(image, model)
    assert _error(_tiled(image, frozen.network, grid), whole) <= 1e-4
    assert _error(_tiled(image, model, grid), whole) > 0.1


def test_statistics_of_one_tile_are_not_those_of_the_image():
    model, image = _residual_unet(), _image(117, 142)
    grid = _grid(image, model, 24, 32)
    frozen = FrozenNorms(model)
    frozen.freeze((), lambda: [next(_seen(image, model, grid)())])
    assert _error(_tiled(image, frozen.network, grid), _whole(image, model)) > 0.1


def test_what_is_mirrored_at_the_end_counts_as_in_the_whole_image():
    model = network(nn.Sequential(nn.InstanceNorm2d(1)), outputs=1, stride=16)
    image = _image(37, 53)
    frozen = _frozen(image, model, _grid(image, model, 0, 16))
    (norm,) = frozen.network.module
    seen = _shown(image, model).double()
    assert seen.shape[2:] == (48, 64)
    torch.testing.assert_close(norm.mean.double(), seen.mean().view(1))
    torch.testing.assert_close(norm.variance.double(), seen.var(correction=0).view(1))


def test_a_signal_on_top_of_a_large_offset_keeps_its_variance():
    model = network(nn.Sequential(nn.InstanceNorm2d(1)), outputs=1)
    image = np.random.default_rng(0).random((64, 64), dtype=np.float32) + 4096
    (norm,) = _frozen(image, model, _grid(image, model, 0, 8)).network.module
    assert norm.variance.item() == pytest.approx(image.astype(np.float64).var(), rel=1e-3)


def test_channels_last_in_memory_changes_nothing():
    model, image = _residual_unet(), _image(60, 70)
    grid = _grid(image, model, 24, 32)
    frozen = FrozenNorms(model)
    tiles = [
        (tile.contiguous(memory_format=torch.channels_last), core)
        for tile, core in _seen(image, model, grid)()
    ]
    frozen.freeze((), lambda: tiles)
    assert _error(_tiled(image, frozen.network, grid), _whole(image, model)) <= 1e-4


@given(
    size=st.integers(1, 200),
    stride=st.sampled_from([1, 2, 8, 16]),
    overlap=st.integers(0, 6),
    core=st.integers(1, 4),
    margin=st.integers(0, 5),
)
def test_measured_cores_share_the_axis_out_along_the_stride(size, stride, overlap, core, margin):
    step = core * stride
    seen = []
    for tile in cut_image([size], [step + overlap * stride], [step], stride=stride, crop=True):
        (outer,), (part,) = tile.outer, measured_core(tile, [size], stride=stride, margin=margin)
        pixels = range(outer.start - margin, outer.stop + margin)[part]
        assert part.start is None or pixels.start % stride == 0
        seen += pixels
    assert seen == list(range(-margin, round_up(size, stride) + margin))


def test_every_plane_has_its_own_statistics():
    model = _branches()
    frozen = FrozenNorms(model)
    planes = [_image(37, 51), 100 - 3 * _image(37, 51)[::-1, ::-1]]
    grid = _grid(planes[0], model, 2, 11)
    for index in (0, 1):
        assert frozen.freeze((index,), _seen(planes[index], model, grid))
    assert not frozen.freeze((1,), _never)
    for index in (0, 1):
        frozen.freeze((index,), _never)
        tiled = _tiled(planes[index], frozen.network, grid)
        assert _error(tiled, _whole(planes[index], model)) <= 1e-4
    assert _error(_tiled(planes[0], frozen.network, grid), _whole(planes[0], model)) > 0.1


def test_a_plane_that_is_forgotten_is_measured_again():
    model, image = _branches(), _image(37, 51)
    grid = _grid(image, model, 2, 11)
    frozen = _frozen(image, model, grid)
    frozen.forget(())
    assert frozen.freeze((), _seen(image, model, grid))
    assert _error(_tiled(image, frozen.network, grid), _whole(image, model)) <= 1e-4


def _never():
    raise AssertionError("measured twice")


def test_measuring_that_was_stopped_begins_anew():
    model, image = _branches(), _image(37, 51)
    grid = _grid(image, model, 2, 11)
    frozen = FrozenNorms(model)
    left = iter(range(len(grid) + 3))

    def stop_in_the_second_pass():
        if next(left, None) is None:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        frozen.freeze((), _seen(image, model, grid), stop_in_the_second_pass)
    assert frozen.freeze((), _seen(image, model, grid))
    assert _error(_tiled(image, frozen.network, grid), _whole(image, model)) <= 1e-4


def test_progress_rises_to_one():
    model, image = _residual_unet(), _image(60, 70)
    told = []
    FrozenNorms(model).freeze(
        (), _seen(image, model, _grid(image, model, 24, 32)), progress=told.append
    )
    assert told == sorted(told)
    assert told[0] < 0.2
    assert told[-1] == pytest.approx(1)


def test_a_pass_ends_where_nothing_more_is_to_be_known():
    model, image = _residual_unet(), _image(60, 70)
    frozen = FrozenNorms(model)
    assert 0 < frozen.passes[0].share < frozen.passes[-1].share < 1
    assert frozen.cost < len(frozen.passes) * frozen.passes[-1].share

    def too_far(*_):
        raise AssertionError("run although it follows the last norm")

    *_, last = (part for part in frozen.network.module.modules() if isinstance(part, nn.Conv2d))
    last.register_forward_pre_hook(too_far)
    frozen.freeze((), _seen(image, model, _grid(image, model, 24, 32)))


def test_norms_in_parallel_are_measured_in_one_pass():
    passes = [step.norms for step in FrozenNorms(_branches()).passes]
    assert passes == [("first_norm",), ("second_norm", "short_norm")]


def test_local_norms_bound_the_field_and_leave_the_network_as_it_was():
    model = _residual_unet()
    before = _whole(_image(48, 48), model)
    local = with_local_norms(model)
    assert not receptive_field(model).bounded
    assert receptive_field(local).bounded
    assert receptive_field(local).halo <= 24
    assert local.spec.global_context == ()
    assert modules_with_global_context(local.module) == ()
    local.module.apply(lambda part: [nn.init.zeros_(one) for one in part.parameters()])
    assert np.array_equal(_whole(_image(48, 48), model), before)


def test_norms_with_trained_statistics_stay_as_they_are():
    tracked = nn.InstanceNorm2d(4, track_running_stats=True)
    tracked.running_mean.normal_()
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), tracked, nn.InstanceNorm2d(4), nn.Conv2d(4, 3, 3, padding=1)
    )
    model, image = _instance_net(module), _image(37, 51)
    assert freezable(model)
    grid = _grid(image, model, 2, 11)
    frozen = _frozen(image, model, grid)
    assert [step.norms for step in frozen.passes] == [("2",)]
    assert _error(_tiled(image, frozen.network, grid), _whole(image, model)) <= 1e-4


@pytest.mark.parametrize(
    ("layers", "possible"),
    [
        ([nn.InstanceNorm2d(1)], True),
        ([nn.BatchNorm2d(1)], False),
        ([nn.InstanceNorm2d(1, track_running_stats=True)], False),
        ([nn.InstanceNorm2d(1), nn.GroupNorm(1, 1)], False),
    ],
)
def test_only_instance_norms_can_be_frozen(layers, possible):
    assert freezable(_instance_net(nn.Sequential(*layers), outputs=1)) is possible


def test_a_network_that_says_of_itself_that_it_depends_on_the_size_cannot_be_frozen():
    model = network(nn.Sequential(nn.InstanceNorm2d(1)), global_context=("resizes with corners",))
    assert not freezable(model)


def test_a_norm_that_computes_something_else_cannot_be_frozen():
    class Other(nn.InstanceNorm2d):
        def forward(self, tiles):
            return super().forward(tiles) + tiles.mean()

    assert not freezable(_instance_net(nn.Sequential(nn.InstanceNorm2d(1), Other(1)), outputs=1))


class Resized(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.InstanceNorm2d(1)

    def forward(self, tiles):
        return tiles + nn.functional.interpolate(self.norm(tiles[..., :1, :1]), tiles.shape[2:])


class Flat(Resized):
    def forward(self, tiles):
        return self.norm(tiles.flatten(2)[None, 0]).view(tiles.shape)


_SHARED = nn.InstanceNorm2d(1)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(_SHARED, _SHARED), "'0' runs more than once.*'whole'.*'blend'"),
        (Resized(), "same size for every image"),
        (Flat(), "'norm' does not read an array of pixels"),
    ],
)
def test_what_cannot_be_measured_is_refused(module, message):
    with pytest.raises(ModelFitError, match=message):
        FrozenNorms(_instance_net(module, outputs=1))


def test_bfloat16_runs_with_the_statistics_of_bfloat16():
    model, image = _residual_unet(), _image(60, 70)
    grid = _grid(image, model, 24, 32)
    with torch.autocast("cpu", torch.bfloat16):
        frozen = _frozen(image, model, grid)
        tiled, whole = _tiled(image, frozen.network, grid), _whole(image, model)
    assert _error(tiled, whole) < 0.1
