"""The dock "Train from Folders": a model from images and masks on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_tileseg.settings import TrainSettings
from napari_tileseg.viewer.folder_training import FolderTrainer
from napari_tileseg.widgets.button import push_button
from napari_tileseg.widgets.curve import Curve
from napari_tileseg.widgets.docked import Docked
from napari_tileseg.widgets.epoch_table import EpochTable
from napari_tileseg.widgets.folder_form import FolderForm
from napari_tileseg.widgets.form import SettingsForm
from napari_tileseg.widgets.network_form import NetworkForm
from napari_tileseg.widgets.progress_bar import ProgressBar
from napari_tileseg.widgets.save_model import ask_where
from napari_tileseg.widgets.step import Fold
from napari_tileseg.widgets.style import apply_style
from napari_tileseg.widgets.text import Text, with_units

if TYPE_CHECKING:
    import napari

    from napari_tileseg.session.folder_training import FolderView

_WIDTH_PX = 380


class TrainFromFolders(Docked):
    """The dock widget "Train from Folders".

    Parameters
    ----------
    viewer
        The viewer it is docked in; napari passes it.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.trainer = FolderTrainer()
        self.form = FolderForm()
        self.network_form = NetworkForm()
        self.settings: SettingsForm[TrainSettings] = SettingsForm(
            TrainSettings(), choices={"device": [("auto", "Automatic")]}
        )
        self._hint, self._summary = Text("dim"), Text("dim")
        self._problem, self._result, self._said = Text("warning"), Text(), Text("dim")
        self.train = push_button(
            "Train", "go", "Read the folders and let a network learn from them"
        )
        self.cancel = push_button("Cancel", "plain", "End it after this step; the best model stays")
        self.bar, self._progress = ProgressBar(), QLabel()
        self.curve, self.table = Curve(), EpochTable()
        self.use = push_button("Use this model", "plain", "Segment with it in this window")
        self.save = push_button("Save as …", "plain", "Write it to a file that can be loaded again")
        self._lay_out()
        self._connect()
        apply_style(self, viewer.theme)
        self.trainer.start()

    def _lay_out(self) -> None:
        self.new_network = Fold("The new network", self.network_form)
        self._fold = Fold("Advanced", self.settings.advanced)
        starting, ending = QHBoxLayout(), QHBoxLayout()
        for row, buttons in (
            (starting, (self.train, self.cancel)),
            (ending, (self.use, self.save)),
        ):
            row.setSpacing(6)
            for button in buttons:
                row.addWidget(button, 1)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        for part in (self.form, self.new_network, self.settings.main, self._fold):
            column.addWidget(part)
        for part in (self._hint, self._problem):
            column.addWidget(part)
        column.addLayout(starting)
        for part in (self._summary, self.bar, self._progress, self.curve, self.table):
            column.addWidget(part)
        column.addWidget(self._result)
        column.addLayout(ending)
        column.addWidget(self._said)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)

    def _connect(self) -> None:
        trainer = self.trainer
        self.form.requested.connect(lambda name, value: trainer.choose(**{name: value}))
        self.network_form.requested.connect(lambda one: trainer.choose(network=one))
        self.settings.settings_requested.connect(lambda one: trainer.choose(settings=one))
        self.settings.problem_found.connect(self._problem.say)
        self.train.clicked.connect(trainer.train)
        self.cancel.clicked.connect(trainer.stop)
        self.use.clicked.connect(self._on_use)
        self.save.clicked.connect(self._on_save)
        trainer.changed.connect(self.show_view)
        trainer.listed.connect(self.form.show_models)
        trainer.encoders_listed.connect(self.network_form.show_encoders)
        trainer.devices_changed.connect(self.settings.field("device").set_options)
        self._viewer.events.theme.connect(self._on_theme)
        self.connected.callback(self._viewer.events.theme.disconnect, self._on_theme)
        self.connected.callback(trainer.close)

    def sizeHint(self) -> QSize:
        """Return a comfortable size for the right side of the window."""
        return QSize(_WIDTH_PX, 720)

    def showEvent(self, event: Any) -> None:
        """Line up the rows now that the fonts are known."""
        super().showEvent(event)
        labels = [*self.form.labels(), *self.network_form.labels()]
        width = self.settings.align(max(label.sizeHint().width() for label in labels))
        for label in labels:
            label.setFixedWidth(width)

    def show_view(self, view: FolderView) -> None:
        """Show choices, progress, curve, table and result."""
        shown = bool(view.rows) or view.working
        self.form.show_view(view)
        self.network_form.show_network(view.choice.network)
        self.settings.show(view.choice.settings, {})
        for part in (self.form, self.settings.main, self._fold):
            part.setVisible(not view.working)
        self.new_network.setVisible(not view.working and not view.choice.base)
        self._hint.say(view.hint)
        self._problem.say(view.problem)
        self._summary.say(view.summary)
        self.train.setVisible(not view.working)
        self.train.setEnabled(view.can_train)
        self.cancel.setVisible(view.working)
        self.cancel.setEnabled(view.can_stop)
        self.bar.setVisible(view.working)
        self.bar.set_share(view.progress)
        self._progress.setText(with_units(view.progress_text))
        self._progress.setVisible(view.working)
        self.curve.show_points(view.points)
        self.curve.setVisible(shown)
        self.table.show_rows(view.rows)
        self.table.setVisible(shown)
        self._result.say(view.result)
        self._said.say(view.said)
        for button in (self.use, self.save):
            button.setVisible(view.can_use)

    def _on_use(self) -> None:
        network = self.trainer.network
        assert network is not None, "the button is there when there is a model"
        _, dock = self._viewer.window.add_plugin_dock_widget("napari-tileseg", "Tiled Segmentation")
        dock.controller.choose_network(network, self.trainer.origin)
        if dock.session.network is network:
            self.trainer.tell_used()

    def _on_save(self) -> None:
        path, as_folder = ask_where(self, "trained")
        if path:
            self.trainer.save(path, as_folder=as_folder)

    def _on_theme(self, event: Any = None) -> None:
        apply_style(self, self._viewer.theme)
