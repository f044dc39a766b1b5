"""Speed on the same tiles against the tools that others use."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from napari_tileseg.bench.figures import Figure, skipped
from napari_tileseg.bench.networks import own_copy
from napari_tileseg.bench.other_tools import TOOLS
from napari_tileseg.bench.pixels import real_image
from napari_tileseg.bench.quality import miou_figures
from napari_tileseg.bench.runs import labels_of, planned
from napari_tileseg.bench.timing import in_turn, ratio, spread
from napari_tileseg.engine.device import fast_precision
from napari_tileseg.engine.settle import settle
from napari_tileseg.io.checkpoints import load_model
from napari_tileseg.settings import Precision

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_tileseg.bench.setup import Setup
    from napari_tileseg.engine.network import Network

_FP32_BAR, _AUTO_BAR, _AGREEMENT_BAR = 1.15, 2.2, 99.5


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield how many times faster the engine is, and what automatic precision changes."""
    side = 1024 if setup.quick else 2048
    image, network = real_image(setup, side), load_model(setup.model)
    settings = {"tile": 512, "overlap": 0.5, "blend": "gaussian", "device": "cpu"}
    source, plan = planned(image, network, **settings, precision="fp32")
    automatic = settled_precision(image, own_copy(network), settings)
    kept: dict[str, NDArray[np.uint8]] = {}

    def engine(name: str, precision: Precision) -> Any:
        mine, how = own_copy(network), replace(plan, precision=precision)
        return lambda: kept.__setitem__(name, labels_of(how, source, mine))

    actions = {"fp32": engine("fp32", Precision.FP32), "auto": engine("auto", Precision.AUTO)}
    for name, tool in TOOLS.items():
        if find_spec(name) is None:
            yield skipped(f"speed against {name}", "it is not installed (group 'bench')")
            continue
        actions[name] = _with_tool(tool, own_copy(network), image, plan.batch, kept, name)
    seconds = in_turn(actions, setup.pairs)
    about = f"{side} x {side} px, {plan.n_tiles} tiles of 512 px, overlap 50 %, batch {plan.batch}"
    peers = [name for name in TOOLS if name in actions]
    for name in peers:
        yield _speed(seconds, name, "fp32", _FP32_BAR, about)
    half = fast_precision(plan.device) is not Precision.FP32
    for name in peers:
        how = f"automatic precision chose {automatic.value}, that included; {about}"
        yield _speed(seconds, name, "auto", _AUTO_BAR if half else None, how)
    yield from _agreement(kept, automatic)
    yield from miou_figures(setup, network, automatic)


def settled_precision(image: Any, network: Network, settings: dict[str, Any]) -> Precision:
    """Return what automatic precision comes to on this image."""
    source, plan = planned(image, network, **settings)
    return settle(plan, source, network).precision


def _with_tool(
    tool: Any,
    network: Network,
    image: NDArray[Any],
    batch: int,
    kept: dict[str, NDArray[np.uint8]],
    name: str,
) -> Any:
    def run() -> None:
        with torch.inference_mode():
            kept[name] = tool(network, image, 512, 0.5, batch)

    return run


def _speed(
    seconds: dict[str, list[float]], peer: str, ours: str, bar: float | None, about: str
) -> Figure:
    return Figure(
        f"speed in {ours}: time of {peer} / time of the engine",
        ratio(seconds[peer], seconds[ours]),
        bar=bar,
        better="higher",
        note=f"{spread(seconds[peer], seconds[ours])}; {about}",
    )


def _agreement(kept: dict[str, NDArray[np.uint8]], automatic: Precision) -> Iterator[Figure]:
    for name, labels in kept.items():
        if name == "fp32":
            continue
        same = 100 * float((labels == kept["fp32"]).mean())
        bar = _AGREEMENT_BAR if name == "auto" else None
        yield Figure(
            f"same labels in {automatic.value} as in fp32"
            if name == "auto"
            else f"same labels as {name}, in fp32",
            same,
            "%",
            bar,
            "higher",
        )
