"""What was found out about weights from their names and shapes, and what cannot be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Shapes = dict[str, tuple[int, ...]]
"""The shape of each tensor of a state dict, by its name."""


NORMALISATION = "normalisation"
"""What a person can say besides the arguments of a network: which intensities it expects."""


@dataclass(frozen=True)
class Unseen:
    """Something that leaves no trace in names and shapes.

    Attributes
    ----------
    argument
        The argument of the architecture that says it; empty if it can be nothing else here.
    words
        What it is, in words for a person.
    assumed
        The value that is used until somebody says otherwise.
    choices
        Values that it can have instead; empty if any number will do.
    """

    argument: str
    words: str
    assumed: Any
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Recognised:
    """An architecture that weights fit exactly.

    Attributes
    ----------
    name, arguments
        How the registry builds it; arguments that cannot be seen are left at what is assumed.
    sources
        For each tensor of the network, the name that it has in the file.
    unseen
        What else may differ, though the weights would fit all the same.
    called
        What it is called in a sentence; its name if empty.
    """

    name: str
    arguments: dict[str, Any]
    sources: Mapping[str, str] = field(repr=False, default_factory=dict)
    unseen: tuple[Unseen, ...] = ()
    called: str = ""

    def in_words(self) -> str:
        """Say what it is, such as "smp.Unet with resnet34, 3 channels, 4 outputs"."""
        encoder = self.arguments.get("encoder_name")
        name = self.called or self.name
        parts = [
            f"{name} with {encoder}" if encoder else name,
            _counted(self.arguments.get("in_channels", 3), "channel"),
            _counted(self.arguments.get("classes", 1), "output"),
        ]
        return ", ".join(parts)

    def assumptions(self, given: Collection[str] = (), *, named: bool = False) -> str:
        """Say in one sentence what the weights do not tell, and what is taken for it.

        Parameters
        ----------
        given
            Arguments that a person has said.
        named
            Whether a person has named the classes.
        """
        told = [
            f"{one.words} ({_shown(one.assumed)} is assumed)"
            for one in self.unseen
            if one.argument not in given
        ]
        if NORMALISATION not in given:
            told.append("which intensities it expects (the usual ones are assumed)")
        if not named:
            told.append("what its classes are called")
        if not told:
            return ""
        listed = f"{', '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else told[0]
        return (
            f"The file does not say {listed}."
            if self.called
            else f"The weights do not say {listed}."
        )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return {None: "the usual", True: "yes", False: "no"}.get(value, str(value))
