"""Half precision, but only where it is harmless on this image and faster on this device."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_tileseg.engine.device import fast_precision
from napari_tileseg.engine.doubt import margins
from napari_tileseg.engine.folding import folded
from napari_tileseg.engine.forward import Forward
from napari_tileseg.engine.half_decoder import computing_in, has_encoder
from napari_tileseg.engine.normalise import scaling_for
from napari_tileseg.engine.reading import read_tile
from napari_tileseg.engine.tiles import Tile, round_up
from napari_tileseg.settings import Mode, Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.normalise import Scaling
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source

_LOG = logging.getLogger(__name__)

_WORTHWHILE_TILES = 32
"""Shorter runs are over before a comparison would pay."""

_SAMPLES = 8
_SAMPLE_PX = 192
_AGREEMENT = 0.995
_NEAR_TIE = 0.1


@dataclass(frozen=True)
class Comparison:
    """Half precision against full precision on a few pieces of one image.

    Attributes
    ----------
    agreement
        Share of pixels with the same label.
    margin
        Median difference between the two highest probabilities, in full precision, where
        labels differ; 0 if none does.
    speed_up
        How many times faster half precision is.
    """

    agreement: float
    margin: float
    speed_up: float

    @property
    def flips(self) -> float:
        """Share of pixels with another label."""
        return 1 - self.agreement

    def harmless(self, agreement: float) -> bool:
        """Whether labels hardly change, and only where the network is undecided anyway."""
        return self.agreement >= agreement and self.margin <= _NEAR_TIE


def resolved_precision(
    plan: Plan, source: Source, network: Network, scaling: Scaling | None = None
) -> tuple[Plan, Comparison | None]:
    """Return the plan with its precision decided, and what speaks for it if it is a half one.

    What was asked for is taken without a comparison.
    """
    if plan.precision is not Precision.AUTO:
        return plan, None
    candidates = _candidates(plan.device, network)
    if not candidates or plan.mode is Mode.EXACT or plan.n_tiles < _WORTHWHILE_TILES:
        return replace(plan, precision=Precision.FP32), None
    if scaling is None:
        spec = network.spec
        scaling = scaling_for(source, spec.normalisation, plan.channels, spec.name)
    chosen, found = _chosen(plan, source, network, scaling, candidates)
    return replace(plan, precision=chosen), found


def _candidates(device: torch.device, network: Network) -> list[Precision]:
    """Return the number formats that may be worth it, the fastest first."""
    half = fast_precision(device)
    if half is Precision.FP32:
        return []
    return [half, Precision.BF16_DECODER] if has_encoder(network) else [half]


def _chosen(
    plan: Plan,
    source: Source,
    network: Network,
    scaling: Scaling,
    candidates: Sequence[Precision],
) -> tuple[Precision, Comparison | None]:
    pieces = _pieces(plan, source, network)
    network = folded(network)
    full = Forward(network, scaling, plan.device, Precision.FP32)
    required = _required_agreement(plan)
    for candidate in candidates:
        half = Forward(computing_in(network, candidate), scaling, plan.device, candidate)
        found = compare([full, half], network, pieces, required)
        taken = found.harmless(required) and found.speed_up > 1
        _LOG.info(
            "%s is %s: it agrees with fp32 on %.2f %% of pixels (median margin where not: %.3f) "
            "and is %.2f times as fast",
            candidate,
            "chosen" if taken else "not chosen",
            100 * found.agreement,
            found.margin,
            found.speed_up,
        )
        if taken:
            return candidate, found
    return Precision.FP32, None


def _required_agreement(plan: Plan) -> float:
    """Hold precision to what was promised: cropped tiles keep a tolerance, blended ones do not."""
    return max(_AGREEMENT, 1 - plan.tolerance) if plan.mode.crops else _AGREEMENT


def compare(
    full_and_half: Sequence[Forward],
    network: Network,
    pieces: Sequence[NDArray[np.generic]],
    required: float = 0.0,
) -> Comparison:
    """Run the same pieces (1, channels, *spatial) in both precisions, in turn.

    It ends early when the share of equal labels that is required cannot be reached any more.
    """
    equal, pixels, undecided = 0, 0, []
    seconds: list[list[float]] = [[], []]
    for forward in full_and_half:
        forward(torch.from_numpy(pieces[0]))
    for piece in pieces:
        answers = []
        for forward, times in zip(full_and_half, seconds, strict=True):
            start = time.perf_counter()
            answers.append(network.evidence(forward(torch.from_numpy(piece))[0]).cpu())
            times.append(time.perf_counter() - start)
        labels = [network.decide(answer) for answer in answers]
        differ = labels[0] != labels[1]
        equal += int((~differ).sum())
        pixels += differ.numel()
        undecided.append(margins(network, answers[0])[differ])
        if pixels - equal > (1 - required) * differ.numel() * len(pieces):
            break
    flipped = torch.cat(undecided)
    margin = float(flipped.median()) if len(flipped) else 0.0
    full, half = (float(np.median(times)) for times in seconds)
    return Comparison(equal / pixels, margin, full / half)


def _pieces(plan: Plan, source: Source, network: Network) -> list[NDArray[np.generic]]:
    """Read pieces spread over all planes and tiles."""
    planes = list(np.ndindex(*plan.leading_shape))
    sides = [min(length, round_up(_SAMPLE_PX, network.spec.stride)) for length in plan.tile]
    pieces = []
    for share in np.linspace(0.1, 0.9, _SAMPLES):
        tile = plan.grid[int(share * len(plan.grid))]
        plane = planes[int(share * len(planes))]
        outer = tuple(
            slice(part.start, part.start + side)
            for part, side in zip(tile.outer, sides, strict=True)
        )
        piece = Tile(tile.index, outer, outer)
        pieces.append(read_tile(source, plane, piece, plan.channels, plan.margin)[None])
    return pieces
