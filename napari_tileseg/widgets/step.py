"""One step of the dock: a header that opens and closes it and says its state in one line."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_tileseg.widgets.line import Line


class Step(QWidget):
    """A header and a body below it.

    Parameters
    ----------
    title
        One word.
    body
        What is shown while the step is open.
    is_open
        Whether it is open at first.
    """

    opened = Signal(bool)

    def __init__(self, title: str, body: QWidget, *, is_open: bool = True) -> None:
        super().__init__()
        self.header = _Header(title)
        self.body = body
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addWidget(body)
        body.setContentsMargins(18, 6, 4, 10)
        self.header.setChecked(is_open)
        self.header.toggled.connect(self._on_toggled)
        self._on_toggled(is_open)

    @property
    def is_open(self) -> bool:
        """Whether the body is shown."""
        return bool(self.header.isChecked())

    def set_open(self, is_open: bool) -> None:
        """Open or close the step."""
        self.header.setChecked(is_open)

    def set_summary(self, text: str) -> None:
        """Say the state in one line."""
        self.header.set_summary(text)

    def _on_toggled(self, is_open: bool) -> None:
        self.body.setVisible(is_open)
        self.header.show_open(is_open)
        self.opened.emit(is_open)


class _Header(QPushButton):
    """A button over the whole width: arrow, title, state."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.setObjectName("stepHeader")
        self.setCheckable(True)
        self.setAccessibleName(title)
        self.setToolTip(f"Open or close this step: {title}")
        self._arrow = QLabel()
        self._arrow.setFixedWidth(14)
        name = QLabel(title)
        name.setObjectName("stepTitle")
        self._summary = Line()
        self._summary.setObjectName("dim")
        self._summary.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._layout = layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 4, 6, 4)
        layout.setSpacing(4)
        layout.addWidget(self._arrow)
        layout.addWidget(name)
        layout.addWidget(self._summary, 1)
        for label in (self._arrow, name, self._summary):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def set_summary(self, text: str) -> None:
        if text != self._summary.text():
            self._summary.setText(text)
            self.setAccessibleDescription(text)

    def show_open(self, is_open: bool) -> None:
        self._arrow.setText("▾" if is_open else "▸")

    def sizeHint(self) -> QSize:
        return self._layout.sizeHint()

    def minimumSizeHint(self) -> QSize:
        return self._layout.minimumSize()


class Fold(QWidget):
    """What few people need: a line of text that shows or hides it."""

    def __init__(self, title: str, body: QWidget) -> None:
        super().__init__()
        self._title = title
        self.button = QPushButton()
        self.button.setObjectName("fold")
        self.button.setCheckable(True)
        self._body = body
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(body)
        self.button.toggled.connect(self._on_toggled)
        self._on_toggled(False)

    def _on_toggled(self, is_open: bool) -> None:
        self.button.setText(f"{'▾' if is_open else '▸'} {self._title}")
        self._body.setVisible(is_open)
