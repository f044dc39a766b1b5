"""Tiles against the whole image, on networks of many kinds; and proof that the check can fail."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg.bench.figures import Figure, skipped
from napari_tileseg.bench.networks import (
    AS_IT_IS,
    Positive,
    described,
    smp_network,
    with_statistics,
)
from napari_tileseg.bench.runs import labels_and_logs, planned, whole_logs
from napari_tileseg.engine.probe import receptive_field
from napari_tileseg.engine.tiles import cut_image, round_up
from napari_tileseg.errors import TilesegError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_tileseg.bench.setup import Setup
    from napari_tileseg.engine.network import Network

_BAR, _FROZEN_BAR = 1e-5, 1e-4


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield the largest difference and the flipped labels of each network, then the controls."""
    networks = _networks()
    chosen = list(networks)[:2] if setup.quick else list(networks)
    for name in chosen:
        yield from _exact(name, networks[name])
    yield from _controls()
    yield from _frozen()


def _networks() -> dict[str, Callable[[], Network]]:
    """Return what builds each network; shallow ones look less far, so that images are small."""
    shallow: dict[str, Any] = {"encoder_depth": 3, "decoder_channels": (32, 16, 8)}
    makers: dict[str, Callable[[], Network]] = {
        "smp.Unet resnet18, 3 levels": lambda: _smp("smp.Unet", "resnet18", **shallow),
        "smp.Linknet resnet18, 3 levels": lambda: _smp("smp.Linknet", "resnet18", encoder_depth=3),
        "smp.Unet efficientnet-lite0, 4 levels": lambda: _smp(
            "smp.Unet",
            "timm-tf_efficientnet_lite0",
            encoder_depth=4,
            decoder_channels=(64, 32, 16, 8),
        ),
        "smp.UnetPlusPlus resnet18, 3 levels": lambda: _smp(
            "smp.UnetPlusPlus", "resnet18", **shallow
        ),
        "smp.Unet resnet18": lambda: _smp("smp.Unet", "resnet18"),
        "smp.Unet densenet121, 3 levels": lambda: _smp("smp.Unet", "densenet121", **shallow),
    }
    if find_spec("monai") is not None:
        makers |= {
            "MONAI BasicUNet": _basic_unet,
            "MONAI UNet": _monai_unet,
            "MONAI SegResNet": _segresnet,
        }
    return makers


def _smp(name: str, encoder: str, **arguments: Any) -> Network:
    return smp_network(name, 3, encoder_name=encoder, **arguments)


def _basic_unet(norm: str = "batch") -> Network:
    from monai.networks.nets.basic_unet import BasicUNet

    torch.manual_seed(0)
    module = BasicUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=3,
        features=(8, 8, 16, 16, 32, 8),
        norm=norm if norm == "batch" else (norm, {"affine": True}),
    )
    return described(module, 3, 16, name="MONAI BasicUNet")


def _monai_unet() -> Network:
    from monai.networks.nets.unet import UNet

    torch.manual_seed(0)
    module = UNet(
        2, 1, 3, channels=(8, 16, 32, 32), strides=(2, 2, 2), num_res_units=2, norm="batch"
    )
    return described(module, 3, 8, name="MONAI UNet")


def _segresnet() -> Network:
    from monai.networks.nets.segresnet import SegResNet

    torch.manual_seed(0)
    module = SegResNet(2, init_filters=8, in_channels=1, out_channels=3, norm="batch")
    return described(module, 3, 8, name="MONAI SegResNet")


def _exact(name: str, make: Callable[[], Network]) -> Iterator[Figure]:
    network = with_statistics(make())
    try:
        image = _image_for(network)
        worst, flips, about = _difference(network, image, mode="exact")
    except TilesegError as error:
        yield skipped(f"exact: {name}", str(error))
        return
    yield Figure(f"exact: {name}, max|d| / std", worst, "", _BAR, note=about)
    yield Figure(f"exact: {name}, flipped labels", flips, "px", 0)


