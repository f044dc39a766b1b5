"""Speed at equal accuracy: mode auto against MONAI, both held against the whole image."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg.bench.figures import Figure, skipped
from napari_tileseg.bench.networks import own_copy
from napari_tileseg.bench.other_tools import monai_logits, with_monai
from napari_tileseg.bench.pixels import real_image
from napari_tileseg.bench.runs import labels_and_logs, labels_of, logs_of, planned
from napari_tileseg.bench.timing import in_turn, ratio, spread
from napari_tileseg.engine.settle import settle
from napari_tileseg.io.checkpoints import load_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_tileseg.bench.setup import Setup
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source

    Answer = tuple[NDArray[np.uint8], NDArray[np.float32]]

_SPEED_BAR = 4.0
_BUDGET_GB, _LEAST_GB = 3.0, 0.25


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield how many times faster mode auto is, and how near either is to the whole image."""
    if find_spec("monai") is None:
        yield skipped("speed at equal accuracy", "monai is not installed (group 'bench')")
        return
    side = 1024 if setup.quick else 4096
    image, network = real_image(setup, side), load_model(setup.model)
    peer = own_copy(network)
    settings = _without_the_whole_image(side)
    source, plan = planned(image, network, **settings)

    @torch.inference_mode()
    def monai() -> object:
        return with_monai(peer, image, 512, 0.5, plan.batch)

    actions = {"monai": monai, "engine": lambda: labels_of(plan, source, network)}
    seconds = in_turn(actions, max(1, setup.pairs - 1))
    yield Figure(
        "speed of mode auto: time of MONAI (512 px, 50 %) / time of the engine",
        ratio(seconds["monai"], seconds["engine"]),
        "",
        _SPEED_BAR,
        "higher",
        f"{side} x {side} px; {_chosen(plan, source, network)}, deciding that included; "
        f"{spread(seconds['monai'], seconds['engine'])}",
    )
    whole = _engine(image, network, {"mode": "whole", "device": "cpu", "precision": "fp32"})
    yield from _nearness(whole, _engine(image, network, settings), _monai(image, peer, plan.batch))


def _chosen(plan: Plan, source: Source, network: Network) -> str:
    """Say what mode auto comes to."""
    plan = settle(plan, source, own_copy(network))
    halo = "" if plan.halo is None else f", context {plan.halo} px"
    return f"auto is {plan.mode}, tiles of {plan.tile[0]} px{halo}, {plan.precision.value}"


def _without_the_whole_image(side: int) -> dict[str, Any]:
    """Return settings that leave the way to the engine, with too little memory for all at once."""
    share = (side / 4096) ** 2
    return {"mode": "auto", "device": "cpu", "memory_gb": max(_LEAST_GB, _BUDGET_GB * share)}


def _engine(image: NDArray[Any], network: Network, settings: dict[str, Any]) -> Answer:
    source, plan = planned(image, network, **settings, probabilities=True)
    return labels_and_logs(plan, source, network)


@torch.inference_mode()
def _monai(image: NDArray[Any], network: Network, batch: int) -> Answer:
    logits = monai_logits(network, image, 512, 0.5, batch)[0]
    return logits.argmax(0).to(torch.uint8).numpy(), logs_of(logits.softmax(0).numpy())


def _nearness(whole: Answer, engine: Answer, monai: Answer) -> Iterator[Figure]:
    """Yield the largest difference and the flipped labels of both; the engine's bar is MONAI's."""
    about = "of log-probabilities (floor 1e-7) from the whole image"
    theirs, ours = (float(np.abs(one[1] - whole[1]).max()) for one in (monai, engine))
    yield Figure(f"MONAI: max|d| {about}", theirs)
    yield Figure(f"engine: max|d| {about}", ours, bar=theirs)
    flips, ours_flipped = (int((one[0] != whole[0]).sum()) for one in (monai, engine))
    yield Figure("MONAI: labels that differ from the whole image", flips, "px")
    yield Figure("engine: labels that differ from the whole image", ours_flipped, "px", flips)
