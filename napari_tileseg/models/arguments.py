"""Arguments of architectures: what there is, and what stands in a file, of sane size."""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import CheckpointError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_LARGEST = 16384
"""No real network has more channels; a file that asks for more would eat all memory."""

_AT_MOST = {"upsampling": 64, "num_res_units": 32}
"""What costs time or memory without any weights in the file."""

_AT_LEAST_ONE = (
    "classes",
    "out_channels",
    "in_channels",
    "encoder_depth",
    "depth",
    "base_channels",
)


@dataclass(frozen=True)
class Argument:
    """One argument of an architecture, as a person reads of it.

    Attributes
    ----------
    name
        As it is written on the command line and in files.
    default
        What it is if it is not given; plain text, numbers and lists of them.
    about
        One sentence.
    choices
        The values it can have; empty if there are more than can be listed.
    required
        Whether it has to be given, so that there is no default.
    at_most
        The highest whole number it can be, from 1 on; None if it is no such number.
    """

    name: str
    default: Any
    about: str
    choices: tuple[Any, ...] = ()
    required: bool = False
    at_most: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "default": self.default,
            "about": self.about,
            "choices": list(self.choices),
            "required": self.required,
            "at_most": self.at_most,
        }


def read_arguments(words: Iterable[str]) -> dict[str, Any]:
    """Read arguments as a person writes them: classes=3, decoder_channels=[64,32], depth=4.

    Raises
    ------
    SettingsError
        If one is not of the form KEY=VALUE.
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise SettingsError(
                f"'{word}' is not of the form KEY=VALUE. Write the arguments of a network like "
                "upsampling=bilinear depth=3 decoder_channels=[64,32,16], without other spaces."
            )
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = {"None": None, "True": True, "False": False}.get(value, value)
    return found


def with_defaults(arguments: Mapping[str, Any], documented: Iterable[Argument]) -> dict[str, Any]:
    """Return the arguments that are given, and the default of every other one."""
    return {one.name: one.default for one in documented if not one.required} | dict(arguments)


def check(architecture: str, arguments: Mapping[str, Any], documented: Iterable[Argument]) -> None:
    """Raise `CheckpointError` unless all arguments are known, plain and among the choices."""
    known = {one.name: one for one in documented}
    check_names(architecture, arguments, known)
    check_values(architecture, arguments)
    for name, value in arguments.items():
        check_choice(architecture, value, known[name])


def check_choice(architecture: str, value: Any, argument: Argument) -> None:
    """Raise `CheckpointError` if an argument can only be one of a few values, and is not."""
    most = argument.at_most
    if most is not None and not (type(value) is int and 1 <= value <= most):
        raise CheckpointError(
            f"The argument {argument.name} of {architecture} is {value!r}; "
            f"it has to be a whole number from 1 to {most:,}."
        )
    # True == 1, so the types have to agree as well
    if not argument.choices or any(
        value == one and type(value) is type(one) for one in argument.choices
    ):
        return
    raise CheckpointError(
        f"The argument {argument.name} of {architecture} is {value!r}; "
        f"it can be {', '.join(map(repr, argument.choices))}."
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
                f"The argument {name} of {architecture} is {repr(value)[:80]}; "
                f"only text, numbers up to {_LARGEST:,} and lists of them can be used."
            )
    for name, most in _AT_MOST.items():
        value = arguments.get(name)
        if isinstance(value, (int, float)) and value > most:
            raise CheckpointError(
                f"The argument {name} of {architecture} is {value!r}; it can be {most} at most."
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
