"""How one image is segmented."""

from __future__ import annotations

from dataclasses import dataclass

from napari_tileseg.errors import SettingsError
from napari_tileseg.knobs import Choice, Settings, knob
from napari_tileseg.settings.precision import Precision


class Blend(Choice):
    """How overlapping tiles share a pixel; `engine.blend` holds the windows."""

    CONSTANT = "constant", "Constant", "every tile counts the same, also at its border"
    GAUSSIAN = "gaussian", "Gaussian", "the middle of a tile counts most; hides seams best"
    PYRAMID = "pyramid", "Pyramid", "falls off linearly towards the border of a tile"
    HANN = "hann", "Hann", "falls off smoothly to nothing at the border of a tile"
    CROP = "crop", "Crop", "borders are context only: each pixel comes from one tile"


class Mode(Choice):
    """How an image is handed to the network."""

    AUTO = "auto", "Automatic", "the cheapest way whose labels stay within the tolerance"
    BLEND = "blend", "Tiles", "overlapping tiles, blended; any image size"
    EXACT = "exact", "Exact tiles", "tiles with all the context they need: equal to the whole image"
    CALIBRATED = (
        "calibrated",
        "Calibrated tiles",
        "tiles with as much context as this image needs to stay within the tolerance",
    )
    FROZEN_NORM = (
        "frozen-norm",
        "Frozen norms",
        "for networks that normalise each tile by itself: one normalisation for the whole image, "
        "so no seams; much slower",
    )
    CONTEXT = (
        "context",
        "Tiles with context",
        "for networks with a context encoder (xT): every tile knows the whole image, of any size",
    )
    WHOLE = "whole", "Whole image", "no tiles, no seams; needs memory for all of it at once"

    @property
    def crops(self) -> bool:
        """Whether each pixel comes from one tile, so that there is nothing to blend."""
        return self in (Mode.EXACT, Mode.CALIBRATED, Mode.FROZEN_NORM, Mode.CONTEXT)


class Tta(Choice):
    """Whether turned and mirrored copies of each tile are asked too (test-time augmentation)."""

    NONE = "none", "None", "each tile is seen once, as it is"
    FLIPS = "flips", "Mirrored", "also mirrored along each axis: 4 times the work, 8 in 3-D"
    D4 = "d4", "Mirrored and turned", "all 8 ways a square can lie: 8 times the work"


class TtaMean(Choice):
    """What is averaged over the copies of a tile."""

    LOGITS = "logits", "Logits", "one very sure answer can decide; as when tiles are blended"
    PROBABILITIES = "probabilities", "Probabilities", "every copy counts the same"


@dataclass(frozen=True, repr=False)
class RunSettings(Settings):
    """How one image is segmented."""

    tile: int | None = knob(
        None,
        "Tile",
        "What the network sees at once. Larger tiles give it more context and need more memory.",
        unit="px",
        minimum=16,
        maximum=16384,
        step=32,
        automatic="suggested by the model",
    )
    overlap: float = knob(
        0.25,
        "Overlap",
        "The share of a tile that its neighbour sees too. More overlap hides seams and is slower.",
        unit="%",
        minimum=0.0,
        maximum=0.75,
        step=0.05,
    )
    blend: Blend | None = knob(
        None,
        "Blending",
        "How overlapping tiles are merged into one result.",
        automatic="Gaussian",
    )
    mode: Mode = knob(
        Mode.AUTO,
        "Mode",
        "Whether the image is cut into tiles or seen by the network as a whole.",
    )
    device: str = knob(
        "auto",
        "Device",
        "Where the network runs: auto, cpu, cuda, cuda:1, mps; or on several GPUs at a time: "
        "cuda:0,cuda:1 or cuda:all. It changes the speed only.",
    )
    precision: Precision = knob(
        Precision.AUTO,
        "Precision",
        "The number format of the network. Half precision is faster and nearly the same.",
        advanced=True,
    )
    batch: int | None = knob(
        None,
        "Batch",
        "How many tiles the network sees in one go. It changes speed and memory only.",
        unit="tiles",
        minimum=1,
        maximum=256,
        automatic="CPU 1, GPU 4",
        advanced=True,
    )
    channels: tuple[int, ...] | None = knob(
        None,
        "Channels",
        "Which channels of the image the network reads, counted from 0, in its own order.",
        automatic="all, in order",
    )
    probabilities: bool = knob(
        False,
        "Probabilities",
        "Also keep how sure the network is of each class at each pixel.",
        advanced=True,
    )
    tolerance: float = knob(
        0.001,
        "Tolerance",
        "The share of labels that may differ from what the whole image at once would give, in "
        "the automatic and calibrated modes.",
        unit="%",
        minimum=0.0,
        maximum=0.1,
        step=0.0005,
        advanced=True,
    )
    memory_gb: float | None = knob(
        None,
        "Memory",
        "What the run may take. Less memory means smaller tiles and batches, and the same labels.",
        unit="GB",
        minimum=0.25,
        maximum=1024,
        automatic="half of what is free",
        advanced=True,
    )
    tta: Tta = knob(
        Tta.NONE,
        "Variants",
        "Ask the network again about mirrored or turned copies and average: steadier, slower.",
        advanced=True,
    )
    tta_mean: TtaMean = knob(
        TtaMean.LOGITS,
        "Average of",
        "What is averaged over the variants, where there are any.",
        advanced=True,
    )
    compile: bool = knob(
        False,
        "Compile",
        "Translate the network for this device first. It takes a minute, then runs faster.",
        advanced=True,
    )
    skip_empty: bool = knob(
        False,
        "Skip empty tiles",
        "Leave tiles out in which the image is the same everywhere. They become the first class, "
        "unseen by the network.",
        advanced=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blend is not None and self.mode is Mode.AUTO:
            object.__setattr__(self, "mode", Mode.BLEND)
        if self.blend is not None and (self.mode is Mode.WHOLE or self.mode.crops):
            raise SettingsError(
                f"There is nothing to blend ({self.blend}) in mode '{self.mode}': "
                "leave out the blending or choose mode 'blend'."
            )
