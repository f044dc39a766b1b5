"""Where a model is to be saved, and in which format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

_FOLDERS = "Folders of segmentation-models-pytorch (*)"
_SUFFIXES = {
    "Models (*.safetensors)": ".safetensors",
    "ONNX networks (*.onnx)": ".onnx",
    "Packages of bioimage.io (*.zip)": ".zip",
}
_KINDS = ";;".join((*_SUFFIXES, _FOLDERS))
_NOT_IN_NAMES = '/\\:*?"<>|'


def ask_where(parent: QWidget, suggested: str) -> tuple[str, bool]:
    """Let a person say where a model is saved; a name without a suffix gets that of its format.

    Parameters
    ----------
    parent
        What the dialog belongs to.
    suggested
        What the model is called.

    Returns
    -------
    The path, empty if nothing was chosen; and whether it is to be a folder.
    """
    start = "".join(one if one not in _NOT_IN_NAMES else "_" for one in suggested)
    kind = ""
    while True:
        path, kind = QFileDialog.getSaveFileName(parent, "Save model", start, _KINDS, kind)
        if not path or kind == _FOLDERS:
            return path, bool(path)
        start = _with_suffix(path, kind)
        if start == path or not Path(start).exists():
            return start, False
        # the dialog did not ask about this file; with its whole name it does


def _with_suffix(path: str, kind: str) -> str:
    """Return the path as it is if it says a format, else with the suffix of the chosen kind."""
    if path.lower().endswith(tuple(_SUFFIXES.values())):
        return path
    return path + _SUFFIXES.get(kind, ".safetensors")
