"""Archives and pickles that are damaged, or made to harm."""

from __future__ import annotations

import os
import pickle
import pickletools
import random
import struct
import zlib
from collections import OrderedDict
from io import BytesIO
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MB = 1 << 20


def saved(content: object, *, zipped: bool = True) -> bytes:
    stream = BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def damaged_archives(_: Path) -> Iterator[tuple[str, bytes]]:
    draw = random.Random(2)
    for zipped in (True, False):
        whole = saved({"layer.weight": torch.zeros(40, 40)}, zipped=zipped)
        for _number in range(6):
            yield ".pt", whole[: draw.randrange(1, len(whole))]
        for _number in range(10):
            content = bytearray(whole)
            start = draw.randrange(20, 300)
            content[start : start + 30] = draw.randbytes(30)
            yield ".pth", bytes(content)


def archive(entries: list[tuple[str, int, int, bytes]], table_bytes: int | None = None) -> bytes:
    """Return a zip archive of (name, method, size that is claimed, bytes)."""
    body, table = b"", b""
    for name, method, size, data in entries:
        where, encoded = len(body), name.encode()
        common = struct.pack(
            "<HHHHHIIIHH", 20, 0, method, 0, 0, 0, len(data), size & 0xFFFFFFFF, len(encoded), 0
        )
        body += b"PK\x03\x04" + common + encoded + data
        table += b"PK\x01\x02" + struct.pack("<H", 20) + common
        table += struct.pack("<HHHII", 0, 0, 0, 0, where) + encoded
    told = len(table) if table_bytes is None else table_bytes
    count = min(len(entries), 0xFFFF)
    return (
        body
        + table
        + b"PK\x05\x06"
        + struct.pack("<HHHHIIH", 0, 0, count, count, told, len(body), 0)
    )


