"""How large tiles are and how much context they have: numbers, before an image is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import torch

from napari_tileseg.engine.local_norm import freezable
from napari_tileseg.engine.probe import ReceptiveField, frozen_field, receptive_field
from napari_tileseg.engine.tiles import TileGrid, cut_image, round_up
from napari_tileseg.errors import ModelFitError
from napari_tileseg.settings import Mode

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.spec import ModelSpec

_CHUNK = {2: 512, 3: 128}
"""The sides of the blocks that large results are stored in, in pixels."""


def required_halo(network: Network, mode: Mode) -> int:
    """Return the context with which tiles equal the whole image, in pixels.

    The margin that a network uses up is context already. The answer is probed for, once.

    Raises
    ------
    ModelFitError
        If no context is enough.
    """
    field = _frozen(network) if mode is Mode.FROZEN_NORM else receptive_field(network)
    if not field.bounded:
        named = ", ".join(network.spec.global_context[:3])
        why = named or "its answer depends on the size of its input"
        raise ModelFitError(
            f"'{network.spec.name}' looks at the whole of its input ({why}), so tiles can never "
            "equal the whole image. Choose mode 'whole' if the image fits, else mode 'blend'."
        )
    return round_up(max(0, field.halo - network.spec.margin), network.spec.stride)


def _frozen(network: Network) -> ReceptiveField:
    if not freezable(network):
        raise ModelFitError(
            f"Mode 'frozen-norm' is for networks that normalise each tile by itself and look at "
            f"their whole input in no other way; '{network.spec.name}' is none. "
            "Choose mode 'auto'."
        )
    return frozen_field(network)


def blended_tile_and_step(
    spec: ModelSpec, tile: int | None, overlap: float, notes: list[str]
) -> tuple[int, int]:
    """Return the size of overlapping tiles and the distance between them, in pixels.

    What cannot be had as it was wanted is said in `notes`.
    """
    wanted = tile or spec.tile
    tile = round_up(wanted, spec.stride)
    if tile != wanted:
        notes.append(
            f"Tiles are {tile} px, not {wanted} px: this network needs multiples of "
            f"{spec.stride} px."
        )
    step = max(spec.stride, int(tile * (1 - overlap)) // spec.stride * spec.stride)
    if step == tile and overlap > 0:
        notes.append(
            f"Tiles of {tile} px cannot overlap by {overlap:.0%}: this network needs "
            f"steps of {spec.stride} px. Larger tiles can."
        )
    return tile, step


def crop_sizes(spec: ModelSpec, halo: int) -> tuple[int, int, int]:
    """Return three sizes for tiles of which the inner part is kept, rising, in pixels.

    The inner parts are as the blocks of a stored result where the network suggests tiles of
    about that size, and at least twice as wide as the context.
    """
    chunk = _CHUNK.get(spec.spatial_dims, 512)
    unit = round_up(chunk if spec.tile >= chunk // 2 else spec.tile, spec.stride)
    core = round_up(max(unit, 2 * halo), unit)
    return core + 2 * halo, 2 * core + 2 * halo, 4 * core + 2 * halo


def cropped_grid(source: Source, network: Network, halo: int, tile: int) -> TileGrid:
    """Cut an image into tiles that each keep what is `halo` pixels inside of them."""
    spec = network.spec
    return cut_image(
        source.spatial_shape,
        (tile,) * spec.spatial_dims,
        (tile - 2 * halo,) * spec.spatial_dims,
        stride=spec.stride,
        crop=True,
        align=_CHUNK.get(spec.spatial_dims, 512),
    )


def memory_budget(device: torch.device, memory_gb: float | None) -> int:
    """Return what a run may take on its device, in bytes: half of what is free if nobody says."""
    if memory_gb is not None:
        return round(memory_gb * 1e9)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return int(psutil.virtual_memory().available) // 2
