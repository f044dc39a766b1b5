"""The dock: steps from the image to the export, the status area, the classes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_tileseg.session import Session, State
from napari_tileseg.session.teaching import Phase
from napari_tileseg.viewer.controller import Controller
from napari_tileseg.viewer.hotkeys import bind_hotkeys
from napari_tileseg.widgets.class_list import ClassList
from napari_tileseg.widgets.docked import Docked
from napari_tileseg.widgets.export_panel import ExportPanel
from napari_tileseg.widgets.image_panel import ImagePanel
from napari_tileseg.widgets.model_panel import ModelPanel
from napari_tileseg.widgets.notice_area import NoticeArea
from napari_tileseg.widgets.project_bar import ProjectBar
from napari_tileseg.widgets.run_panel import RunPanel
from napari_tileseg.widgets.step import Step
from napari_tileseg.widgets.style import apply_style
from napari_tileseg.widgets.teach_panel import TeachPanel

if TYPE_CHECKING:
    import napari

    from napari_tileseg.session import View

_WIDTH_PX = 360
_NOTICE_PX = 90
"""What a message takes, so that it does not push the classes out of sight."""


class TiledSegmentation(Docked):
    """The dock widget "Tiled Segmentation".

    Parameters
    ----------
    viewer
        The viewer it is docked in; napari passes it.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.session = Session()
        self._state = self.session.view.state
        self._phase = self.session.view.teach.phase
        self.controller = Controller(viewer, self.session)
        self.image_panel = ImagePanel()
        self.model_panel = ModelPanel()
        self.run_panel = RunPanel()
        self.teach_panel = TeachPanel()
        self.export_panel = ExportPanel()
        self.notice_area = NoticeArea()
        self.project_bar = ProjectBar()
        self.class_list = ClassList()
        self.image_step = Step("Image", self.image_panel)
        self.model_step = Step("Model", self.model_panel)
        self.run_step = Step("Run", self.run_panel)
        self.teach_step = Step("Correct & teach", self.teach_panel, is_open=False)
        self.export_step = Step("Export", self.export_panel, is_open=False)
        self._steps = (
            self.image_step,
            self.model_step,
            self.run_step,
            self.teach_step,
            self.export_step,
        )
        self._lay_out()
        self._on_theme()
        self._connect_panels()
        self._connect_session()
        self.connected.enter_context(bind_hotkeys(viewer, self.controller))
        self.connected.callback(self.controller.close)
        for name in ("inserted", "removed", "reordered", "renamed"):
            # napari connects these when it docks the widget, and does not take them back
            emitter = getattr(viewer.layers.events, name)
            self.connected.callback(emitter.disconnect, self.reset_choices)
        for step in self._steps:
            step.opened.connect(partial(self._on_step_opened, step))
        self.controller.start()
        self.show_view(self.session.view)

    def _lay_out(self) -> None:
        self.setMinimumWidth(300)
        self._content = _Column()
        steps = QVBoxLayout(self._content)
        steps.setContentsMargins(2, 2, 2, 2)
        steps.setSpacing(4)
        for part in (*self._steps, self.class_list):
            steps.addWidget(part)
        steps.addStretch(1)
        self._scroll = scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self._content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll, 1)
        # outside of what scrolls: a problem must be seen
        layout.addWidget(self.notice_area)
        layout.addWidget(self.project_bar)

    def _connect_panels(self) -> None:
        controller = self.controller
        self.image_panel.image_requested.connect(controller.choose_image)
        self.image_panel.channel_axis_requested.connect(controller.choose_channel_axis)
        self.model_panel.model_requested.connect(controller.choose_model)
        self.model_panel.weights_requested.connect(controller.choose_weights)
        self.model_panel.look_requested.connect(controller.models.look)
        self.model_panel.leave_requested.connect(controller.models.leave)
        self.model_panel.weights_form.try_requested.connect(controller.tries.start)
        self.model_panel.trust_requested.connect(controller.choose_trusted)
        self.model_panel.channels_requested.connect(controller.choose_channels)
        self.run_panel.settings_requested.connect(controller.choose_settings)
        self.run_panel.run_requested.connect(controller.run)
        self.run_panel.run_view_requested.connect(controller.run_view)
        self.run_panel.pause_requested.connect(controller.pause)
        self.run_panel.resume_requested.connect(controller.resume)
        self.run_panel.cancel_requested.connect(controller.cancel)
        self._connect_teaching()
        self.export_panel.export_requested.connect(controller.export)
        self.notice_area.dismiss_requested.connect(self.session.dismiss)
        self.project_bar.go_on_requested.connect(controller.projects.go_on)
        self.project_bar.decline_requested.connect(controller.projects.decline)
        self.project_bar.save_as_requested.connect(controller.projects.save_as)
        self.class_list.select_requested.connect(controller.classes.select)
        self.class_list.rename_requested.connect(controller.classes.rename)
        self.class_list.show_requested.connect(controller.classes.show)
        self.class_list.add_requested.connect(controller.classes.add)
        self.class_list.recolour_requested.connect(controller.classes.recolour)
        self.class_list.merge_requested.connect(controller.classes.merge)
        self.class_list.delete_requested.connect(controller.classes.delete)
        self.class_list.overlay_requested.connect(controller.review.overlay.toggle)

    def _connect_teaching(self) -> None:
        panel, teaching = self.teach_panel, self.controller.teaching
        panel.next_place_requested.connect(self.controller.places.go)
        panel.mark_view_requested.connect(self.controller.review.mark_view)
        panel.mark_region_requested.connect(self.controller.review.mark_region)
        panel.settings_requested.connect(teaching.choose_settings)
        panel.teach_requested.connect(teaching.start)
        panel.stop_requested.connect(teaching.stop)
        panel.layers_requested.connect(teaching.show_layers)
        panel.save_requested.connect(teaching.history.save)
        panel.verdict.use_requested.connect(teaching.use)
        panel.verdict.discard_requested.connect(teaching.discard)
        panel.verdict.place_requested.connect(teaching.show_place)
        panel.versions.return_requested.connect(teaching.history.return_to)

    def _connect_session(self) -> None:
        pushes = (
            (self.session.changed, self.show_view),
            (self.controller.chosen.listed, self.image_panel.show_layers),
            (self.controller.models.listed, self.model_panel.show_models),
            (self.controller.models.looked, self.model_panel.show_found),
            (self.controller.models.distrusted, self.model_panel.ask_for_trust),
            (self.controller.tries.tried, self.model_panel.weights_form.show_tries),
            (self.controller.devices_changed, self.run_panel.show_devices),
            (self.controller.review.overlay.toggled, self.class_list.show_overlay),
            (self.controller.devices_changed, self.teach_panel.show_devices),
            (self.controller.review.marking, self.teach_panel.show_marking),
            (self._viewer.events.theme, self._on_theme),
        )
        for signal, slot in pushes:
            signal.connect(slot)
            self.connected.callback(_disconnect, signal, slot)

    def sizeHint(self) -> QSize:
        """Return a comfortable size for the right side of the window."""
        return QSize(_WIDTH_PX, 720)

    def show_view(self, view: View) -> None:
        """Push what the session says into the panels."""
        begins = view.state is State.RUNNING and self._state is not State.RUNNING
        teaches = view.teach.phase is not self._phase and view.teach.phase is not Phase.IDLE
        self._state, self._phase = view.state, view.teach.phase
        for panel in (
            self.image_panel,
            self.model_panel,
            self.run_panel,
            self.teach_panel,
            self.export_panel,
            self.notice_area,
            self.project_bar,
            self.class_list,
        ):
            panel.show_view(view)
        self.image_step.set_summary(view.image_line)
        self.model_step.set_summary(view.model_line)
        self.run_step.set_summary(view.run_line)
        self.teach_step.set_summary(view.teach.line)
        self.export_step.set_summary(view.export_line)
        if begins and not self.teach_step.is_open:
            self._make_room_for(self.run_step, spare_px=_NOTICE_PX)
        if teaches:
            self.teach_step.set_open(True)
            self._make_room_for(self.teach_step, spare_px=_NOTICE_PX)

    def _on_step_opened(self, step: Step, is_open: bool) -> None:
        if is_open:
            self._make_room_for(step)

    def _make_room_for(self, wanted: Step, spare_px: int = 0) -> None:
        """Close other steps, from the top, until all that is open fits in sight."""
        if not self.isVisible():
            return
        for step in self._steps:
            if self._needed_px() + spare_px <= self._scroll.height():
                return
            if step is not wanted:
                step.set_open(False)

    def _needed_px(self) -> int:
        layout = self._content.layout()
        assert layout is not None, "the steps are laid out when the dock is made"
        wrapped = layout.totalHeightForWidth(self._scroll.width())
        return max(wrapped, layout.minimumSize().height())

    def reset_choices(self, event: Any = None) -> None:
        """List the image layers again; napari calls this when layers come, go or are renamed."""
        self.controller.refresh_images()

    def open_sample_and_run(self) -> None:
        """Open the sample image, choose the model that was made for it, and run: the demo."""
        self.controller.open_sample_and_run()

    def _on_theme(self, event: Any = None) -> None:
        apply_style(self, self._viewer.theme)


class _Column(QWidget):
    """A column that gets narrower than what is in it, so that nothing hides behind the edge."""

    def minimumSizeHint(self) -> QSize:
        return QSize(0, super().minimumSizeHint().height())


def _disconnect(signal: Any, slot: Any) -> None:
    signal.disconnect(slot)
