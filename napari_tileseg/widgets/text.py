"""Labels that wrap: a text that is not there takes no room."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

if TYPE_CHECKING:
    from collections.abc import Iterable


class Text(QLabel):
    """A wrapping text in one of the roles of the style sheet: "", "dim", "warning"."""

    def __init__(self, role: str = "", text: str = "") -> None:
        super().__init__()
        self.setObjectName(role)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setVisible(False)
        self.say(text)

    def say(self, text: str) -> None:
        """Show a text, or nothing at all if it is empty."""
        if text != self.text():
            self.setText(text)
            self.setVisible(bool(text))


def chips(classes: Iterable[tuple[str, str]]) -> str:
    """Write classes as rich text: a swatch and a name for each (name, colour)."""
    parts = []
    for name, colour in classes:
        # black stands for "transparent", which a filled black square would not say
        swatch = "□" if colour == "#000000" else f'<span style="color:{colour}">■</span>'
        parts.append(f'<span style="white-space:nowrap">{swatch}&nbsp;{escape(name)}</span>')
    return " &nbsp; ".join(parts)
