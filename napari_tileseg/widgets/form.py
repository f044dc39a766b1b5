"""A form made from a settings class: what `settings` says about a knob is all it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, get_args, get_type_hints

from magicgui.widgets import Container
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QLabel

from napari_tileseg.errors import SettingsError
from napari_tileseg.knobs import Settings
from napari_tileseg.widgets.fields import Field, make_field

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from magicgui.widgets.bases import ValueWidget
    from qtpy.QtWidgets import QWidget

SettingsT = TypeVar("SettingsT", bound=Settings)


class SettingsForm(QObject, Generic[SettingsT]):
    """Two magicgui containers (what most people need, and the rest) for one settings class.

    Parameters
    ----------
    settings
        The values to begin with.
    leave_out
        Fields that another part of the dock shows.
    choices
        For text fields that are one of a few: (value, label) pairs.
    resets
        What else goes back to a value when a field changes, because the two exclude each other.
    """

    settings_requested = Signal(object)
    problem_found = Signal(str)

    def __init__(
        self,
        settings: SettingsT,
        *,
        leave_out: Collection[str] = (),
        choices: Mapping[str, Sequence[tuple[str, str]]] | None = None,
        resets: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._resets = resets or {}
        hints = get_type_hints(type(settings))
        self._fields: dict[str, Field] = {
            name: make_field(name, knob, get_args(hints[name]) or (hints[name],), options)
            for name, knob in settings.knobs().items()
            if name not in leave_out
            for options in [(choices or {}).get(name)]
        }
        knobs = settings.knobs()
        self._main = self._container([n for n in self._fields if not knobs[n].advanced])
        self._advanced = self._container([n for n in self._fields if knobs[n].advanced])
        self.show(settings)
        for name, field in self._fields.items():
            field.widget.changed.connect(lambda _value, name=name: self._on_changed(name))

    def _container(self, names: Collection[str]) -> Container[ValueWidget[Any]]:
        container = Container(widgets=[self._fields[name].widget for name in names], labels=True)
        container.margins = (0, 0, 0, 0)
        return container

    @property
    def main(self) -> QWidget:
        """The rows that most people need."""
        return cast("QWidget", self._main.native)

    @property
    def advanced(self) -> QWidget:
        """The rows that few people need."""
        return cast("QWidget", self._advanced.native)

    def align(self, least_px: int = 0) -> int:
        """Begin all values at the same column; to be called once the fonts are known.

        Parameters
        ----------
        least_px
            How wide the labels are at least.

        Returns
        -------
        How wide they are.
        """
        names = {field.widget.label for field in self._fields.values()}
        labels = [
            label
            for part in (self.main, self.advanced)
            for label in part.findChildren(QLabel)
            if label.text() in names
        ]
        widest = max((label.sizeHint().width() for label in labels), default=0)
        widest = max(widest, least_px)
        for label in labels:
            label.setFixedWidth(widest)
        return widest

    def field(self, name: str) -> Field:
        """Return the row of one setting."""
        return self._fields[name]

    def show(self, settings: SettingsT, automatic: Mapping[str, str] | None = None) -> None:
        """Show values, and what the automatic ones stand for here (else what the knob says)."""
        self._settings = settings
        knobs = settings.knobs()
        for name, field in self._fields.items():
            if automatic is not None:
                field.set_automatic(automatic.get(name, knobs[name].automatic))
            value = getattr(settings, name)
            if field.get() != value:
                with field.widget.changed.blocked():
                    field.set(value)

    def _on_changed(self, name: str) -> None:
        try:
            settings = self._settings.but(
                **{**self._resets.get(name, {}), name: self._fields[name].get()}
            )
        except SettingsError as error:
            self.show(self._settings)
            self.problem_found.emit(str(error))
            return
        if settings != self._settings:
            self.settings_requested.emit(settings)