def _deflated_zeros(megabytes: int) -> bytes:
    """Return what inflates to zeros without end; the same piece over and over."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * megabytes + packer.flush()


def _weights_pickle(numel: int = 4, size: tuple[int, ...] = (4,)) -> bytes:
    """Return the data.pkl of {"w": tensor}, whatever its storage really holds."""
    strides = tuple(0 for _ in size)
    return _in_opcodes(
        _call(
            "torch._utils",
            "_rebuild_tensor_v2",
            (_Storage(numel), 0, size, strides, False, OrderedDict()),
        )
    )


class _Storage:
    """Stands for the storage of a tensor in a pickle."""

    def __init__(self, numel: int) -> None:
        self.numel = numel


class _Calls:
    """Asks for a call when it is opened."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class _Named:
    """Pickles as a name, whether there is something of that name or not."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Pickler(pickle._Pickler):  # the one in Python can be taught
    """Writes names and storages as they are told."""

    def persistent_id(self, one: Any) -> Any:
        if isinstance(one, _Storage):
            return "storage", _Named("torch", "FloatStorage"), "0", "cpu", one.numel
        return None

    def save(self, one: Any, save_persistent_id: bool = True) -> None:
        if isinstance(one, _Named):
            self.write(b"c" + f"{one.module}\n{one.name}\n".encode())
        elif isinstance(one, _Calls) and isinstance(one.call[0], _Named):
            self.save(one.call[0])
            self.save(one.call[1])
            self.write(pickle.REDUCE)
        else:
            super().save(one, save_persistent_id)


def _call(module: str, name: str, arguments: tuple[Any, ...]) -> _Calls:
    return _Calls(_Named(module, name), *arguments)


def _in_opcodes(value: Any) -> bytes:
    stream = BytesIO()
    _Pickler(stream, 2).dump({"w": value})
    return stream.getvalue()


def _torch_archive(pickled: bytes, storage: bytes = bytes(16)) -> bytes:
    entries = [
        ("a/data.pkl", 0, len(pickled), pickled),
        ("a/byteorder", 0, 6, b"little"),
        ("a/data/0", 0, len(storage), storage),
        ("a/version", 0, 2, b"3\n"),
    ]
    return archive(entries)


def bombs(_: Path) -> Iterator[tuple[str, bytes]]:
    zeros, pickled = _deflated_zeros(2000), _weights_pickle(500 * MB, (500 * MB,))
    small = _weights_pickle()
    version = ("a/version", 0, 2, b"3\n")
    yield (
        ".pt",
        archive(
            [
                ("a/data.pkl", 0, len(pickled), pickled),
                ("a/data/0", 8, 2000 * MB, zeros),
                version,
            ]
        ),
    )
    yield ".pt", archive([("a/data.pkl", 8, 2000 * MB, zeros), version])
    yield ".pt", archive([("a/data.pkl", 8, 100, zeros), version])
    yield ".pt", archive([("a/data.pkl", 0, 0xFFFFFFF0, small), version])
    yield ".pt", archive([("a/data.pkl", 0, len(small), small)] * 2000 + [version])
    yield ".pt", archive([("a/data.pkl", 99, len(small), small), version])
    yield ".pt", archive([("x" * 60_000, 0, 0, b"")] * 200)
    yield ".pt", archive([("a/data.pkl", 0, len(small), small)], table_bytes=0x7FFFFFFF)
    yield ".pt", archive([("../../data.pkl", 0, len(small), small), version])
    yield ".zip", archive([("bomb", 8, 2000 * MB, zeros)])
    yield ".pt", _torch_archive(b"N0" * (2 * MB))
    yield ".pt", _torch_archive(b"\x80\x02" + b"N0" * (MB // 2) + b".")


# pickles that would touch a file


def _payloads(witness: Path) -> Iterator[Any]:
    here = str(witness)
    yield _call(os.name, "system", (f"touch '{here}'",))
    yield _call("os", "mkdir", (here,))
    yield _call("subprocess", "call", (["touch", here],))
    yield _call("builtins", "exec", (f"open({here!r}, 'w')",))
    yield _call("builtins", "eval", (f"open({here!r}, 'w')",))
    yield _call("builtins", "open", (here, "w"))
    yield _call("__builtin__", "open", (here, "w"))
    yield _call("io", "open", (here, "w"))
    yield _call("shutil", "copy", ("/etc/hostname", here))
    yield _call("numpy", "save", (here, [1]))
    yield _call("torch", "save", ([1], here))
    yield _call("torch.serialization", "load", (here,))
    yield _call("torch.hub", "load_state_dict_from_url", ("http://localhost/x",))
    yield _call("builtins", "getattr", (_Named("os", "path"), "join"))
    yield _call("runpy", "run_path", (here,))
    yield _call("pickle", "loads", (pickle.dumps(1),))
    yield _call("os.path\nos", "system", (f"touch '{here}'",))
    yield _call("torch.nn.modules.container", "Sequential", ())


def pickles(witness: Path) -> Iterator[tuple[str, bytes]]:
    for number, payload in enumerate(_payloads(witness)):
        pickled = _in_opcodes(payload)
        yield ".pt", _torch_archive(pickled)
        if number % 3 == 0:
            yield ".pkl", pickled
        if number % 3 == 1:
            whole = saved({}, zipped=False)
            ends = [place + 1 for op, _, place in pickletools.genops(whole) if op.name == "STOP"]
            rest = whole[ends[0] :]
            second = ends[0] + next(
                place + 1 for op, _, place in pickletools.genops(rest) if op.name == "STOP"
            )
            third = second + next(
                place + 1
                for op, _, place in pickletools.genops(whole[second:])
                if op.name == "STOP"
            )
            yield ".pth", whole[:third] + pickled + pickle.dumps([], 2)
    here = str(witness)
    yield ".pt", _torch_archive(b"(S'touch " + here.encode() + b"'\nios\nsystem\n.")
    yield ".pkl", pickle.dumps(_Calls(os.mkdir, here), 4)
    yield ".bin", pickle.dumps(_Calls(os.mkdir, here), 0)


def objects(_: Path) -> Iterator[tuple[str, bytes]]:
    """Things that may be read, and ask for more than there is."""
    values: list[Any] = [
        _call("builtins", "bytearray", (10**12,)),
        _call("torch", "zeros", (10**6, 10**6)),
        _call("torch", "Size", ([10**18] * 4,)),
        _call("torch", "tensor", ([1.0],)),
        _call(
            "numpy.core.multiarray", "_reconstruct", (_Named("numpy", "ndarray"), (10**13,), "f8")
        ),
        _call("torch._utils", "_rebuild_tensor_v2", (_Storage(4), 10**9, (4,), (1,), False, {})),
        _call("torch._utils", "_rebuild_tensor_v2", (_Storage(4), 0, (-4,), (1,), False, {})),
        _call("torch._utils", "_rebuild_tensor_v2", ("x", 0, (4,), (1,), False, {})),
        "x" * MB,
        10**10_000,
    ]
    for value in values:
        yield ".pt", _torch_archive(_in_opcodes(value))
    yield ".pt", _torch_archive(_weights_pickle(10**12, (10**12,)))
    yield ".pt", _torch_archive(_weights_pickle(4, (10**9, 10**3)))
    yield ".pt", _torch_archive(b"\x80\x02" + b"(" * 300_000 + b"t" * 300_000 + b".")
    yield ".pt", _torch_archive(b"\x80\x02" + b"]" + b"]a" * 1 + b".")
