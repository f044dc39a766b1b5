"""From what is wanted to what will be done: a frozen plan, before a pixel is read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import torch

from napari_tileseg.engine.context import has_context, shown_network
from napari_tileseg.engine.context_plan import context_grid, context_notes
from napari_tileseg.engine.device import autocast, default_batch, resolve_devices
from napari_tileseg.engine.geometry import (
    blended_tile_and_step,
    crop_sizes,
    cropped_grid,
    memory_budget,
    required_halo,
)
from napari_tileseg.engine.local_norm import freezable
from napari_tileseg.engine.probe import known_field
from napari_tileseg.engine.sections import sections_of
from napari_tileseg.engine.tiles import TileGrid, cut_image, round_up
from napari_tileseg.errors import ModelFitError, SettingsError
from napari_tileseg.settings import Blend, Mode, Precision, RunSettings, Tta, TtaMean

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.source import Source

_WHOLE_TILES = 16
"""An image of up to so many suggested tiles is small enough to be seen as a whole unasked."""

_WORTHWHILE_TILES = 64
_WORTHWHILE_SIDE = {2: 256, 3: 64}
"""A run of fewer suggested tiles, or of fewer pixels than so many tiles of such a side have,
is over before measuring on the image would pay."""

_AS_A_WHOLE = "The network looks at its whole input, so it sees the image as a whole."

_NORMS_ALONE = "norms are measured and frozen on one."
_CONTEXT_ALONE = "what tiles know of the whole image is kept on one."
_COMPILED_ALONE = "a network is compiled for one. Without compiling all of them are used."

_NOT_ALIKE = "The GPUs are of different kinds: a few labels may depend on which one computed them."

_LIKELY_HALO = 64
"""What calibration finds for most networks, in pixels; for the estimate before it is done."""


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes
    ----------
    grid
        The tiles of one plane.
    leading_shape
        The planes: how many along each leading axis.
    channels
        Which channels of the image the network reads.
    mode
        Never automatic.
    blend, device, precision, batch, probabilities
        As in `RunSettings`; the precision can be automatic until the plan is settled.
    notes
        What a person should know, in sentences.
    n_outputs
        How many sums are kept for each pixel.
    halo
        Context in pixels that every core has at least; None where tiles are blended or the
        image is seen as a whole.
    margin
        Context in pixels that the network uses up, shown to it around each tile.
    tta, tta_mean, compile, skip_empty, tolerance
        As in `RunSettings`.
    memory_bytes
        What the run may take.
    threads
        How many threads compute on a CPU; None elsewhere.
    further_devices
        Which others compute besides `device`, each with a network of its own.
    settled
        Whether nothing is left that has to be measured; see `settle`.
    settings
        What was wanted.
    """

    grid: TileGrid
    leading_shape: tuple[int, ...]
    channels: tuple[int, ...]
    mode: Mode
    blend: Blend
    device: torch.device
    precision: Precision
    batch: int
    probabilities: bool
    notes: tuple[str, ...] = ()
    n_outputs: int = 1
    halo: int | None = None
    margin: int = 0
    tta: Tta = Tta.NONE
    tta_mean: TtaMean = TtaMean.LOGITS
    compile: bool = False
    skip_empty: bool = False
    tolerance: float = 0.0
    memory_bytes: int = 2**62
    threads: int | None = None
    further_devices: tuple[torch.device, ...] = ()
    settled: bool = False
    settings: RunSettings = field(default_factory=RunSettings)

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """All that compute; everything is merged on the first."""
        return (self.device, *self.further_devices)

    @property
    def n_tiles(self) -> int:
        """How many tiles the network will see in all."""
        return sum(map(len, self.sections)) * prod(self.leading_shape)

    @cached_property
    def sections(self) -> tuple[TileGrid, ...]:
        """The tiles of one plane in the grids that are computed one after the other."""
        return sections_of(self.grid, self.n_outputs, crop=self.blend is Blend.CROP)

    @property
    def tile(self) -> tuple[int, ...]:
        """The size of the largest tiles in pixels on each spatial axis."""
        return self.grid.tile_shape


