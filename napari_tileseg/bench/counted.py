"""The command line with a count of the tiles that the network sees.

    python -m napari_tileseg.bench.counted COUNT predict IMAGE ...

A byte is appended to the file COUNT for each tile, at once, so that it is right however the
program ends.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from napari_tileseg.cli import main
from napari_tileseg.engine.folding import folded
from napari_tileseg.io import checkpoints


def _count_into(path: Path) -> None:
    load, count = checkpoints.load_model, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def load_and_count(*args: Any, **options: Any) -> Any:
        network = folded(load(*args, **options))
        network.module.register_forward_pre_hook(
            lambda _, inputs: os.write(count, bytes(len(inputs[0]))) and None
        )
        return network

    checkpoints.load_model = load_and_count


if __name__ == "__main__":
    _count_into(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
