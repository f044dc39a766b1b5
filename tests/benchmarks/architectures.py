"""Train architectures under the same budget of time, and compare their mIoU on other images.

    python tests/benchmarks/architectures.py --images DIR --masks DIR \
        --train rat1_data1 rat2_data5 ... --test rat4_data12 rat8_V915 \
        [--minutes 10] [--threads 2] [--only segnet fcn ...] [--encoder resnet34] --out FILE.json

Masks hold class indices. Every network starts from random weights and learns on the CPU, from
equal patches and with equal settings, as `tileseg train` does without validation; what is taken
is the average of its weights at the end. Images of the test are segmented as in a real run.
Networks that FILE already holds for the same settings are not trained again, so that it can be
interrupted; --only trains some of them.

Prints a table in Markdown, best first, and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import napari_tileseg as nts
from napari_tileseg.bench.figures import machine
from napari_tileseg.io.images import open_image
from napari_tileseg.models.upsampling import upsampling_weights
from napari_tileseg.settings import TrainSettings
from napari_tileseg.training.samples import Sample
from napari_tileseg.training.start import new_network
from napari_tileseg.training.train import train

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network

CLASSES = ("background", "myelin", "axon")
PATCH = 256

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "U-Net of the library": ("smp.Unet", {}),
    "U-Net, transposed": ("flexible-unet", {"upsampling": "transposed"}),
    "U-Net, bilinear": ("flexible-unet", {"upsampling": "bilinear"}),
    "U-Net, nearest": ("flexible-unet", {"upsampling": "nearest"}),
    "U-Net, pixel shuffle": ("flexible-unet", {"upsampling": "pixelshuffle"}),
    "Attention U-Net": ("attention-unet", {}),
    "Res-UNet": ("res-unet", {"base_channels": 32}),
    "SegNet": ("segnet", {"base_channels": 32}),
    "SegNet, average": ("segnet", {"base_channels": 32, "pooling": "average"}),
    "FCN-32s": ("fcn", {"variant": "32s", "base_channels": 32, "head_channels": 512}),
    "FCN-16s": ("fcn", {"variant": "16s", "base_channels": 32, "head_channels": 512}),
    "FCN-8s": ("fcn", {"variant": "8s", "base_channels": 32, "head_channels": 512}),
    "APCNet": ("apcnet", {"channels": 128}),
}
"""Those with a VGG16 inside have half its width: at full width ten minutes are few steps."""

Image = tuple[str, "NDArray[np.generic]", "NDArray[np.uint8]"]


def read(folder: Path, name: str) -> NDArray[np.generic]:
    path = next((one for one in sorted(folder.iterdir()) if one.stem == name), None)
    if path is None:
        raise SystemExit(f"There is no file '{name}' in {folder}.")
    with open_image(path) as opened:
        return np.asarray(opened.levels[0])


def read_all(arguments: argparse.Namespace, names: Sequence[str]) -> list[Image]:
    return [
        (name, read(arguments.images, name), read(arguments.masks, name).astype(np.uint8))
        for name in names
    ]


def start(name: str, encoder: str, seed: int) -> Network:
    architecture, more = NETWORKS[name]
    return new_network(
        name,
        CLASSES,
        ["grey"],
        architecture=architecture,
        encoder=encoder,
        tile=512,
        seed=seed,
        arguments=more,
    )


def learnt(network: Network, images: list[Image], settings: TrainSettings) -> tuple[Network, int]:
    """Return what a network has become, and how many steps it took."""
    samples = [Sample.of(pixels, mask, network.spec, name=name) for name, pixels, mask in images]
    best, steps = network, 0
    for report in train(network, samples, settings=settings):
        best, steps = report.best or best, report.step
    return best, steps


def measure(
    name: str, arguments: argparse.Namespace, taught: list[Image], tested: list[Image]
) -> dict[str, Any]:
    settings = TrainSettings(
        minutes=arguments.minutes,
        epochs=10_000,
        patch=PATCH,
        batch=4,
        device="cpu",
        seed=arguments.seed,
    )
    network = start(name, arguments.encoder, arguments.seed)
    begun = time.monotonic()
    network, steps = learnt(network, taught, settings)
    seconds = time.monotonic() - begun
    said = nts.evaluate(
        network, [one[1] for one in tested], [one[2] for one in tested], device="cpu"
    ).to_json()
    return {
        "name": name,
        "architecture": network.architecture.name,
        "arguments": network.architecture.arguments,
        "miou": said["miou"],
        "iou": {one: found["iou"] for one, found in said["per_class"].items()},
        "images": {
            one[0]: found["miou"] for one, found in zip(tested, said["images"], strict=True)
        },
        "steps": steps,
        "seconds": seconds,
        "parameters": sum(one.numel() for one in network.module.parameters()),
        "upsampling_parameters": upsampling_weights(network.module),
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"| network | mIoU | {' | '.join(CLASSES)} | steps | weights | for upsampling |",
        f"|---|{'---:|' * (len(CLASSES) + 4)}",
    ]
    for row in sorted(rows, key=lambda one: -one["miou"]):
        each = " | ".join(f"{row['iou'][one]:.3f}" for one in CLASSES)
        lines.append(
            f"| {row['name']} | {row['miou']:.3f} | {each} | {row['steps']:,} "
            f"| {row['parameters'] / 1e6:.1f} M | {row['upsampling_parameters'] / 1e6:.2f} M |"
        )
    return "\n".join(lines)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--train", nargs="+", required=True, metavar="NAME")
    parser.add_argument("--test", nargs="+", required=True, metavar="NAME")
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--encoder", default="resnet34")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    arguments = options()
    torch.set_num_threads(arguments.threads)
    asked = {
        key: getattr(arguments, key)
        for key in ("train", "test", "encoder", "minutes", "threads", "seed")
    }
    before = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    rows = before.get("networks", []) if before.get("settings") == asked else []
    done = {row["name"] for row in rows}
    taught, tested = read_all(arguments, arguments.train), read_all(arguments, arguments.test)
    for name in arguments.only or NETWORKS:
        if name in done:
            continue
        rows.append(measure(name, arguments, taught, tested))
        print(f"{name}: mIoU {rows[-1]['miou']:.3f}, {rows[-1]['steps']} steps", flush=True)  # noqa: T201
        content = {"settings": asked, "machine": machine(), "networks": rows}
        arguments.out.write_text(json.dumps(content, indent=2) + "\n")
    print(table(rows))  # noqa: T201


if __name__ == "__main__":
    main()
