"""How a setting is declared, checked and shown: the mechanism behind `settings`."""

from __future__ import annotations

import math
import numbers
import operator
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self, get_args, get_origin, get_type_hints

from napari_tileseg.errors import SettingsError


class Choice(StrEnum):
    """An option among named ones; a subclass gives each member its label and its help."""

    label: str
    help: str

    def __new__(cls, value: str, label: str = "", help: str = "") -> Self:  # noqa: A002, D102
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        member.help = help
        return member

    @classmethod
    def _missing_(cls, value: object) -> Self:
        wanted = str(value).strip().lower()
        for member in cls:
            if wanted == member.value:
                return member
        options = ", ".join(member.value for member in cls)
        raise SettingsError(f"'{value}' is not one of: {options}.")


@dataclass(frozen=True)
class Knob:
    """What a person is told about one setting, and what it accepts.

    Attributes
    ----------
    label, help
        The name on the form, and what the setting does *to the result*.
    unit
        What the number counts; "%" means that the value is a share, shown times 100.
    minimum, maximum, step
        Inclusive bounds and a sensible increment, in units of the value.
    automatic
        What None stands for, where None is allowed.
    advanced
        Whether most people need not see it.
    excluded
        Members of the choice that make no sense for this setting: neither offered nor accepted.
    """

    label: str
    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    automatic: str = ""
    advanced: bool = False
    excluded: tuple[Choice, ...] = ()

    def members(self, kind: type[Choice]) -> list[Choice]:
        """Return what can be chosen."""
        return [one for one in kind if one not in self.excluded]

    def check(self, name: str, value: object) -> None:
        """Raise `SettingsError` if a number is out of bounds, or a choice is not to be had."""
        if isinstance(value, Choice):
            if value in self.excluded:
                options = ", ".join(self.members(type(value)))
                raise SettingsError(
                    f"{self.label} ({name}) cannot be {value} here; it has to be one of: {options}."
                )
            return
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        if not low <= value <= high:
            unit = f" {self.unit}" if self.unit and self.unit != "%" else ""
            bounds = (
                f"at least {low:g}{unit}" if math.isinf(high) else f"from {low:g} to {high:g}{unit}"
            )
            raise SettingsError(f"{self.label} ({name}) is {value:g}; it has to be {bounds}.")


def knob(default: Any, label: str, help: str, **more: Any) -> Any:  # noqa: A002
    """Declare one setting of a frozen settings class."""
    return field(default=default, metadata={"knob": Knob(label, help, **more)})


@dataclass(frozen=True, repr=False)
class Settings:
    """Base of all settings classes: checked on creation, shown as what is not default."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name, one in self.knobs().items():
            value = _coerced(name, getattr(self, name), hints[name])
            object.__setattr__(self, name, value)
            one.check(name, value)

    @classmethod
    def knobs(cls) -> dict[str, Knob]:
        """Return the knobs by the name of their field, in the order of declaration."""
        return {f.name: f.metadata["knob"] for f in fields(cls) if "knob" in f.metadata}

    def but(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; an unknown name is a `SettingsError`."""
        known = {f.name for f in fields(self)}
        for name in changes.keys() - known:
            options = ", ".join(sorted(known))
            raise SettingsError(f"There is no setting '{name}'. There are: {options}.")
        return replace(self, **changes)

    def changed(self) -> dict[str, Any]:
        """Return what differs from the defaults, as plain values that JSON can hold."""
        return {
            f.name: _plain(getattr(self, f.name))
            for f in fields(self)
            if f.default is MISSING or getattr(self, f.name) != f.default
        }

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in self.changed().items())
        return f"{type(self).__name__}({inner})"


def _coerced(name: str, value: Any, hint: Any) -> Any:
    """Turn the string of a choice into its member, and refuse a value of another type."""
    kinds = get_args(hint) or (hint,)
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Choice):
            return kind(value)
    if any(get_origin(kind) is tuple for kind in kinds):
        return _indices(name, value)
    if str in kinds and type(value).__name__ == "device":
        return str(value)  # of torch, which is not imported here
    if not isinstance(value, bool):
        if int in kinds and hasattr(value, "__index__"):
            return operator.index(value)
        if float in kinds and isinstance(value, numbers.Real):
            return float(value)
    plain = tuple(kind for kind in kinds if kind in (int, float, str, bool))
    if plain and (not isinstance(value, plain) or (isinstance(value, bool) and bool not in plain)):
        wanted = " or ".join(kind.__name__ for kind in plain)
        raise SettingsError(f"{name} is {value!r}; it has to be of type {wanted}.")
    return value


def _indices(name: str, value: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(one) for one in value)
    except TypeError as error:
        raise SettingsError(f"{name} is {value!r}; it has to be whole numbers: (0, 1).") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Choice):
        return value.value
    return list(value) if isinstance(value, tuple) else value
