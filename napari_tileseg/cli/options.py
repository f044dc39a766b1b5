"""Options of the command line, made from the same settings classes as the form in the dock."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from napari_tileseg.knobs import Choice, Knob, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

AnySettings = TypeVar("AnySettings", bound=Settings)


def add_command(
    subparsers: Subparsers,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    example: str,
    details: str = "",
) -> argparse.ArgumentParser:
    """Add a command with its help, an example, `-v` and `--quiet`; it will call `run(args)`."""
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. {details}".rstrip(),
        epilog="example:\n" + "\n".join(f"  {line}" for line in example.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    talk = parser.add_mutually_exclusive_group()
    talk.add_argument(
        "-v", "--verbose", action="store_true", help="say more; show where an error comes from"
    )
    talk.add_argument(
        "--quiet", action="store_true", help="print no progress and no summary, only errors"
    )
    return parser


def add_settings(
    parser: argparse.ArgumentParser,
    kind: type[Settings],
    names: Iterable[str] | None = None,
) -> None:
    """Add one option for each knob of a settings class.

    Parameters
    ----------
    parser
        Where the options go, as a group of their own.
    kind
        The settings class; `learning_rate` becomes `--learning-rate`.
    names
        Which knobs, in which order; None takes all of them.
    """
    hints, knobs = get_type_hints(kind), kind.knobs()
    group = parser.add_argument_group("settings")
    for name in knobs if names is None else names:
        default = getattr(kind, name)
        group.add_argument(
            "--" + name.replace("_", "-"),
            dest=name,
            default=None,  # not given: the settings class knows the default
            help=_help(knobs[name], default).replace("%", "%%"),
            **_reading(hints[name], knobs[name]),
        )


def settings_from(args: argparse.Namespace, kind: type[AnySettings], **more: Any) -> AnySettings:
    """Return the settings a person asked for.

    Parameters
    ----------
    args
        What the parser read; options that were not given keep their default.
    kind
        The settings class.
    more
        Fields that are not options of their own.

    Raises
    ------
    SettingsError
        If a value is out of bounds or contradicts another one.
    """
    given = {name: getattr(args, name, None) for name in kind.knobs() if name not in more}
    return kind(**{name: value for name, value in given.items() if value is not None}, **more)


def _reading(hint: Any, knob: Knob) -> dict[str, Any]:
    """Return how argparse reads a value of this type."""
    kinds = [one for one in get_args(hint) or (hint,) if one is not type(None)]
    if get_origin(hint) is tuple:
        kinds = [hint]
    kind = kinds[0]
    if get_origin(kind) is tuple:
        return {"type": _numbers, "metavar": "N,N,..."}
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if isinstance(kind, type) and issubclass(kind, Choice):
        return {"choices": [member.value for member in knob.members(kind)]}
    metavar = {int: "N", float: "X"}.get(kind, knob.label.upper().replace(" ", "_"))
    return {"type": kind, "metavar": metavar}


def _help(knob: Knob, default: Any) -> str:
    unit = f" {knob.unit}" if knob.unit and knob.unit != "%" else ""
    shown = knob.automatic if default is None else f"{_plain(default)}{unit}"
    bounds = f" ({knob.minimum:g} to {knob.maximum:g})" if knob.unit == "%" else ""
    counted = f" In {knob.unit}." if unit and default is None else ""
    return f"{knob.help}{bounds}{counted} [default: {shown}]"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.value if isinstance(value, Choice) else f"{value}"


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(one) for one in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no list of whole numbers; write it like 0 or 2,0,1"
        ) from None
