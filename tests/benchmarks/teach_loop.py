"""Measure correcting and teaching in a real viewer, driven by the mouse, and hold it to its bars.

    xvfb-run -a -s "-screen 0 1600x1000x24" python tests/benchmarks/teach_loop.py \
        --images DIR --masks DIR --names rat4_data12 rat8_V915 [--seeds 0 1 2] [--minutes 3] \
        [--by-chance] [--small] [--pictures DIR] [--out FILE.json]

Masks hold class indices. The model segments an image; in three places of 256 x 256 px a scripted
annotator draws around everything that is wrong, and drags a rectangle around the place to mark it
as reviewed. The places are where clicks on "Next place" go; with --by-chance they are squares that
differ with the seed. The model is taught, what it has learnt is taken into use, and the former
version is brought back in the end. Teaching differs with the seed. With --small there is only one
place, and what counts is the time from the click on Teach to new labels on the screen; the click
on "Use it" follows the verdict at once.

Prints a table and JSON; the exit code is 1 if a bar is missed: on average, the mean IoU on the
rest of the image has to rise by 0.02, and it may fall nowhere.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import numpy as np
from annotator import Annotator
from places import PLACE_PX, places
from viewer_streaming import click, spin_until

from napari_tileseg.io.checkpoints import load_model
from napari_tileseg.io.images import open_image
from napari_tileseg.training.metrics import Confusion
from napari_tileseg.viewer.layers import SegmentationLabels
from napari_tileseg.viewer.viewport import visible_region

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW, SMALL_WINDOW = (1500, 950), (1260, 640)
"""While there is much to draw the window is smaller: a canvas without a GPU is slow to paint."""
GAIN, AGREEMENT, SMALL_S = 0.02, 0.99, 30
COLUMNS = {
    "image": 14,
    "seed": 4,
    "before": 8,
    "after": 8,
    "gain": 8,
    "verdict": 11,
    "painted": 8,
    "strokes": 7,
    "teach_s": 8,
    "screen_s": 8,
    "all_s": 8,
}


class Arrivals:
    """Notes when labels of a model arrive in a region of a layer."""

    def __init__(self) -> None:
        self._write = SegmentationLabels.stream_block
        SegmentationLabels.stream_block = lambda *args: self._on_block(*args)
        self._layer, self._open, self._offset = None, np.zeros((0, 0), np.bool_), (0, 0)
        self.first_at = self.all_at = 0.0

    def wait_for(self, layer, region) -> None:
        """Begin anew, for this region."""
        self._layer, self._offset = layer, [axis.start for axis in region]
        self._open = np.ones([axis.stop - axis.start for axis in region], np.bool_)
        self.first_at = self.all_at = 0.0

    def _on_block(self, layer, region, block) -> None:
        self._write(layer, region, block)
        if layer is not self._layer or not self._open.any():
            return
        inside = self._open[
            tuple(
                slice(max(0, axis.start - low), max(0, axis.stop - low))
                for axis, low in zip(region, self._offset, strict=True)
            )
        ]
        if inside.any():
            self.first_at = self.first_at or time.perf_counter()
            inside[:] = False
        if not self._open.any():
            self.all_at = time.perf_counter()


def read(folder: Path, name: str) -> np.ndarray:
    path = next(one for one in sorted(folder.iterdir()) if one.stem == name)
    with open_image(path) as opened:
        return np.asarray(opened.levels[0])


class Case:
    """One image in a viewer of its own, from the first run to the way back."""

    def __init__(self, arguments: argparse.Namespace, name: str, seed: int) -> None:
        self.arguments, self.name, self.seed = arguments, name, seed
        image, self.truth = read(arguments.images, name), read(arguments.masks, name)
        self.where: list[tuple[slice, slice]] = []
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*WINDOW)
        self.viewer.add_image(image, name=name)
        _, self.dock = self.viewer.window.add_plugin_dock_widget(
            "napari-tileseg", "Tiled Segmentation"
        )
        spin_until(lambda: False, 3)  # devices are found out about, icons are drawn
        self.session, self.panel = self.dock.session, self.dock.teach_panel
        self.annotator = Annotator(self.viewer, self.dock)

    @property
    def layer(self):
        return self.annotator.layer

    def picture(self, what: str) -> None:
        folder = self.arguments.pictures
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self.viewer.window._qt_window.grab().save(
                str(folder / f"{self.name}-{self.seed}-{what}.png")
            )

    def wait_for_run(self) -> None:
        spin_until(lambda: self.session.view.busy, 10)
        spin_until(lambda: not self.session.view.busy, 600)

    def miou_of_the_rest(self) -> float:
        assert self.where, "before anything is corrected the rest would be the whole image"
        rest = self.truth.copy()
        for place in self.where:
            rest[place] = 255
        confusion = Confusion(len(self.session.classes))
        confusion.add(self.layer.data, rest)
        return confusion.miou

    def segment(self) -> None:
        self.session.set_model(load_model(self.arguments.model), self.arguments.model)
        click(self.dock.run_panel.run)
        self.wait_for_run()

    def choose(self) -> Iterator[tuple[slice, slice]]:
        """Say where to correct, one place after the other."""
        count = 1 if self.arguments.small else 3
        if self.arguments.by_chance:
            yield from places(self.truth.shape, self.seed, count)
            return
        for _ in range(count):
            click(self.panel.next_place)
            point = visible_region(self.viewer, self.layer).point
            corner = [
                min(max(round(middle + 0.5 - PLACE_PX / 2), 0), size - PLACE_PX)
                for middle, size in zip(point, self.truth.shape, strict=True)
            ]
            yield slice(corner[0], corner[0] + PLACE_PX), slice(corner[1], corner[1] + PLACE_PX)

    def correct(self) -> dict[str, object]:
        self.dock.teach_step.set_open(True)
        self.viewer.window.resize(*SMALL_WINDOW)
        begun, agreements = time.perf_counter(), []
        for place in self.choose():
            self.where.append(place)
            self.annotator.look_at(place)
            agreements.append(self.annotator.correct(place, self.truth))
            self.annotator.review(place)
        self.viewer.window.resize(*WINDOW)
        spin_until(lambda: False, 0.5)
        self.annotator.look_at(self.where[-1])
        self.picture("corrected")
        vouched = sum(self.layer.vouched.read(place).sum() for place in self.where)
        return {
            "painted": float(np.mean(agreements)),
            "strokes": self.annotator.strokes,
            "painting_s": time.perf_counter() - begun,
            "vouched_only_there": bool(
                vouched == self.layer.vouched.count == len(self.where) * PLACE_PX**2
            ),
        }

    def teach(self, arrivals: Arrivals) -> dict[str, object]:
        """Teach, and take what was learnt into use whatever the verdict is."""
        view, patience_s = self.session.view, 60 * self.arguments.minutes + 120
        settings = view.teach.settings.but(minutes=self.arguments.minutes, seed=self.seed)
        self.dock.controller.teaching.choose_settings(settings)
        if not spin_until(lambda: self.session.view.teach.can_teach, 20):
            raise SystemExit(f"Nothing can be taught: {self.session.view.teach.problem}")
        begun = time.perf_counter()
        click(self.panel.teach)
        spin_until(lambda: self.session.view.teach.progress > 0.5, patience_s)
        self.picture("learning")
        spin_until(lambda: not self.session.view.teach.teaching, patience_s)
        decided, finding = time.perf_counter(), self.session.view.teach.finding
        if finding is None:
            raise SystemExit(f"Teaching has failed: {self.session.view.notice}")
        self.picture("verdict")
        region = visible_region(self.viewer, self.layer).region(self.layer.data.shape)
        arrivals.wait_for(self.layer, region)
        clicked = time.perf_counter()
        click(self.panel.verdict.use)
        self.wait_for_run()
        waited = clicked - decided  # while pictures are taken nobody waits for labels
        return {
            "verdict": finding.outcome,
            "sentence": finding.sentence,
            "teach_s": decided - begun,
            "first_label_s": arrivals.first_at - begun - waited,
            "screen_s": arrivals.all_at - begun - waited,
            "all_s": time.perf_counter() - begun - waited,
        }

    def go_back(self) -> bool:
        """Return to the model as it was loaded, and say whether its labels are there again."""
        self._click_version(1)
        back = self.layer.data.copy()
        self._click_version(0)
        return bool((back == self.before).all() and (self.layer.data == self.after).all())

    def _click_version(self, line: int) -> None:
        click(self.panel.versions.lines[line].button)
        spin_until(lambda: not self.session.view.busy, 600)

    def measure(self, arrivals: Arrivals) -> dict[str, object]:
        self.segment()
        corrected = self.correct()
        # only now is it known where the rest is; nobody has painted there
        self.before, before = self.layer.data.copy(), self.miou_of_the_rest()
        taught = self.teach(arrivals)
        self.after, after = self.layer.data.copy(), self.miou_of_the_rest()
        kept = all((self.after[place] == self.before[place]).all() for place in self.where)
        self.picture("used")
        result = {
            "image": self.name,
            "seed": self.seed,
            "before": before,
            "after": after,
            "gain": after - before,
            "places": [[axis.start for axis in place] for place in self.where],
            **corrected,
            **taught,
            "vouched_pixels_kept": kept,
            "going_back_restores_labels": self.go_back(),
        }
        self.viewer.close()
        spin_until(lambda: False, 1)  # what is left to save is saved
        return result


def passed(cases: list[dict[str, object]], *, small: bool) -> dict[str, bool]:
    bars = {
        f"painted_labels_agree_{AGREEMENT:.0%}": all(c["painted"] >= AGREEMENT for c in cases),
        "vouched_pixels_are_those_painted": all(c["vouched_only_there"] for c in cases),
        "vouched_pixels_kept": all(c["vouched_pixels_kept"] for c in cases),
        "going_back_restores_labels": all(c["going_back_restores_labels"] for c in cases),
    }
    if small:
        bars[f"on_screen_within_{SMALL_S}_s"] = all(c["screen_s"] <= SMALL_S for c in cases)
    else:
        gains = [c["gain"] for c in cases]
        bars[f"gain_{GAIN}_on_average"] = bool(np.mean(gains) >= GAIN)
        bars["no_case_falls"] = min(gains) >= 0
    return bars


def show(values: dict[str, object]) -> None:
    shown = (f"{v:.4f}" if isinstance(v, float) and abs(v) <= 1 else v for v in values.values())
    shown = (f"{v:.1f}" if isinstance(v, float) else str(v) for v in shown)
    print(*(text.rjust(n) for text, n in zip(shown, COLUMNS.values(), strict=True)))  # noqa: T201


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--model", default="axon_myelin_sem")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--by-chance", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    arguments, arrivals = options(), Arrivals()
    cases = []
    show({name: name for name in COLUMNS})
    for name in arguments.names:
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as folder:
                os.environ["TILESEG_DATA"] = folder  # nothing is left, nothing is found
                cases.append(Case(arguments, name, seed).measure(arrivals))
            show({name: cases[-1][name] for name in COLUMNS})
    gain = float(np.mean([case["gain"] for case in cases]))
    bars = passed(cases, small=arguments.small)
    text = json.dumps({"cases": cases, "mean_gain": gain, "passed": bars}, indent=2)
    print(text)  # noqa: T201
    if arguments.out is not None:
        arguments.out.write_text(text)
    sys.exit(not all(bars.values()))


if __name__ == "__main__":
    main()
