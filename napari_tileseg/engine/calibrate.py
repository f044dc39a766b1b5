"""How much context this image needs: labels with a border nearby, compared with labels without.

A place of the image is shown to the network as a whole, and again cut in two along each axis.
Where labels differ, and how far from the cut, tells how often they would differ inside tiles
that keep only what lies a given distance from their border. A network's effective field is
often a small part of its receptive field (Luo et al., NeurIPS 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg.engine.amounts import percent_of
from napari_tileseg.engine.device import in_fast_layout
from napari_tileseg.engine.folding import folded
from napari_tileseg.engine.geometry import required_halo
from napari_tileseg.engine.spec import Task
from napari_tileseg.engine.tiles import round_up
from napari_tileseg.settings import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.normalise import Scaling
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source

_CROPS = 6
_REACH = {2: 224, 3: 56}
"""How far from a cut labels are compared, in pixels: 6 crops are then 9 tiles of 512 px."""

_LEAST_REACH = {2: 96, 3: 24}
_SURE_SHARE = 0.75
"""Context of at most this share of the reach is trusted; beyond, too few pixels are compared."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was found on one image.

    Attributes
    ----------
    curves
        (crops, reach): on each place of the image the share of labels that differ from the
        whole image, by the distance from a cut in pixels.
    stride, dims
        Of the network.
    tolerance
        The share of labels that may differ.
    """

    curves: NDArray[np.float64]
    stride: int
    dims: int
    tolerance: float

    @property
    def curve(self) -> NDArray[np.float64]:
        """The mean over all places."""
        return self.curves.mean(axis=0) if len(self.curves) else np.zeros(0)

    def least_halo(self, tile: int) -> int | None:
        """Return the least context with which tiles of a size keep the tolerance, in pixels.

        The mean over all places and its standard error have to keep it. None if no context
        does that is within reach or leaves anything of the tile.
        """
        if not len(self.curves):
            return None
        for halo in range(0, int(self.curves.shape[1] * _SURE_SHARE) + 1, self.stride):
            if tile < 2 * halo + self.stride:
                return None
            shares = self._shares(halo, tile)
            if shares.mean() + shares.std() / sqrt(len(shares)) <= self.tolerance:
                return halo
        return None

    def flips(self, halo: int, tile: int) -> float:
        """Return the share of labels that differ with this context in tiles of this size."""
        return float(self._shares(halo, tile).mean())

    def sentence(self, halo: int | None, tile: int) -> str:
        """Say what was found."""
        if not len(self.curves):
            return "The image is too small to measure how much context it needs."
        if halo is None:
            reach = int(self.curves.shape[1] * _SURE_SHARE)
            return f"Even {reach} px of context change more labels than the tolerance allows."
        return (
            f"{halo} px of context: {percent_of(self.flips(halo, tile))} of labels differ from the "
            f"whole image, as measured on {len(self.curves)} places of this image."
        )

    def _shares(self, halo: int, tile: int) -> NDArray[np.float64]:
        """Return the share of labels that differ, (crops,)."""
        rings = ring_shares(halo, tile, self.dims, self.curves.shape[1])
        shares: NDArray[np.float64] = self.curves @ rings
        return shares


@dataclass(frozen=True)
class _Window:
    """Where crops lie: their size on each axis, and along which axes they are cut in two."""

    shape: tuple[int, ...]
    cut: tuple[bool, ...]
    reach: int


def calibrated(
    source: Source,
    network: Network,
    plan: Plan,
    scaling: Scaling,
    check: Callable[[], None] | None = None,
) -> Calibration:
    """Measure what context changes on one image, in full precision.

    Parameters
    ----------
    source, network
        The image, and a network with a bounded receptive field, on the device of the plan.
    plan
        Gives the device, the channels and the tolerance.
    scaling
        From raw pixels to what the network reads.
    check
        Called before each forward; may raise `Cancelled`.
    """
    spec, window = network.spec, _window(source, network)
    if window is None:
        return Calibration(np.zeros((0, 0)), spec.stride, spec.spatial_dims, plan.tolerance)
    network = folded(network)
    flips = np.zeros((_CROPS, window.reach))
    pixels = np.zeros(window.reach)
    for index, raw in enumerate(_crops(source, network, plan, window)):
        for part, distances in _compared(raw, network, plan, scaling, window, check):
            flips[index] += np.bincount(distances[part], minlength=window.reach)
            if index == 0:
                pixels += np.bincount(distances.ravel(), minlength=window.reach)
    curves = flips / np.maximum(pixels, 1)
    return Calibration(curves, spec.stride, spec.spatial_dims, plan.tolerance)


def ring_shares(halo: int, tile: int, dims: int, reach: int) -> NDArray[np.float64]:
    """Return which share of a core lies how far from the border of its tile.

    Returns
    -------
    (reach,) one share for each distance in pixels; farther pixels are left out.
    """
    core = max(1, tile - 2 * halo)
    inside = np.maximum(core - 2.0 * np.arange(core // 2 + 2), 0) ** dims
    shares = np.zeros(max(reach, halo + len(inside)))
    shares[halo : halo + len(inside) - 1] = -np.diff(inside) / core**dims
    return shares[:reach]


def _window(source: Source, network: Network) -> _Window | None:
    """Choose the size of crops; None if they fit along no axis of the image."""
    spec = network.spec
    needed = max(2 * required_halo(network, Mode.EXACT), _LEAST_REACH.get(spec.spatial_dims, 96))
    reach = min(round_up(needed, spec.stride), round_up(_REACH[spec.spatial_dims], spec.stride))
    room = [size - 2 * spec.margin for size in source.spatial_shape]
    cut = tuple(size >= 2 * reach for size in room)
    shape = tuple(
        2 * reach if size >= 2 * reach else size // spec.stride * spec.stride for size in room
    )
    return _Window(shape, cut, reach) if any(cut) and all(size > 0 for size in shape) else None


def _crops(
    source: Source, network: Network, plan: Plan, window: _Window
) -> Iterator[NDArray[np.generic]]:
    """Read places spread over the image and its planes, (channels, *shape and margins)."""
    stride, margin = network.spec.stride, network.spec.margin
    planes = list(np.ndindex(*plan.leading_shape))
    for index in range(_CROPS):
        region = []
        for axis, (side, size) in enumerate(zip(window.shape, source.spatial_shape, strict=True)):
            # multiples of irrational numbers never fall onto a grid of the image
            share = (0.5 + (index + 1) * sqrt((2, 3, 5)[axis])) % 1
            spare = size - 2 * margin - side
            start = int(share * (spare // stride + 1)) * stride
            region.append(slice(start, start + side + 2 * margin))
        plane = planes[index * len(planes) // _CROPS]
        yield source.read(plane, tuple(region), plan.channels)


def _compared(
    raw: NDArray[np.generic],
    network: Network,
    plan: Plan,
    scaling: Scaling,
    window: _Window,
    check: Callable[[], None] | None,
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.int64]]]:
    """Yield, for each part of a crop, where labels differ and how far that is from a cut."""
    whole = _labels(raw[None], network, plan, scaling, check)[0]
    margin, halves = network.spec.margin, []
    for side, cut in zip(window.shape, window.cut, strict=True):
        halves.append([slice(0, side // 2), slice(side // 2, side)] if cut else [slice(0, side)])
    parts = list(product(*halves))
    shown = [
        raw[(slice(None), *(slice(one.start, one.stop + 2 * margin) for one in part))]
        for part in parts
    ]
    for part, labels in zip(
        parts, _labels(np.stack(shown), network, plan, scaling, check), strict=True
    ):
        where: tuple[Any, ...] = (..., *part)
        differ = whole[where] != labels
        if network.spec.task is Task.MULTILABEL:
            differ = differ.any(axis=0)
        yield differ, _distances(part, window)


def _distances(part: tuple[slice, ...], window: _Window) -> NDArray[np.int64]:
    """Return how many pixels lie between each pixel of a part and the nearest cut."""
    nearest = np.full([one.stop - one.start for one in part], window.reach - 1)
    for axis, (one, cut) in enumerate(zip(part, window.cut, strict=True)):
        if cut:
            line = np.arange(one.stop - one.start)
            along = [1] * len(part)
            along[axis] = len(line)
            nearest = np.minimum(nearest, (line if one.start else line[::-1]).reshape(along))
    return nearest


def _labels(
    raw: NDArray[np.generic],
    network: Network,
    plan: Plan,
    scaling: Scaling,
    check: Callable[[], None] | None,
) -> list[NDArray[np.generic]]:
    if check is not None:
        check()
    with torch.inference_mode():
        pixels = scaling.apply(torch.from_numpy(raw), plan.device)
        logits = network.checked_logits(in_fast_layout(pixels))
        return [network.decide(network.evidence(one)).cpu().numpy() for one in logits]
