"""What a model has learnt from already: nothing of that can tell whether it has become better."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.annotation.places import places

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.source import Source
    from napari_tileseg.training.lessons import Lesson

LEARNT_FROM = "learnt from"
"""Where a network's provenance keeps, image by image, boxes that it was taught."""

_SEEN_PX = 64
"""An image is known again by a square of this side in its middle."""


def learnt_from(start: Network, lessons: Iterable[Lesson]) -> dict[str, Any]:
    """Return provenance for a network that begins as `start` and is taught `lessons`.

    Reviewed places count; nobody is judged by single corrections.
    """
    found = {image: list(boxes) for image, boxes in _known(start.provenance).items()}
    for one in lessons:
        boxes = [box for place in places(one.vouchings) for box in place.boxes]
        plain = [[[at.start, at.stop] for at in box] for box in boxes]
        found.setdefault(_print_of(one.source), []).extend(plain)
    return {LEARNT_FROM: found}


def in_words(provenance: dict[str, Any]) -> dict[str, Any]:
    """Return provenance for a person, without the many boxes."""
    areas = {
        image: sum(math.prod(stop - start for start, stop in box) for box in boxes)
        for image, boxes in _known(provenance).items()
    }
    if not areas:
        return provenance
    return provenance | {LEARNT_FROM: {image: f"{area:,} px" for image, area in areas.items()}}


def familiar(networks: Iterable[Network], sources: Iterable[Source]) -> list[list[Region]]:
    """Return the boxes that one of some networks was taught, image by image."""
    known = [one for one in (_known(one.provenance) for one in networks) if one]
    return [_taught(known, source) if known else [] for source in sources]


def _taught(known: list[dict[str, Any]], source: Source) -> list[Region]:
    image, ndim = _print_of(source), len(source.label_shape)
    boxes = [box for one in known for box in one.get(image, ()) if len(box) == ndim]
    return [tuple(slice(*ends) for ends in box) for box in boxes]


def touch(boxes: Sequence[Region], others: Sequence[Region]) -> bool:
    """Say whether a box of the one kind has a pixel in common with one of the other."""
    if not boxes or not others:
        return False
    (low, high), (low_other, high_other) = _ends(boxes), _ends(others)
    apart = (low[:, None] >= high_other[None]) | (low_other[None] >= high[:, None])
    return bool((~apart.any(-1)).any())


def _print_of(source: Source) -> str:
    """Return what tells an image from others, also on another day and under another name."""
    starts = [max(0, (size - _SEEN_PX) // 2) for size in source.spatial_shape]
    ends = [
        min(size, start + _SEEN_PX)
        for start, size in zip(starts, source.spatial_shape, strict=True)
    ]
    middle = tuple(slice(*both) for both in zip(starts, ends, strict=True))
    first = (0,) * (len(source.label_shape) - len(middle))
    pixels = np.ascontiguousarray(source.read(first, middle, (0,)))
    return f"{source.label_shape} {hashlib.sha256(pixels.tobytes()).hexdigest()[:16]}"


def _known(provenance: dict[str, Any]) -> dict[str, Any]:
    """Return the boxes by image; a file can hold anything under that name."""
    found = provenance.get(LEARNT_FROM)
    if not isinstance(found, dict):
        return {}
    return {
        image: [box for box in boxes if _is_box(box)]
        for image, boxes in found.items()
        if isinstance(boxes, list)
    }


def _is_box(found: Any) -> bool:
    return isinstance(found, list) and all(
        isinstance(ends, list) and len(ends) == 2 and all(type(end) is int for end in ends)
        for ends in found
    )


def _ends(boxes: Sequence[Region]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    both = np.array([[(at.start, at.stop) for at in box] for box in boxes])
    return both[..., 0], both[..., 1]
