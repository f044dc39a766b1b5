"""A network that is tried out must not take more memory than a small tile is worth."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from napari_tileseg.errors import CheckpointError

_MOST = 2**26
"""So many numbers one array of a trial may hold: 256 MB of float32."""


class Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, no step of a network may answer with an array that is too large.

    How large the answer will be is found out before, from the shapes alone.

    Parameters
    ----------
    name
        What is tried out, for the message.

    Raises
    ------
    CheckpointError
        Instead of making such an array.
    """

    def __init__(self, name: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._name = name

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute one step, if its answer is small enough."""
        kwargs = kwargs or {}
        largest = _largest_answer(func, args, kwargs)
        if largest > _MOST:
            raise CheckpointError(
                f"{self._name} with these arguments takes an array of {largest:,} numbers for one "
                "small tile. Check its arguments; a file that asks for this may be harmful."
            )
        return func(*args, **kwargs)


def _largest_answer(func: Any, args: Any, kwargs: Any) -> int:
    """Return how many numbers the largest array of an answer has; 0 if shapes do not tell."""
    given = (args, kwargs)
    if not any(isinstance(one, torch.Tensor) for one in tree_leaves(given)):
        return 0
    shapes = tree_map_only(torch.Tensor, lambda one: torch.empty_like(one, device="meta"), given)
    try:
        answer = func(*shapes[0], **shapes[1])
    except RuntimeError:  # a step that cannot be told without numbers
        return 0
    sizes = (one.numel() for one in tree_leaves(answer) if isinstance(one, torch.Tensor))
    return max(sizes, default=0)
