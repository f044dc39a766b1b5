"""Test-time augmentation: the network sees each tile flipped and turned too, and the mean counts.

All variants of a batch of tiles go through the network at once. Their answers are turned back
and added in pairs, pairs of pairs and so on: a fixed order for each pixel, whatever else is in
the batch, and one in which equal answers add up without rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_tileseg.engine.spec import Task
from napari_tileseg.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_tileseg.engine.network import Network

Run = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Variant:
    """One way to look at a tile: some axes flipped, then perhaps Y and X exchanged.

    Attributes
    ----------
    flipped
        Axes counted from the last: -1 is X, -2 is Y, -3 is Z.
    transposed
        Whether Y and X are exchanged.
    """

    flipped: tuple[int, ...] = ()
    transposed: bool = False

    def apply(self, tiles: torch.Tensor) -> torch.Tensor:
        """Turn tiles (B, channels, *spatial) into this variant of them."""
        turned = tiles.flip(self.flipped) if self.flipped else tiles
        return turned.transpose(-2, -1) if self.transposed else turned

    def undo(self, answer: torch.Tensor) -> torch.Tensor:
        """Turn the answer to this variant back, (B, outputs, *spatial)."""
        turned = answer.transpose(-2, -1) if self.transposed else answer
        return turned.flip(self.flipped) if self.flipped else turned


def variants(tta: str, spatial_dims: int) -> tuple[Variant, ...]:
    """Return the ways in which each tile is looked at, the tile itself first.

    Parameters
    ----------
    tta
        "none"; "flips", every combination of flipped axes: 2, 4 or 8 variants in 1-D, 2-D or
        3-D; "d4", the 8 symmetries of a square in Y and X (in 1-D the same as "flips").
    spatial_dims
        1, 2 or 3.

    Raises
    ------
    SettingsError
        If there is no such way.
    """
    if tta == "none":
        return (Variant(),)
    if tta not in ("flips", "d4"):
        raise SettingsError(f"'{tta}' is no test-time augmentation. There are: none, flips, d4.")
    square = tta == "d4" and spatial_dims > 1
    axes = range(-2 if square else -spatial_dims, 0)
    return tuple(
        Variant(tuple(axis for axis, flip in zip(axes, flips, strict=True) if flip), transposed)
        for transposed in ((False, True) if square else (False,))
        for flips in product((False, True), repeat=len(axes))
    )


def averaged(
    run: Run,
    tiles: torch.Tensor,
    looks: Sequence[Variant],
    network: Network,
    *,
    mean: str = "logits",
    at_once: int | None = None,
) -> torch.Tensor:
    """Run a network on all variants of some tiles.

    Parameters
    ----------
    run
        From normalised tiles (N, channels, *spatial) to logits (N, outputs, *spatial).
    tiles
        (B, channels, *spatial) float32, normalised.
    looks
        What `variants` returns. Variants of one shape go through the network together; those
        that exchange the sides of tiles that are not square go by themselves.
    network
        Knows whether its logits are of one class among several or of each class by itself.
    mean
        "logits", or "probabilities": then the result is the logits of the mean probability.
    at_once
        How many tiles `run` is given at most, variants counted; all of them if None.

    Returns
    -------
    (B, outputs, *spatial) float32 logits, finite where those of the network are.

    Raises
    ------
    SettingsError
        If `mean` is something else.
    """
    if mean not in ("logits", "probabilities"):
        raise SettingsError(f"'{mean}' cannot be averaged. There are: logits, probabilities.")
    if len(looks) == 1:
        return looks[0].undo(_in_parts(run, looks[0].apply(tiles), at_once))
    answers = _answers(run, tiles, looks, at_once)
    if mean == "logits":
        return _sum_in_pairs(answers) / len(looks)
    if network.spec.task is Task.MULTICLASS:
        return _log_mean([functional.log_softmax(one, dim=1) for one in answers])
    return _log_mean([functional.logsigmoid(one) for one in answers]) - _log_mean(
        [functional.logsigmoid(-one) for one in answers]
    )


def _answers(
    run: Run, tiles: torch.Tensor, looks: Sequence[Variant], at_once: int | None
) -> list[torch.Tensor]:
    """Return the logits of each variant, turned back, in the order of the variants."""
    shown = [look.apply(tiles) for look in looks]
    found: dict[int, torch.Tensor] = {}
    for shape in dict.fromkeys(one.shape for one in shown):
        alike = [index for index, one in enumerate(shown) if one.shape == shape]
        logits = _in_parts(run, torch.cat([shown[index] for index in alike]), at_once)
        found.update(zip(alike, torch.split(logits, len(tiles)), strict=True))
    return [look.undo(found[index]) for index, look in enumerate(looks)]


def _in_parts(run: Run, tiles: torch.Tensor, at_once: int | None) -> torch.Tensor:
    if at_once is None or len(tiles) <= at_once:
        return run(tiles)
    return torch.cat([run(part) for part in torch.split(tiles, at_once)])


def _sum_in_pairs(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    while len(parts) > 1:
        parts = [left + right for left, right in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _log_mean(logs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the logarithm of the mean of numbers that are given by their logarithms."""
    highest = logs[0]
    for one in logs[1:]:
        highest = torch.maximum(highest, one)
    total = _sum_in_pairs([(one - highest).exp() for one in logs])
    return highest + (total / len(logs)).log()
