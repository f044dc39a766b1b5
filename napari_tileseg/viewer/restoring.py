"""Saved work back into a viewer: read in another thread, shown in this one."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from napari_tileseg.annotation.sheet import Sheet
from napari_tileseg.engine.spec import ClassInfo
from napari_tileseg.errors import ProjectError, SettingsError
from napari_tileseg.io.project import Project
from napari_tileseg.io.project_facts import read_facts
from napari_tileseg.io.project_lock import ProjectInUse
from napari_tileseg.io.project_place import ImageIdentity, find_project, saved_at
from napari_tileseg.session.project import Offer
from napari_tileseg.settings import RunSettings, TeachSettings
from napari_tileseg.viewer.exports import RUNS
from napari_tileseg.viewer.images import geometry
from napari_tileseg.viewer.kept_versions import StoredVersions, read_versions
from napari_tileseg.viewer.layers import SegmentationLabels
from napari_tileseg.viewer.links import OURS
from napari_tileseg.viewer.probabilities import require_memory
from napari_tileseg.viewer.saver import SAVED_AS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_tileseg.engine.network import Network


@dataclass(frozen=True, eq=False)
class Restored:
    """What was read of a project.

    Attributes
    ----------
    project
        Open; read-only if somebody else writes to it.
    sheets
        What is said about each layer, and its labels, the lowest first.
    versions
        The models that were in use, and which of them was last.
    note
        What the person has to know; empty if all is as it was.
    """

    project: Project
    sheets: list[tuple[dict[str, Any], Sheet]]
    versions: StoredVersions
    note: str


def earlier_work(image: ImageIdentity) -> Offer | None:
    """Look for earlier work on an image.

    Raises
    ------
    ProjectError
        If there is some, but it is damaged or of a newer version.
    """
    path = find_project(image)
    return None if path is None else offer_of(path, image)


def offer_of(path: Path, image: ImageIdentity, *, aside: bool = False) -> Offer:
    """Describe earlier work on an image; ProjectError if it cannot be read."""
    facts = read_facts(path)
    shown = [one for one in facts.get("sheets", ()) if not one.get("put away")]
    names = [name for name, _ in shown[-1]["classes"]] if shown else []
    changed = False
    with suppress(KeyError, TypeError):  # who was damaged is found out when it is opened
        changed = image.changed_since(ImageIdentity.from_facts(facts["image"]))
    vouched = int(facts.get("vouched_px", 0))
    return Offer(path, _saved(path), vouched, tuple(names), changed, aside)


def _saved(path: Path) -> str:
    saved = time.localtime(saved_at(path))
    today = time.strftime("%x", saved) == time.strftime("%x")
    return time.strftime("today at %H:%M" if today else "on %d %B %Y at %H:%M", saved)


def read_project(
    path: Path, shape: tuple[int, ...], known: Mapping[str, Network] | None = None
) -> Restored:
    """Open a project and read its labels, and the models that were taught on them.

    Parameters
    ----------
    path
        The folder.
    shape
        Of the labels on the image; labels of another shape stay where they are.
    known
        Models in memory by the sha256 of their files, which are not read again.

    Raises
    ------
    ProjectError
        If it cannot be opened, or is about an image of another size.
    ImageError
        If the labels would not fit into memory.
    """
    try:
        project = Project.open(path)
    except ProjectInUse:
        project = Project.open(path, read_only=True)
    try:
        shown = [one for one in project.sheets if not one.get("put away")]
        fitting = [one for one in shown if tuple(one["shape"]) == shape]
        if shown and not fitting:
            raise ProjectError(
                f"The labels saved in '{path.name}' are for an image of "
                f"{_size(shown[-1]['shape'])}, this one has {_size(shape)}. "
                "Open the image that they were made on."
            )
        require_memory(prod(shape) * len(fitting), project.image.name)
        sheets = [(one, _read_sheet(project, one["id"], shape)) for one in fitting]
        versions = read_versions(project, known or {})
    except BaseException:
        project.close()
        raise
    note = " ".join(filter(None, (_note(project), versions.note)))
    return Restored(project, sheets, versions, note)


def _read_sheet(project: Project, number: int, shape: tuple[int, ...]) -> Sheet:
    sheet = Sheet.empty(shape)
    for region, words in project.read(number, shape):
        sheet.restore(region, *words)
    return sheet


def _note(project: Project) -> str:
    if not project.damaged:
        return ""
    return (
        f"{project.damaged} parts of the saved labels (256 × 256 px each) were damaged. They are "
        "shown as they were saved before, or are empty: look at the labels before you go on."
    )


def add_layers(
    viewer: ViewerModel, image: Image, channel_axis: int | None, restored: Restored, *, own: bool
) -> list[SegmentationLabels]:
    """Show labels that were read, exactly on top of their image.

    Parameters
    ----------
    viewer, image, channel_axis
        Where.
    restored
        What was read.
    own
        Whether they go on being saved where they were read from.
    """
    shared = geometry(image, channel_axis)
    layers = []
    for entry, sheet in restored.sheets:
        metadata: dict[str, Any] = {OURS: _link(entry["link"]) | {"image": str(image.unique_id)}}
        if entry.get("runs"):
            metadata[RUNS] = tuple(entry["runs"])
        if own:
            place = {"folder": str(restored.project.path), "number": entry["id"]}
            metadata[SAVED_AS] = place
        layer = SegmentationLabels(
            sheet,
            classes=[ClassInfo(name, colour) for name, colour in entry["classes"]],
            name=entry["name"],
            visible=entry["visible"],
            opacity=entry["opacity"],
            metadata=metadata,
            **shared,
        )
        layer.contour = entry["contour"]
        layer.set_hidden(entry["hidden"])
        viewer.add_layer(layer)
        layers.append(layer)
    return layers


def _link(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _unplain(value) for name, value in stored.items()}


def _unplain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_unplain(one): _unplain(other) for one, other in value["pairs"]}
    return tuple(_unplain(one) for one in value) if isinstance(value, list) else value


def settings_of(project: Project) -> RunSettings | None:
    """Return the settings of the last run; None if there are none that still have a meaning."""
    try:
        return RunSettings(**project.facts["settings"])
    except (KeyError, TypeError, SettingsError):
        return None


def teach_settings_of(project: Project) -> TeachSettings | None:
    """Return how the model was taught last; None if that has no meaning any more."""
    try:
        return TeachSettings(**project.facts["teach"])
    except (KeyError, TypeError, SettingsError):
        return None


def model_of(project: Project) -> tuple[str, str]:
    """Return where the model that was used last is, and the sha256 of its file; empty: nowhere."""
    known = project.facts.get("model") or {}
    sha256 = known.get("sha256") or ""
    if sha256 and project.model_path(sha256).is_file():
        return str(project.model_path(sha256)), sha256
    return known.get("origin", ""), sha256


def _size(shape: Any) -> str:
    return " × ".join(f"{n:,}" for n in reversed(shape)) + " px"
