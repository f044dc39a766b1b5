"""The work on one image: its labels layers, its project, and what of them is to be saved."""

from __future__ import annotations

import json
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari_tileseg.session.project import Offer, Work
from napari_tileseg.viewer.layers import SegmentationLabels
from napari_tileseg.viewer.links import OURS
from napari_tileseg.viewer.saver import SAVED_AS, Saver

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_tileseg.io.project import Project
    from napari_tileseg.io.project_labels import Chunk
    from napari_tileseg.io.project_place import ImageIdentity

_COUNT_EVERY_S = 30
"""How many pixels are vouched for changes with every stroke; it is written down so often."""


class ImageWork:
    """What is done on one image layer, in memory.

    Attributes
    ----------
    identity
        What the image is known by; None before that was found out.
    project
        Where it is saved; None while there is no such place.
    path
        Where it was saved last, or is to be saved; None: where it belongs.
    offer
        Earlier work that nobody has decided about.
    chosen
        Model and settings as they were when the image was last the chosen one.
    extra
        Small facts that other parts want to be kept.
    problem, retry_at
        Why nothing is saved at the moment, and when to try again.
    is_blocked
        Whether somebody else saves where this would be saved.
    is_busy
        Whether another thread works on it.
    is_opening
        Whether that reads what was done before.
    in_flight
        What was copied and is being written.
    """

    def __init__(self, image: Image) -> None:
        self._image = ref(image)
        self._key = str(image.unique_id)
        self.identity: ImageIdentity | None = None
        self.project: Project | None = None
        self.path: Path | None = None
        self.offer: Offer | None = None
        self.chosen: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}
        self.problem = ""
        self.retry_at = 0.0
        self.is_blocked = False
        self.is_busy = False
        self.is_opening = False
        self.in_flight: list[Chunk] = []
        self._saved_at = ""
        self._savers: list[Saver] = []
        self._left: dict[int, dict[str, Any]] = {}
        self._last_number = 0
        self._vouched_px, self._counted_at = 0, 0.0

    @property
    def image(self) -> Image | None:
        """The image layer, while there is one."""
        return self._image()

    @property
    def is_read_only(self) -> bool:
        """Whether somebody else saves where this would be saved."""
        return self.is_blocked or (self.project is not None and self.project.read_only)

    @property
    def is_dirty(self) -> bool:
        """Whether labels are to be saved."""
        return any(saver.is_dirty for saver in self._savers)

    @property
    def layers(self) -> list[SegmentationLabels]:
        """The labels layers that are there, the lowest first."""
        layers = [saver.layer for saver in self._savers]
        return [layer for layer in layers if layer is not None]

    @property
    def label_shape(self) -> tuple[int, ...] | None:
        """The shape of its labels, also of those that left the viewer; None if there are none."""
        return next((saver.shape for saver in self._savers), None)

    @property
    def folder(self) -> Path | None:
        """Where labels in the viewer were saved by a dock that was closed."""
        for layer in self.layers:
            if SAVED_AS in layer.metadata:
                return Path(layer.metadata[SAVED_AS]["folder"])
        return None

    @property
    def work(self) -> Work:
        """What is said about it."""
        path = self.path if self.project is None else self.project.path
        return Work(
            path, self._saved_at, self.offer, self.is_opening, self.problem, self.is_read_only
        )

    # layers

    def look(self, viewer: ViewerModel) -> None:
        """Take up layers that are new, and find out what has changed on those that are there."""
        layers = labels_of(viewer, self._key)
        for saver in list(self._savers):
            saver.look()
            if saver.layer not in layers and (self.is_read_only or self._is_saved(saver)):
                self._let_go(saver)
        followed = [saver.layer for saver in self._savers]
        for layer in layers:
            if layer not in followed:
                self._take_up(layer)
        for saver in self._savers:
            if self.project is not None and (saver.number == 0 or saver.is_renumbered):
                self._give_number(saver, self.project)

    def _is_saved(self, saver: Saver) -> bool:
        """Whether all of a layer is on disk; what is just being written may fail to get there."""
        return not saver.is_dirty and all(one.sheet != saver.number for one in self.in_flight)

    def _take_up(self, layer: SegmentationLabels) -> None:
        saver = Saver(layer)
        self._savers.append(saver)
        if SAVED_AS not in layer.metadata:
            saver.mark_all()

    def _let_go(self, saver: Saver) -> None:
        saver.close()
        self._savers.remove(saver)
        if saver.number:
            self._left[saver.number] = saver.entry | {"vouched_px": saver.vouched_px}

    def _give_number(self, saver: Saver, project: Project) -> None:
        """Give a layer the number that it has in the project, or one that no other had."""
        layer = saver.layer
        known = None if layer is None else layer.metadata.get(SAVED_AS)
        if saver.number == 0 and known is not None and known["folder"] == str(project.path):
            self._left.pop(known["number"], None)
            saver.renumber(known["number"], ())
        else:
            if saver.number == 0:
                self._put_away()
                saver.mark_all()
            self._last_number += 1
            places = project.places(saver.number, saver.shape) if saver.number else ()
            saver.renumber(self._last_number, places)
            saver.look()
        self._note(saver, project)

    def _note(self, saver: Saver, project: Project) -> None:
        layer = saver.layer
        if layer is not None:
            place = {"folder": str(project.path), "number": saver.number}
            layer.metadata = layer.metadata | {SAVED_AS: place}

    def _put_away(self) -> None:
        """Keep labels that were removed before new ones came, but do not bring them back."""
        for entry in self._left.values():
            entry["put away"] = True

    # the project

    def adopt(self, project: Project) -> None:
        """Save into this project from now on; layers that are not from it are saved anew."""
        self.project, self.path = project, project.path
        facts = project.facts
        self._last_number = int(facts.get("last number", 0))
        self._left = {one["id"]: one for one in project.sheets}
        self.extra = {**facts.get("extra", {}), **self.extra}
        self.problem, self.retry_at = "", 0.0
        for saver in self._savers:
            saver.number = 0

    def move(self, project: Project) -> None:
        """Save all of it into a new project from now on."""
        self.lose()
        self.adopt(project)

    def lose(self) -> None:
        """Let go of the project; all of it is to be saved anew."""
        if self.project is not None:
            self.project.close()
            self.project = None
        for saver in self._savers:
            saver.number = 0
            layer = saver.layer
            if layer is not None:
                layer.metadata = {k: v for k, v in layer.metadata.items() if k != SAVED_AS}

    def facts(self, *, final: bool = False) -> dict[str, Any]:
        """Return what the project says about itself now, apart from the labels."""
        assert self.identity is not None, "a project is about an image that is known"
        now = time.monotonic()
        if final or now - self._counted_at >= _COUNT_EVERY_S:
            self._counted_at = now
            left = [one for one in self._left.values() if not one.get("put away")]
            self._vouched_px = sum(saver.vouched_px for saver in self._savers)
            self._vouched_px += sum(one.get("vouched_px", 0) for one in left)
        facts = {
            "program": f"napari-tileseg {metadata.version('napari-tileseg')}",
            "image": self.identity.to_facts(),
            "last number": self._last_number,
            "sheets": [
                *self._left.values(),
                *(saver.entry for saver in self._savers if saver.number),
            ],
            "vouched_px": self._vouched_px,
            "extra": self.extra,
            **self.chosen,
        }
        plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
        return plain

    def has_news(self) -> bool:
        """Return whether the facts are others than those that are saved."""
        saved = {} if self.project is None else self.project.facts
        return saved | self.facts() != saved

    def copy(self, until: float, most: int) -> list[Chunk]:
        """Copy labels that are to be saved; see `Saver.copy`."""
        chunks: list[Chunk] = []
        for saver in self._savers:
            if saver.number and saver.is_dirty and len(chunks) < most:
                if chunks and time.perf_counter() >= until:
                    break
                chunks += saver.copy(until, most - len(chunks))
        return chunks

    def saved(self) -> None:
        """Take note that all that was copied is saved."""
        self.in_flight = []
        for saver in self._savers:
            saver.settle()
        self._saved_at = time.strftime("%H:%M")
        self.problem, self.retry_at = "", 0.0

    def not_saved(self) -> None:
        """Take note that what was copied is still to be saved."""
        for saver in self._savers:
            saver.mark([one.at for one in self.in_flight if one.sheet == saver.number])
        self.in_flight = []

    def close(self) -> None:
        """Let go of layers and project."""
        for saver in self._savers:
            saver.close()
        if self.project is not None:
            self.project.close()
            self.project = None


def labels_of(viewer: ViewerModel, key: str) -> list[SegmentationLabels]:
    """Return the labels layers of the image with a key, the lowest first."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, SegmentationLabels)
        and layer.metadata.get(OURS, {}).get("image") == key
    ]
