"""From what is wanted to what will be done: a frozen plan, before a pixel is read."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from napari_tileseg.engine.device import autocast, default_batch, resolve_device
from napari_tileseg.engine.probe import receptive_field
from napari_tileseg.engine.tiles import TileGrid, cut_image, round_up
from napari_tileseg.errors import ModelFitError, SettingsError
from napari_tileseg.settings import Blend, Mode, Precision

if TYPE_CHECKING:
    import torch

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.source import Source
    from napari_tileseg.settings import RunSettings

_WHOLE_TILES = 16
"""An image of up to so many suggested tiles is small enough to be seen as a whole unasked."""


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
        `Mode.BLEND`, `Mode.EXACT` or `Mode.WHOLE`, never automatic.
    blend, device, precision, batch, probabilities
        As in `RunSettings`, with nothing left open.
    notes
        What a person should know, in sentences.
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

    @property
    def n_tiles(self) -> int:
        """How many tiles the network will see in all."""
        return len(self.grid) * prod(self.leading_shape)

    @property
    def tile(self) -> tuple[int, ...]:
        """The size of a tile in pixels on each spatial axis."""
        return self.grid.tile_shape


def make_plan(source: Source, network: Network, settings: RunSettings) -> Plan:
    """Decide everything that settings leave open, for one image and one network.

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
    device = resolve_device(settings.device)
    with autocast(device, settings.precision):
        pass
    notes: list[str] = []
    mode = _resolved_mode(source, network, settings, notes)
    blend = Blend.CROP if mode is Mode.EXACT else settings.blend or Blend.GAUSSIAN
    if mode is Mode.WHOLE:
        tile = step = tuple(round_up(size, spec.stride) for size in source.spatial_shape)
    elif mode is Mode.EXACT:
        tile, step = _exact_tile_and_step(network, settings)
    else:
        tile, step = _tile_and_step(network, settings, notes)
    return Plan(
        grid=cut_image(
            source.spatial_shape, tile, step, stride=spec.stride, crop=blend is Blend.CROP
        ),
        leading_shape=source.leading_shape,
        channels=channels,
        mode=mode,
        blend=blend,
        device=device,
        precision=settings.precision,
        batch=settings.batch or default_batch(device),
        probabilities=settings.probabilities,
        notes=tuple(notes),
    )


def _resolved_mode(
    source: Source, network: Network, settings: RunSettings, notes: list[str]
) -> Mode:
    if settings.mode is not Mode.AUTO:
        mode = settings.mode
    elif network.spec.global_context and settings.tile is None and _small(source, network):
        notes.append("The network looks at its whole input, so it sees the image as a whole.")
        return Mode.WHOLE
    else:
        mode = Mode.BLEND
    if mode is Mode.BLEND and network.spec.global_context:
        notes.append(
            "The network looks at its whole tile, so a tile can differ from the same place in "
            "the whole image: seams are possible. Larger tiles and more overlap make them weaker."
        )
    return mode


def _small(source: Source, network: Network) -> bool:
    tile_px = prod((network.spec.tile,) * network.spec.spatial_dims)
    return prod(source.spatial_shape) <= _WHOLE_TILES * tile_px


def _tile_and_step(
    network: Network, settings: RunSettings, notes: list[str]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    stride = network.spec.stride
    wanted = settings.tile or network.spec.tile
    tile = round_up(wanted, stride)
    if tile != wanted:
        notes.append(
            f"Tiles are {tile} px, not {wanted} px: this network needs multiples of {stride} px."
        )
    step = max(stride, int(tile * (1 - settings.overlap)) // stride * stride)
    if step == tile and settings.overlap > 0:
        notes.append(
            f"Tiles of {tile} px cannot overlap by {settings.overlap:.0%}: this network needs "
            f"steps of {stride} px. Larger tiles can."
        )
    dims = network.spec.spatial_dims
    return (tile,) * dims, (step,) * dims


def _exact_tile_and_step(
    network: Network, settings: RunSettings
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give every pixel of a core all the context its output depends on."""
    spec = network.spec
    field = receptive_field(network)
    if not field.bounded:
        why = ", ".join(spec.global_context[:3]) or "its answer depends on the size of its input"
        raise ModelFitError(
            f"'{spec.name}' looks at the whole of its input ({why}), so tiles can never equal "
            "the whole image. Choose mode 'whole' if the image fits, else mode 'blend'."
        )
    halo = round_up(field.halo, spec.stride)
    least = 2 * halo + spec.stride
    tile = round_up(settings.tile or max(spec.tile, 4 * halo), spec.stride)
    if tile < least:
        raise SettingsError(
            f"Tiles of {tile} px are too small for mode 'exact': this network needs {halo} px of "
            f"context on every side. Choose a tile of at least {least} px, or leave it out."
        )
    return (tile,) * spec.spatial_dims, (tile - 2 * halo,) * spec.spatial_dims