def _image_for(network: Network) -> NDArray[np.uint8]:
    """Return noise over several of the smallest tiles, of a size that is a multiple of nothing."""
    core = 2 * network.spec.stride
    tile = 2 * round_up(receptive_field(network).halo, network.spec.stride) + core
    sides = (tile + 4 * core + 5, tile + 3 * core + 3)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 160, [-(-side // 7) for side in sides], np.uint8)
    fine = np.kron(coarse, np.ones((7, 7), np.uint8))[: sides[0], : sides[1]]
    return np.asarray(fine + rng.integers(0, 90, sides, np.uint8))


def _difference(
    network: Network, image: NDArray[np.uint8], **settings: Any
) -> tuple[float, int, str]:
    """Return max|d| over std of log-probabilities, flipped labels, and what was done."""
    stride = network.spec.stride
    if settings["mode"] == "exact":
        halo = round_up(receptive_field(network).halo, stride)
        settings["tile"] = 2 * halo + 2 * stride
    source, plan = planned(
        image, network, precision="fp32", device="cpu", probabilities=True, **settings
    )
    whole = whole_logs(image, network)
    labels, logs = labels_and_logs(plan, source, network)
    about = f"{image.shape[0]} x {image.shape[1]} px, {plan.n_tiles} tiles of {plan.tile[0]} px"
    flips = int((labels != whole.argmax(0)).sum())
    return float(np.abs(logs - whole).max() / whole.std()), flips, about


def _controls() -> Iterator[Figure]:
    """Yield what the check finds where tiles are wrong on purpose: it has to fail there."""
    torch.manual_seed(0)
    network = described(Positive(), 3, Positive.stride, normalisation=AS_IT_IS)
    halo = round_up(receptive_field(network).halo, Positive.stride)
    tile = 2 * halo + 6 * Positive.stride
    step = tile - 2 * halo
    rng = np.random.default_rng(0)
    for name, wrong_step, stride in (
        ("as it should be", step, Positive.stride),
        ("halo less one stride", step + 2 * Positive.stride, Positive.stride),
        ("origin off by one", step - 1, 1),
    ):
        side = tile + 2 * wrong_step  # so that all tiles are of one size, wherever they begin
        image = rng.random((side, side), np.float32)
        worst = _with_tiles(network, image, tile, wrong_step, stride)
        right = name == "as it should be"
        better: Any = "lower" if right else "higher"
        yield Figure(
            f"control: {name}, max|d| / std",
            worst,
            "",
            _BAR,
            better,
            f"positive kernels, halo {halo} px" + ("" if right else "; has to be above the bar"),
        )


def _with_tiles(network: Network, image: NDArray[Any], tile: int, step: int, stride: int) -> float:
    source, plan = planned(image, network, mode="exact", tile=tile, device="cpu", precision="fp32")
    grid = cut_image(image.shape, (tile, tile), (step, step), stride=stride, crop=True)
    plan = replace(plan, grid=grid, probabilities=True)
    whole = whole_logs(image, network)
    logs = labels_and_logs(plan, source, network)[1]
    return float(np.abs(logs - whole).max() / whole.std())


def _frozen() -> Iterator[Figure]:
    name = "frozen-norm: MONAI BasicUNet with InstanceNorm"
    if find_spec("monai") is None:
        yield skipped(name, "monai is not installed (group 'bench')")
        return
    network = _basic_unet("instance")
    image = np.kron(
        np.random.default_rng(0).integers(0, 256, (66, 74), np.uint8), np.ones((8, 8), np.uint8)
    )
    try:
        worst, flips, about = _difference(network, image, mode="frozen-norm", tile=256)
    except TilesegError as error:
        yield skipped(name, str(error))
        return
    yield Figure(f"{name}, max|d| / std", worst, "", _FROZEN_BAR, note=about)
    yield Figure(f"{name}, flipped labels", flips, "px")
