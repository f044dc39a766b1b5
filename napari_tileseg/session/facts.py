"""What an image is, in numbers for the program and in words for a person."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class ImageFacts:
    """What a person wants to know about the image that was chosen.

    Attributes
    ----------
    name
        The name of its layer.
    spatial_shape
        Rows and columns (planes first for a volume), in pixels.
    channels
        What each channel is called.
    dtype
        The type of the numbers, as numpy writes it.
    other_axes
        The axes that are not space, with their lengths, as ("axis 0", 12); RGB is not one.
    channel_axis
        Which of them holds the channels; None if none does.
    pixel_size_um
        Micrometres per pixel; None if the image does not say.
    folder
        Where its file is; "" if it is of no file.
    """

    name: str
    spatial_shape: tuple[int, ...]
    channels: tuple[str, ...]
    dtype: str
    other_axes: tuple[tuple[str, int], ...] = ()
    channel_axis: int | None = None
    pixel_size_um: float | None = None
    folder: str = ""

    @property
    def kind(self) -> str:
        """What the channels are, in a word or two."""
        if self.channels[:3] == ("red", "green", "blue"):
            return "RGB" if len(self.channels) == 3 else "RGBA"
        return "grey" if len(self.channels) == 1 else f"{len(self.channels)} channels"

    @property
    def size(self) -> str:
        """Width × height, in pixels."""
        return "\u00a0×\u00a0".join(f"{n:,}" for n in reversed(self.spatial_shape)) + "\u00a0px"

    def describe(self) -> str:
        """Say what the image is in one line."""
        planes = [
            length
            for index, (_, length) in enumerate(self.other_axes)
            if index != self.channel_axis
        ]
        walked = [f"{prod(planes):,} planes"] if planes else []
        parts = [self.size, *walked, self.kind, self.dtype]
        if self.pixel_size_um is not None:
            parts.append(micrometres(self.pixel_size_um))
        return " · ".join(parts)


def micrometres(pixel_size_um: float) -> str:
    """Write a pixel size so that a line never breaks inside it."""
    return f"{pixel_size_um:.3g}\u00a0µm\u2060/\u2060px"


def channel_names(count: int, *, rgb: bool) -> tuple[str, ...]:
    """Name the channels of an image that does not name them itself."""
    if rgb:
        return ("red", "green", "blue", "alpha")[:count]
    return ("grey",) if count == 1 else tuple(f"channel {index}" for index in range(count))


def scale_note(image_um: float | None, model_um: float | None) -> str:
    """Warn if things look much larger or smaller to the model than in its training.

    Parameters
    ----------
    image_um, model_um
        Micrometres per pixel of the image, and of what the model was trained on.

    Returns
    -------
    A sentence for a person; empty if the two are within a factor of 1.5, or unknown.
    """
    if not image_um or not model_um:
        return ""
    factor = image_um / model_um
    if 1 / 1.5 <= factor <= 1.5:
        return ""
    larger = f"{1 / factor:.2g} times larger" if factor < 1 else f"{factor:.2g} times smaller"
    return (
        f"Trained at {micrometres(model_um)}, this image has {image_um:.3g}: things look {larger} "
        "to the model. Check the result, or rescale the image."
    )
