"""Which colour of a mask means which class."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.engine.spec import MAX_CLASSES, NOT_COMPUTED, ClassInfo
from napari_tileseg.errors import ImageError, ModelFitError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

UNKNOWN_NAMES = ("unknown", "ignore", "void")
"""What a table calls pixels that nothing is known about; they become 255."""

_SHOWN = 5
_GAP = r"[\s,;:]"
_COLOUR = rf"(?P<colour>#[0-9a-fA-F]{{6}}|\d+{_GAP}+\d+{_GAP}+\d+)"
_COLOUR_FIRST = re.compile(rf"\s*{_COLOUR}{_GAP}+(?P<name>.*[^\s,;:]){_GAP}*")
_NAME_FIRST = re.compile(rf"\s*(?P<name>.*?[^\s,;:]){_GAP}+{_COLOUR}{_GAP}*")
_COMMENT = re.compile(r"\s*(//|#(?![0-9a-fA-F]{6}\b))")


@dataclass(frozen=True)
class Entry:
    """One colour of a table: 0xRRGGBB, and the name that it stands for."""

    colour: int
    name: str

    @property
    def shown(self) -> str:
        """The colour as people write it, #rrggbb."""
        return f"#{self.colour:06x}"


class ColourTable:
    """Which colour means which class.

    Parameters
    ----------
    name
        What a person calls the table.
    entries
        In the order of the classes. Several colours may have one name, and mean the same class;
        `unknown`, `ignore` and `void` become 255.
    order
        The names of the classes in the order of their values; None takes that of the entries.

    Attributes
    ----------
    classes
        Names and colours of the classes in the table, in the order of the entries.

    Raises
    ------
    SettingsError
        If a colour is there twice, or there are no classes, or too many.
    """

    def __init__(
        self, name: str, entries: Iterable[Entry], order: Sequence[str] | None = None
    ) -> None:
        self.name = name
        self._entries = tuple(entries)
        self.classes = _classes(name, self._entries)
        names = order or [one.name for one in self.classes]
        values = {one: index for index, one in enumerate(names)}
        ordered = sorted(self._entries, key=lambda one: one.colour)
        self._colours: NDArray[np.int64] = np.array([one.colour for one in ordered])
        for one, other in pairwise(ordered):
            if one.colour == other.colour:
                raise SettingsError(
                    f"The colour {one.shown} is twice in the table '{name}'. Give each class "
                    "a colour of its own."
                )
        labels = [values.get(one.name, NOT_COMPUTED) for one in ordered]
        self._labels: NDArray[np.uint8] = np.array(labels, np.uint8)

    @classmethod
    def read(cls, path: str | Path) -> ColourTable:
        """Read a table from a text file, a class a line: colour and name, in either order.

        Parameters
        ----------
        path
            Lines such as "#ff0000 cell", "cell,255,0,0" or "255 0 0 cell". What begins with
            "//" or "# " is a comment; a first line without a colour is a heading.

        Raises
        ------
        ImageError
            If there is no such file, or it cannot be read.
        SettingsError
            If a line is something else.
        """
        path = Path(path).expanduser()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise ImageError(
                f"The colour table '{path}' cannot be read ({reason}). Check the path."
            ) from error
        return cls(path.name, _entries(path.name, text))

    def arranged(self, names: Sequence[str]) -> ColourTable:
        """Return the same table with the values that the classes of a model have.

        Parameters
        ----------
        names
            The classes of the model, in the order of its labels.

        Raises
        ------
        ModelFitError
            If the model does not know a class of the table.
        """
        strange = [one.name for one in self.classes if one.name not in names]
        if strange:
            raise ModelFitError(
                f"The table '{self.name}' names {', '.join(strange)}, but the classes of the model "
                f"are {', '.join(names)}. Give the classes in the table the names of the model."
            )
        return ColourTable(self.name, self._entries, names)

    def decode(self, colours: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
        """Turn colours into class indices.

        Parameters
        ----------
        colours
            (H, W, 3) RGB.
        name
            What a person calls the mask, for messages.

        Returns
        -------
        (H, W) class indices, 255 for unknown.

        Raises
        ------
        ModelFitError
            If there are colours that are not in the table: the most frequent ones are named,
            each with its count and the nearest class.
        """
        channels = colours.astype(np.int64)
        found = (channels[..., 0] << 16) | (channels[..., 1] << 8) | channels[..., 2]
        places = np.searchsorted(self._colours, found).clip(max=len(self._colours) - 1)
        strange = found[self._colours[places] != found]
        if strange.size:
            raise ModelFitError(self._complaint(strange, name))
        labels: NDArray[np.uint8] = self._labels[places]
        return labels

    def _complaint(self, strange: NDArray[np.int64], name: str) -> str:
        values, counts = np.unique(strange, return_counts=True)
        most = np.argsort(-counts, kind="stable")
        shown = [
            f"#{values[at]:06x} ({counts[at]:,} px, nearest: {self.nearest(int(values[at]))})"
            for at in most[:_SHOWN]
        ]
        more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
        colours = "a colour" if len(values) == 1 else f"{len(values)} colours"
        return (
            f"'{name}' holds {colours} not in the table '{self.name}', in {len(strange):,} of its "
            f"pixels: {'; '.join(shown)}{more}. Add to the table what is missing; shades near a "
            "class come from smoothing or JPEG: save the mask as PNG without it."
        )

    def nearest(self, colour: int) -> str:
        """Return the name of the class whose colour is nearest to 0xRRGGBB, and that colour."""

        def distance(one: Entry) -> int:
            return sum((a - b) ** 2 for a, b in zip(_rgb(one.colour), _rgb(colour), strict=True))

        best = min(self._entries, key=distance)
        return f"{best.name} {best.shown}"


def _rgb(colour: int) -> tuple[int, int, int]:
    return colour >> 16, (colour >> 8) & 255, colour & 255


def _classes(name: str, entries: tuple[Entry, ...]) -> tuple[ClassInfo, ...]:
    first: dict[str, str] = {}
    for one in entries:
        if one.name.lower() not in UNKNOWN_NAMES:
            first.setdefault(one.name, one.shown)
    if not 1 <= len(first) <= MAX_CLASSES:
        raise SettingsError(
            f"The table '{name}' names {len(first)} classes; it has to be 1 to {MAX_CLASSES}. "
            "Write a line for each, like: #ff0000 cell"
        )
    return tuple(ClassInfo(one, colour) for one, colour in first.items())


def _entries(table: str, text: str) -> Iterable[Entry]:
    lines = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not _COMMENT.match(line)
    ]
    for index, (number, line) in enumerate(lines):
        entry = _entry(line)
        if entry is not None:
            yield entry
        elif index or any(one.isdigit() for one in line):  # else a heading: name,r,g,b
            raise SettingsError(
                f"Line {number} of the table '{table}' is '{line}'; it has to be a colour and "
                "a name, like: #ff0000 cell, or: cell,255,0,0"
            )


def _entry(line: str) -> Entry | None:
    """Read one line; None if it is no colour with a name, or can be read in two ways."""
    found = [one for one in (_COLOUR_FIRST.fullmatch(line), _NAME_FIRST.fullmatch(line)) if one]
    if len(found) != 1:
        return None
    colour, name = found[0]["colour"], found[0]["name"].strip("\"'")
    if colour.startswith("#"):
        return Entry(int(colour[1:], 16), name)
    red, green, blue = (int(one) for one in re.split(rf"{_GAP}+", colour))
    if max(red, green, blue) > 255:
        return None
    return Entry((red << 16) | (green << 8) | blue, name)
