"""What a model that has learnt is worth, and what a person can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_tileseg.widgets.button import push_button
from napari_tileseg.widgets.line import Line
from napari_tileseg.widgets.style import restyle
from napari_tileseg.widgets.text import Text, with_units

if TYPE_CHECKING:
    from napari_tileseg.session.teach_view import TeachView
    from napari_tileseg.session.teaching import ClassFigures, Finding

_SIGNS = {"better": "✓ Better", "not better": "✗ Not better", "not proven": "? Not proven"}
_EARLY = "It was ended early; this is what it had learnt by then."


class VerdictArea(QFrame):
    """A frame that is there only while there is something to decide."""

    use_requested = Signal()
    discard_requested = Signal()
    place_requested = Signal()
    changes_requested = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("verdict")
        self._shown: Finding | None = None
        self._title = QLabel()
        self._title.setObjectName("stepTitle")
        self._sentence = Text()
        self._early = Text("dim", _EARLY)
        self._table = _Table()
        self.changes = QCheckBox()
        self.changes.setToolTip("A layer over the labels: the pixels of the view that would change")
        self.changes.clicked.connect(self.changes_requested)
        self.use = QPushButton("Use it")
        self.places = push_button(
            "Show them", "plain", "Go to the next of the places that were set aside"
        )
        self.discard = push_button(
            "Discard", "plain", "The model in use stays; what was learnt is kept in the history"
        )
        self.use.clicked.connect(self.use_requested)
        self.places.clicked.connect(self.place_requested)
        self.discard.clicked.connect(self.discard_requested)
        self._lay_out()
        self.setVisible(False)

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button in (self.use, self.places, self.discard):
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 6, 8)
        layout.setSpacing(6)
        for part in (self._title, self._sentence, self._early, self._table):
            layout.addWidget(part)
        layout.addWidget(self.changes)
        layout.addLayout(buttons)

    def show_view(self, view: TeachView) -> None:
        """Show the verdict, if there is one."""
        finding = view.finding
        self.setVisible(finding is not None)
        if finding is None:
            self._shown = None
            return
        self.changes.setText(with_units(view.changed))
        self.changes.setVisible(bool(view.changed))
        self.changes.setChecked(view.changes)
        self.use.setEnabled(view.can_use)
        if finding != self._shown:
            self._shown = finding
            self._show(finding)

    def _show(self, finding: Finding) -> None:
        better, proven = finding.outcome == "better", finding.mean is not None
        self._title.setText(_SIGNS[finding.outcome])
        self._sentence.say(_without_outcome(finding.sentence))
        self._early.setVisible(finding.early)
        self._table.show_classes(finding.classes)
        self.use.setText("Use it" if better or not proven else "Use it anyway")
        self.use.setToolTip("Segment with the new model from now on; what you vouched for stays")
        self.use.setObjectName("go" if better else "plain")
        self.places.setVisible(proven and not better)
        self.setProperty("outcome", finding.outcome.replace(" ", "-"))
        for part in (self, self.use):
            restyle(part)


class _Table(QWidget):
    """The figures of each class, before and after."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(0, 1)

    def show_classes(self, rows: tuple[ClassFigures, ...]) -> None:
        """Show a row for each class, and none if there are no figures."""
        while self._grid.count():
            item = self._grid.takeAt(0)
            widget = None if item is None else item.widget()
            if widget is not None:
                widget.deleteLater()
        self.setVisible(bool(rows))
        for column, text in enumerate(("", "Dice", "IoU") if rows else ()):
            self._put(0, column, text, "dim")
        for line, row in enumerate(rows, start=1):
            self._put(line, 0, row.name)
            self._put(line, 1, _figures(row.dice))
            self._put(line, 2, _figures(row.iou))

    def _put(self, row: int, column: int, text: str, role: str = "") -> None:
        label = QLabel(text) if column else Line(text)
        label.setObjectName(role)
        if column:
            label.setAlignment(Qt.AlignmentFlag.AlignRight)
        self._grid.addWidget(label, row, column)


def _without_outcome(sentence: str) -> str:
    """Leave out of a sentence what the title says."""
    rest = sentence.partition(": ")[2]
    return rest[:1].upper() + rest[1:]


def _figures(two: tuple[float | None, float | None]) -> str:
    if two == (None, None):
        return "not in there"
    return "\u2009→\u2009".join("–" if one is None else f"{one:.2f}" for one in two)
