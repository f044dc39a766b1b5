"""Step 3: how the image is cut and merged, and the run itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_tileseg.session import State
from napari_tileseg.settings import Mode, RunSettings
from napari_tileseg.widgets.button import push_button
from napari_tileseg.widgets.form import SettingsForm
from napari_tileseg.widgets.progress_bar import ProgressBar
from napari_tileseg.widgets.step import Fold
from napari_tileseg.widgets.text import Text, with_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QShowEvent

    from napari_tileseg.session import View

_CROPPING = tuple(mode for mode in Mode if mode.crops)
_WITHOUT = {
    "tile": (Mode.WHOLE,),
    "overlap": (Mode.WHOLE, *_CROPPING),
    "blend": (Mode.WHOLE, *_CROPPING),
    "tolerance": (Mode.WHOLE, Mode.BLEND, Mode.EXACT, Mode.FROZEN_NORM, Mode.CONTEXT),
}
"""The settings that mean nothing in some modes."""


class RunPanel(QWidget):
    """Shows the settings and the progress of a run and announces what is wanted of it."""

    settings_requested = Signal(object)
    run_requested = Signal()
    run_view_requested = Signal()
    pause_requested = Signal()
    resume_requested = Signal()
    cancel_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.form: SettingsForm[RunSettings] = SettingsForm(
            RunSettings(),
            leave_out=("channels",),
            choices={"device": [("auto", "Automatic")]},
            resets={"mode": {"blend": None}},
        )
        self.form.problem_found.connect(self._on_problem)
        self.form.settings_requested.connect(self._on_settings)
        self._estimate = Text("dim")
        self._problem = Text("warning")
        self.run = push_button("Run", "go", "Segment the image, beginning with what is on screen")
        self.run_view = push_button(
            "Only this view", "plain", "Segment what is on screen; labels elsewhere stay"
        )
        self.pause = push_button("Pause", "plain", "Hold the run; what is there stays")
        self.cancel = push_button("Cancel", "plain", "End the run; what is there stays")
        self.run.clicked.connect(self._on_run)
        self.run_view.clicked.connect(self.run_view_requested)
        self.pause.clicked.connect(self.pause_requested)
        self.cancel.clicked.connect(self.cancel_requested)
        self.bar = ProgressBar()
        self._pace = Text("dim")
        self._report = Text("dim")
        self._progress = QLabel()
        self._seen = QLabel()
        self._seen.setObjectName("dim")
        self._resumes = False
        self._lay_out()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button in (self.run, self.run_view, self.pause, self.cancel):
            buttons.addWidget(button, 1)
        progress = QHBoxLayout()
        progress.addWidget(self._progress)
        progress.addStretch(1)
        progress.addWidget(self._seen)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.form.main)
        layout.addWidget(Fold("More settings", self.form.advanced))
        layout.addWidget(self._estimate)
        layout.addWidget(self._problem)
        layout.addLayout(buttons)
        layout.addWidget(self.bar)
        layout.addLayout(progress)
        layout.addWidget(self._pace)
        layout.addWidget(self._report)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Line up the rows now that the fonts are known."""
        super().showEvent(event)
        self.form.align()

    def show_devices(self, choices: Sequence[tuple[str, str]]) -> None:
        """List the devices a run can use as (value, label), "auto" first."""
        self.form.field("device").set_options(choices)

    def show_view(self, view: View) -> None:
        """Show settings, estimate and progress."""
        self.form.show(view.settings, view.automatic)
        for part in (self.form.main, self.form.advanced):
            part.setEnabled(not view.busy)
        for name, without in _WITHOUT.items():
            self.form.field(name).set_enabled(view.settings.mode not in without)
        self._estimate.say("" if view.busy else with_units(view.estimate))
        # before a run the Model step says what does not fit
        again = view.state in (State.FINISHED, State.CANCELLED, State.FAILED)
        problem = view.misfit if again and view.misfit else view.plan_note
        self._problem.say("" if view.busy else problem)
        self._show_buttons(view)
        self.bar.setVisible(view.progress is not None)
        self.bar.set_share(view.progress or 0.0)
        self._progress.setText(view.progress_text)
        self._pace.say(with_units(view.pace_line))
        self._report.say(with_units("\n".join(view.report_lines)))
        self._seen.setText("view complete" if view.view_complete else "")
        for label in (self._progress, self._seen):
            label.setVisible(bool(label.text()))

    def _show_buttons(self, view: View) -> None:
        self._resumes = view.can_resume
        again = view.state in (State.FINISHED, State.CANCELLED, State.FAILED)
        self.run.setText("Resume" if view.can_resume else "Run again" if again else "Run")
        self.run.setVisible(not view.can_pause)
        self.run.setEnabled(view.can_run or view.can_resume)
        self.run_view.setVisible(not view.busy)
        self.run_view.setEnabled(view.can_run)
        self.pause.setVisible(view.can_pause)
        self.cancel.setVisible(view.can_cancel)

    def _on_run(self) -> None:
        if self._resumes:
            self.resume_requested.emit()
        else:
            self.run_requested.emit()

    def _on_problem(self, text: str) -> None:
        self._problem.say(text)

    def _on_settings(self, settings: RunSettings) -> None:
        self.settings_requested.emit(settings)
