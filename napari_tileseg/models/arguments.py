"""Arguments of architectures as they stand in a file: plain, known and of sane size."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_LARGEST = 16384
"""No real network has more channels; a file that asks for more would eat all memory."""

_AT_LEAST_ONE = (
    "classes",
    "out_channels",
    "in_channels",
    "encoder_depth",
    "depth",
    "base_channels",
)


def check_names(architecture: str, arguments: Mapping[str, Any], allowed: Collection[str]) -> None:
    """Raise `CheckpointError` naming the arguments that the architecture does not have."""
    unknown = sorted(arguments.keys() - set(allowed))
    if not unknown:
        return
    near = get_close_matches(unknown[0], sorted(allowed), n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise CheckpointError(
        f"{architecture} has no argument {', '.join(map(repr, unknown))}.{hint} "
        f"It has: {', '.join(sorted(allowed))}."
    )


def check_values(architecture: str, arguments: Mapping[str, Any]) -> None:
    """Raise `CheckpointError` if a value is not plain or a number is out of all proportion."""
    for name, value in arguments.items():
        if not _is_plain(value):
            raise CheckpointError(
                f"The argument {name} of {architecture} is {value!r}; "
                f"only text, numbers up to {_LARGEST:,} and lists of them can be used."
            )
    for name in _AT_LEAST_ONE:
        value = arguments.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(
                f"The argument {name} of {architecture} is {value!r}; "
                "it has to be a whole number from 1 on."
            )


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= 64 and all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(part) for key, part in value.items())
    if isinstance(value, (int, float)):
        return abs(value) <= _LARGEST
    return value is None or isinstance(value, str)
