"""What kind of file holds a network: told by its content, because suffixes lie."""

from __future__ import annotations

import struct
import zipfile
from enum import Enum
from typing import TYPE_CHECKING

from napari_tileseg.errors import CheckpointError, NotTrustedError
from napari_tileseg.io import limits

if TYPE_CHECKING:
    from pathlib import Path

_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_FIRST_BYTES = 512
_SAVE_WEIGHTS = (
    "Where it was trained, save the weights: torch.save(model.state_dict(), 'weights.pt')"
)
IF_TRUSTED = (
    "If you made the file yourself, or trust whoever did as you trust a program you install, say "
    "so: --trust on the command line, trust=True in Python, 'I trust this file' in the window."
)
_AGAIN = "Download or copy it again, and compare the sizes."


class Format(Enum):
    """A kind of file; the value says what to tell a person about one that cannot be used."""

    SAFETENSORS = "safetensors"
    TORCH = "torch.save"
    SMP_FOLDER = "segmentation-models-pytorch folder"
    EMPTY = f"is empty (0 bytes). {_AGAIN}"
    WEB_PAGE = (
        "is a web page, not a checkpoint. Download again: on the page that shows the file, "
        "use the link 'raw' or 'download'."
    )
    POINTER = (
        "is only a pointer of Git LFS to the real file. Run 'git lfs pull' in its folder, "
        "or download the file itself."
    )
    TRUNCATED = f"is not complete: its end is missing. {_AGAIN}"
    TORCHSCRIPT = (
        f"is a TorchScript program. It would run code, so it is not opened. {_SAVE_WEIGHTS}"
    )
    EXPORTED = (
        "is an exported program (.pt2). It can run code while it is opened, so it is not. "
        f"{_SAVE_WEIGHTS}"
    )
    PICKLE = f"is a pickled Python object. It could run code, so it is not opened. {_SAVE_WEIGHTS}"
    ONNX = "ONNX"
    BIOIMAGEIO = "bioimage.io package"
    ZIP = "is a zip archive, but no checkpoint. Unpack it, and open the checkpoint inside."
    UNKNOWN = (
        "is not a checkpoint that can be read. Choose a .safetensors file, a .pt or .pth file with "
        "a state dict, an .onnx file, a package of bioimage.io, or a folder written by "
        "save_pretrained of segmentation-models-pytorch."
    )


RUNS_CODE = (Format.TORCHSCRIPT, Format.EXPORTED, Format.PICKLE)
_READABLE = (Format.SAFETENSORS, Format.TORCH, Format.SMP_FOLDER, Format.ONNX, Format.BIOIMAGEIO)


def recognise(path: Path) -> Format:
    """Tell what is in a file or folder.

    Raises
    ------
    CheckpointError
        If it is something that cannot be used or cannot be opened; says what to do instead.
    """
    try:
        if path.is_dir():
            found = _folder_format(path)
        else:
            limits.check_file(path)
            found = _file_format(path)
    except OSError as error:
        raise CheckpointError(
            f"'{path}' cannot be opened ({error.strerror}). Check that you may read it."
        ) from error
    if found in RUNS_CODE:
        raise NotTrustedError(f"'{path.name}' {found.value}. {IF_TRUSTED}")
    if found not in _READABLE:
        raise CheckpointError(f"'{path.name}' {found.value}")
    return found


def kind_of(path: Path) -> Format:
    """Tell what is in a file, whether it can be used or not."""
    return _file_format(path)


def _folder_format(folder: Path) -> Format:
    if (folder / "config.json").is_file():
        return Format.SMP_FOLDER
    if any((folder / name).is_file() for name in ("rdf.yaml", "bioimageio.yaml")):
        return Format.BIOIMAGEIO
    raise CheckpointError(
        f"The folder '{folder.name}' holds no network: it has no config.json. Choose a folder "
        "written by save_pretrained of segmentation-models-pytorch, or a checkpoint file."
    )


def _file_format(path: Path) -> Format:
    with path.open("rb") as stream:
        first = stream.read(_FIRST_BYTES)
    text = first.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not first:
        return Format.EMPTY
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return Format.WEB_PAGE
    if first.startswith(b"version https://git-lfs"):
        return Format.POINTER
    if first.startswith(b"PK"):
        return _zip_format(path)
    if first[8:9] == b"{":
        return Format.SAFETENSORS
    if first.startswith(_LEGACY_TORCH):
        return Format.TORCH
    if first[0] == 0x80 and first[1:2] <= b"\x05":
        return Format.PICKLE
    if _looks_like_onnx(first):
        return Format.ONNX
    return Format.TRUNCATED if path.suffix == ".safetensors" and len(first) < 9 else Format.UNKNOWN


def _looks_like_onnx(first: bytes) -> bool:
    # protobuf: field 1 (ir_version, a small number), then a field of text, message or number
    return (
        len(first) > 3
        and first[0] == 0x08
        and 0 < first[1] < 32
        and first[2] in b"\x12\x1a\x22\x28\x32\x3a\x42"
    )


def _zip_format(path: Path) -> Format:
    try:
        found = limits.contents(path)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, struct.error):
        return Format.TRUNCATED
    names = [one.filename for one in found]
    ends = {name.rpartition("/")[2] for name in names}
    if "archive_format" in ends:
        return Format.EXPORTED
    if "constants.pkl" in ends or any("/code/" in name for name in names):
        return Format.TORCHSCRIPT
    if "data.pkl" in ends:
        limits.check_archive(path, found)
        return Format.TORCH
    if ends & {"rdf.yaml", "bioimageio.yaml"}:
        return Format.BIOIMAGEIO
    return Format.ZIP
