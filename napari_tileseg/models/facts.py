"""What an architecture says about itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What can be said about a network before it has seen an image.

    Attributes
    ----------
    stride
        What input sizes have to be multiples of, in pixels, apart from the margin.
    size_dependent
        Why the answer at a place depends on the tile's size, for a person to read; empty if
        nothing about the architecture says so. Modules that say it by themselves are found by
        `engine.global_context`.
    in_channels, outputs
        How many channels it reads, and how many logits it gives for each pixel.
    margin
        The context that it uses up on every side, in pixels; see `ModelSpec`.
    spatial_dims
        2 for images, 3 for volumes.
    """

    stride: int
    size_dependent: tuple[str, ...]
    in_channels: int
    outputs: int
    margin: int = 0
    spatial_dims: int = 2
