"""From a project folder to the layer of its image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_tileseg.errors import ImageError, ProjectError
from napari_tileseg.io.project_facts import read_facts
from napari_tileseg.io.project_place import SUFFIX, ImageIdentity, sample_of
from napari_tileseg.viewer.identity import file_of, images, plain_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import ViewerModel


def image_of(folder: Path) -> ImageIdentity:
    """Return which image a project is about.

    Raises
    ------
    ProjectError
        If it is no project, is damaged, or of a newer version.
    """
    facts = read_facts(folder)
    try:
        return ImageIdentity.from_facts(facts["image"])
    except (KeyError, TypeError) as error:
        raise ProjectError(
            f"'{folder}' does not say which image it is about: it is damaged. Open the image, and "
            "put the folder back from a copy."
        ) from error


def layer_of(viewer: ViewerModel, folder: Path) -> Image | None:
    """Return the layer that a project is about, if it is in a viewer.

    Raises
    ------
    ProjectError
        If the project cannot be read.
    """
    image = image_of(folder)
    places = [path.resolve() for path in _places(image, folder)]
    for layer in reversed(images(viewer)):
        file = file_of(layer)
        if file is not None and file in places and image.part in ("", plain_name(layer)):
            return layer
        if file is None and image.sample and _sample(layer) == image.sample:
            return layer
    return None


def _sample(layer: Image) -> str:
    return sample_of(layer.data[0] if layer.multiscale else layer.data)


def open_image_of(viewer: ViewerModel, folder: Path) -> Image:
    """Open the image that a project is about.

    Raises
    ------
    ProjectError
        If the project cannot be read, or its image is no file that is there.
    ImageError
        If the image cannot be read.
    """
    image = image_of(folder)
    if not image.path:
        raise ProjectError(
            f"'{folder.name}' is about the image '{image.name}', which was no file. Open that "
            "image in napari first, then open the project again."
        )
    path = next((one for one in _places(image, folder) if one.exists()), None)
    if path is None:
        raise ProjectError(
            f"The image that '{folder.name}' is about is not there: '{image.path}'. Put it back, "
            "or beside the project folder, and open the project again."
        )
    layers = [one for one in _opened(viewer, path, image.reader) if isinstance(one, Image)]
    for layer in layers:
        if image.part in ("", plain_name(layer)):
            return layer
    raise ImageError(f"'{path}' has no image '{image.part}' any more. Open it as it was before.")


def _opened(viewer: ViewerModel, path: Path, reader: str) -> Iterable[object]:
    """Let napari open a file, in the way it was opened before if that is possible."""
    problem: Exception | None = None
    for plugin in dict.fromkeys([reader or None, "napari"]):
        try:
            return list(viewer.open(str(path), plugin=plugin))
        except Exception as error:  # noqa: BLE001 - whatever a reader of another plugin raises
            problem = error
    raise ImageError(f"'{path}' cannot be opened: {problem} Open it in napari first.") from problem


def _places(image: ImageIdentity, folder: Path) -> list[Path]:
    """Return where an image may be: where it was, or beside its project."""
    if not image.path:
        return []
    was = Path(image.path)
    return [was, folder.resolve().parent / was.name]


def named(path: str) -> Path:
    """Return the folder that a project of a name lies in."""
    folder = Path(path).expanduser()
    return folder if folder.name.endswith(SUFFIX) else folder.with_name(folder.name + SUFFIX)
