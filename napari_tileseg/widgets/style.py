"""The look of the dock: napari's own colours, whatever the theme."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

from napari.utils.theme import get_theme

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

_SHEET = Template("""
#stepHeader { background: $foreground; border-radius: 3px; text-align: left; padding: 0px; }
#stepHeader:hover { background: $primary; }
#stepHeader:focus { border: 1px solid $secondary; }
#stepHeader QLabel { background: transparent; }
#stepTitle { font-weight: bold; }
#dim { color: $icon; }
#fold { background: transparent; color: $icon; padding: 2px 5px; text-align: left; }
#fold:hover, #fold:focus { color: $text; }
#warning { border-left: 3px solid $warning; padding-left: 6px; }
#go { background: $current; color: $text; font-weight: bold; }
#go:hover { background: $highlight; }
#go:disabled { background: $foreground; color: $secondary; border: 0px; }
#plain:disabled { background: $foreground; color: $secondary; border: 0px; }
#notice { background: $foreground; border-radius: 3px; border-left: 3px solid $secondary; }
#notice[severity="warning"] { border-left-color: $warning; }
#notice[severity="error"] { border-left-color: $error; }
#notice QLabel { background: transparent; }
#notice #link { background: transparent; text-decoration: underline; padding: 0px 5px; }
#classRow { border-radius: 3px; border: 1px solid transparent; }
#classRow:hover { background: $foreground; }
#classRow:focus { border: 1px solid $secondary; }
#classRow[selected="true"] { background: $foreground; border: 1px solid $current; }
#classRow QLabel { background: transparent; }
#swatch { border-radius: 2px; }
#classRow #emptySwatch { border: 1px solid $icon; border-radius: 2px; }
QComboBox QLineEdit { background: transparent; padding: 0px; margin: 0px; min-height: 0px; }
#eye { background: transparent; border: 0px; image: url("theme_$id:/visibility_off.svg"); }
#eye:checked { image: url("theme_$id:/visibility.svg"); }
#eye:focus { border: 1px solid $secondary; border-radius: 2px; }
#try { background: transparent; border: 2px solid transparent; border-radius: 3px; padding: 2px; }
#try:hover { background: $foreground; }
#try:focus { border-color: $secondary; }
#try:checked { background: $foreground; border-color: $current; }
#curve { color: $icon; background: transparent; alternate-background-color: $primary;
  selection-background-color: #e08a1e; selection-color: #4a9be0; }
#verdict { background: $foreground; border-radius: 3px; border-left: 3px solid $secondary; }
#verdict[outcome="better"] { border-left-color: $current; }
#verdict[outcome="not-better"] { border-left-color: $warning; }
#verdict QLabel, #verdict QCheckBox { background: transparent; }
#versionRow { border-radius: 3px; border: 1px solid transparent; }
#versionRow[used="true"] { background: $foreground; border: 1px solid $current; }
#versionRow QLabel { background: transparent; }
#completions { background: $foreground; color: $text; border: 1px solid $secondary;
  selection-background-color: $current; selection-color: $text; }
#bar { color: $current; selection-background-color: $primary; background: transparent; }
""")


def restyle(widget: QWidget) -> None:
    """Let the style sheet look again at a widget whose properties have changed."""
    style = widget.style()
    assert style is not None, "a widget has a style once there is an application"
    style.unpolish(widget)
    style.polish(widget)


def apply_style(widget: QWidget, theme_id: str) -> None:
    """Style a widget and all in it with the colours of one of napari's themes."""
    theme = get_theme(theme_id)
    widget.setStyleSheet(_SHEET.substitute(theme.to_rgb_dict() | {"id": theme.id}))
