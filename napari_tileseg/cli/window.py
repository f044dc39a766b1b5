"""The demo in napari: the dock by its manifest name, the sample image, a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import OutputError, TilesegError

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE_S = 600.0
_SETTLE_S = 1.0
_PICTURE_PX = (1500, 940)


def open_demo(screenshot: Path | None = None, *, device: str = "auto") -> None:
    """Open napari with the dock on the sample image and start a run.

    Parameters
    ----------
    screenshot
        Where a picture of the window goes once the run has ended; the window is closed then.
        None leaves the window to the person.
    device
        Where the network runs.

    Raises
    ------
    DeviceError
        If there is no such device.
    TilesegError
        If napari cannot open a window here, or the run does not end.
    """
    from napari_tileseg.engine.device import resolve_device

    try:
        import napari
        import qtpy.QtWidgets  # noqa: F401
    except ImportError as error:
        raise TilesegError(
            f"napari cannot open a window ({error}). Install it with its window toolkit, "
            'pip install "napari-tileseg[all]", or use --headless.'
        ) from error
    resolve_device(device)
    viewer = napari.Viewer(title="napari-tileseg demo")
    if screenshot is not None:
        viewer.window.resize(*_PICTURE_PX)
    _, widget = viewer.window.add_plugin_dock_widget("napari-tileseg", "Tiled Segmentation")
    widget.session.set_settings(widget.session.settings.but(device=device))
    widget.open_sample_and_run()
    if screenshot is None:
        napari.run()
        return
    try:
        problem = _wait_for_end(widget)
        viewer.reset_view()
        _live(_SETTLE_S)
        _photograph(viewer, screenshot)
    finally:
        viewer.close()
    if problem:
        raise TilesegError(problem)


def _wait_for_end(widget: Any) -> str:
    """Let the window live until its run is over; return what went wrong, if anything."""
    from napari_tileseg.session import Severity, State

    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        _live(0.05)
        view = widget.session.view
        notice = view.notice
        if notice is not None and notice.severity is Severity.ERROR:
            return str(notice.text)
        if view.state in (State.FINISHED, State.CANCELLED):
            return ""
    return "The run did not end within ten minutes; the picture shows how far it was."


def _live(seconds: float) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def _photograph(viewer: Any, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        viewer.screenshot(str(path), canvas_only=False, flash=False)
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written ({error.strerror or error}). Choose another place."
        ) from error
