"""Writes that a thread performs one after the other while the caller computes."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import final

PER_RUN = 2
"""Largest number of unfinished writes per run: one in progress, and one that waits for it."""

MOST_BYTES = 2**28
"""Largest total size of unfinished writes, except that a single larger write is accepted."""


@final
class WriteQueue:
    """Performs writes in their order, in one thread, while the ``with`` block runs; the block ends after all of them.

    Args:
        runs: number of runs whose writes it performs.
    """

    def __init__(self, runs: int = 1) -> None:
        self.most = PER_RUN * runs
        self.unfinished: deque[tuple[Future[None], int]] = deque()
        self._writes: SimpleQueue[tuple[Future[None], Callable[[], None]] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="checkpoints", daemon=True)  # a process that ends waits for none

    def __enter__(self) -> "WriteQueue":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writes.put(None)
        self._thread.join()

    def add(self, write: Callable[[], None], size: int) -> Future[None]:
        """Add a write once few enough are unfinished; it is performed after all earlier ones.

        Args:
            write: performs the write.
            size: the bytes that it keeps in memory until then.

        Returns:
            Its end, or its error.
        """
        while self.unfinished and (self.unfinished[0][0].done() or self._is_full(size)):
            wait([self.unfinished.popleft()[0]])
        done: Future[None] = Future()
        self.unfinished.append((done, size))
        self._writes.put((done, write))
        return done

    def _is_full(self, size: int) -> bool:
        sizes = [before for _, before in self.unfinished]
        return len(sizes) >= self.most or sum(sizes) + size > MOST_BYTES

    def _work(self) -> None:
        while (task := self._writes.get()) is not None:
            done, write = task
            try:
                write()
            except BaseException as error:  # raised where the caller waits for this write
                done.set_exception(error)
            else:
                done.set_result(None)
            del task, done, write  # what was written is freed before the next write arrives
