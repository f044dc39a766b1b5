"""Where a model is to be saved, and in which format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

_FOLDERS = "Folders of segmentation-models-pytorch (*)"
_SUFFIXES = {
    "Models (*.safetensors)": "safetensors",
    "ONNX networks (*.onnx)": "onnx",
    "Packages of bioimage.io (*.zip)": "zip",
    _FOLDERS: "",
}
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
    dialog = QFileDialog(parent, "Save model")
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setNameFilters(list(_SUFFIXES))
    dialog.setDefaultSuffix(_SUFFIXES[dialog.selectedNameFilter()])
    dialog.filterSelected.connect(lambda kind: dialog.setDefaultSuffix(_SUFFIXES[kind]))
    dialog.selectFile("".join(one if one not in _NOT_IN_NAMES else "_" for one in suggested))
    chosen = bool(dialog.exec())
    dialog.deleteLater()
    return dialog.selectedFiles()[0] if chosen else "", dialog.selectedNameFilter() == _FOLDERS
