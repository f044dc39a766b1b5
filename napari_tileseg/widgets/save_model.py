"""Where a model is to be saved, and in which format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

_FOLDERS = "Folders of segmentation-models-pytorch (*)"
_KINDS = ";;".join(
    (
        "Models (*.safetensors)",
        "ONNX networks (*.onnx)",
        "Packages of bioimage.io (*.zip)",
        _FOLDERS,
    )
)
_NOT_IN_NAMES = '/\\:*?"<>|'


def ask_where(parent: QWidget, suggested: str) -> tuple[str, bool]:
    """Let a person say where a model is saved.

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
    name = "".join(one if one not in _NOT_IN_NAMES else "_" for one in suggested)
    path, kind = QFileDialog.getSaveFileName(parent, "Save model", name, _KINDS)
    return path, kind == _FOLDERS
