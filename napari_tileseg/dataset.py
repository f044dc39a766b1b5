"""Images with their masks as tensors, for a training loop of one's own."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset as TorchDataset

from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import (
    MAX_CLASSES,
    ClassInfo,
    ModelSpec,
    Normalisation,
    NormalisationKind,
    default_classes,
)
from napari_tileseg.errors import SettingsError
from napari_tileseg.io.folders import Folders
from napari_tileseg.io.layouts import Layout
from napari_tileseg.io.pairs import from_arrays
from napari_tileseg.training.augment import Augmentation
from napari_tileseg.training.samples import PatchSampler, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.normalise import Scaling
    from napari_tileseg.io.pairs import LabelledImage


class Dataset(TorchDataset[tuple["Tensor", "Tensor"]]):
    """Images with their masks as tensors; files are read when an item is asked for.

    An item is the image, float32 (channels, H, W), normalised; and the mask, int64 (H, W), class
    indices and 255 where nobody knows.

    >>> data = nts.Dataset("train/images", "train/masks", patch=256, augmentation=1.0)
    >>> chance = torch.utils.data.RandomSampler(data, replacement=True, num_samples=800)
    >>> for images, masks in torch.utils.data.DataLoader(data, batch_size=8, sampler=chance):
    ...     loss = torch.nn.functional.cross_entropy(model(images), masks, ignore_index=255)

    Parameters
    ----------
    images, masks
        Two folders, whose files are paired by name without suffix; or two sequences of arrays,
        paired by position.
    model
        Read images as this model does (channels, normalisation), and let masks hold its classes
        only. None reads all channels and scales them as `normalise` says.
    patch
        None: an item is a whole image, of any size (batches then need `batch_size=1`). A
        number: an item is a square of that side in pixels, cut from the image at a random place;
        beyond the border it is mirrored, and 255 in the mask.
    augmentation
        How far patches are turned, scaled, bent, recoloured: 0 (not at all) to 1.
    layout, split, colours
        How folders are laid out ("pairs", "voc", "cityscapes"), which part of them is read, and
        what the colours of masks mean; see `Folders`.
    axes
        A letter for each axis of the images, such as "CYX"; None takes what the files say.
    normalise
        "zscore" (mean 0 and spread 1 over the whole image), "percentile", "fixed" or "none".

    Notes
    -----
    Chance comes from torch's own generator, as `torch.manual_seed` and the workers of a
    `DataLoader` set it.

    Raises
    ------
    ModelFitError, ImageError
        If files do not pair up. What is wrong with a single file is said when it is read.
    SettingsError
        If options contradict each other.
    """

    def __init__(
        self,
        images: str | Path | Sequence[Any],
        masks: str | Path | Sequence[Any] | None = None,
        *,
        model: Network | None = None,
        patch: int | None = None,
        augmentation: float = 0.0,
        layout: str = "pairs",
        split: str = "train",
        colours: str | Path | None = None,
        axes: str | None = None,
        normalise: str = "zscore",
    ) -> None:
        if augmentation and patch is None:
            raise SettingsError("Variants are made of patches: say how large they are, patch=256.")
        if patch is not None and patch < 1:
            raise SettingsError(f"The patch is {patch} px; it has to be at least 1.")
        self._patch, self._axes = patch, axes
        self._augmentation = Augmentation(strength=augmentation)
        self._kind = _kind(normalise)
        self._spec = model.spec if model else None
        self._scalings: dict[int, Scaling] = {}
        self._folders: Folders | None = None
        self._arrays: list[LabelledImage] = []
        if isinstance(images, (str, Path)):
            folder = None if masks is None else Path(masks)  # type: ignore[arg-type]
            self._folders = Folders(Path(images), folder, Layout(layout), split, colours)
            if model:
                self._folders = self._folders.arranged([one.name for one in model.classes])
            self.names = tuple(one.image.stem for one in self._folders.paired.pairs)
        else:
            self._arrays = list(from_arrays(images, masks or ()))  # type: ignore[arg-type]
            self.names = tuple(one.name for one in self._arrays)

    @property
    def classes(self) -> tuple[ClassInfo, ...] | None:
        """The classes in the order of the values of the masks; None if nobody named them."""
        if self._spec is not None:
            return self._spec.classes
        return self._folders.classes if self._folders else None

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return an image (channels, H, W) and its mask (H, W); a new patch at each call."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no image {index} among {len(self)}")
        with self._opened(index % len(self)) as image:
            sample = self._sample(index % len(self), image)
            if self._patch is None:
                return _whole(sample)
            return self._cut(sample, self._patch)

    @contextmanager
    def _opened(self, index: int) -> Iterator[LabelledImage]:
        if self._folders is None:
            yield self._arrays[index]
        else:
            with self._folders.open(self._folders.paired.pairs[index]) as image:
                yield image

    def _sample(self, index: int, image: LabelledImage) -> Sample:
        axes = self._axes or image.axes
        known = self._scalings.get(index)
        spec = self._spec or _any_classes(image, axes, self._kind)
        if known is not None:  # a large image is not looked through again for each patch
            spec = replace(spec, normalisation=Normalisation(kind=NormalisationKind.NONE))
        sample = Sample.of(image.data, image.mask, spec, axes=axes, name=image.name)
        if known is not None:
            return replace(sample, scaling=known)
        self._scalings[index] = sample.scaling
        return sample

    def _cut(self, sample: Sample, size: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        sampler = PatchSampler([sample], generator)
        images, masks = sampler.draw(1, size, self._augmentation.margin)
        images, masks = self._augmentation(images, masks, size, generator)
        return images[0], masks[0]


def _whole(sample: Sample) -> tuple[Tensor, Tensor]:
    everything = tuple(slice(0, size) for size in sample.shape)
    pixels = torch.from_numpy(sample.source.read((), everything, sample.channels))
    return sample.scaling.apply(pixels[None])[0], torch.from_numpy(sample.mask).long()


def _any_classes(image: LabelledImage, axes: str | None, kind: NormalisationKind) -> ModelSpec:
    """Describe a model that reads all channels, and knows as many classes as a mask can hold."""
    source = Source(image.data, axes=axes, name=image.name)
    return ModelSpec(
        "dataset",
        default_classes(MAX_CLASSES),
        channels=tuple(f"channel {index}" for index in range(source.n_channels)),
        normalisation=Normalisation(kind=kind),
    )


def _kind(name: str) -> NormalisationKind:
    try:
        return NormalisationKind(name)
    except ValueError:
        known = ", ".join(NormalisationKind)
        raise SettingsError(f"normalise is '{name}'; it has to be one of: {known}.") from None
