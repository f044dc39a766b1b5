"""Labels that wrap: a text that is not there takes no room."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

if TYPE_CHECKING:
    from collections.abc import Iterable


_MOST_CHIPS = 8
"""The class list names them all."""


class Text(QLabel):
    """A wrapping text in one of the roles of the style sheet: "", "dim", "warning"."""

    def __init__(self, role: str = "", text: str = "") -> None:
        super().__init__()
        self.setObjectName(role)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setVisible(False)
        self._said = ""
        self.say(text)

    def say(self, text: str) -> None:
        """Show a text, or nothing at all if it is empty."""
        if text != self._said:
            self._said = text
            self.setText(breakable(text))
            self.setVisible(bool(text))


def breakable(text: str) -> str:
    """Let long file names wrap after "_", "-", "." and "/", so that none is cut off."""
    return re.sub(r"(?<=\w)([_\-./\\])(?=\w)", "\\1\u200b", text)


def with_units(text: str) -> str:
    """Keep each number on one line with its unit: "2 %", "234 MB"."""
    return re.sub(r"(?<=\d) (?=[%A-Za-zµ])", "\u00a0", text)


def chips(classes: Iterable[tuple[str, str]]) -> str:
    """Write classes as rich text: a swatch and a name for each (name, colour)."""
    listed = list(classes)
    parts = []
    for name, colour in listed[:_MOST_CHIPS]:
        # black stands for "transparent", which a filled black square would not say
        swatch = "□" if colour == "#000000" else f'<span style="color:{colour}">■</span>'
        parts.append(f"{swatch}&nbsp;{escape(name).replace(' ', '&nbsp;')}")
    if len(listed) > _MOST_CHIPS:
        parts.append(f"and&nbsp;{len(listed) - _MOST_CHIPS}&nbsp;more")
    return " &nbsp; ".join(parts)
