"""Measure what teaching brings on images that a model has never seen, and hold it to its bars.

    python tests/benchmarks/teaching.py --images DIR --masks DIR \
        --names rat8_V915 rat4_data12 [--seeds 0 1 2] [--minutes 3] [--threads 2] \
        [--places LOOP.json] [--small] [--set learning_rate=1e-4 ...] [--out FILE.json]

Masks hold class indices. In three places of 256 x 256 px the true labels count as reviewed; the
model is taught, and the mean IoU on the rest of the image is compared before and after, whatever
the verdict. The places differ with the seed; with --places they are those that teach_loop.py was
led to, and wrote down with --out. For every image there is a control in the end: labels that are
shuffled where the model learns (not where it is judged) have to be refused, and their twin, the
same lesson with the true labels, has to be accepted.
With --small there is one place only, no control, and what counts is the time until the verdict.

Prints a table and JSON; the exit code is 1 if a bar is missed: on average, the mean IoU has to
rise by 0.02, and it may fall nowhere.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from places import PLACE_PX, places

import napari_tileseg as nts
from napari_tileseg.annotation.vouchings import Vouchings
from napari_tileseg.io.images import open_image
from napari_tileseg.settings import TeachSettings
from napari_tileseg.training.fine_tune import fine_tune
from napari_tileseg.training.held_out import gap_px, split
from napari_tileseg.training.lessons import Lesson
from napari_tileseg.training.metrics import Confusion
from napari_tileseg.training.proof import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network

GAIN, SMALL_S = 0.02, 20
COLUMNS = {
    "image": 14,
    "seed": 4,
    "labels": 8,
    "before": 7,
    "after": 7,
    "gain": 8,
    "held_out": 14,
    "verdict": 11,
    "steps": 5,
    "teach_s": 7,
}


@dataclass(frozen=True, eq=False)
class Image:
    """An image, its true labels, and what the model says before it is taught."""

    name: str
    pixels: NDArray[np.generic]
    truth: NDArray[np.uint8]
    before: NDArray[np.uint8]

    def miou_of(self, labels: NDArray[np.uint8], rest: NDArray[np.bool_], n_classes: int) -> float:
        confusion = Confusion(n_classes)
        confusion.add(labels, np.where(rest, self.truth, 255).astype(np.uint8))
        return confusion.miou


def read(folder: Path, name: str) -> NDArray[np.generic]:
    path = next(one for one in sorted(folder.iterdir()) if one.stem == name)
    with open_image(path) as opened:
        return np.asarray(opened.levels[0])


def shuffled(
    truth: NDArray[np.uint8], said: Vouchings, model: Network, seed: int
) -> NDArray[np.uint8]:
    """Return labels in which those that are learnt from lie about by chance."""
    learnt = split([said], gap_px(model.spec), seed).train[0].labels(_everything(truth)) != 255
    labels = truth.copy()
    labels[learnt] = np.random.default_rng(seed).permutation(truth[learnt])
    return labels


def _everything(truth: NDArray[np.uint8]) -> tuple[slice, slice]:
    return slice(0, truth.shape[0]), slice(0, truth.shape[1])


def measure(
    model: Network,
    image: Image,
    settings: TeachSettings,
    where: Sequence[tuple[slice, slice]],
    *,
    shuffle: bool = False,
) -> dict[str, object]:
    """Teach what is in a few places, and look at the rest of the image."""
    reviewed = np.zeros(image.truth.shape, bool)
    for place in where:
        reviewed[place] = True
    said = Vouchings.of(image.truth, reviewed, reviewed)
    if shuffle:
        labels = shuffled(image.truth, said, model, settings.seed)
        said = Vouchings.of(labels, reviewed, reviewed)
    lesson = Lesson.of(image.pixels, said, model.spec, name=image.name)
    begun = time.perf_counter()
    *_, last = fine_tune(model, [lesson], settings=settings)
    took = time.perf_counter() - begun
    verdict, n_classes = last.verdict, len(model.classes)
    before = image.miou_of(image.before, ~reviewed, n_classes)
    learnt = nts.predict(image.pixels, verdict.candidate)
    after = image.miou_of(learnt, ~reviewed, n_classes)
    return {
        "image": image.name,
        "seed": settings.seed,
        "labels": "shuffled" if shuffle else "true",
        "before": before,
        "after": after,
        "gain": after - before,
        "held_out": " → ".join(
            "" if one is None else f"{one.dice_of_true:.3f}"
            for one in (verdict.before, verdict.after)
        ),
        "verdict": verdict.outcome.value,
        "steps": last.step,
        "teach_s": took,
    }


def passed(cases: list[dict[str, object]], *, small: bool) -> dict[str, bool]:
    if small:
        return {f"learnt_within_{SMALL_S}_s": all(one["teach_s"] <= SMALL_S for one in cases)}
    gains = [one["gain"] for one in cases if one["labels"] == "true"]
    shuffled = [one for one in cases if one["labels"] == "shuffled"]
    which = {(one["image"], one["seed"]) for one in shuffled}
    twins = [
        one for one in cases if one["labels"] == "true" and (one["image"], one["seed"]) in which
    ]
    return {
        f"gain_{GAIN}_on_average": bool(np.mean(gains) >= GAIN),
        "no_case_falls": min(gains) >= 0,
        "shuffled_labels_are_refused": _all_are(Outcome.NOT_BETTER, shuffled),
        "their_twins_are_accepted": _all_are(Outcome.BETTER, twins),
    }


def _all_are(outcome: Outcome, cases: list[dict[str, object]]) -> bool:
    return all(one["verdict"] == outcome.value for one in cases)


def show(values: dict[str, object]) -> None:
    shown = (f"{v:.4f}" if isinstance(v, float) and abs(v) <= 1 else v for v in values.values())
    shown = (f"{v:.1f}" if isinstance(v, float) else str(v) for v in shown)
    line = (text.rjust(n) for text, n in zip(shown, COLUMNS.values(), strict=True))
    print(*line, flush=True)  # noqa: T201


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--model", default="axon_myelin_sem")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--places", type=Path)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", dest="more")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def asked_for(arguments: argparse.Namespace) -> TeachSettings:
    more = dict(one.split("=", 1) for one in arguments.more)
    values = {name: _value(text) for name, text in more.items()}
    return TeachSettings().but(minutes=arguments.minutes, **values)


def where(arguments: argparse.Namespace, image: Image, seed: int) -> list[tuple[slice, slice]]:
    """Say which places are reviewed."""
    count = 1 if arguments.small else 3
    if arguments.places is None:
        return places(image.truth.shape, seed, count)
    cases = json.loads(arguments.places.read_text())["cases"]
    corners = next(one["places"] for one in cases if one["image"] == image.name)
    return [
        (slice(top, top + PLACE_PX), slice(left, left + PLACE_PX)) for top, left in corners[:count]
    ]


def _value(text: str) -> float | str:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # the name of a choice


def main() -> None:
    arguments = options()
    torch.set_num_threads(arguments.threads)
    settings, model = asked_for(arguments), nts.load_model(arguments.model)
    cases = []
    show({name: name for name in COLUMNS})
    for name in arguments.names:
        pixels = read(arguments.images, name)
        image = Image(name, pixels, read(arguments.masks, name), nts.predict(pixels, model))
        runs = [(seed, False) for seed in arguments.seeds]
        if not arguments.small:
            runs.append((arguments.seeds[0], True))
        for seed, shuffle in runs:
            places_ = where(arguments, image, seed)
            cases.append(measure(model, image, settings.but(seed=seed), places_, shuffle=shuffle))
            show(cases[-1])
    bars = passed(cases, small=arguments.small)
    gains = [one["gain"] for one in cases if one["labels"] == "true"]
    text = json.dumps(
        {
            "settings": settings.changed(),
            "cases": cases,
            "mean_gain": float(np.mean(gains)),
            "passed": bars,
        },
        indent=2,
    )
    print(text)  # noqa: T201
    if arguments.out is not None:
        arguments.out.write_text(text)
    sys.exit(not all(bars.values()))


if __name__ == "__main__":
    main()
