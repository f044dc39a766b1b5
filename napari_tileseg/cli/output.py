"""Where results go: names, and whether they can be written there, before any work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.errors import ImageError, OutputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def is_store(path: Path) -> bool:
    """Whether a name means a zarr folder."""
    return path.suffix.lower() == ".zarr"


def label_paths(images: Sequence[Path], out: Path) -> list[Path]:
    """Return where the labels of each image go.

    Parameters
    ----------
    images
        What will be segmented; every one has to exist.
    out
        A file for one image; a folder, which need not exist, for several.

    Raises
    ------
    ImageError
        If an image is not there.
    SettingsError
        If two results would have one name, or a result that of an image.
    """
    for image in images:
        if not image.exists():
            raise ImageError(f"There is no image '{image}'. Check the name and the folder.")
    if len(images) == 1 and out.suffix and (is_store(out) or not out.is_dir()):
        paths = [out]
    else:
        paths = [out / f"{_stem(image)}_labels.ome.tif" for image in images]
    for path, image in zip(paths, images, strict=True):
        if paths.count(path) > 1:
            raise SettingsError(
                f"Two of the images would both be written to '{path}'. "
                "Rename one of them, or segment them into different folders."
            )
        if path.exists() and any(path.samefile(one) for one in images):
            raise SettingsError(f"The labels would overwrite the image '{image}': change --out.")
    return paths


def prepare(path: Path) -> None:
    """Make the folder of a result, and see that it can be written to.

    Raises
    ------
    OutputError
        If it cannot.
    """
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder. Choose the name of a file in it with --out.")
    try_to_write(path, "--out")


def try_to_write(path: Path, option: str) -> None:
    """Make the folder of `path` and a file in it for a moment; `OutputError` if that fails."""
    probe = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written ({error.strerror or error}). "
            f"Choose another place with {option}."
        ) from error


def require_room_for(label_shape: tuple[int, ...], path: Path, *, multilabel: bool) -> None:
    """See that a result fits into its format.

    Parameters
    ----------
    label_shape
        What will be written; the first axis is that of the classes if `multilabel`.
    path
        The file, or the folder of a store.
    multilabel
        Whether a pixel can be several classes at once.

    Raises
    ------
    OutputError
        If the suffix means no format, or one that holds less than these labels.
    """
    from napari_tileseg.io.label_values import label_axes
    from napari_tileseg.io.labels import FORMATS

    name = path.name.lower()
    if is_store(path):
        if multilabel:
            raise OutputError(
                "A zarr store holds one label for each pixel, but this model can give several. "
                "Choose an --out that ends in .ome.tif."
            )
        return
    if not name.endswith(sum(FORMATS.values(), ())):
        known = ", ".join(suffix for suffixes in FORMATS.values() for suffix in suffixes)
        raise OutputError(f"'{path.name}' is no format for labels. Choose one of: {known}, .zarr.")
    if name.endswith(FORMATS["png"]) and len(label_shape) != 2:
        shape = " x ".join(str(n) for n in label_shape)
        raise OutputError(
            f"PNG holds one plane of labels, but these are {shape}. "
            "Choose a file name that ends in .ome.tif."
        )
    label_axes(label_shape, multilabel=multilabel)


def _stem(image: Path) -> str:
    for ending in (".ome.tiff", ".ome.tif", ".ome.zarr", image.suffix):
        if ending and image.name.lower().endswith(ending.lower()):
            return image.name[: -len(ending)]
    return image.name
