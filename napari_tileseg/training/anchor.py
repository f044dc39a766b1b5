"""Weights that are held near those they started from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn


class Anchor:
    """Pulls weights back towards where they were (L2-SP: Li 2018, eq. 2).

    The pull is a step of its own, as the weight decay of AdamW is, so that it does not depend on
    how steep the loss is.

    Parameters
    ----------
    module
        Whose weights, as they are now.
    strength
        The share of the way back that one step of learning rate 1 goes.
    free
        Names of weights that may go anywhere.
    """

    def __init__(self, module: nn.Module, strength: float, free: Iterable[str] = ()) -> None:
        self._strength = strength
        loose = set(free)
        self._home: dict[Tensor, Tensor] = {
            weight: weight.detach().clone()
            for name, weight in module.named_parameters()
            if weight.requires_grad and name not in loose
        }

    @torch.no_grad()
    def pull(self, optimiser: torch.optim.Optimizer) -> None:
        """Go back a little, by the learning rates of an optimiser that has just taken a step."""
        for group in optimiser.param_groups:
            share = min(group["lr"] * self._strength, 1.0)
            for weight in group["params"]:
                home = self._home.get(weight)
                if home is not None and weight.grad is not None:
                    weight.lerp_(home, share)
