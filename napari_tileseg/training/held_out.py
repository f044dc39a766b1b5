"""Which reviewed places are kept back to judge by, apart in space from what is learnt from."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.annotation.places import Place, places
from napari_tileseg.annotation.sparse import Region, bounding, shape_of
from napari_tileseg.training.familiar import touch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_tileseg.annotation.vouchings import Vouchings
    from napari_tileseg.engine.spec import ModelSpec

LEAST_PX = 4096
"""A place that is judged by has at least so many reviewed pixels: a square of 64 px."""

_LEAST_SIDE = 96
"""Neither half of a place that is cut in two is shorter."""

_HELD = 0.25
"""The share of the places that is kept back."""

_OVERLAP = 0.25

_GAP_PLANES = 2
"""Planes of a stack so near to what is judged by show nearly the same, and are not learnt from."""


_FRESH = "review another region, which the model has not learnt from"


@dataclass(frozen=True, eq=False)
class Split:
    """What is learnt from, and what is judged by; one of each an image.

    Attributes
    ----------
    train, held_out
        What is vouched for in each image; the held out parts hold reviewed pixels only, and
        nothing within the gap of them is learnt from.
    regions, n_held_out
        How many reviewed places there are, and how many (parts) of them are held out.
    missing
        Where nothing is held out: what a person can do about it.
    """

    train: tuple[Vouchings, ...]
    held_out: tuple[Vouchings, ...]
    regions: int
    n_held_out: int
    missing: str = ""


@dataclass(frozen=True)
class Readiness:
    """Whether there is enough to learn from, and to tell whether it helped.

    Attributes
    ----------
    can_teach, can_prove
        Whether anything is vouched for; whether some of it can be kept back to judge by.
    regions, held_out
        How many reviewed places there are, and how many (parts) of them would be held out.
    text
        The same as a sentence.
    """

    can_teach: bool
    can_prove: bool
    regions: int
    held_out: int
    text: str


@dataclass(frozen=True, eq=False)
class _Plan:
    """What to hold out, before anything is copied."""

    regions: int
    chosen: tuple[tuple[int, tuple[Region, ...]], ...] = ()
    missing: str = ""
    cut: bool = False


_Found = tuple[int, Place]


def gap_px(spec: ModelSpec) -> int:
    """Return how far apart learning and judging are: the halo of a tile at the usual overlap."""
    return max(round(spec.tile * _OVERLAP / 2), spec.stride)


def split(
    vouchings: Sequence[Vouchings],
    gap: int,
    seed: int = 0,
    familiar: Sequence[Sequence[Region]] = (),
) -> Split:
    """Keep reviewed places back to judge by.

    Whole places where there are at least two, a quarter of them; else a third of the only one,
    if it is long enough. Places with several classes are preferred, and those without which
    nothing of a class would be left to learn from are avoided.

    Parameters
    ----------
    vouchings
        One an image.
    gap
        How far apart in pixels what is learnt from is from what is judged by.
    seed
        Which of several places that would do.
    familiar
        One list an image: what a model that is judged has learnt from before, which is not
        judged by.
    """
    plan = _planned(vouchings, gap, seed, familiar)
    held = []
    for index, one in enumerate(vouchings):
        boxes = [box for which, some in plan.chosen if which == index for box in some]
        held.append(one.judged_in(boxes))
    train = tuple(_training(plan, vouchings, gap))
    return Split(train, tuple(held), plan.regions, len(plan.chosen), plan.missing)


def readiness(
    vouchings: Sequence[Vouchings], gap: int, familiar: Sequence[Sequence[Region]] = ()
) -> Readiness:
    """Say whether there is enough to learn from, and to tell whether it helped; see `split`."""
    plan = _planned(vouchings, gap, 0, familiar)
    count = len(plan.chosen)
    if not any(one.count for one in vouchings):
        text = "Enough to learn from: no. Correct something, or mark a region as reviewed."
        return Readiness(False, False, 0, 0, text)
    if not plan.chosen:
        text = f"Enough to learn from: yes. Not enough to prove that it helped: {plan.missing}."
        return Readiness(True, False, plan.regions, 0, text)
    held = "a third of it is held out" if plan.cut else f"{count} held out"
    noun = "region" if plan.regions == 1 else "regions"
    return Readiness(
        True,
        True,
        plan.regions,
        count,
        f"Enough to learn from: yes, {plan.regions} {noun} ({held})",
    )


def _planned(
    vouchings: Sequence[Vouchings], gap: int, seed: int, familiar: Sequence[Sequence[Region]]
) -> _Plan:
    known = familiar or [()] * len(vouchings)
    found = [(index, place) for index, one in enumerate(vouchings) for place in places(one)]
    if not found:
        return _Plan(0, missing="mark two regions as reviewed")
    chance = random.Random(seed)
    if len(found) == 1:
        index, place = found[0]
        return _checked(
            _cut(index, vouchings[index], place, gap, chance, known[index]), vouchings, gap
        )
    wanted = max(1, round(_HELD * len(found)))
    most = sum(one.count for one in vouchings) // 2
    chosen: list[_Found] = []
    for _ in range(wanted):
        spent = sum(place.pixels for _, place in chosen)
        left = [one for one in found if one not in chosen]
        good = [
            one
            for one in left
            if _can_judge(one[1])
            and spent + one[1].pixels <= most
            and not touch(one[1].boxes, known[one[0]])
        ]
        if good:
            chosen.append(min(good, key=lambda one: (*_badness(one, left), chance.random())))
    if not chosen:
        fresh = [one for one in found if not touch(one[1].boxes, known[one[0]])]
        return _Plan(len(found), missing=_too_little(fresh) if fresh else _FRESH)
    plan = _Plan(len(found), tuple((index, place.boxes) for index, place in chosen))
    return _checked(plan, vouchings, gap)


def _checked(plan: _Plan, vouchings: Sequence[Vouchings], gap: int) -> _Plan:
    """Return a plan that holds nothing out if nothing would be left to learn from."""
    if not plan.chosen or any(one.count for one in _training(plan, vouchings, gap)):
        return plan
    return _Plan(plan.regions, missing=f"review another region, {gap} px or more away")


def _training(plan: _Plan, vouchings: Sequence[Vouchings], gap: int) -> Iterator[Vouchings]:
    """Yield what is learnt from, image by image."""
    for index, one in enumerate(vouchings):
        boxes = [box for which, some in plan.chosen if which == index for box in some]
        yield one.without(_grown(box, gap) for box in boxes) if boxes else one


def _can_judge(place: Place) -> bool:
    return place.pixels >= LEAST_PX and len(place.classes) >= 2


def _too_little(found: Sequence[_Found]) -> str:
    if any(_can_judge(place) for _, place in found):
        return "review another region, as large as the largest one"
    return "review a region of at least 64 × 64 px in which several classes meet"


def _badness(one: _Found, left: Sequence[_Found]) -> tuple[int, int]:
    """Return how many classes could no more be learnt without a place, and how few it shows."""
    others = {label for other in left if other is not one for label in other[1].classes}
    return len(one[1].classes - others), -len(one[1].classes)


def _cut(
    index: int,
    vouchings: Vouchings,
    place: Place,
    gap: int,
    chance: random.Random,
    known: Sequence[Region],
) -> _Plan:
    """Hold out a third of the only place, at one of the ends of its longer side."""
    box = bounding(place.boxes)
    axis = len(box) - 2 + int(np.argmax(shape_of(box)[-2:]))
    length = box[axis].stop - box[axis].start
    held = (length - gap) // 3
    parts = [
        slice(box[axis].start, box[axis].start + held),
        slice(box[axis].stop - held, box[axis].stop),
    ]
    if chance.random() >= 0.5:
        parts.reverse()
    for part in parts if held >= _LEAST_SIDE else []:
        end = (*box[:axis], part, *box[axis + 1 :])
        inside = places(vouchings.judged_in([end]))
        classes = {label for one in inside for label in one.classes}
        is_known = touch([box for one in inside for box in one.boxes], known)
        enough = sum(one.pixels for one in inside) >= LEAST_PX and len(classes) >= 2
        if enough and not is_known:
            return _Plan(1, ((index, (end,)),), cut=True)
    return _Plan(1, missing=_FRESH if known else "review a second region")


def _grown(box: Region, gap: int) -> Region:
    planes = (slice(at.start - _GAP_PLANES, at.stop + _GAP_PLANES) for at in box[:-2])
    return (*planes, *(slice(axis.start - gap, axis.stop + gap) for axis in box[-2:]))
