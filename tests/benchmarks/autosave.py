"""Kill a viewer in which somebody paints, again and again; and see that saving is not felt.

    xvfb-run -a -s "-screen 0 1600x1000x24" python tests/benchmarks/autosave.py \
        [--kills 20] [--side 16384] [--seconds 20]

`--kills 0` or `--seconds 0` leaves out that half.

A viewer of its own process opens an image, and the mouse paints one stroke after the other over
it; each stroke is noted, with its time, in a file. The process is killed at a random moment, and
the project is read: every stroke that ended more than 2 s before has to be in it. Then strokes
are painted on a large image, and the gaps between two passes of the event loop, weighted by
time, are measured while they are saved.

Prints a table and JSON; the exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LOST_S, P95_MS = 2.0, 50
PX = 8
KILL_SIDE = 2048


def paint(image: str, notes: str, seconds: float) -> None:
    """Paint until the end of time, or for some seconds; note what was painted, and the gaps."""
    import napari
    import tifffile
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest
    from viewer_streaming import Gaps, spin_until

    from napari_tileseg.engine.spec import default_classes
    from napari_tileseg.viewer.layers import SegmentationLabels
    from napari_tileseg.viewer.links import OURS

    viewer = napari.Viewer()
    viewer.window.resize(1200, 900)
    layer = viewer.add_image(tifffile.memmap(image, mode="r"), name="image")
    layer._source = layer.source.model_copy(update={"path": image})
    _, dock = viewer.window.add_plugin_dock_widget("napari-tileseg", "Tiled Segmentation")
    link = {"image": str(layer.unique_id), "classes": ("a", "b", "c"), "meanings": {}}
    labels = SegmentationLabels.empty(
        layer.data.shape,
        classes=default_classes(3),
        metadata={OURS: {**link, "multilabel": False, "index": None}},
    )
    viewer.add_layer(labels)
    if seconds:
        viewer.scene.camera.zoom = 1
        labels.stream_block(
            tuple(slice(0, n) for n in labels.data.shape), np.zeros(labels.data.shape, np.uint8)
        )
    spin_until(lambda: False, 3)
    labels.mode, labels.brush_size = "paint", PX
    canvas = viewer.window._qt_viewer.canvas.native
    gaps, rng, number = Gaps(), random.Random(), 0
    gaps.start()
    end = time.time() + (seconds or 1e9)
    with Path(notes).open("a") as file:
        while time.time() < end:
            labels.selected_label = 1 + number % 2
            where = QPoint(rng.randrange(200, canvas.width() - 200), rng.randrange(200, 600))
            before = labels.vouched.count
            QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=where)
            for step in range(6):
                QTest.mouseMove(canvas, where + QPoint(10 * step, 4 * step))
                spin_until(lambda: False, 0.01)
            QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=where + QPoint(60, 24))
            spot = viewer.cursor.position
            number += 1
            y, x = (round(one) for one in labels.world_to_data(spot))
            inside = 0 <= y < labels.data.shape[0] and 0 <= x < labels.data.shape[1]
            if inside and labels.vouched.count != before:
                now = {"at": time.time(), "y": y, "x": x, "label": int(labels.data[y, x])}
                now["count"] = labels.vouched.count
                file.write(json.dumps(now) + "\n")
                file.flush()
            spin_until(lambda: False, 0.05)
    gaps.stop()
    Path(notes).with_suffix(".gaps").write_text(json.dumps(gaps.summary()))
    dock.controller.projects.close()
    os._exit(0)  # what a closing window takes is not what is measured


def start(image: Path, notes: Path, seconds: float = 0) -> subprocess.Popen[bytes]:
    words = ["--paint", str(image), str(notes), str(seconds)]
    return subprocess.Popen([sys.executable, __file__, *words])


def killed(folder: Path, number: int, rng: random.Random) -> dict[str, float]:
    """Let one viewer paint for a random while, kill it, and compare its project with its notes."""
    image, notes = blank(folder / f"image-{number}.tif", KILL_SIDE), folder / f"notes-{number}"
    process = start(image, notes)
    while not notes.exists() or not notes.read_text():
        if process.poll() is not None:
            raise SystemExit("the viewer has ended by itself")
        time.sleep(0.05)
    time.sleep(rng.uniform(1, 6))
    process.kill()
    at = time.time()
    process.wait()
    return compared(image, notes, at)


def compared(image: Path, notes: Path, killed_at: float) -> dict[str, float]:
    """Say how old the newest state is that the project holds, and whether it can be read."""
    from napari_tileseg.annotation.sheet import Sheet
    from napari_tileseg.errors import TilesegError
    from napari_tileseg.io.project import Project

    strokes = [json.loads(line) for line in notes.read_text().splitlines() if line.endswith("}")]
    try:
        project = Project.open(image.with_name(f"{image.name}.tileseg"))
        sheet = Sheet.empty((KILL_SIDE, KILL_SIDE))
        for entry in project.sheets:
            for region, words in project.read(entry["id"], tuple(entry["shape"])):
                sheet.restore(region, *words)
        damaged = project.damaged
        project.close()
    except TilesegError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return {"readable": 0, "strokes": len(strokes), "lost_s": killed_at - strokes[0]["at"]}
    # what is vouched for only grows, so its count tells how far the project has come
    missing = [one["at"] for one in strokes if one["count"] > sheet.vouched.count]
    lost = killed_at - min(missing) if missing else 0.0
    return {"readable": float(not damaged), "strokes": len(strokes), "lost_s": round(lost, 2)}


def blank(path: Path, side: int) -> Path:
    import tifffile

    tifffile.imwrite(path, np.zeros((side, side), np.uint8))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paint", nargs=3, metavar=("IMAGE", "NOTES", "SECONDS"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    if arguments.paint:
        image, notes, seconds = arguments.paint
        paint(image, notes, float(seconds))
        return
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kills = []
        for number in range(arguments.kills):
            kills.append(killed(folder, number, rng))
            print(number + 1, kills[-1])  # noqa: T201
        gaps = felt(folder, arguments.side, arguments.seconds) if arguments.seconds else None
    passed = {
        "store_always_readable": all(one["readable"] for one in kills),
        f"lost_within_{LOST_S:g}_s": all(one["lost_s"] <= LOST_S for one in kills),
    }
    if gaps is not None:
        passed[f"p95_within_{P95_MS}_ms"] = gaps["p95_ms"] <= P95_MS
    result = {
        "kills": len(kills),
        "strokes": int(sum(one["strokes"] for one in kills)),
        "lost_s_at_most": max((one["lost_s"] for one in kills), default=0.0),
        "gaps_while_painting": gaps,
        "load": os.getloadavg(),
        "passed": passed,
    }
    print(json.dumps(result, indent=2))  # noqa: T201
    sys.exit(not all(passed.values()))


def felt(folder: Path, side: int, seconds: float) -> dict[str, float]:
    """Let somebody paint on a large image, and say how long the window did not answer."""
    notes = folder / "large"
    if start(blank(folder / "large.tif", side), notes, seconds).wait():
        raise SystemExit("the viewer has failed")
    gaps: dict[str, float] = json.loads(notes.with_suffix(".gaps").read_text())
    return gaps


if __name__ == "__main__":
    main()
