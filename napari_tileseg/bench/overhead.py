"""A run of the engine against the bare network on the very same tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_tileseg.bench.figures import Figure
from napari_tileseg.bench.networks import own_copy, smp_network
from napari_tileseg.bench.pixels import noise
from napari_tileseg.bench.runs import bare, batches_of, labels_of, planned
from napari_tileseg.bench.timing import in_turn, ratio, spread
from napari_tileseg.engine.settle import settle
from napari_tileseg.settings import Blend, Precision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.bench.setup import Setup

_BAR = 1.05


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield one ratio for each device and each way of merging."""
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    for device in devices:
        for blend in (Blend.GAUSSIAN, Blend.CROP):
            yield _overhead(setup, device, blend)


def _overhead(setup: Setup, device: str, blend: Blend) -> Figure:
    side, tile = (384, 128) if setup.quick else (3072, 512)
    network = smp_network("smp.Unet", encoder_name="resnet34")
    source, plan = planned(
        noise((side, side)),
        network,
        tile=tile,
        overlap=0.25,
        blend=blend,
        device=device,
        batch=1 if device == "cpu" else 4,
        precision=Precision.FP32 if device == "cpu" else Precision.BF16,
    )
    plan = settle(plan, source, network)
    alone = own_copy(network)
    only_network = bare(plan, alone, batches_of(plan, source, alone))
    actions = {
        "network": only_network,
        "engine": lambda: labels_of(plan, source, network),
    }
    in_turn(actions, 1 if setup.quick or device != "cpu" else 0)  # kernels are chosen once
    seconds = in_turn(actions, setup.pairs)
    return Figure(
        f"overhead on {plan.device.type}, {blend.value}: engine / bare network",
        ratio(seconds["engine"], seconds["network"]),
        bar=_BAR,
        note=f"smp.Unet resnet34, {plan.precision.value}, {plan.n_tiles} tiles of {tile} px, "
        f"batch {plan.batch}; {spread(seconds['engine'], seconds['network'])}",
    )
