"""What stands in an ONNX file, looked at before anything runs it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import CheckpointError
from napari_tileseg.io.limits import AGAIN, FROM_OTHERS, check_file, shown
from napari_tileseg.models.libraries import import_onnx

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 2**31 - 1
"""A message of protobuf is no longer, in bytes."""

_WITHOUT_END = ("Loop", "Scan")
_PASSING_ON = ("Cast", "Identity")
_MADE_OF_LOGITS = {"Sigmoid": "sigmoid", "Softmax": "softmax"}
_HERE = (".", "")


class OnnxContent:
    """An ONNX network that is whole and asks for no other file.

    Parameters
    ----------
    content
        The file, or what stands for it.
    name
        What the file is called, for messages.
    folder
        Where weights may be that stand in files of their own; None if there must be none.

    Raises
    ------
    CheckpointError
        If it is damaged, too large, could run without end, or asks for files that are not there
        or not its own.
    TilesegError
        If the library that reads it is not installed.
    """

    def __init__(self, content: bytes, name: str, folder: Path | None = None) -> None:
        onnx = import_onnx()
        self.name = name
        try:
            self._model = onnx.load_model_from_string(content)
        except Exception as error:  # protobuf's own kinds of errors have no common base
            raise CheckpointError(
                f"'{name}' is not complete or is damaged: it cannot be read as ONNX. {AGAIN}"
            ) from error
        if not self._model.graph.node:
            raise CheckpointError(f"'{name}' holds no network: it has no steps. {AGAIN}")
        self._refuse_loops()
        self.content = content
        if self._take_in(folder):
            self.content = self._serialised()

    @classmethod
    def of_file(cls, path: Path) -> OnnxContent:
        """Read a file, and the weights in files beside it."""
        if path.stat().st_size > _LARGEST:
            raise _too_large(path.name)
        return cls(path.read_bytes(), path.name, path.parent)

    @property
    def metadata(self) -> dict[str, str]:
        """What whoever wrote it has noted in it."""
        return {one.key: one.value for one in self._model.metadata_props}

    @property
    def answers(self) -> str | None:
        """What it makes of its logits at the end, "sigmoid" or "softmax"; None if nothing."""
        makers = {name: node for node in self._model.graph.node for name in node.output}
        node = makers.get(self._model.graph.output[0].name) if self._model.graph.output else None
        for _ in range(len(_PASSING_ON) + 1):
            if node is None or node.op_type not in _PASSING_ON:
                break
            node = makers.get(node.input[0])
        return None if node is None else _MADE_OF_LOGITS.get(node.op_type)

    def _refuse_loops(self) -> None:
        for node in _nodes(self._model):
            if node.op_type in _WITHOUT_END:
                raise CheckpointError(
                    f"'{self.name}' repeats steps as often as it decides itself "
                    f"({node.op_type}), so it could run without end. Export the network again "
                    "without loops."
                )

    def _take_in(self, folder: Path | None) -> bool:
        """Bring weights from other files into this one; tell whether there were any."""
        room, found = _LARGEST, False
        for tensor in _tensors(self._model):
            if tensor.data_location != tensor.EXTERNAL:
                continue
            where = {one.key: one.value for one in tensor.external_data}
            raw = self._read(where, folder, room)
            room -= len(raw)
            tensor.raw_data = raw
            tensor.ClearField("external_data")
            tensor.data_location = tensor.DEFAULT
            found = True
        return found

    def _read(self, where: dict[str, str], folder: Path | None, room: int) -> bytes:
        location = where.get("location", "")
        path = None if folder is None else inside(folder, location)
        if path is None:
            raise CheckpointError(
                f"'{self.name}' asks for weights in '{shown(location)}', which is outside its own "
                f"folder. {FROM_OTHERS}"
            )
        try:
            offset, length = int(where.get("offset", 0)), int(where.get("length", -1))
            check_file(path)
            size = path.stat().st_size
            length = size - offset if length < 0 else length
            if offset < 0 or length < 0 or offset + length > size:
                raise ValueError(f"{length} bytes from {offset} on, of {size}")
            if length > room:
                raise _too_large(self.name)
            with path.open("rb") as stream:
                stream.seek(offset)
                return stream.read(length)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"'{self.name}' keeps its weights in '{shown(location)}' beside it, and they are "
                "not all there. Copy both files again, into one folder."
            ) from error

    def _serialised(self) -> bytes:
        try:
            return bytes(self._model.SerializeToString())
        except Exception as error:  # protobuf's own kinds of errors have no common base
            raise _too_large(self.name) from error


def _too_large(name: str) -> CheckpointError:
    return CheckpointError(
        f"'{name}' is an ONNX network of more than 2 GB; these cannot be opened. Use the weights "
        "it was exported from, as .safetensors or .pt."
    )


def inside(folder: Path, location: str) -> Path | None:
    """Return a file in a folder or below it; None if the name leads elsewhere."""
    names = PurePosixPath(location).parts + PureWindowsPath(location).parts
    if location in _HERE or "\0" in location or ".." in names or PureWindowsPath(location).drive:
        return None
    path = (folder / location).resolve()
    return path if path.is_relative_to(folder.resolve()) else None


def _nodes(model: Any) -> Iterator[Any]:
    """Give every step of a network, also those of graphs inside steps."""
    lists = [model.graph.node, *(one.node for one in model.functions)]
    while lists:
        for node in lists.pop():
            yield node
            for attribute in node.attribute:
                lists += [one.node for one in (attribute.g, *attribute.graphs)]


def _graphs(model: Any) -> Iterator[Any]:
    yield model.graph
    for node in _nodes(model):
        for attribute in node.attribute:
            yield attribute.g
            yield from attribute.graphs


def _tensors(model: Any) -> Iterator[Any]:
    """Give every tensor that stands in a file."""
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
