"""A pytest plugin: whoever imports napari or Qt fails, so what passes needs neither."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

_FORBIDDEN = {
    "PyQt5",
    "PyQt6",
    "PySide2",
    "PySide6",
    "magicgui",
    "napari",
    "qtpy",
    "superqt",
    "vispy",
}


class _Blocker(MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in _FORBIDDEN:
            raise ModuleNotFoundError(f"{fullname} is not there in this run", name=fullname)


def pytest_configure(config):
    """Close the door before any test module is imported."""
    loaded = _FORBIDDEN & set(sys.modules)
    assert not loaded, f"loaded before the tests began: {loaded}"
    sys.meta_path.insert(0, _Blocker())


def pytest_report_header(config):
    return "no napari, no Qt: imports of them fail"