def make_plan(source: Source, network: Network, settings: RunSettings) -> Plan:
    """Decide what can be decided without reading a pixel, for one image and one network.

    What has to be measured (`settle`) stands in the plan as it will most likely be.

    Raises
    ------
    ModelFitError
        If the network cannot read this image.
    DeviceError
        If the device or the precision is not to be had.
    """
    spec = network.spec
    if len(source.spatial_shape) != spec.spatial_dims:
        raise ModelFitError(
            f"'{spec.name}' reads {spec.spatial_dims}-D images, "
            f"but '{source.name}' was opened as {len(source.spatial_shape)}-D."
        )
    channels = source.check(spec, settings.channels)
    mode, notes = _mode(source, network, settings)
    device, *others = _devices(settings, mode, notes)
    halo = None
    if mode is Mode.WHOLE:
        sides = tuple(round_up(size, spec.stride) for size in source.spatial_shape)
        grid = cut_image(source.spatial_shape, sides, sides, stride=spec.stride, crop=False)
    elif mode is Mode.CONTEXT:
        grid = context_grid(source, network, settings, device)
        notes += context_notes(settings)
        settings = settings.but(tta=Tta.NONE, compile=False, batch=1)
    elif mode.crops:
        halo = _halo(network, settings, mode)
        grid = cropped_grid(source, network, halo, _cropped_tile(network, settings, device, halo))
    else:
        grid = blended_grid(source, network, settings, notes)
    return Plan(
        grid=grid,
        leading_shape=source.leading_shape,
        channels=channels,
        mode=mode,
        blend=Blend.CROP if mode.crops else settings.blend or Blend.GAUSSIAN,
        device=device,
        precision=settings.precision,
        batch=settings.batch or default_batch(device),
        probabilities=settings.probabilities,
        notes=tuple(notes),
        n_outputs=spec.n_outputs,
        halo=halo,
        margin=shown_network(network, mode).spec.margin,
        tta=settings.tta,
        tta_mean=settings.tta_mean,
        compile=settings.compile,
        skip_empty=settings.skip_empty,
        tolerance=settings.tolerance,
        memory_bytes=min(memory_budget(one, settings.memory_gb) for one in (device, *others)),
        threads=torch.get_num_threads() if device.type == "cpu" else None,
        further_devices=tuple(others),
        settings=settings,
    )


def _devices(settings: RunSettings, mode: Mode, notes: list[str]) -> tuple[torch.device, ...]:
    """Return what the network runs on; several only where each can compute for itself."""
    devices = resolve_devices(settings.device)
    for device in devices:
        with autocast(device, settings.precision):
            pass
    compiled_alone = _COMPILED_ALONE if settings.compile else ""
    modes_alone = {Mode.FROZEN_NORM: _NORMS_ALONE, Mode.CONTEXT: _CONTEXT_ALONE}
    alone = modes_alone.get(mode, compiled_alone)
    if len(devices) > 1 and alone:
        notes.append(f"Only {devices[0]} of {len(devices)} devices is used: {alone}")
        return devices[:1]
    if len({torch.cuda.get_device_name(one) for one in devices if one.type == "cuda"}) > 1:
        notes.append(_NOT_ALIKE)
    return devices


def worth_measuring(source: Source, network: Network) -> bool:
    """Whether a run is long enough for measuring on the image to pay."""
    spec = network.spec
    pixels = prod(source.label_shape)
    least = _WORTHWHILE_TILES * _WORTHWHILE_SIDE.get(spec.spatial_dims, 256) ** spec.spatial_dims
    if pixels < least:
        return False
    planes = prod(source.leading_shape)
    grid = blended_grid(source, network, RunSettings(), [])
    return len(grid) * planes >= _WORTHWHILE_TILES


def left_open(settings: RunSettings) -> bool:
    """Whether it is for the program to choose between blended and cropped tiles.

    An overlap of one's own is a wish for overlapping tiles, and small tiles leave no room for
    context.
    """
    roomy = settings.tile is None or settings.tile > 4 * _LIKELY_HALO
    return settings.mode is Mode.AUTO and settings.overlap == RunSettings.overlap and roomy


