"""A text on one line, in more room and in less."""

from qtpy.QtCore import Qt

from napari_tileseg.widgets.line import Line

NAME = "axon_myelin_sem · taught 12"


def test_a_long_text_ends_in_dots_and_is_still_known_in_full(qtbot):
    line = Line(NAME)
    qtbot.addWidget(line)
    line.resize(80, 20)
    assert line.shown_text().endswith("…")
    assert line.text() == NAME
    line.resize(800, 20)
    assert line.shown_text() == NAME


def test_it_is_measured_in_the_font_it_is_painted_in(qtbot):
    line = Line(NAME, Qt.TextElideMode.ElideMiddle)
    qtbot.addWidget(line)
    line.resize(line.sizeHint().width(), 20)
    assert line.shown_text() == NAME
    line.setStyleSheet("font-size: 40px")
    line.ensurePolished()
    assert "…" in line.shown_text()
    assert line.shown_text().endswith("12")
