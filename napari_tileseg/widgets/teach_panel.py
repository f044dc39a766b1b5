"""Step 4: mark what is right, teach the model, and decide whether what it learnt is used."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_tileseg.settings import TeachSettings
from napari_tileseg.widgets.button import push_button
from napari_tileseg.widgets.curve import Curve
from napari_tileseg.widgets.form import SettingsForm
from napari_tileseg.widgets.progress_bar import ProgressBar
from napari_tileseg.widgets.save_model import ask_where
from napari_tileseg.widgets.step import Fold
from napari_tileseg.widgets.text import Text, with_units
from napari_tileseg.widgets.verdict import VerdictArea
from napari_tileseg.widgets.version_list import VersionList

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QShowEvent

    from napari_tileseg.session import View
    from napari_tileseg.session.teach_view import TeachView


class TeachPanel(QWidget):
    """Shows what there is to learn from and how it goes, and announces what is wanted."""

    next_place_requested = Signal()
    mark_view_requested = Signal()
    mark_region_requested = Signal()
    settings_requested = Signal(object)
    teach_requested = Signal()
    stop_requested = Signal()
    layers_requested = Signal(bool, bool)
    save_requested = Signal(str, bool)

    def __init__(self) -> None:
        super().__init__()
        self.next_place = push_button(
            "Next place",
            "plain",
            "Go where the model is least sure, and nobody has reviewed yet: corrections there "
            "teach it most",
        )
        self.mark_view = push_button(
            "Mark view as reviewed",
            "plain",
            "All labels on screen are right: they are kept through every run, learnt from, "
            "and a part of them judges what was learnt",
        )
        self.mark_region = push_button(
            "Mark region",
            "plain",
            "Then drag a rectangle around labels that are right, or click around them; "
            "a second click on this button ends that",
        )
        self.mark_region.setCheckable(True)
        self._readiness = Text()
        self._problem = Text("warning")
        self.form: SettingsForm[TeachSettings] = SettingsForm(
            TeachSettings(), choices={"device": [("auto", "Automatic")]}
        )
        self.teach = push_button(
            "Teach", "go", "Let the model learn what you corrected and reviewed"
        )
        self.cancel = push_button(
            "Cancel", "plain", "End the learning; the best weights so far are kept and compared"
        )
        self.bar = ProgressBar()
        self._progress = QLabel()
        self.curve = Curve()
        self.preview = QCheckBox("Show what it thinks of the view")
        self.preview.setToolTip("Outlines over the labels, every few seconds; they change nothing")
        self.verdict = VerdictArea()
        self.versions = VersionList()
        self.save = push_button(
            "Save model as …", "plain", "Write the model in use to a file that can be loaded again"
        )
        self._suggested = "model"
        self._connect()
        self._lay_out()

    def _connect(self) -> None:
        self.next_place.clicked.connect(self.next_place_requested)
        self.mark_view.clicked.connect(self.mark_view_requested)
        self.mark_region.clicked.connect(self._on_mark_region)
        self.form.settings_requested.connect(self.settings_requested)
        self.form.problem_found.connect(self._problem.say)
        self.teach.clicked.connect(self.teach_requested)
        self.cancel.clicked.connect(self.stop_requested)
        self.preview.clicked.connect(self._on_layers)
        self.verdict.changes_requested.connect(self._on_layers)
        self.save.clicked.connect(self._on_save)

    def _lay_out(self) -> None:
        marks = QHBoxLayout()
        marks.setSpacing(6)
        marks.addWidget(self.mark_view, 3)
        marks.addWidget(self.mark_region, 2)
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        buttons.addWidget(self.teach, 1)
        buttons.addWidget(self.cancel, 1)
        self._settings = QWidget()
        settings = QVBoxLayout(self._settings)
        settings.setContentsMargins(0, 0, 0, 0)
        settings.addWidget(self.form.main)
        settings.addWidget(Fold("Advanced", self.form.advanced))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.next_place)
        layout.addLayout(marks)
        for part in (self._readiness, self._settings, self._problem):
            layout.addWidget(part)
        layout.addLayout(buttons)
        for part in (self.bar, self._progress, self.curve, self.preview, self.verdict):
            layout.addWidget(part)
        layout.addWidget(self.versions)
        layout.addWidget(self.save)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Line up the rows now that the fonts are known."""
        super().showEvent(event)
        self.form.align()

    def show_devices(self, choices: Sequence[tuple[str, str]]) -> None:
        """List the devices a model can learn on as (value, label), "auto" first."""
        self.form.field("device").set_options(choices)

    def show_marking(self, on: bool) -> None:
        """Say whether the mouse marks regions now."""
        self.mark_region.setChecked(on)

    def show_view(self, view: View) -> None:
        """Show marks, settings, progress, verdict and versions."""
        known = view.teach
        self._suggested = PurePath(view.origin or "model").name.removesuffix(".safetensors")
        self.next_place.setEnabled(known.can_mark)
        self.mark_view.setEnabled(known.can_mark)
        self.mark_region.setEnabled(known.can_mark)
        self.form.show(known.settings)
        deciding = known.finding is not None
        self._settings.setVisible(not known.teaching and not deciding)
        self._readiness.say("" if deciding or known.teaching else known.readiness)
        self._problem.say(known.problem)
        self.teach.setVisible(not known.teaching and not deciding)
        self.teach.setEnabled(known.can_teach)
        self.cancel.setVisible(known.teaching)
        self.cancel.setEnabled(known.can_stop)
        self._show_progress(known)
        self.verdict.show_view(known)
        self.versions.show_view(known)
        self.save.setVisible(bool(known.versions))
        self.save.setEnabled(known.can_save)

    def _show_progress(self, known: TeachView) -> None:
        self.bar.setVisible(known.teaching)
        self.bar.set_share(known.progress)
        self._progress.setText(with_units(known.progress_text))
        self._progress.setVisible(known.teaching)
        self.curve.show_points(known.points)
        self.curve.setVisible(known.teaching or known.finding is not None)
        self.preview.setVisible(known.teaching)
        self.preview.setChecked(known.preview)

    def _on_mark_region(self, checked: bool) -> None:
        # whether the mouse marks now is said by whoever decides it
        self.mark_region.setChecked(not checked)
        self.mark_region_requested.emit()

    def _on_layers(self) -> None:
        self.layers_requested.emit(self.preview.isChecked(), self.verdict.changes.isChecked())

    def _on_save(self) -> None:
        path, as_folder = ask_where(self, self._suggested)
        if path:
            self.save_requested.emit(path, as_folder)
