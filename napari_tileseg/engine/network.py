"""A network ready to run: a torch module, and the description of what it reads and answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from napari_tileseg.engine.spec import Architecture, ClassInfo, ModelSpec, Task
from napari_tileseg.errors import NetworkError


@dataclass(frozen=True, eq=False)
class Network:
    """A torch module with the description needed to use it.

    Attributes
    ----------
    module
        Takes (B, channels, *spatial) float32, gives (B, outputs, *spatial) logits, which
        are smaller in space if the description has a margin.
    spec
        What it reads and what its answer means.
    architecture
        How to build the module again without its weights; None if it cannot be saved.
    provenance
        Where it comes from: plain values for a person to read.
    """

    module: nn.Module
    spec: ModelSpec
    architecture: Architecture | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes in the order of the label values."""
        return self.spec.classes

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        first = next(self.module.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    def logits(self, tiles: torch.Tensor) -> torch.Tensor:
        """Run the module on normalised tiles; never waits for the device.

        Parameters
        ----------
        tiles
            (B, channels, *spatial) float32: on each axis a multiple of the stride, and
            `spec.margin` more at either end.

        Returns
        -------
        (B, outputs, *spatial) float32, without the margin. Whether these are numbers is not
        looked at: see `checked_logits`, or `extremes` and `require_finite` for many tiles.

        Raises
        ------
        NetworkError
            If the answer has another shape.
        """
        answer = self.module(tiles)
        if not isinstance(answer, torch.Tensor):
            raise NetworkError(
                f"'{self.spec.name}' answers with {type(answer).__name__}, not with one array of "
                "logits. A network with extra heads has to be saved without them."
            )
        sizes = tuple(size - 2 * self.spec.margin for size in tiles.shape[2:])
        wanted = (tiles.shape[0], self.spec.n_outputs, *sizes)
        inner = _centre(answer, sizes) if self.spec.margin else answer
        if tuple(inner.shape) != wanted:
            raise NetworkError(
                f"'{self.spec.name}' answers with an array of shape {tuple(answer.shape)} where "
                f"{wanted} was expected (tiles, classes, pixels). "
                "Check the number of classes and the architecture of this checkpoint."
            )
        return inner.float()

    def checked_logits(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return `logits`, and make sure that all of them are numbers.

        Raises
        ------
        NetworkError
            If the answer has another shape, or holds what is not a number.
        """
        answer = self.logits(tiles)
        self.require_finite(extremes(answer))
        return answer

    def require_finite(self, low_high: torch.Tensor) -> None:
        """Raise `NetworkError` if extremes of logits are not numbers; waits for the device."""
        if not bool(torch.isfinite(low_high).all()):
            raise NetworkError(
                f"'{self.spec.name}' answers with values that are not numbers. "
                "Try --precision fp32; if that does not help, the weights are damaged."
            )

    def evidence(self, logits: torch.Tensor) -> torch.Tensor:
        """Shift logits so that only their sign, or their order, decides.

        Several classes: what each lacks to the highest one, at most 0. Otherwise: what is above
        the threshold. Sums of shares of evidence decide as the sums of shares of logits do,
        also while some of the shares are missing.

        Parameters
        ----------
        logits
            (outputs, *spatial) float.
        """
        if self.spec.task is Task.MULTICLASS:
            return logits - logits.amax(0, keepdim=True)
        return logits - _logit(self.spec.threshold)

    def decide(self, evidence: torch.Tensor) -> torch.Tensor:
        """Turn evidence (outputs, *spatial), as numbers of any type and unit, into labels.

        Returns
        -------
        (*spatial) uint8 class indices; (classes, *spatial) bool for a multilabel model.
        """
        if self.spec.task is Task.MULTICLASS:
            return _argmax(evidence)
        above = evidence > 0
        return above if self.spec.task is Task.MULTILABEL else above[0].to(torch.uint8)

    def probabilities(self, evidence: torch.Tensor) -> torch.Tensor:
        """Turn evidence (outputs, *spatial) float into probabilities (classes, *spatial) float32.

        A pixel has the same bits wherever it lies in the array.
        """
        if evidence.device.type == "cpu":
            # what a processor computes in groups it rounds otherwise than what is left over
            return self._probabilities(evidence.double()).float()
        return self._probabilities(evidence.float())

    def _probabilities(self, evidence: torch.Tensor) -> torch.Tensor:
        if self.spec.task is Task.MULTICLASS:
            return evidence.softmax(0)
        foreground = (evidence + _logit(self.spec.threshold)).sigmoid()
        if self.spec.task is Task.MULTILABEL:
            return foreground
        return torch.cat([1 - foreground, foreground])


def extremes(logits: torch.Tensor) -> torch.Tensor:
    """Return the lowest and the highest logit, (2,); not a number if a single one is not."""
    # torch would copy what does not lie in memory in the order of its axes
    as_it_lies = sorted(range(logits.ndim), key=logits.stride, reverse=True)
    return torch.stack(logits.permute(as_it_lies).aminmax())


def _centre(answer: torch.Tensor, sizes: tuple[int, ...]) -> torch.Tensor:
    """Cut the middle of the given sizes out of (B, outputs, *spatial), if it has a middle."""
    if answer.ndim != len(sizes) + 2:
        return answer
    spare = [found - size for found, size in zip(answer.shape[2:], sizes, strict=True)]
    if any(more < 0 or more % 2 for more in spare):
        return answer
    for axis, (more, size) in enumerate(zip(spare, sizes, strict=True), start=2):
        answer = answer.narrow(axis, more // 2, size)
    return answer


def _argmax(logits: torch.Tensor) -> torch.Tensor:
    """Return the index of the highest logit, the lowest index among equals, as uint8."""
    # torch's own argmax over the first axis is many times slower on a CPU than this loop
    best = logits[0].clone()
    labels = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
    for index in range(1, len(logits)):
        better = logits[index] > best
        torch.maximum(labels, better.to(torch.uint8).mul_(index), out=labels)
        torch.maximum(best, logits[index], out=best)
    return labels


def _logit(probability: float) -> float:
    return float(torch.logit(torch.tensor(probability, dtype=torch.float64)))
