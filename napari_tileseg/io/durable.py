"""Waiting until what was written would outlast a loss of power."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FEW = 8


def force_to_disk(files: Iterable[Path]) -> None:
    """Wait until files, and their names in their folders, are on the disk.

    Parameters
    ----------
    files
        Files that are written and closed; one that is not there is passed over.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    files = [file for file in files if file.exists()]
    folders = {file.parent for file in files}
    # each file by itself costs milliseconds, all of a file system together hardly more than one
    if len(files) > _FEW and _forced_together(folders):
        return
    for file in files:
        with file.open("r+b") as stream:
            os.fsync(stream.fileno())
    if os.name != "nt":  # a folder cannot be opened there
        for folder in folders:
            _force_folder(folder)


def _forced_together(folders: Iterable[Path]) -> bool:
    """Force all that is written to the file systems of some folders, where that can be done."""
    together = getattr(ctypes.CDLL(None), "syncfs", None) if sys.platform == "linux" else None
    if together is None:
        return False
    by_device = {folder.stat().st_dev: folder for folder in folders}
    for folder in by_device.values():
        handle = os.open(folder, os.O_RDONLY)
        try:
            if together(handle):
                return False  # file by file, the reason is found
        finally:
            os.close(handle)
    return True


def _force_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
