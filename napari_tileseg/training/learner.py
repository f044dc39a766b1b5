"""One step of learning after the other: what training from folders and teaching share."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_tileseg.engine.device import autocast, fast_precision, resolve_device
from napari_tileseg.settings import Precision
from napari_tileseg.training.average import Average
from napari_tileseg.training.depthwise import fast_depthwise
from napari_tileseg.training.losses import IGNORE, segmentation_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_tileseg.engine.network import Network
    from napari_tileseg.settings import LossSettings
    from napari_tileseg.training.anchor import Anchor

PATIENCE = 3
"""So many steps in a row that come to nothing are the end."""

_WARM_UP = 0.05
_MAX_NORM = 5.0


class Learner:
    """A copy of a network, its optimiser, and the average of its weights.

    Parameters
    ----------
    network
        Where to start; it is not changed.
    settings
        The loss.
    device, precision
        As in the settings.
    kept
        The share of the weights at the start that stays in the average.

    Attributes
    ----------
    module
        The copy that learns, float32.
    average
        The mean of its weights over the last steps.
    failures
        How many steps in a row came to what is not a number.
    class_weights, anchor
        Of the loss, and what holds the weights back; None for neither.
    """

    def __init__(
        self,
        network: Network,
        settings: LossSettings,
        device: str,
        precision: Precision,
        kept: float = 0.0,
    ) -> None:
        self.device = resolve_device(device)
        auto = precision is Precision.AUTO
        self.precision = fast_precision(self.device) if auto else precision
        module = copy.deepcopy(network.module).to(self.device, torch.float32)
        self.module: nn.Module = module.to(memory_format=torch.channels_last).train()
        self.average = Average(self.module, kept=kept)
        self.failures = 0
        self.class_weights: Tensor | None = None
        self.anchor: Anchor | None = None
        self._network = network
        self._settings = settings

    @property
    def network(self) -> Network:
        """The averaged network, which the next steps change."""
        return replace(self._network, module=self.average.module)

    def own_copy(self) -> Network:
        """Return the averaged network as it is now, on the CPU."""
        module = copy.deepcopy(self.average.module)
        module = module.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return replace(self._network, module=module)

    def step(self, images: Tensor, masks: Tensor, optimiser: torch.optim.Optimizer) -> float:
        """Take one step of the optimiser.

        Parameters
        ----------
        images
            (B, channels, H, W) float32, normalised.
        masks
            (B, H, W) class indices, 255 where nobody knows; as many pixels as the network
            answers for.

        Returns
        -------
        The loss; nan if nothing was learnt, because nothing is known or it is not a number.
        """
        if not bool((masks != IGNORE).any()):
            return math.nan
        images = images.to(self.device, memory_format=torch.channels_last)
        with autocast(self.device, self.precision), fast_depthwise(self.device, self.precision):
            logits = self._network_logits(images)
        loss = segmentation_loss(
            logits,
            masks.to(self.device),
            task=self._network.spec.task,
            settings=self._settings,
            class_weights=self.class_weights,
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), _MAX_NORM)
        if not bool(torch.isfinite(loss + norm)):
            self.failures += 1
            self.average.restore_buffers(self.module)
            return math.nan
        self.failures = 0
        optimiser.step()
        if self.anchor is not None:
            self.anchor.pull(optimiser)
        self.average.update(self.module)
        return float(loss.detach())

    def _network_logits(self, images: Tensor) -> Tensor:
        return replace(self._network, module=self.module).logits(images)


def rate(progress: float) -> float:
    """Return the learning rate as a share of the highest: a short rise, then half a cosine."""
    rising = min((progress + 0.1 * _WARM_UP) / _WARM_UP, 1.0)
    return rising * 0.5 * (1 + math.cos(math.pi * progress))
