"""A network averaged over the last steps of its training: better than any single one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn


class Average:
    """An exponential moving average of all weights and running statistics.

    Attributes
    ----------
    module
        The averaged network, in evaluation mode.
    updates
        How many steps went into it.
    """

    def __init__(self, module: nn.Module, decay: float = 0.99) -> None:
        self.module = copy.deepcopy(module).eval()
        self._decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the present weights; early on faster, to forget where it began."""
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        now = module.state_dict()
        for name, mean in self.module.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(now[name], 1 - decay)
            else:
                mean.copy_(now[name])

    @torch.no_grad()
    def restore_buffers(self, module: nn.Module) -> None:
        """Undo what a failed step did to the running statistics of a module."""
        kept = dict(self.module.named_buffers())
        for name, buffer in module.named_buffers():
            buffer.copy_(kept[name])
