"""`tileseg info`: what an image or a checkpoint is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg.cli.model_options import add_architecture, read_model
from napari_tileseg.cli.options import add_command
from napari_tileseg.errors import ImageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from napari_tileseg.cli.options import Subparsers

_CHECKPOINTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".onnx", ".zip", ".yaml")
_DESCRIPTIONS = ("config.json", "rdf.yaml", "bioimageio.yaml")


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        subparsers,
        "info",
        run,
        summary="say what an image or a checkpoint is",
        example="tileseg info slide.ome.tif\ntileseg info my_model.safetensors --json",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="an image, a checkpoint, the name of a bundled model, or hf:OWNER/NAME",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for another program")
    add_architecture(parser)


def run(args: argparse.Namespace) -> int:
    """Print what is known about the file."""
    from napari_tileseg.io.checkpoints import bundled_models
    from napari_tileseg.io.hugging_face import fetched, is_on_hub

    path = fetched(args.file) if is_on_hub(args.file) else Path(args.file)
    bundled = bundled_models()
    if not path.exists() and args.file not in bundled:
        raise ImageError(
            f"There is no file '{args.file}', and no bundled model of that name "
            f"(there are: {', '.join(sorted(bundled))}). Check the name and the folder."
        )
    facts = _facts(args, path, bundled)
    if args.json:
        print(json.dumps(facts, indent=2, default=str))
    else:
        print("\n".join(_lines(facts)))
    return 0


def _facts(args: argparse.Namespace, path: Path, bundled: dict[str, Path]) -> dict[str, Any]:
    from napari_tileseg.cli.facts import checkpoint_facts, image_facts

    if not _is_checkpoint(path):
        return image_facts(path)
    return checkpoint_facts(read_model(args, args.file), bundled.get(args.file, path))


def _is_checkpoint(path: Path) -> bool:
    if path.is_dir():
        return any((path / name).exists() for name in _DESCRIPTIONS)
    if not path.exists() or path.suffix.lower() in _CHECKPOINTS:
        return True
    from napari_tileseg.io.formats import RUNS_CODE, Format, kind_of

    # what would run code is refused by those who read checkpoints, with the reason
    return kind_of(path) in (*RUNS_CODE, Format.TORCH)


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    """Return one line for each fact that says something."""
    lines = []
    for name, value in facts.items():
        if value in (None, [], (), {}) or (name == "levels" and len(value) == 1):
            continue
        label = indent + name.replace("_", " ").replace("pixel size um", "pixel size (µm)") + ":"
        if name in _IN_WORDS and not indent:
            lines.append(f"{label:<18} {_IN_WORDS[name](value)}")
        elif isinstance(value, dict):
            lines += [label, *_lines(value, indent + "  ")]
        else:
            lines.append(f"{label:<18} {_sentence(name, value)}")
    return lines


def _sentence(name: str, value: Any) -> str:
    if name == "shape":
        return " x ".join(f"{n:,}" for n in value)
    if name == "levels":
        return ", ".join(_sentence("shape", level) for level in value)
    if isinstance(value, (list, tuple)):
        return ", ".join(_short(one) for one in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _px(value: int) -> str:
    return f"{value:,} px"


def _reach(field: dict[str, Any]) -> str:
    """Say how far an output looks, or why no context makes tiles equal the whole image."""
    far = _px(max(*field["before"], *field["after"]))
    if field["size_dependent"]:
        return f"{far} on every side, but the answer also depends on the size of the input"
    return f"{far} on every side" if field["bounded"] else "the whole input"


_IN_WORDS: dict[str, Callable[[Any], str]] = {
    "stride": _px,
    "margin": _px,
    "tile": _px,
    "receptive_field": _reach,
}
"""What is said of a network in sentences of its own."""


def _short(value: Any) -> str:
    """Return the name of what has one: checksums are for `--json`."""
    if not isinstance(value, dict) or "name" not in value:
        return str(value)
    return f"{value['name']} ({value['colour']})" if "colour" in value else str(value["name"])
