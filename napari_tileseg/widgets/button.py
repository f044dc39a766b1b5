"""Buttons as the docks have them; `style` knows their roles."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton


def push_button(text: str, role: str, tooltip: str) -> QPushButton:
    """Return a button with a role: "go" for what a panel is there for, "plain" for the rest."""
    made = QPushButton(text)
    made.setObjectName(role)
    made.setToolTip(tooltip)
    return made


def link_button(text: str, tooltip: str) -> QPushButton:
    """Return a button that looks like a link, for within a message."""
    made = push_button(text, "link", tooltip)
    made.setCursor(Qt.CursorShape.PointingHandCursor)
    return made
