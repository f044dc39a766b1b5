"""Over two hundred checkpoints that are damaged, or made to harm: always the same ones."""

from __future__ import annotations

import json
import os
import random
import struct
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from hostile_archives import MB, archive, bombs, damaged_archives, objects, pickles, saved
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.io import own_format
from napari_tileseg.models import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WITNESS = "witness"
"""The file that would be there if any of them had run."""

_RECIPE = Architecture(
    "scratch-unet",
    {
        "in_channels": 1,
        "classes": 2,
        "widths": [[4, 4], [8, 8]],
        "join_widths": [[4, 4]],
        "up_widths": [4],
    },
)


def hostile_files(folder: Path) -> Iterator[Path]:
    """Write one file (or folder) after another, and give its path."""
    makers: list[tuple[str, Callable[[Path], Iterator[tuple[str, bytes]]]]] = [
        ("safetensors", _damaged_safetensors),
        ("headers", _made_up_headers),
        ("descriptions", _descriptions),
        ("zips", damaged_archives),
        ("bombs", bombs),
        ("pickles", pickles),
        ("objects", objects),
        ("shapes", _wrong_shapes),
        ("others", _others),
        ("networks", _networks),
    ]
    for kind, maker in makers:
        for number, (suffix, content) in enumerate(maker(folder / WITNESS)):
            path = folder / f"{kind} {number}{suffix}"
            path.write_bytes(content)
            yield path
    yield from _folders(folder)
    yield from _special(folder)


# safetensors


@cache
def _network() -> Network:
    torch.manual_seed(0)
    spec = ModelSpec("m", default_classes(2), stride=2, tile=64)
    return Network(registry.build(_RECIPE), spec, _RECIPE)


@cache
def _own() -> bytes:
    return own_format.to_bytes(_network(), _RECIPE, half=False)


def _damaged_safetensors(_: Path) -> Iterator[tuple[str, bytes]]:
    draw, whole = random.Random(1), _own()
    header = 8 + int.from_bytes(whole[:8], "little")
    for _number in range(20):
        yield ".safetensors", whole[: draw.randrange(1, len(whole))]
    for place in range(8):
        yield ".safetensors", whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :]
    for _number in range(12):
        content = bytearray(whole)
        start = draw.randrange(8, header - 40)
        content[start : start + 40] = draw.randbytes(40)
        yield ".safetensors", bytes(content)


def _safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _tensor(shape: Any, start: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}}


def _made_up_headers(_: Path) -> Iterator[tuple[str, bytes]]:
    data = bytes(16)
    headers: list[bytes] = [
        _safetensors({}, length=2**63),
        _safetensors({}, length=2**64 - 1),
        _safetensors({}, length=2**40),
        _safetensors({}, length=100 * MB),
        _safetensors(b"{" + b" " * (6 * MB)),
        _safetensors(b'{"a":' * 100_000),
        _safetensors(b"{" + b"[" * 200_000),
        _safetensors(b"{not json}"),
        _safetensors(b"{\xff\xfe\xfd}"),
        _safetensors([1, 2]),
        _safetensors(_tensor([2**31, 2**31, 2**31], 0, 16), data),
        _safetensors(_tensor([2**62], 0, 16), data),
        _safetensors(_tensor([-4], 0, 16), data),
        _safetensors(_tensor([4], 16, 0), data),
        _safetensors(_tensor([4], -16, 0), data),
        _safetensors(_tensor([4], 0, 2**62), data),
        _safetensors(_tensor([4], 0, 16, "F1024"), data),
        _safetensors(_tensor("four", 0, 16), data),
        _safetensors(_tensor([4.5], 0, 18), data + b"xx"),
        _safetensors({**_tensor([4], 0, 16), "v": _tensor([4], 0, 16)["w"]}, data),
        _safetensors({"__metadata__": {"napari-tileseg": {"a": 1}}, **_tensor([4], 0, 16)}, data),
        _safetensors({"__metadata__": [1], **_tensor([4], 0, 16)}, data),
        _safetensors({f"w{n}": _tensor([0], 0, 0)["w"] for n in range(50_000)}),
        _safetensors(_tensor([4], 0, 16), data * 2),
        _safetensors({"\x1b[31m" * 1000: _tensor([4], 0, 16)["w"]}, data),
    ]
    for header in headers:
        yield ".safetensors", header


def _described(change: Callable[[dict[str, Any]], object], **more: torch.Tensor) -> bytes:
    """Return one of our files with another description."""
    weights = {name: one.clone() for name, one in _network().module.state_dict().items()}
    whole = _own()
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    description = json.loads(header["__metadata__"][own_format.KEY])
    changed = change(description)
    text = changed if isinstance(changed, str) else json.dumps(description)
    return bytes(save({**weights, **more}, {own_format.KEY: text}))


