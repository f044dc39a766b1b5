"""A message for the person: what happened, what is kept, what to do; details to copy."""

from __future__ import annotations

import platform
import traceback
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING

from napari_tileseg.errors import TilesegError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PACKAGES = ("napari-tileseg", "napari", "torch", "segmentation-models-pytorch", "numpy", "qtpy")


class Severity(StrEnum):
    """How much a message matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Notice:
    """What the status area says.

    Attributes
    ----------
    text
        One or two sentences.
    severity
        Shown as a word and a colour, never as a colour alone.
    details
        A report to copy and send to somebody who can help; empty if there is none.
    """

    text: str
    severity: Severity = Severity.INFO
    details: str = ""


def notice_of(
    error: BaseException, *, kept: str = "", context: Mapping[str, object] | None = None
) -> Notice:
    """Turn a failure into a message.

    Parameters
    ----------
    error
        What was raised.
    kept
        What is not lost, as a sentence.
    context
        What was being done, for the report: settings, image, model.
    """
    if isinstance(error, TilesegError):
        text = str(error)
    else:
        text = (
            f"Something unexpected happened ({type(error).__name__}: {_first_line(error)}). "
            "Copy the details and report them."
        )
    return Notice(f"{text} {kept}".strip(), Severity.ERROR, report(error, context or {}))


def report(error: BaseException, context: Mapping[str, object]) -> str:
    """Write all that somebody needs to understand a failure: versions, settings, traceback."""
    lines = ["napari-tileseg error report", ""]
    lines += [f"{name}: {_version(name)}" for name in _PACKAGES]
    lines += [f"Python: {platform.python_version()} on {platform.platform()}", ""]
    lines += [f"{name}: {value}" for name, value in context.items()]
    lines += ["", *(part.rstrip("\n") for part in traceback.format_exception(error))]
    return "\n".join(lines)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else "no message"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
