"""Step 1: which image, what it is, and which of its axes holds the channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QVBoxLayout, QWidget

from napari_tileseg.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from napari_tileseg.session import ImageFacts, View


class ImagePanel(QWidget):
    """Shows the images there are and announces which one is wanted."""

    image_requested = Signal(object)
    channel_axis_requested = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.layers = QComboBox()
        self.layers.setToolTip("The image layer that is segmented")
        self.layers.setAccessibleName("Image layer")
        self.layers.setSizeAdjustPolicy(_SHRINK)
        self.layers.activated.connect(self._on_layer_chosen)
        self._facts = Text("dim")
        self.channel_axis = QComboBox()
        self.channel_axis.setSizeAdjustPolicy(_SHRINK)
        self.channel_axis.setToolTip(
            "Which axis of the image holds its channels. Along every other axis the planes are "
            "segmented one by one."
        )
        self.channel_axis.activated.connect(self._on_axis_chosen)
        self._axis_row = QWidget()
        row = QFormLayout(self._axis_row)
        row.setContentsMargins(0, 2, 0, 0)
        row.addRow("Channels in", self.channel_axis)
        self._choices: Sequence[tuple[Hashable, str]] = ()
        self._axes: tuple[object, ...] = ()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.layers)
        layout.addWidget(self._facts)
        layout.addWidget(self._axis_row)
        self.show_layers((), None)

    def show_layers(
        self, choices: Sequence[tuple[Hashable, str]], current: Hashable | None
    ) -> None:
        """List the image layers as (key, name), and choose one."""
        self._choices = choices
        self.layers.clear()
        if not choices:
            self.layers.addItem("Open or drop an image first")
        for index, (_, name) in enumerate(choices):
            self.layers.addItem(name)
            self.layers.setItemData(index, name, Qt.ItemDataRole.ToolTipRole)
        keys = [key for key, _ in choices]
        self.layers.setCurrentIndex(keys.index(current) if current in keys else 0)
        self.layers.setEnabled(bool(choices))

    def show_view(self, view: View) -> None:
        """Say what the chosen image is."""
        self.setEnabled(not view.busy)
        self._facts.say("" if view.image is None else view.image.describe())
        self._show_axes(view.image)

    def _show_axes(self, image: ImageFacts | None) -> None:
        axes = () if image is None else image.other_axes
        shown = (axes, None if image is None else image.channel_axis)
        if shown == self._axes:
            return
        self._axes = shown
        self._axis_row.setVisible(bool(axes))
        self.channel_axis.clear()
        self.channel_axis.addItem("no axis: one channel", None)
        for index, (name, length) in enumerate(axes):
            self.channel_axis.addItem(f"{name} ({length:,} long)", index)
        self.channel_axis.setCurrentIndex(self.channel_axis.findData(shown[1]))

    def _on_layer_chosen(self, index: int) -> None:
        if index < len(self._choices):
            self.image_requested.emit(self._choices[index][0])

    def _on_axis_chosen(self, index: int) -> None:
        self.channel_axis_requested.emit(self.channel_axis.itemData(index))


_SHRINK = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