def as_cropped(
    plan: Plan, source: Source, network: Network, mode: Mode, halo: int, note: str = ""
) -> Plan | None:
    """Return the plan with so much context around each core; None if a chosen tile is too small."""
    stride = network.spec.stride
    if plan.settings.tile is None:
        tile = crop_sizes(network.spec, halo)[0 if plan.device.type == "cpu" else 1]
    else:
        tile = round_up(plan.settings.tile, stride)
    if tile < 2 * halo + stride:
        return None
    grid = cropped_grid(source, network, halo, tile)
    notes = (*plan.notes, *([note] if note else []))
    return replace(plan, grid=grid, mode=mode, blend=Blend.CROP, halo=halo, notes=notes)


def as_blended(plan: Plan, source: Source, network: Network, note: str = "") -> Plan:
    """Return the plan with overlapping tiles in place of cropped ones."""
    notes: list[str] = []
    grid = blended_grid(source, network, plan.settings, notes)
    said = (*plan.notes, *notes, *([note] if note else []))
    blend = plan.settings.blend or Blend.GAUSSIAN
    return replace(plan, grid=grid, mode=Mode.BLEND, blend=blend, halo=None, notes=said)


def blended_grid(
    source: Source, network: Network, settings: RunSettings, notes: list[str]
) -> TileGrid:
    """Cut an image into overlapping tiles as the settings, else the model, suggest."""
    tile, step = blended_tile_and_step(network.spec, settings.tile, settings.overlap, notes)
    dims = network.spec.spatial_dims
    return cut_image(
        source.spatial_shape,
        (tile,) * dims,
        (step,) * dims,
        stride=network.spec.stride,
        crop=settings.blend is Blend.CROP,
    )


def _mode(source: Source, network: Network, settings: RunSettings) -> tuple[Mode, list[str]]:
    spec, mode = network.spec, settings.mode
    if mode is Mode.AUTO and has_context(network):
        return Mode.CONTEXT, []
    if mode is Mode.AUTO:
        if spec.global_context and settings.tile is None and _small(source, network):
            return Mode.WHOLE, [_AS_A_WHOLE]
        field = known_field(network)
        bounded = not spec.global_context if field is None else field.bounded
        measured = bounded and left_open(settings) and worth_measuring(source, network)
        mode = Mode.CALIBRATED if measured else Mode.BLEND
    notes = []
    if mode is Mode.BLEND and spec.global_context:
        notes.append(seams_possible(network))
    return mode, notes


def seams_possible(network: Network) -> str:
    """Say what tiles do to a network that looks at its whole input, and what helps."""
    said = (
        "The network looks at its whole tile, so a tile can differ from the same place in "
        "the whole image: seams are possible. Larger tiles and more overlap make them weaker"
    )
    if network.spec.global_context and freezable(network):
        return f"{said}; mode 'frozen-norm' leaves none, and takes many times as long."
    return f"{said}."


def _small(source: Source, network: Network) -> bool:
    tile_px = prod((network.spec.tile,) * network.spec.spatial_dims)
    return prod(source.spatial_shape) <= _WHOLE_TILES * tile_px


def _halo(network: Network, settings: RunSettings, mode: Mode) -> int:
    """Return the context that a mode gives every core, in pixels."""
    if mode is not Mode.CALIBRATED:
        return required_halo(network, mode)
    field, stride = known_field(network), network.spec.stride
    likely = round_up(_LIKELY_HALO, stride)
    if settings.tile is not None:
        likely = min(likely, settings.tile // 4 // stride * stride)
    if field is None or not field.bounded:
        return likely
    return min(likely, required_halo(network, Mode.EXACT))


def _cropped_tile(network: Network, settings: RunSettings, device: torch.device, halo: int) -> int:
    stride = network.spec.stride
    if settings.tile is None:
        return crop_sizes(network.spec, halo)[0 if device.type == "cpu" else 1]
    tile, least = round_up(settings.tile, stride), 2 * halo + stride
    if tile < least:
        raise SettingsError(
            f"Tiles of {tile} px are too small for mode '{settings.mode}': this network needs "
            f"{halo} px of context on every side. Choose a tile of at least {least} px, or leave "
            "it out."
        )
    return tile
