"""Whether what xT answers jumps where one region ends and the next begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg.bench.figures import Figure
from napari_tileseg.bench.networks import described
from napari_tileseg.bench.pixels import real_image
from napari_tileseg.bench.runs import labels_and_logs, planned
from napari_tileseg.engine.spec import Architecture
from napari_tileseg.models.registry import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_tileseg.bench.setup import Setup

_CLASSES = 3
_HALOS = (0, 32, 64)


def seams(setup: Setup) -> Iterator[Figure]:
    """Yield how far answers jump at borders of regions, against how far they do elsewhere.

    Of a network with random weights, on a real image: 1 means that nobody could tell from the
    answers where regions lie.
    """
    region = 64 if setup.quick else 256
    image = real_image(setup, 4 * region)
    for halo in _HALOS:
        torch.manual_seed(setup.seed)
        arguments = {
            **{"encoder_name": "tu-test_convnext", "in_channels": 1, "classes": _CLASSES},
            **{"region": region, "halo": halo, "width": 16},
        }
        module: Any = build(Architecture("xt", arguments))
        network = described(module.eval(), _CLASSES, region)
        source, plan = planned(
            image, network, mode="context", tile=region, probabilities=True, precision="fp32"
        )
        logs = labels_and_logs(plan, source, network)[1]
        name = f"xT: jumps at borders of regions / elsewhere, halo {halo} px"
        yield Figure(name, _jumps(logs, region))


def _jumps(logs: NDArray[np.float32], region: int) -> float:
    """Compare the differences of neighbours across borders with all others."""
    across, elsewhere = [], []
    for axis in (1, 2):
        steps = np.abs(np.diff(logs, axis=axis))
        at_border = np.arange(1, logs.shape[axis]) % region == 0
        across.append(np.compress(at_border, steps, axis=axis).mean())
        elsewhere.append(np.compress(~at_border, steps, axis=axis).mean())
    return float(np.mean(across) / np.mean(elsewhere))
