"""Turn SIGINT and SIGTERM into a flag that a loop can honor at a safe point."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """The signal that asked to stop, if one did."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def raise_if_asked(self) -> None:
        """KeyboardInterrupt for SIGINT, SystemExit(143) for SIGTERM."""
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise SystemExit(128 + self.signal)


@contextmanager
def deferred_signals() -> Generator[Interrupt]:
    """Inside the block the first SIGINT or SIGTERM only sets the flag; a second one acts at once.

    Off the main thread, where Python delivers no signals, nothing changes.
    """
    asked = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        if asked.signal is not None:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        asked.signal = number

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