def _built_as(name: Any, **arguments: Any) -> bytes:
    return _described(lambda d: d.update(architecture={"name": name, "arguments": arguments}))


def _specified(**values: Any) -> bytes:
    return _described(lambda d: d["spec"].update(values))


def _nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


_DEEP = "[" * 100_000 + "]" * 100_000


def _descriptions(_: Path) -> Iterator[tuple[str, bytes]]:
    wide = [16384] * 5
    contents = [
        _built_as("smp.Unet", decoder_channels=wide, encoder_name="resnet18"),
        _built_as("smp.Unet", encoder_name="tu-vit_giant_patch14_224"),
        _built_as("smp.Unet", encoder_name="timm-efficientnet-l2"),
        _built_as("smp.Unet", encoder_name="senet154", in_channels=16384),
        _built_as("smp.Unet", encoder_name="../../etc/passwd"),
        _built_as("smp.Unet", encoder_name=["resnet18"]),
        _built_as("smp.Unet", encoder_name="resnet18", encoder_depth=99),
        _built_as("smp.Unet", encoder_name="resnet18", decoder_channels=[]),
        _built_as("smp.Unet", encoder_name="resnet18", classes=-1),
        _built_as("smp.Unet", encoder_name="resnet18", classes=10**30),
        _built_as("smp.Unet", encoder_name="resnet18", pretrained_cfg={"url": "http://x"}),
        _built_as("smp.FPN", encoder_name="resnet18", decoder_pyramid_channels=16384),
        _built_as("smp.DPT", encoder_name="tu-vit_tiny_patch16_224", img_size=16384),
        _built_as("smp.UPerNet", encoder_name="tu-swin_tiny_patch4_window7_224", img_size=16384),
        _built_as("smp.PSPNet", encoder_name="resnet18", psp_out_channels=16384, upsampling=16384),
        _built_as("original-unet", base_channels=16384),
        _built_as("smp.Unet", encoder_name="resnet18", in_channels=1, img_size=3840),
        _built_as("smp.FPN", encoder_name="resnet18", upsampling=64, classes=16384),
        _built_as("xt", encoder_name="resnet18", region=2048, halo=2048),
        _built_as("apcnet", encoder_name="resnet18", scales=[2500], channels=1),
        _built_as(
            "monai.UNet", spatial_dims=2, channels=[2, 2, 2], strides=[32, 64], out_channels=255
        ),
        _built_as("original-unet", base_channels=64, depth=6),
        _built_as("scratch-unet", widths=[[4096, 4096]] * 5, join_widths=[[4096, 4096]] * 4),
        _built_as(
            "scratch-unet",
            in_channels=16384,
            classes=16384,
            widths=[[4096, 4096]] * 2,
            join_widths=[[4096, 4096]],
            up_widths=[4096],
        ),
        _built_as("scratch-unet", widths="64", join_widths=None),
        _built_as("res-unet", base_channels=256, depth=6),
        _built_as("segnet", base_channels=256),
        _built_as("fcn", head_channels=4096, base_channels=256),
        _built_as(
            "monai.UNet", spatial_dims=2, channels=[16384] * 3, strides=[2, 2], out_channels=2
        ),
        _built_as("monai.UNet", spatial_dims=3, channels=[8] * 60, strides=[2] * 59),
        _built_as("monai.UNet", spatial_dims=2, channels=[4, 8], strides=[2], num_res_units=16384),
        _built_as("smp.Unet", encoder_name="resnet18", decoder_use_norm={"type": _nested(300)}),
        _built_as("os.system", command="touch x"),
        _built_as({"a": 1}),
        _described(lambda _: _DEEP),
        _described(lambda _: "{"),
        _described(lambda _: "[1, 2, 3]"),
        _described(lambda _: "1" * 5000),
        _described(lambda d: d.update(version={"a": []})),
        _described(lambda d: d.update(architecture=[[]])),
        _described(lambda d: d.update(spec="x" * 100_000)),
        _specified(classes=[{"name": f"c{n}", "colour": "#000000"} for n in range(5000)]),
        _specified(classes=[{"name": {"a": 1}, "colour": "#000000"}] * 2),
        _specified(classes=5),
        _specified(name="n" * 100_000),
        _specified(tile=10**12),
        _specified(stride=-1),
        _specified(pixel_size_um="a lot"),
        _specified(pixel_size_um=-1),
        _specified(normalisation={"kind": "fixed", "mean": [10**400], "std": [1]}),
        _specified(normalisation={"kind": "run", "mean": [], "std": []}),
        _specified(threshold="half"),
        _specified(channels=[["a"]] * 3),
        _described(lambda _: None, surplus=torch.zeros(3)),
    ]
    for content in contents:
        yield ".safetensors", content


