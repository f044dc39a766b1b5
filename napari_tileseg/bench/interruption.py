"""A run that is killed, again and again, and gone on with; a run that is short of memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
import torch
import zarr

from napari_tileseg.bench.figures import Figure
from napari_tileseg.bench.fresh import BenchError
from napari_tileseg.bench.networks import smp_network
from napari_tileseg.bench.pixels import noise
from napari_tileseg.bench.runs import TIE, labels_and_logs, margins, planned
from napari_tileseg.engine.folding import folded
from napari_tileseg.io.checkpoints import save_model
from napari_tileseg.io.label_store import LabelStore, stored_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.bench.setup import Setup
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.tiles import TileGrid

_TILE, _EVERY = 256, 7


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield what differs after kills, what was computed twice, and what memory errors change."""
    side, kills = (1024, 2) if setup.quick else (4096, 20)
    network = _network()
    with tempfile.TemporaryDirectory() as folder:
        yield from _killed(_Trial(Path(folder), network, side), kills, setup.seed)
    # what runs is what fails
    yield from _short_of_memory(folded(network), 640 if setup.quick else 1536)


def _network() -> Network:
    return smp_network(
        "smp.Unet", 3, encoder_name="resnet18", encoder_depth=3, decoder_channels=(32, 16, 8)
    )


@dataclass
class _Trial:
    """One image and one model in a folder, and the runs over them."""

    folder: Path
    network: Network
    side: int
    spent: float = field(default=0.0, init=False)
    grid: TileGrid = field(init=False)

    def __post_init__(self) -> None:
        pixels = noise((self.side, self.side))
        tifffile.imwrite(self.folder / "image.tif", pixels)
        save_model(self.network, self.folder / "model.safetensors")
        self.grid = planned(pixels, self.network, tile=_TILE, mode="blend")[1].grid

    def start(self, out: str, *, resume: bool = False) -> subprocess.Popen[bytes]:
        """Begin a run of the command line."""
        words = ["predict", "image.tif", "--model", "model.safetensors", "--out", out, "--quiet"]
        words += ["--tile", f"{_TILE}", "--mode", "blend", "--device", "cpu", "--batch", "1"]
        words += ["--precision", "fp32"] + ["--resume"] * resume
        command = [sys.executable, "-m", "napari_tileseg.bench.counted", "count", *words]
        return subprocess.Popen(command, cwd=self.folder)

    def finish(self, out: str, *, resume: bool = False) -> float:
        """Let a run come to its end; return the seconds it computed."""
        begun = self.tiles
        run = self.start(out, resume=resume)
        start = self.first_tile(run, begun)
        if run.wait():
            raise BenchError("A run of 'tileseg predict' has failed; its message stands above.")
        return time.perf_counter() - start

    def first_tile(self, run: subprocess.Popen[bytes], begun: int) -> float:
        """Wait until a run computes; return the time."""
        while self.tiles == begun and run.poll() is None:
            time.sleep(0.002)
        return time.perf_counter()

    @property
    def tiles(self) -> int:
        """How many tiles all runs so far have computed."""
        count = self.folder / "count"
        return count.stat().st_size if count.exists() else 0

    def undone(self, out: str) -> int:
        """Return how many tiles touch what is not done in a store."""
        path = self.folder / out
        if not path.exists():
            return len(self.grid)
        with LabelStore.resume(path, stored_facts(path)) as store:
            return int(store.wanted(self.grid).sum())

    def done_map(self, out: str) -> bool:
        """Whether every block of a store is done."""
        path = self.folder / out
        with LabelStore.resume(path, stored_facts(path)) as store:
            return store.complete

    def decoded(self, out: str) -> np.ndarray:
        """Return the labels of a store."""
        return np.asarray(zarr.open_array(str(self.folder / out), mode="r")[:])


def _killed(trial: _Trial, wanted: int, seed: int) -> Iterator[Figure]:
    """Kill runs of one store after another until there were enough kills."""
    seconds = trial.finish("whole.zarr")
    whole, rng = trial.decoded("whole.zarr"), np.random.default_rng(seed)
    kills = stores = differing = too_many = 0
    complete = True
    while kills < wanted:
        out = f"parts-{stores}.zarr"
        stores += 1
        while kills < wanted and _kill_once(trial, out, rng.random() * seconds / 8):
            kills += 1
        bound, before = trial.undone(out), trial.tiles
        trial.finish(out, resume=(trial.folder / out).exists())
        too_many += max(0, trial.tiles - before - bound)
        differing += int((trial.decoded(out) != whole).sum())
        complete &= trial.done_map(out)
    about = f"{kills} kills, {stores} stores, {len(trial.grid)} tiles, {trial.side:,}² px"
    yield Figure("pixels that differ after kill -9 and --resume", differing, "px", 0, note=about)
    yield Figure("stores that are not complete", float(not complete), "", 0)
    yield Figure("tiles computed although all of their blocks were done", too_many, "", 0)


def _kill_once(trial: _Trial, out: str, after_s: float) -> bool:
    """Begin a run or go on with it, and kill it; return False if it was faster."""
    begun, resume = trial.tiles, (trial.folder / out).exists()
    run = trial.start(out, resume=resume)
    trial.first_tile(run, begun)
    with suppress(subprocess.TimeoutExpired):
        run.wait(after_s)
        return False
    run.kill()
    run.wait()
    return True


class _Failing:
    """Lets every seventh batch of several tiles run out of memory, and counts what follows."""

    def __init__(self) -> None:
        self.batches = self.failures = 0
        self.again: list[int] = []
        self._left = 0

    def __call__(self, _: object, inputs: tuple[torch.Tensor, ...]) -> None:
        tiles = len(inputs[0])
        if self._left > 0:
            self.again[-1] += 1
            self._left -= tiles
        else:
            self.batches += 1
            if self.batches % _EVERY == 0 and tiles > 1:
                self.failures, self._left = self.failures + 1, tiles
                self.again.append(0)
                raise torch.OutOfMemoryError("not enough memory: asked for by the benchmark")


def _short_of_memory(network: Network, side: int) -> Iterator[Figure]:
    source, plan = planned(
        noise((side, side)),
        network,
        tile=64,
        overlap=0.25,
        blend="gaussian",
        device="cpu",
        precision="fp32",
        batch=4,
        probabilities=True,
    )
    expected, logs = labels_and_logs(plan, source, network)
    failing = _Failing()
    hook = network.module.register_forward_pre_hook(failing)
    labels, _ = labels_and_logs(plan, source, network)
    hook.remove()
    # other kernels may compute a batch of another size, so ties can turn out otherwise
    flips, ties = labels != expected, margins(logs) < TIE
    about = (
        f"{failing.failures} memory errors in {plan.n_tiles} tiles, batch {plan.batch}; "
        f"{int(flips.sum())} labels differ in all"
    )
    differing = int((flips & ~ties).sum())
    yield Figure("labels that differ after memory errors, no ties", differing, "px", 0, note=about)
    extra = max(failing.again, default=0)
    yield Figure("extra forward passes for a memory error, at most", extra, "", 2)
