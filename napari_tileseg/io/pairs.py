"""Which mask belongs to which image: paired by file name without suffix, or by position."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.errors import ImageError, ModelFitError
from napari_tileseg.io.images import open_image
from napari_tileseg.io.labels import read_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

_SHOWN = 8


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image with the mask that belongs to it.

    Attributes
    ----------
    name
        What a person calls it: the file name without suffix, or its number.
    data
        An array-like; read lazily.
    axes
        The letters of its axes; None guesses.
    mask
        Class indices, 255 where nobody knows; uint8.
    path
        The file of the image; None for an array.
    pixel_size_um
        In micrometres; None if unknown.
    """

    name: str
    data: Any
    axes: str | None
    mask: NDArray[np.uint8]
    path: Path | None = None
    pixel_size_um: float | None = None

    def read(self) -> NDArray[Any]:
        """Return all pixels, in memory."""
        return np.asarray(self.data)

    def sha256(self) -> str:
        """Return the checksum of the file, or of the pixels where there is no file."""
        if self.path is None:
            return sha256(np.ascontiguousarray(self.read()).tobytes()).hexdigest()
        with self.path.open("rb") as stream:
            digest = sha256()
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()


def labelled_images(
    images: str | Path | Sequence[Any], masks: str | Path | Sequence[Any]
) -> Iterator[LabelledImage]:
    """Give images with their masks, one after the other; files are open for one turn.

    Parameters
    ----------
    images, masks
        Two folders, whose files are paired by name without suffix; or two sequences of
        arrays, paired by position.

    Raises
    ------
    ModelFitError
        If an image has no mask or the other way round; all such files are named.
    ImageError
        If a folder is missing or empty, or a file cannot be read.
    """
    if isinstance(images, (str, Path)) and isinstance(masks, (str, Path)):
        return _from_files(pair_files(Path(images), Path(masks)))
    if isinstance(images, (str, Path)) or isinstance(masks, (str, Path)):
        raise ImageError("Give two folders or two lists of arrays, not one of each.")
    if len(images) != len(masks):
        raise ModelFitError(
            f"There are {len(images)} images and {len(masks)} masks; there has to be one mask "
            "for each image, in the same order."
        )
    return _from_arrays(images, masks)


def pair_files(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Pair the files of two folders by name without suffix, sorted; see `labelled_images`."""
    of_image, of_mask = _by_stem(images), _by_stem(masks)
    problems = [
        f"no mask for {of_image[stem].name}" for stem in sorted(of_image.keys() - of_mask.keys())
    ] + [f"no image for {of_mask[stem].name}" for stem in sorted(of_mask.keys() - of_image.keys())]
    if problems:
        raise ModelFitError(
            f"Images and masks do not pair up by file name: {_listed(problems)}. "
            f"Give both the same name in '{images}' and '{masks}', or move what is not meant."
        )
    return [(of_image[stem], of_mask[stem]) for stem in sorted(of_image)]


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ImageError(f"There is no folder '{folder}'. Check the path.")
    found: dict[str, Path] = {}
    twice: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        stem = path.name.removesuffix(path.suffix).removesuffix(".ome")
        if stem in found:
            twice.append(f"{found[stem].name} and {path.name}")
        found[stem] = path
    if twice:
        raise ModelFitError(
            f"Some files in '{folder}' have the same name but for the suffix, so that it is not "
            f"clear which one is meant: {_listed(twice)}. Keep one of each."
        )
    if not found:
        raise ImageError(f"The folder '{folder}' is empty. Check the path.")
    return found


def _from_files(pairs: Iterable[tuple[Path, Path]]) -> Iterator[LabelledImage]:
    for image, mask in pairs:
        with ExitStack() as stack:
            opened = stack.enter_context(open_image(image))
            yield LabelledImage(
                name=opened.name,
                data=opened.levels[0],
                axes=opened.axes,
                mask=_as_mask(np.asarray(read_labels(mask).labels), mask.name),
                path=image,
                pixel_size_um=opened.pixel_size_um,
            )


def _from_arrays(images: Sequence[Any], masks: Sequence[Any]) -> Iterator[LabelledImage]:
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        name = f"image {index}"
        yield LabelledImage(name, image, None, _as_mask(np.asarray(mask), f"mask {index}"))


def _as_mask(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Return class indices as uint8, or say why these are none."""
    if values.dtype.kind not in "bui":
        raise ModelFitError(
            f"'{name}' holds {values.dtype}; a mask holds whole numbers: the index of the class "
            "of each pixel, 255 for unknown."
        )
    if values.size and (values.min() < 0 or values.max() > 255):
        raise ModelFitError(
            f"'{name}' holds values from {values.min()} to {values.max()}; a mask holds the "
            "index of a class (0 to 254) or 255 for unknown. Are these objects, not classes?"
        )
    return values.astype(np.uint8)


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return "; ".join(items[:_SHOWN]) + more
