"""One row of a form: from a knob to a magicgui widget, and back to a value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, LineEdit, Slider, SpinBox
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_tileseg.knobs import Choice, Knob

if TYPE_CHECKING:
    from collections.abc import Sequence


_AUTOMATIC = "automatic"


class Field:
    """A widget that shows one value as it is."""

    def __init__(self, widget: Any) -> None:
        self.widget = widget

    def get(self) -> Any:
        """Return the value that is shown."""
        return self.widget.value

    def set(self, value: Any) -> None:
        """Show a value."""
        self.widget.value = value

    def set_enabled(self, enabled: bool) -> None:
        """Let people change the value, or not."""
        self.widget.native.setEnabled(enabled)

    def set_automatic(self, text: str) -> None:
        """Say what "automatic" stands for; most fields have no such thing."""

    def set_options(self, options: Sequence[tuple[Any, str]]) -> None:
        """Offer other values, as (value, label); most fields take any."""


class ShareField(Field):
    """A share, shown as a slider in percent."""

    def __init__(self, slider: Slider) -> None:
        super().__init__(slider)
        # the readout of magicgui's own slider has no unit
        self._readout = QLabel()
        self._readout.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._readout.setMinimumWidth(self._readout.fontMetrics().horizontalAdvance("100 %") + 4)
        slider.native.layout().addWidget(self._readout)
        slider.changed.connect(self._on_moved)
        self._on_moved(slider.value)

    def _on_moved(self, percent: int) -> None:
        self._readout.setText(f"{percent} %")

    def get(self) -> float:
        """Return the share, 0 to 1."""
        return float(round(self.widget.value / 100, 4))

    def set(self, value: float) -> None:
        """Show a share, 0 to 1."""
        self.widget.value = round(100 * value)
        self._on_moved(self.widget.value)


class FineShareField(Field):
    """A share too small for a slider, typed in percent."""

    def __init__(self, knob: Knob, **shared: Any) -> None:
        highest = 1 if knob.maximum is None else knob.maximum
        step = 100 * (knob.step or 1e-3)
        super().__init__(
            FloatSpinBox(min=100 * (knob.minimum or 0), max=100 * highest, step=step, **shared)
        )
        self.widget.native.setSuffix(" %")

    def get(self) -> float:
        """Return the share, 0 to 1."""
        return float(round(self.widget.value / 100, 6))

    def set(self, value: float) -> None:
        """Show a share, 0 to 1."""
        self.widget.value = 100 * value


class ChoiceField(Field):
    """One of several: (value, label, help) triples; None among the values is "automatic"."""

    def __init__(self, options: Sequence[tuple[Any, str, str]], **shared: Any) -> None:
        self._values = {_key(value): value for value, _, _ in options}
        choices = [(label, _key(value)) for value, label, _ in options]
        super().__init__(ComboBox(choices=choices, **shared))
        box = self.widget.native
        box.setSizeAdjustPolicy(box.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(8)
        for index, (_, _, help_text) in enumerate(options):
            self.widget.native.setItemData(index, help_text, Qt.ItemDataRole.ToolTipRole)

    def get(self) -> Any:
        """Return the chosen value."""
        return self._values[self.widget.value]

    def set(self, value: Any) -> None:
        """Choose a value; one that is not on the list is put there."""
        key = _key(value)
        if key not in self._values:
            self._values[key] = value
            self.widget.choices = [*_labelled(self.widget), (self._label(value), key)]
        self.widget.value = key
        self._show_beginning()

    def _label(self, value: Any) -> str:
        return str(value)

    def set_options(self, options: Sequence[tuple[Any, str]]) -> None:
        """Offer other values, as (value, label); the chosen one stays if it can."""
        chosen = self.get()
        with self.widget.changed.blocked():
            self._values = {_key(value): value for value, _ in options}
            self.widget.choices = [(label, _key(value)) for value, label in options]
            self.set(chosen)

    def set_automatic(self, text: str) -> None:
        """Say behind "automatic" what it stands for."""
        index = self.widget.native.findData(_AUTOMATIC)
        if index >= 0:
            self.widget.native.setItemText(index, automatic_label(text))
            self._show_beginning()

    def _show_beginning(self) -> None:
        editor = self.widget.native.lineEdit()
        if editor is not None and not editor.hasFocus():
            editor.setCursorPosition(0)


class NumberField(ChoiceField):
    """A number or "automatic": a list of round ones, and any other can be typed."""

    def __init__(self, knob: Knob, kind: type[int] | type[float], **shared: Any) -> None:
        self._knob = knob
        self._kind = kind
        options: list[tuple[Any, str, str]] = [(None, automatic_label(knob.automatic), "")]
        options += [(kind(value), self._label(value), "") for value in _round_numbers(knob)]
        super().__init__(options, **shared)
        box = self.widget.native
        box.setEditable(True)
        box.setInsertPolicy(box.InsertPolicy.NoInsert)
        box.lineEdit().setTextMargins(-2, 0, 0, 0)  # begin where the text of other lists does
        box.lineEdit().editingFinished.connect(self._on_typed)
        self._show_beginning()

    def _label(self, value: float) -> str:
        unit = self._knob.unit.removesuffix("s") if value == 1 else self._knob.unit
        return f"{value:,} {unit}".strip()

    def _on_typed(self) -> None:
        box = self.widget.native
        shown = box.itemText(box.currentIndex())
        number = _number_in(box.currentText())
        if box.currentText() != shown and number is not None:
            low, high = self._knob.minimum, self._knob.maximum
            number = number if low is None else max(number, low)
            self.set(self._kind(number if high is None else min(number, high)))
            shown = box.itemText(box.currentIndex())
        box.setEditText(shown)


def make_field(
    name: str,
    knob: Knob,
    kinds: Sequence[type],
    options: Sequence[tuple[str, str]] | None = None,
) -> Field:
    """Return the row for one knob.

    Parameters
    ----------
    name
        The name of the field in the settings class.
    knob
        Label, help, unit and bounds.
    kinds
        The types it accepts; NoneType among them means that it can be automatic.
    options
        For a text that is one of a few: (value, label) pairs.
    """
    shared: dict[str, Any] = {"name": name, "label": knob.label, "tooltip": knob.help}
    choice = next((kind for kind in kinds if issubclass(kind, Choice)), None)
    if choice is not None:
        first = [(None, automatic_label(knob.automatic), "")] if type(None) in kinds else []
        named = [(one, one.label, one.help) for one in knob.members(choice)]
        return ChoiceField([*first, *named], **shared)
    if options is not None:
        return ChoiceField([(value, label, "") for value, label in options], **shared)
    if bool in kinds:
        return Field(CheckBox(text=knob.label, **{**shared, "label": ""}))
    if not {int, float} & set(kinds):
        return Field(LineEdit(**shared))
    kind = float if float in kinds else int
    if type(None) in kinds:
        return NumberField(knob, kind, **shared)
    return _share(knob, shared) if knob.unit == "%" else _box(knob, kind, shared)


def _share(knob: Knob, shared: dict[str, Any]) -> Field:
    if knob.step is not None and knob.step < 0.01:
        return FineShareField(knob, **shared)
    slider = Slider(
        min=round(100 * (knob.minimum or 0)),
        max=round(100 * (1 if knob.maximum is None else knob.maximum)),
        step=round(100 * (knob.step or 0.01)),
        readout=False,
        **shared,
    )
    return ShareField(slider)


def _box(knob: Knob, kind: type[int] | type[float], shared: dict[str, Any]) -> Field:
    # the number box of magicgui shows no unit, so the label does
    label = f"{knob.label} ({knob.unit})" if knob.unit else knob.label
    low = kind(knob.minimum or 0)
    high = kind(2**31 - 1 if knob.maximum is None else knob.maximum)
    if kind is int:
        return Field(
            SpinBox(min=low, max=high, step=int(knob.step or 1), **{**shared, "label": label})
        )
    step = knob.step or (low or 1e-3)
    return Field(FloatSpinBox(min=low, max=high, step=step, **{**shared, "label": label}))


def automatic_label(meaning: str) -> str:
    """Name the choice that leaves a setting to the program, with what it comes to."""
    return f"Automatic · {meaning}"


def _number_in(text: str) -> float | None:
    found = re.search(r"\d[\d,]*(\.\d+)?", text)
    return None if found is None else float(found.group().replace(",", ""))


def _key(value: Any) -> str:
    return _AUTOMATIC if value is None else f"= {value}"


def _labelled(box: ComboBox) -> list[tuple[str, str]]:
    native = box.native
    return [(native.itemText(i), native.itemData(i)) for i in range(native.count())]


def _round_numbers(knob: Knob) -> list[int]:
    """Return the powers of two up to 4096 that are allowed, and what lies half-way from 256 on."""
    low, step = int(knob.minimum or 1), int(knob.step or 1)
    powers = [2**exponent for exponent in range(13)]
    candidates = sorted({*powers, *(3 * power // 2 for power in powers if power >= 256)})
    least = max(low, 4 * step if step > 1 else low)
    high = min(int(knob.maximum or 4096), 4096)
    return [number for number in candidates if least <= number <= high and number % step == 0]
