"""Variants of training patches: turned, scaled, bent, brighter, noisier, more blurred."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_tileseg.errors import SettingsError
from napari_tileseg.training.losses import IGNORE

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """How far variants may go. All work on pixels is done where the images are.

    Attributes
    ----------
    scale
        Smallest and largest magnification; drawn evenly on a logarithmic axis.
    turn
        Largest rotation in degrees, on top of quarter turns and mirror images.
    bend_px
        How far places are moved by a smooth random field, in pixels; 0 for not at all.
    brightness, contrast, gamma
        Standard deviation of the shift (in units of normalised intensity), and of the
        logarithms of factor and exponent; for each channel on its own.
    noise, blur_px
        Largest standard deviation of noise (normalised intensity) and of the blur (pixels).
    strength
        A share (0 to 1) of all of the above; at 0 nothing is changed, not even mirrored.

    Raises
    ------
    SettingsError
        If the strength is not a share.
    """

    scale: tuple[float, float] = (0.5, 1.6)
    turn: float = 15.0
    bend_px: float = 3.0
    brightness: float = 0.2
    contrast: float = 0.2
    gamma: float = 0.2
    noise: float = 0.15
    blur_px: float = 1.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise SettingsError(
                f"The strength of augmentation is {self.strength:g}; it has to be from 0 (none) "
                "to 1 (full)."
            )

    @property
    def margin(self) -> float:
        """How much larger a crop has to be than the patch, so that no variant lacks pixels."""
        angle = math.radians(min(self.turn * self.strength, 45.0))
        return float((math.cos(angle) + math.sin(angle)) / self.scale[0] ** self.strength)

    def __call__(
        self, images: Tensor, masks: Tensor, size: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Make one variant of each patch.

        Parameters
        ----------
        images
            (B, channels, H, W) float32, normalised.
        masks
            (B, H, W) class indices, 255 for unknown.
        size
            Height and width of the variants in pixels, cut from the middle.
        generator
            Where chance comes from, on the CPU; equal states give equal variants.

        Returns
        -------
        (B, channels, size, size) float32 and (B, size, size) int64. Image and mask are moved
        alike; what comes from beyond the border is mirrored in the image, 255 in the mask.
        """
        if not self.strength:
            return _middle(images, size), _middle(masks, size).long()
        grid = self._grid(images, size, generator)
        moved = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        # shifted, so that grid_sample's padding with 0 means 255
        shifted = masks[:, None].float() - IGNORE
        labels = functional.grid_sample(shifted, grid, mode="nearest", align_corners=False)
        return self._recolour(moved, generator), (labels[:, 0] + IGNORE).round().long()

    def _grid(self, images: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """Return where each pixel of a variant comes from: (B, size, size, xy) in -1 to 1."""
        count, _, height, width = images.shape
        low, high = (self.strength * math.log(end) for end in self.scale)
        zoom = torch.exp(_between(low, high, count, generator))
        quarter = torch.randint(4, (count,), generator=generator) * (math.pi / 2)
        turn = self.turn * self.strength
        angle = quarter + torch.deg2rad(_between(-turn, turn, count, generator))
        mirror = torch.randint(2, (count,), generator=generator) * 2.0 - 1.0
        cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
        matrix = torch.stack([cos * mirror, -sin, sin * mirror, cos], 1).view(count, 2, 2)
        axis = torch.arange(size, device=images.device) - (size - 1) / 2
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        offset_xy = torch.stack([x, y], -1).view(1, -1, 2)
        from_xy = offset_xy @ matrix.transpose(1, 2).to(images.device)
        from_xy = from_xy.view(count, size, size, 2)
        if self.bend_px:
            from_xy = from_xy + self._bend(count, size, generator, images.device)
        return from_xy * (2 / torch.tensor([width, height], device=images.device))

    def _bend(
        self, count: int, size: int, generator: torch.Generator, device: torch.device
    ) -> Tensor:
        """Return a smooth random displacement, (B, size, size, 2) in pixels."""
        knots = max(size // 64, 1) + 3
        coarse = torch.randn(count, 2, knots, knots, generator=generator)
        coarse = (coarse * (self.bend_px * self.strength)).to(device)
        smooth = functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)
        return smooth.movedim(1, -1)

    def _recolour(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Change intensities: gamma, contrast and brightness, blur, noise."""
        low = images.amin((2, 3), keepdim=True)
        span = (images.amax((2, 3), keepdim=True) - low).clamp(min=1e-6)
        each = images.shape[:2]

        def draw(spread: float) -> Tensor:
            drawn = torch.randn(*each, 1, 1, generator=generator) * (spread * self.strength)
            return drawn.to(images.device)

        images = ((images - low) / span).clamp(0, 1) ** torch.exp(draw(self.gamma)) * span + low
        images = images * torch.exp(draw(self.contrast)) + draw(self.brightness)
        return self._grain(self._blur(images, generator), generator)

    def _grain(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Add noise, more to some images than to others."""
        if not self.noise:
            return images
        spread = _between(0, self.noise * self.strength, len(images), generator)
        # numbers for each pixel are drawn where the pixels are
        here = torch.Generator(images.device)
        here.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        noise = torch.randn(images.shape, generator=here, device=images.device)
        return images + noise * spread.view(-1, 1, 1, 1).to(images.device)

    def _blur(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Blur about every other image with a Gaussian."""
        count, channels = images.shape[:2]
        widest = self.blur_px * self.strength
        reach = math.ceil(2.5 * widest)
        if not reach:
            return images
        sigma = _between(-widest, widest, count, generator).clamp(min=0.05)
        axis = torch.arange(-reach, reach + 1)
        kernel = torch.exp(-0.5 * (axis / sigma[:, None]) ** 2)  # (B, taps)
        kernel = (kernel / kernel.sum(1, keepdim=True)).to(images.device)
        kernel = kernel.repeat_interleave(channels, 0)[:, None]
        flat = functional.pad(images, (reach,) * 4, mode="replicate").flatten(0, 1)[None]
        groups = flat.shape[1]
        flat = functional.conv2d(flat, kernel[:, :, :, None], groups=groups)
        flat = functional.conv2d(flat, kernel[:, :, None, :], groups=groups)
        return flat.view(images.shape)


def _middle(patches: Tensor, size: int) -> Tensor:
    """Cut the middle out of (B, ..., H, W)."""
    top, left = ((side - size) // 2 for side in patches.shape[-2:])
    return patches[..., top : top + size, left : left + size]


def _between(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` numbers evenly between two."""
    return low + (high - low) * torch.rand(count, generator=generator)
