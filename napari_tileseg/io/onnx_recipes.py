"""An ONNX network, tried in another process: what it reads, and how it answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_tileseg.engine.spec import Architecture
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io.limits import FROM_OTHERS
from napari_tileseg.models.libraries import import_onnxruntime
from napari_tileseg.models.onnx_family import NAME
from napari_tileseg.models.onnx_net import READABLE, in_one_line

if TYPE_CHECKING:
    from napari_tileseg.engine.spec import Normalisation
    from napari_tileseg.io.onnx_content import OnnxContent

_STRIDES = (32, 64, 128, 256)
"""What tiles are tried to be multiples of, in pixels: enough for five halvings, six, ..."""

_LEAST_PX = {2: 128, 3: 24}
_MEMORY, _MEMORY_A_BYTE = 700 << 20, 16
_WORK_S, _BYTES_A_SECOND = 3, 20_000_000
"""What a trial may take: so much, and more for a larger file."""

_PATIENCE_S = 40
"""Where nobody counts what a process works, and for a disk that is slow to give it to us."""

_EXPORT = "Export the network again"


@dataclass(frozen=True)
class Said:
    """What somebody says about an ONNX network, because its file does not.

    Attributes
    ----------
    in_channels, stride, margin
        See `ModelSpec`; None where the file, or a trial, tells.
    outputs
        How many it gives for each pixel, to be compared.
    answers
        See `OnnxNet`; None looks at the last step of the network.
    normalisation
        What brings intensities into its range.
    """

    in_channels: int | None = None
    stride: int | None = None
    margin: int = 0
    outputs: int | None = None
    answers: str | None = None
    normalisation: Normalisation | None = None


def recipe_of(found: OnnxContent, said: Said) -> Architecture:
    """Try a network, and return how it is run.

    Raises
    ------
    CheckpointError
        If it does not answer for the pixels of a tile.
    """
    trial = tried(found, said)
    shape, shown, answer = _shapes(found.name, trial, said)
    dims = len(shape) - 2
    margin = (shown[2] - answer[2]) // 2
    if said.margin not in (0, margin):
        raise _of_another_size(found.name, shown, answer)
    side = shown[2] if any(isinstance(one, int) for one in shape[2:]) else None
    if side is not None:
        stride = next(one for one in (32, 16, 8, 4, 2, 1) if (side - 2 * margin) % one == 0)
    else:
        stride = said.stride or next(
            one for one in _STRIDES if list(shown[2:]) == _sizes(dims, one, 0)
        )
        if margin and not said.margin:
            # whether it reads tiles with this margin around them has to be seen
            return recipe_of(found, replace(said, stride=stride, margin=margin))
    arguments = {
        "bytes": len(found.content),
        "in_channels": shown[1],
        "classes": answer[1],
        "spatial_dims": dims,
        "side": side,
        "batch": shape[0] if isinstance(shape[0], int) else None,
        "stride": stride,
        "margin": margin,
        "answers": said.answers or found.answers or "logits",
        "bytes_per_px": int(trial["bytes_per_px"]),
    }
    return Architecture(NAME, arguments)


def _sizes(dims: int, stride: int, margin: int) -> list[int]:
    """Return the size of a tile to try: odd multiples of a stride, not the same on all axes."""
    times = max(1, _LEAST_PX[dims] // stride) // 2 * 2 + 1
    odd = [times, times + 2, times][:dims]
    return [one * stride + 2 * margin for one in odd]


def tried(found: OnnxContent, said: Said) -> dict[str, Any]:
    """Run a network in another process, which it may bring down.

    Raises
    ------
    CheckpointError
        If it cannot be run.
    TilesegError
        If onnxruntime is not installed.
    """
    import_onnxruntime()
    strides = [said.stride] if said.stride else list(_STRIDES)
    wanted = {
        "sizes": {str(d + 2): [_sizes(d, one, said.margin) for one in strides] for d in (2, 3)},
        "margin": said.margin,
        "channels": said.in_channels or 0,
        "memory": _MEMORY + _MEMORY_A_BYTE * len(found.content),
        "seconds": _WORK_S + len(found.content) / _BYTES_A_SECOND,
    }
    answer = in_another_process(found.name, found.content, wanted)
    if "inputs" not in answer:
        raise CheckpointError(
            f"'{found.name}' cannot be run by onnxruntime: {in_one_line(answer['error'])}. "
            f"{_EXPORT} with a current version of its library, or update onnxruntime."
        )
    return answer


def program() -> list[str]:
    """Return what is run to try a network."""
    return [sys.executable, "-P", "-m", "napari_tileseg.models.onnx_trial"]


def in_another_process(name: str, content: bytes, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what `models.onnx_trial` says; `CheckpointError` if that does not end well."""
    try:
        done = subprocess.run(
            program(),
            input=json.dumps(wanted).encode() + b"\n" + content,
            capture_output=True,
            timeout=_PATIENCE_S + len(content) / _BYTES_A_SECOND,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            check=False,
        )
        return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired as error:
        raise _without_end(name) from error
    except ValueError as error:
        if done.returncode == -getattr(signal, "SIGXCPU", 0):
            raise _without_end(name) from error
        raise CheckpointError(
            f"'{name}' brings down what runs it (exit code {done.returncode}): it is damaged "
            f"or was made to harm. {FROM_OTHERS}"
        ) from error


