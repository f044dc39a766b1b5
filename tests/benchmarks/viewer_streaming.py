"""Measure how a run feels in a real viewer: gaps of the event loop, first labels, cancelling.

    xvfb-run -a -s "-screen 0 1600x1000x24" python tests/benchmarks/viewer_streaming.py \
        [--image FILE] [--model NAME] [--tile 256] [--seconds 30]

Prints JSON. A gap is the time between two passes of the event loop; gaps are weighted by time,
so the 95th percentile says: for 95 % of the time the window answered within so many milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QTimer

from napari_tileseg.engine.spec import NOT_COMPUTED
from napari_tileseg.io.checkpoints import load_model
from napari_tileseg.io.images import open_image
from napari_tileseg.io.samples import sample_image
from napari_tileseg.session import State


class Gaps:
    """Notes when the event loop comes round."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._timer = QTimer()
        self._timer.setInterval(1)
        self._timer.timeout.connect(lambda: self.times.append(time.perf_counter()))

    def start(self) -> None:
        self.times = [time.perf_counter()]
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def summary(self) -> dict[str, float]:
        gaps = np.sort(np.diff(self.times)) * 1000
        share = np.cumsum(gaps) / gaps.sum()
        return {
            "p50_ms": round(float(gaps[np.searchsorted(share, 0.5)]), 1),
            "p95_ms": round(float(gaps[np.searchsorted(share, 0.95)]), 1),
            "max_ms": round(float(gaps[-1]), 1),
            "seconds": round(float(gaps.sum() / 1000), 1),
        }


class TileCounter:
    """Counts the calls of a network by a hook."""

    def __init__(self, module: object) -> None:
        self.begun = 0
        self.begun_at: list[float] = []
        module.register_forward_pre_hook(self._on_forward)

    def _on_forward(self, *_: object) -> None:
        self.begun += 1
        self.begun_at.append(time.perf_counter())


def spin_until(condition, timeout_s: float) -> bool:
    """Let the event loop run as napari does, until something is the case."""
    loop = QEventLoop()
    end = time.perf_counter() + timeout_s
    poll = QTimer()
    poll.setInterval(5)
    poll.timeout.connect(lambda: (condition() or time.perf_counter() > end) and loop.quit())
    poll.start()
    loop.exec()
    poll.stop()
    return bool(condition())


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    network = load_model(arguments.model)
    with open_image(arguments.image) as opened:
        data = np.asarray(opened.levels[0])
    viewer = napari.Viewer()
    viewer.window.resize(1500, 950)
    viewer.add_image(data, name="image")
    _, dock = viewer.window.add_plugin_dock_widget("napari-tileseg", "Tiled Segmentation")
    spin_until(lambda: False, 4)  # devices are found out about, icons are drawn
    session = dock.session
    session.set_model(network, arguments.model)
    channels = (0,) * len(network.spec.channels) if session.view.misfit else None
    session.set_settings(session.settings.but(tile=arguments.tile, channels=channels))
    counter = TileCounter(network.module)
    gaps = Gaps()
    clicked = time.perf_counter()
    dock.run_panel.run.click()
    start_ms = round(1000 * (time.perf_counter() - clicked))
    gaps.start()
    labels = viewer.layers[-1]
    spin_until(lambda: (np.asarray(labels.data) != NOT_COMPUTED).any(), 120)
    begun_at_first_labels = counter.begun
    spin_until(lambda: not session.view.busy, arguments.seconds)
    gaps.stop()
    result: dict[str, object] = {
        "image": list(data.shape),
        "tiles": session.view.estimate,
        "cores": os.cpu_count(),
        "adding_the_layer_ms": start_ms,
        "gaps": gaps.summary(),
        "tiles_begun_at_first_labels": begun_at_first_labels,
        "tiles_per_s": round(counter.begun / gaps.summary()["seconds"], 2),
    }
    if not session.view.busy:
        dock.run_panel.run.click()
        spin_until(lambda: session.view.progress > 0, 120)
    result["cancel"] = cancel(dock, counter)
    viewer.close()
    return result


def cancel(dock, counter: TileCounter) -> dict[str, object]:
    begun, start = counter.begun, time.perf_counter()
    dock.run_panel.cancel.click()
    spin_until(lambda: dock.session.view.state is State.CANCELLED, 120)
    return {
        "batches_begun_after_the_click": counter.begun - begun,
        "ms": round(1000 * (time.perf_counter() - start)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, default=sample_image())
    parser.add_argument("--model", default="axon_myelin_sem")
    parser.add_argument("--tile", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=40)
    print(json.dumps(measure(parser.parse_args()), indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
