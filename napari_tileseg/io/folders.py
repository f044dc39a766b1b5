"""Folders of images and masks, as a person names them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.errors import ImageError, ModelFitError, SettingsError
from napari_tileseg.io import layouts
from napari_tileseg.io.colour_tables import ColourTable
from napari_tileseg.io.images import open_image
from napari_tileseg.io.known_tables import cityscapes, cityscapes_label_ids, voc
from napari_tileseg.io.layouts import Layout, Pair, Paired
from napari_tileseg.io.masks import has_indices, read_mask
from napari_tileseg.io.pairs import LabelledImage, from_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.spec import ClassInfo

_TABLES = {"voc": voc, "cityscapes": cityscapes}
_OF_LAYOUT = {Layout.VOC: voc, Layout.CITYSCAPES: cityscapes}
_LABEL_IDS = "_labelIds"


@dataclass(frozen=True)
class Folders:
    """Where images and masks are, and what the masks mean.

    Attributes
    ----------
    images
        The folder of the images; for the layouts `voc` and `cityscapes` the folder that holds
        everything (VOC2012; what holds leftImg8bit and gtFine).
    masks
        The folder of the masks; None where the layout says it.
    layout
        See `Layout`.
    split
        Which part, for layouts that have parts: "train", "val".
    colours
        What the colours of the masks mean: "voc", "cityscapes" or the file of a table
        (`ColourTable.read`), or a table. None reads class indices, or what the layout says.

    Raises
    ------
    SettingsError
        If these contradict each other.
    """

    images: Path
    masks: Path | None = None
    layout: Layout = Layout.PAIRS
    split: str = "train"
    colours: str | Path | ColourTable | None = None

    def __post_init__(self) -> None:
        if self.layout is Layout.PAIRS and self.masks is None:
            raise SettingsError("Where are the masks? Give their folder with --masks.")
        if self.layout is not Layout.PAIRS and self.masks is not None:
            raise SettingsError(
                f"In the layout '{self.layout}' the masks are found in the folder of --images "
                f"({self.layout.help}): leave out --masks."
            )

    @cached_property
    def paired(self) -> Paired:
        """Which mask belongs to which image.

        Raises
        ------
        ModelFitError
            If an image has no mask or the other way round; all such files are named.
        ImageError
            If a folder is missing or empty, or is laid out otherwise.
        """
        if self.layout is Layout.VOC:
            return layouts.voc(self.images, self.split)
        if self.layout is Layout.CITYSCAPES:
            return layouts.cityscapes(self.images, self.split)
        assert self.masks is not None
        return layouts.by_name(self.images, self.masks)

    @cached_property
    def table(self) -> ColourTable | None:
        """What colours mean; None if masks hold class indices of no known names."""
        if self.colours is None:
            known = _OF_LAYOUT.get(self.layout)
            return known() if known else None
        if isinstance(self.colours, ColourTable):
            return self.colours
        if str(self.colours).lower() in _TABLES:
            return _TABLES[str(self.colours).lower()]()
        return ColourTable.read(self.colours)

    @property
    def classes(self) -> tuple[ClassInfo, ...] | None:
        """Names and colours of the classes, if they are known without reading any mask."""
        return self.table.classes if self.table else None

    def arranged(self, names: Sequence[str]) -> Folders:
        """Return the same folders, read with the label values of a model.

        Parameters
        ----------
        names
            The classes of the model, in the order of its labels.

        Raises
        ------
        ModelFitError
            If the names of the classes are known, and the model does not have them.
        """
        if self.table is None:
            return self
        if self.colours is not None:
            return replace(self, colours=self.table.arranged(names))
        own = [one.name for one in self.table.classes]
        if own != list(names):
            raise ModelFitError(
                f"The layout '{self.layout}' has the classes {', '.join(own)}, but those of the "
                f"model are {', '.join(names)}. Say with --colours which colour is which of them."
            )
        return self

    def __iter__(self) -> Iterator[LabelledImage]:
        """Give images with their masks, one after the other; files are open for one turn."""
        for pair in self.paired.pairs:
            with self.open(pair) as image:
                yield image

    @contextmanager
    def open(self, pair: Pair) -> Iterator[LabelledImage]:
        """Open an image and read its mask.

        Raises
        ------
        ImageError, ModelFitError
            If a file cannot be read, or holds what is no mask.
        """
        with ExitStack() as stack:
            opened = stack.enter_context(open_image(pair.image))
            yield LabelledImage(
                name=opened.name,
                data=opened.levels[0],
                axes=opened.axes,
                mask=self._mask(pair.mask),
                path=pair.image,
                pixel_size_um=opened.pixel_size_um,
            )

    def _mask(self, path: Path) -> NDArray[np.uint8]:
        if self.colours is not None or not has_indices(path):
            return read_mask(path, self.table)
        mask = read_mask(path)
        if self.layout is Layout.CITYSCAPES and path.stem.endswith(_LABEL_IDS):
            return cityscapes_label_ids()[mask]
        strange = [value for value in np.unique(mask) if value >= self._n_classes and value != 255]
        if strange:
            raise ModelFitError(
                f"'{path.name}' holds the value {strange[0]}, but the layout '{self.layout}' has "
                f"{self._n_classes} classes: 0 to {self._n_classes - 1}, and 255 for unknown."
            )
        return mask

    @property
    def _n_classes(self) -> int:
        return len(self.classes) if self.classes else 256


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
        return iter(Folders(Path(images), Path(masks)))
    if isinstance(images, (str, Path)) or isinstance(masks, (str, Path)):
        raise ImageError("Give two folders or two lists of arrays, not one of each.")
    return from_arrays(images, masks)
