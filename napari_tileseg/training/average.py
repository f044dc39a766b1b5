"""A network averaged over the last steps of its training: better than any single one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn


class Average:
    """An exponential moving average of all weights and running statistics.

    Parameters
    ----------
    module
        What is averaged, as it is now.
    decay
        The share of the average that one step leaves, once there have been many.
    kept
        The share of the weights as they are now that stays in the average for good: part of the way
        back from a small set of examples a network does better on all others (Wortsman 2022,
        eq. 1, where it is 1 - alpha).

    Attributes
    ----------
    module
        The averaged network, in evaluation mode.
    updates
        How many steps went into it.
    """

    def __init__(self, module: nn.Module, decay: float = 0.99, kept: float = 0.0) -> None:
        self.module = copy.deepcopy(module).eval()
        self._home = copy.deepcopy(self.module.state_dict()) if kept else {}
        self._decay = decay
        self._kept = kept
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the present weights; early on faster, to forget where it began."""
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        now = module.state_dict()
        for name, mean in self.module.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(self._held(name, now[name]), 1 - decay)
            else:
                mean.copy_(now[name])

    def _held(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return a weight with the share in it that stays of where it began."""
        return value.lerp(self._home[name], self._kept) if self._kept else value

    @torch.no_grad()
    def restore_buffers(self, module: nn.Module) -> None:
        """Undo what a failed step did to the running statistics of a module."""
        kept = dict(self.module.named_buffers())
        for name, buffer in module.named_buffers():
            buffer.copy_(kept[name])
