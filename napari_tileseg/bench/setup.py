"""What a benchmark is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Setup:
    """How a benchmark is run.

    Attributes
    ----------
    quick
        Small sizes: whether everything works, not how good it is.
    pairs
        How often two things are timed in turn.
    model
        A bundled name, a file or a folder.
    image
        The image to segment; None takes the sample of the model.
    images, masks
        Folders of labelled images; None takes the labelled sample.
    classes
        How many classes the networks have that are made for memory.
    side
        Of the larger of the two images that are made for memory, in pixels; None is 65,536.
    seed
        Of everything random.
    """

    quick: bool = False
    pairs: int = 3
    model: str = "axon_myelin_sem"
    image: Path | None = None
    images: Path | None = None
    masks: Path | None = None
    classes: int = 4
    side: int | None = None
    seed: int = 0

    def for_classes(self, count: int) -> Self:
        """Return the same with another number of classes."""
        return replace(self, classes=count)
