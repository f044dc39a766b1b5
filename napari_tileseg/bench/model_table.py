"""Which architectures are measured side by side, each with the arguments that make a difference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_tileseg.bench.fresh import BenchError, in_fresh_process
from napari_tileseg.errors import SettingsError, TilesegError
from napari_tileseg.models.registry import ARCHITECTURES, full_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_UPSAMPLING = [{"upsampling": kind} for kind in ("transposed", "bilinear", "nearest")]

_VARIANTS: dict[str, list[dict[str, Any]]] = {
    "smp.Unet": [
        {},
        {"decoder_attention_type": "scse"},
        {"encoder_name": "tu-swin_tiny_patch4_window7_224"},
        {"encoder_name": "tu-swinv2_tiny_window8_256"},
        {"encoder_name": "tu-hiera_tiny_224"},
    ],
    "flexible-unet": [*_UPSAMPLING, {"upsampling": "pixelshuffle"}],
    "original-unet": [{}, {"padding": "same", "batch_norm": True}],
    "fcn": [{"variant": "32s"}, {"variant": "16s"}, {"variant": "8s"}],
    "segnet": [{}, {"pooling": "average"}],
    "monai.SegResNet": [{"spatial_dims": 2}, {"spatial_dims": 2, "norm": "batch"}],
}


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Attributes
    ----------
    name
        Of the architecture.
    arguments
        Those that are not as by default.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What a person reads."""
        return " ".join([self.name, *(f"{key}={value}" for key, value in self.arguments.items())])


def entries(names: Sequence[str] = ()) -> list[Entry]:
    """Return the lines for some architectures, or for all of them.

    Raises
    ------
    CheckpointError
        If there is no such architecture.
    """
    wanted = [full_name(name) for name in names] or list(ARCHITECTURES)
    return [Entry(name, given) for name in wanted for given in _variants(name)]


def _variants(name: str) -> list[dict[str, Any]]:
    if name.startswith("monai."):
        return _VARIANTS.get(name, [{"spatial_dims": 2}])
    return _VARIANTS.get(name, [{}])


def table(
    wanted: Sequence[Entry],
    images: Path | None = None,
    masks: Path | None = None,
    *,
    quick: bool = False,
) -> Iterator[dict[str, Any]]:
    """Measure architectures one after the other, each in a process of its own.

    Parameters
    ----------
    wanted
        From `entries`.
    images, masks
        Folders of what is learnt for a moment; None takes the labelled sample.
    quick
        Small tiles and few steps: whether everything works.

    Yields
    ------
    What `model_row.row` says, as it is known; "failed" and the reason if it says nothing.

    Raises
    ------
    SettingsError
        If only one of the folders is given.
    """
    if (images is None) != (masks is None):
        raise SettingsError("--images and --masks go together: give both folders, or neither.")
    for entry in wanted:
        about = {"name": entry.name, "arguments": entry.arguments, "label": entry.label}
        try:
            found = in_fresh_process(
                "model_row:row",
                name=entry.name,
                arguments=needed(entry),
                images=None if images is None else str(images),
                masks=None if masks is None else str(masks),
                quick=quick,
            )
        except (BenchError, TilesegError) as error:
            found = {"failed": str(error)}
        yield {**about, **found}


def needed(entry: Entry) -> dict[str, Any]:
    """Return the arguments of a line, and what cannot be left out."""
    documented = ARCHITECTURES[entry.name].arguments()
    likely = {one.name: one.default for one in documented if one.required and one.default}
    return {**likely, **entry.arguments}
