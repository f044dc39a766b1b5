"""An ONNX network as a torch module: it answers, and it cannot learn."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.errors import NetworkError
from napari_tileseg.models.libraries import import_onnxruntime

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBERS = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
"""What a network may read, by the name that onnxruntime has for it."""

READABLE = tuple(_NUMBERS)

_ALMOST = 1e-7
"""Probabilities nearer to 0 or 1 than this are rounded in float32 anyway."""

_PLACES = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |/onnxruntime_src/.*?\) (?=[A-Z])")

_SILENT = 4


class OnnxNet(nn.Module):
    """Runs an ONNX network in onnxruntime, in its own numbers, wherever torch is.

    The file is kept as a buffer, so that it is saved, copied and sent to other processes as
    weights are. It stays in main memory.

    Parameters
    ----------
    size
        How many bytes the file has; `content` is to be filled with them.
    side
        The only size of tiles it reads, in pixels along each axis; None if it reads any.
    batch
        The only number of tiles it reads at once; None if it reads any.
    margin
        See `ModelSpec`.
    answers
        "logits"; or probabilities, which "sigmoid" or "softmax" made and which are turned back.
    outputs
        How many it gives for each pixel.
    bytes_per_px
        What it takes to run, for one tile; an estimate.
    """

    content: torch.Tensor

    def __init__(
        self,
        size: int,
        *,
        side: int | None,
        batch: int | None,
        margin: int,
        answers: str,
        outputs: int,
        bytes_per_px: int,
    ) -> None:
        super().__init__()
        self.register_buffer("content", torch.zeros(size, dtype=torch.uint8))
        self.side = side
        self.batch = batch
        self.margin = margin
        self.answers = answers
        self.outputs = outputs
        self.bytes_per_px = bytes_per_px
        self.called = "This ONNX network"
        self._sessions: dict[tuple[str, int], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sessions": {}}

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        # the file is no weight: neither a device nor another number format is for it
        return self

    def extra_repr(self) -> str:
        """Say what was not seen in the file."""
        return f"{self.content.numel()} bytes, side={self.side}, answers={self.answers}"

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Answer with logits (B, outputs, *spatial) for tiles (B, channels, *spatial).

        Raises
        ------
        NetworkError
            If it does not read tiles of this size, or fails.
        """
        sizes = tuple(size - 2 * self.margin for size in tiles.shape[2:])
        shape = (len(tiles), self.outputs, *sizes)
        if tiles.is_meta:  # nothing is computed, only memory is counted
            tiles.new_empty(tiles[:, :1].numel() * self.bytes_per_px // tiles.element_size())
            return tiles.new_empty(shape)
        if bool(tiles.isnan().any()):
            # onnxruntime may lose a NaN on its way, so how far the network looks cannot be
            # found out by where NaNs spread: it is said to look everywhere
            return tiles.new_full(shape, torch.nan, dtype=torch.float32)
        session = self._session(tiles.device)
        answer = torch.cat([self._run(session, part) for part in self._parts(self._padded(tiles))])
        inner = answer[(slice(0, len(tiles)), slice(None), *(slice(0, size) for size in sizes))]
        return self._logits(inner.to(tiles.device))

    def _padded(self, tiles: torch.Tensor) -> torch.Tensor:
        """Fill tiles up to the only size that is read."""
        if self.side is None:
            return tiles
        missing = [self.side - size for size in tiles.shape[2:]]
        if min(missing) < 0:
            shown = " x ".join(map(str, tiles.shape[2:]))
            tile = self.side - 2 * self.margin
            raise NetworkError(
                f"{self.called} reads {self.side} px along each side and no other size, but "
                f"was shown {shown} px. Choose mode 'blend' and a tile of {tile} px, or export it "
                "again with dynamic axes."
            )
        if not any(missing):
            return tiles
        ends = [end for more in reversed(missing) for end in (0, more)]
        return functional.pad(tiles.float(), ends, mode="replicate")

    def _parts(self, tiles: torch.Tensor) -> list[torch.Tensor]:
        """Split a batch as the network reads it; on a CPU so that it does not change the bits."""
        if self.batch is None:
            return list(torch.split(tiles, 1)) if tiles.device.type == "cpu" else [tiles]
        parts = list(torch.split(tiles, self.batch))
        missing = self.batch - len(parts[-1])
        if missing:
            parts[-1] = torch.cat([parts[-1], *[parts[-1][-1:]] * missing])
        return parts

    def _run(self, session: Any, tiles: torch.Tensor) -> torch.Tensor:
        given = session.get_inputs()[0]
        pixels = np.ascontiguousarray(tiles.float().cpu().numpy(), _NUMBERS[given.type])
        try:
            (answer,) = session.run(None, {given.name: pixels})
        except Exception as error:  # its kinds of errors have no common base
            raise failed(error) from error
        return torch.from_numpy(np.asarray(answer, np.float32))

    def _logits(self, answer: torch.Tensor) -> torch.Tensor:
        if self.answers == "sigmoid":
            return torch.logit(answer, eps=_ALMOST)
        return answer.clamp_min(_ALMOST).log() if self.answers == "softmax" else answer

    def _session(self, device: torch.device) -> Any:
        threads = torch.get_num_threads()
        key = (device.type, threads)
        if key not in self._sessions:
            self._sessions = {key: open_session(self.content.numpy().tobytes(), *key)}
        return self._sessions[key]


def open_session(content: bytes, device: str, threads: int) -> Any:
    """Return what runs an ONNX network, on a GPU if it can.

    Raises
    ------
    NetworkError
        If onnxruntime cannot run it.
    TilesegError
        If onnxruntime is not installed.
    """
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _SILENT
    wanted = ["CUDAExecutionProvider"] if device == "cuda" else []
    there = runtime.get_available_providers()
    providers = [one for one in (*wanted, "CPUExecutionProvider") if one in there]
    try:
        return runtime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # its kinds of errors have no common base
        raise failed(error) from error


def failed(error: Exception) -> Exception:
    """Return what to raise in place of an error of onnxruntime."""
    said = in_one_line(error)
    if "alloc" in said.lower():
        return MemoryError(said)
    return NetworkError(
        f"The ONNX network does not run here: {said}. Choose another tile size; if that does not "
        "help, export it again with a current version of its library."
    )


def in_one_line(error: BaseException | str) -> str:
    """Return what a library says, short enough to be shown."""
    text = "".join(one if one.isprintable() else " " for one in str(error))
    # where in its own source onnxruntime found it helps nobody
    text = _PLACES.sub("", " ".join(text.split()))
    return (text or type(error).__name__)[:300].rstrip(". ")