# weights that fit nothing


def _wrong_shapes(_: Path) -> Iterator[tuple[str, bytes]]:
    draw = random.Random(3)
    weights = {name: one.clone() for name, one in _network().module.state_dict().items()}
    names = sorted(weights)
    yield ".pt", saved({name: one.expand(10**4, *one.shape) for name, one in weights.items()})
    yield ".pt", saved({name: torch.zeros(()) for name in names})
    yield ".pt", saved({})
    yield ".pt", saved({"state_dict": {"model": {"state_dict": {"model": {"w": 1}}}}})
    yield ".pt", saved({"segmentation_head.0.weight": torch.zeros(0)})
    yield ".pt", saved({"segmentation_head.0.weight": torch.zeros(1, 1, 1, 1)})
    huge = torch.zeros(1).expand(4096, 4096, 3, 3)
    yield ".pt", saved({"down1.0.weight": huge, "up1.0.weight": huge, "out.weight": huge})
    for _number in range(7):
        changed = dict(weights)
        name = draw.choice(names)
        changed[name] = torch.zeros(draw.choice([(1,), (7, 3), (2, 2, 2, 2), (3,) * 9]))
        yield ".safetensors", bytes(save(changed, {own_format.KEY: _text_of_own()}))


def _text_of_own() -> str:
    whole = _own()
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    return str(header["__metadata__"][own_format.KEY])


# what is no checkpoint at all


def _others(_: Path) -> Iterator[tuple[str, bytes]]:
    draw = random.Random(4)
    yield ".pt", b""
    yield ".safetensors", b"\x00" * 7
    yield ".pt", b"<!DOCTYPE html><title>404</title>"
    yield ".pt", b"version https://git-lfs.github.com/spec/v1\n"
    yield ".onnx", b"\x08\x08\x12\x07pytorch\x1a\x032.1:\x00"
    yield ".onnx", b"\x08\x08\x3a" + b"\xff" * 8 + b"\x01"
    yield ".onnx", b"\x08\x08\x3a\x04\x0a\x02\x22\x00"
    yield ".zip", archive([("rdf.yaml", 0, 9, b"type: [[[")])
    yield ".pt2", archive([("a/archive_format", 0, 3, b"pt2")])
    yield ".pt", archive([("a/constants.pkl", 0, 1, b"."), ("a/code/x.py", 0, 1, b"x")])
    yield ".pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(100_000)
    yield ".pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"N0" * 3 * MB
    yield ".pt", b"PK\x03\x04" + draw.randbytes(1000)
    yield ".pt", b"PK\x05\x06" + bytes(18)
    for size in (1, 100, 10_000):
        yield ".pt", draw.randbytes(size)


def _networks(_: Path) -> Iterator[tuple[str, bytes]]:
    """Write networks that would take all there is, if the library for them is there."""
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        return
    import onnx_made

    made = [onnx_made.greedy(), onnx_made.hoarding(), onnx_made.busy()]
    made += [onnx_made.one_by_one([1], [0], shape=(1, 1, side, side)) for side in (0, 30_000)]
    made.append(onnx_made.one_by_one([1], [0], shape=(2**20, 1, 64, 64)))
    yield from ((".onnx", one.SerializeToString()) for one in made)


def _folders(folder: Path) -> Iterator[Path]:
    configs: list[str] = [
        json.dumps({"_model_class": ["Unet"]}),
        json.dumps({"_model_class": "Unet", "decoder_channels": [16384] * 5}),
        json.dumps({"_model_class": "Unet", "encoder_name": {"a": 1}}),
        json.dumps({"_model_class": "__class__"}),
        json.dumps({"_model_class": "Unet", "classes": 16384, "in_channels": 16384}),
        json.dumps({"_model_class": "Unet", "encoder_name": "timm-efficientnet-l2"}),
        _DEEP,
        "[1]",
        "\x00",
        '{"_model_class": "Unet"' + " " * (5 * MB) + "}",
    ]
    for number, config in enumerate(configs):
        path = folder / f"folder {number}"
        path.mkdir()
        (path / "config.json").write_text(config)
        (path / "model.safetensors").write_bytes(bytes(save({"w": torch.zeros(4)})))
        yield path
    path = folder / "empty folder"
    path.mkdir()
    yield path


def _special(folder: Path) -> Iterator[Path]:
    path = folder / "with holes.safetensors"
    header = _safetensors(_tensor([10 * 2**28], 0, 10 * 2**30))
    with path.open("wb") as stream:
        stream.write(header)
        stream.truncate(len(header) + 10 * 2**30)
    yield path
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.pt")
        yield folder / "pipe.pt"
