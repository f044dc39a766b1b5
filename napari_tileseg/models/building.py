"""Networks of other libraries, made and tried out: what cannot work is told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

_LONGEST = 300

BUILD_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What libraries raise when they are given arguments that do not fit each other."""


def built(
    name: str,
    arguments: Mapping[str, Any],
    make: Callable[[], nn.Module],
    sizes_of: Callable[[nn.Module], tuple[Any, Any]],
    contradicting: str,
) -> nn.Module:
    """Make a network in evaluation mode, and see that it answers for every pixel it is shown.

    Parameters
    ----------
    name, arguments
        What is made, for messages.
    make
        Makes it.
    sizes_of
        Runs a small tile through it; returns the tile's size in pixels and the answer's.
    contradicting
        Which arguments contradict each other if the two are not the same, for the message.

    Raises
    ------
    CheckpointError
        If it cannot be made or run, takes far too much memory, or answers for more or less
        than the tile.
    """
    from napari_tileseg.models.bounded import Bounded

    try:
        module = make().eval()
        with Bounded(name):
            tile, answer = sizes_of(module)
    except BUILD_ERRORS as error:
        given = ", ".join(f"{name}={_short(value)}" for name, value in arguments.items())
        why = str(error).strip().rstrip(".")[:_LONGEST]
        raise CheckpointError(
            f"{name} cannot be built with {given}: {why}. "
            "Give the arguments that the network was trained with."
        ) from error
    if answer != tile:
        raise CheckpointError(
            f"{name} would answer with {answer} px for a tile of {tile} px. {contradicting} "
            "contradict each other; give those that the network was trained with."
        )
    return module


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
