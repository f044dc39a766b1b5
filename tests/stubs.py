"""Networks so simple that the right answer is known."""

from __future__ import annotations

import torch
from torch import nn

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import (
    ModelSpec,
    Normalisation,
    NormalisationKind,
    Task,
    default_classes,
)

AS_IT_IS = Normalisation(NormalisationKind.NONE)


class Echo(nn.Module):
    """Answers with what it sees."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return tiles.clone()


class Ramp(nn.Module):
    """Answers with the distance from the corner of its own tile: every tile disagrees."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        shape = tiles.shape[2:]
        grid = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij")
        base = sum((axis + 1) * line for axis, line in enumerate(grid))
        answers = [torch.sin(base * (index + 1)) + tiles[:, 0] for index in range(self.outputs)]
        return torch.stack(answers, dim=1)


class Counting(nn.Module):
    """Counts how often it was asked, and remembers the sizes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(tiles.shape))
        answer: torch.Tensor = self.inner(tiles)
        return answer


def network(
    module: nn.Module,
    *,
    outputs: int = 3,
    channels: int = 1,
    dims: int = 2,
    task: Task = Task.MULTICLASS,
    **spec: object,
) -> Network:
    """Wrap a module with a description that changes nothing about it."""
    if outputs == 1 and task is Task.MULTICLASS:
        task = Task.MULTILABEL  # several classes are needed to choose one
    count = 2 if task is Task.BINARY else outputs
    values: dict[str, object] = {
        "name": "stub",
        "classes": default_classes(count, background=task is not Task.MULTILABEL),
        "channels": tuple(f"channel {index}" for index in range(channels)),
        "task": task,
        "normalisation": AS_IT_IS,
        "spatial_dims": dims,
        "tile": 32,
    }
    return Network(module.eval(), ModelSpec(**{**values, **spec}))  # type: ignore[arg-type]


def echo(channels: int = 3, dims: int = 2, **spec: object) -> Network:
    """Return a network whose logits are the channels of the image."""
    return network(Echo(), outputs=channels, channels=channels, dims=dims, **spec)  # type: ignore[arg-type]


def small_conv(outputs: int = 3, channels: int = 1, **spec: object) -> Network:
    """Return a network with a receptive field of 3 x 3 and fixed weights."""
    torch.manual_seed(0)
    module = nn.Conv2d(channels, outputs, 3, padding=1)
    return network(module, outputs=outputs, channels=channels, **spec)  # type: ignore[arg-type]
