"""The models used lately, remembered between sessions."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from platformdirs import user_state_path

_KEPT = 8


def recent_models() -> list[str]:
    """Return the files and folders used lately that are still there, the last one first."""
    try:
        stored = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    paths = stored if isinstance(stored, list) else []
    return [path for path in paths if isinstance(path, str) and Path(path).exists()][:_KEPT]


def remember_model(path: str) -> None:
    """Put a file or folder in front; a folder that cannot be written is no reason to complain."""
    full = str(Path(path).resolve())
    paths = [full, *(known for known in recent_models() if known != full)][:_KEPT]
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        _file().write_text(json.dumps(paths), encoding="utf-8")


def _file() -> Path:
    return user_state_path("napari-tileseg", appauthor=False) / "recent_models.json"