def _without_end(name: str) -> CheckpointError:
    return CheckpointError(f"'{name}' does not come to an end with a small tile. {FROM_OTHERS}")


def _shapes(name: str, trial: dict[str, Any], said: Said) -> tuple[list[Any], list[int], list[int]]:
    """Return what a network declares to read, what it was shown, and what it answered with."""
    shape = _input(name, trial, said)
    if not trial["answers"]:
        raise CheckpointError(
            f"'{name}' fails with tiles whose sides are multiples of 32 to 256 px: "
            f"{in_one_line(trial['error'])}. {_EXPORT} with dynamic axes, or with a fixed size."
        )
    if len(trial["answers"]) != 1:
        names = ", ".join(one[0] for one in trial["outputs"])
        raise CheckpointError(
            f"'{name}' answers with {len(trial['answers'])} arrays ({in_one_line(names)}). "
            f"{_EXPORT} with the one output that segments."
        )
    ((answer, kind),) = trial["answers"]
    shown = trial["tile"]
    lost = {a - b for a, b in zip(shown[2:], answer[2:], strict=False)}
    if len(answer) != len(shown) or len(lost) != 1 or min(lost) < 0 or min(lost) % 2:
        raise _of_another_size(name, shown, answer)
    if "float" not in kind:
        raise CheckpointError(
            f"'{name}' answers with class numbers ({kind}), not with a value for each class. "
            f"{_EXPORT} without its last step (argmax)."
        )
    if said.outputs not in (None, answer[1]):
        raise CheckpointError(
            f"'{name}' gives {answer[1]} outputs for each pixel, not {said.outputs}. Name as many "
            "classes as it has outputs; one output is for foreground or background."
        )
    return shape, shown, answer


def _of_another_size(name: str, shown: list[int], answer: list[int]) -> CheckpointError:
    return CheckpointError(
        f"'{name}' answers with an array of shape {tuple(answer)} for a tile of shape "
        f"{tuple(shown)}; one value for each class and pixel is needed. {_EXPORT} without what "
        "follows its logits."
    )


def _input(name: str, trial: dict[str, Any], said: Said) -> list[Any]:
    if len(trial["inputs"]) != 1:
        names = ", ".join(one[0] for one in trial["inputs"])
        raise CheckpointError(
            f"'{name}' reads {len(trial['inputs'])} arrays ({in_one_line(names)}). {_EXPORT} with "
            "the image as its only input."
        )
    ((_, shape, kind),) = trial["inputs"]
    if len(shape) not in (4, 5) or kind not in READABLE:
        raise CheckpointError(
            f"'{name}' reads an array of {len(shape)} axes ({kind}). A network for images reads "
            f"4 (tiles, channels, rows, columns), for volumes 5, of floating-point numbers. "
            f"{_EXPORT} that way."
        )
    fixed = {one for one in shape[2:] if isinstance(one, int)}
    if len(fixed) > 1:
        raise CheckpointError(
            f"'{name}' reads tiles of {' x '.join(map(str, shape[2:]))} px and no other size; only "
            f"square ones can be used. {_EXPORT} with dynamic axes."
        )
    channels = shape[1] if isinstance(shape[1], int) else said.in_channels
    if channels is None:
        raise CheckpointError(
            f"'{name}' does not say how many channels it reads. Say it: "
            "Architecture('onnx', {'in_channels': 3}), or --arch onnx in_channels=3."
        )
    if said.in_channels not in (None, channels):
        raise CheckpointError(
            f"'{name}' reads {channels} channels, not {said.in_channels}. Leave out in_channels."
        )
    return list(shape)
