"""What goes on at the same time: tiles are read ahead, computed, and results written behind.

These are the only threads of the engine. All of them have ended when a run has ended,
however it ended.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import local
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_tileseg.engine.meter import Meter
    from napari_tileseg.engine.patches import Patch
    from napari_tileseg.engine.schedule import Batch, Schedule

_MOST_WAITING = 2 * 2**20
"""Results that are not yet written take no more memory than this, or than a single one takes."""

Pixels = TypeVar("Pixels")
Answer = TypeVar("Answer")


class Sink(Protocol):
    """Where final labels go, such as a store on disk."""

    def write(
        self, region: tuple[slice, ...], labels: NDArray[Any], probabilities: NDArray[Any] | None
    ) -> None:
        """Take a final region; each pixel comes once."""


class ReadAhead(Generic[Pixels]):
    """Batches of a schedule with their pixels, which are read while the network computes.

    What was read ahead is given back when the focus moves, so that the tiles that somebody
    looks at now come next.

    Parameters
    ----------
    schedule
        Which tiles come next; asked in the thread that iterates.
    read
        Reads the pixels of a batch, in another thread.
    count
        How many tiles make a batch.
    depth
        How many batches are read ahead.
    workers
        How many threads read.
    """

    def __init__(
        self,
        schedule: Schedule,
        read: Callable[[Batch], Pixels],
        *,
        count: int,
        depth: int = 1,
        workers: int = 1,
    ) -> None:
        self._schedule = schedule
        self._read = read
        self._count = count
        self._depth = depth
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="tileseg-read")
        self._coming: deque[tuple[Batch, Future[Pixels]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[Batch, Pixels]]:
        while True:
            if self._schedule.moved:
                self._give_back()
            self._fill(1)
            if not self._coming:
                return
            batch, pixels = self._coming.popleft()
            self._fill(self._depth)
            yield batch, pixels.result()

    def _fill(self, depth: int) -> None:
        while len(self._coming) < depth:
            batch = self._schedule.take(self._count)
            if batch is None:
                return
            self._coming.append((batch, self._threads.submit(self._read, batch)))

    def _give_back(self) -> None:
        for batch, pixels in self._coming:
            pixels.cancel()
            self._schedule.give_back(batch)
        self._coming.clear()


def computed_by(
    workers: Sequence[Callable[[Batch, Pixels], Answer]],
    batches: Iterable[tuple[Batch, Pixels]],
    abandon: Callable[[], None],
) -> Generator[tuple[Batch, Answer], None, None]:
    """Have batches computed: by one worker here, by several in a thread for each.

    Several answer in the order in which they are done. There is never more than one batch
    for each of them and one that waits, so that what is looked at soon comes next.

    Parameters
    ----------
    workers
        Each computes a batch; always called from the same thread.
    batches
        With their pixels; iterated here.
    abandon
        Makes workers end soon; called when their answers are not wanted any more.

    Raises
    ------
    Exception
        What a worker raises. All threads have ended then, as at any other end.
    """
    if len(workers) == 1:
        for batch, pixels in batches:
            yield batch, workers[0](batch, pixels)
        return
    mine, free = local(), list(workers)

    def begin() -> None:
        mine.worker = free.pop()

    def compute(batch: Batch, pixels: Pixels) -> Answer:
        answer: Answer = mine.worker(batch, pixels)
        return answer

    threads = ThreadPoolExecutor(len(workers), "tileseg-network", initializer=begin)
    going: dict[Future[Answer], Batch] = {}
    try:
        for batch, pixels in batches:
            going[threads.submit(compute, batch, pixels)] = batch
            if len(going) > len(workers):
                yield from _done_first(going)
        while going:
            yield from _done_first(going)
    finally:
        if going:
            abandon()
        threads.shutdown(wait=True, cancel_futures=True)


def _done_first(going: dict[Future[Answer], Batch]) -> Iterator[tuple[Batch, Answer]]:
    """Wait for one batch at least, and take out what is done."""
    for done in wait(going, return_when=FIRST_COMPLETED).done:
        yield going.pop(done), done.result()


def written_behind(
    patches: Iterable[Patch], sink: Sink, meter: Meter | None = None
) -> Generator[Patch, None, None]:
    """Hand final patches to a sink in another thread, and pass all of them on.

    However the iteration ends, what was handed over is written before it has ended.

    Raises
    ------
    TilesegError
        What the sink raises, with the next patch or at the end; nothing is written after it.
    """
    waiting: deque[tuple[int, Future[None]]] = deque()
    waiting_bytes = 0

    def write(patch: Patch) -> None:
        if meter is None:
            sink.write(patch.region, patch.labels, patch.probabilities)
            return
        with meter.stage("write"):
            sink.write(patch.region, patch.labels, patch.probabilities)

    threads = ThreadPoolExecutor(1, thread_name_prefix="tileseg-write")
    try:
        for patch in patches:
            if patch.final:
                size = patch.labels.nbytes
                size += 0 if patch.probabilities is None else patch.probabilities.nbytes
                waiting.append((size, threads.submit(write, patch)))
                waiting_bytes += size
            while waiting and (
                waiting[0][1].done() or (len(waiting) > 1 and waiting_bytes > _MOST_WAITING)
            ):
                size, written = waiting.popleft()
                waiting_bytes -= size
                written.result()
            yield patch
        while waiting:
            waiting.popleft()[1].result()
    finally:
        failed = any(one.done() and not one.cancelled() and one.exception() for _, one in waiting)
        threads.shutdown(wait=True, cancel_futures=failed)
