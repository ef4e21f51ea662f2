"""Signals that ask a process to stop: the command line obeys them, and a loop defers them to a safe point.

This module imports only the standard library, so that the command line can call ``exit_on_signals`` before any other
import. Signals that are ignored when the process starts, such as SIGHUP under ``nohup``, stay ignored.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1)
"""The signals of Ctrl-C, `kill`, a closed terminal, the limit on processor time, and a batch system's notice."""

URGENT = (signal.SIGINT, signal.SIGTERM)
"""Signals that users repeat to stop at once; shells repeat SIGHUP, and the kernel SIGXCPU, for every process."""

ECHO = 0.1
"""Seconds within which a repeated signal is the same request: `timeout` signals a process, and then its group."""


class Stopped(BaseException):
    """A signal other than SIGINT asked this process to stop, and the state is saved; SIGINT is a KeyboardInterrupt.

    Like KeyboardInterrupt, it is not an ``Exception``, so that it stops a program that continues after errors.

    >>> str(Stopped(signal.SIGTERM))
    'stopped by SIGTERM'
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.signal).name}"


class Interrupt:
    """The signal that requested a stop, if any."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def raise_if_asked(self) -> None:
        """Raise KeyboardInterrupt or Stopped after a deferred signal, once the caller's own handler has received it."""
        if self.signal is not None:
            if callable(signal.getsignal(self.signal)):
                signal.raise_signal(self.signal)
            raise stop_by(self.signal)


class Requests:
    """The stopping signals that arrived: the first acts, and after it every further SIGINT or SIGTERM.

    In a process of a pool, no further signal acts, because the parent repeats signals that were sent to all processes.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        self.at = 0.0
        self.urgent = () if is_in_pool() else URGENT

    def acts(self, number: int) -> bool:
        """Record a signal that arrives now; return whether it acts."""
        first, now = self.last is None, time.monotonic()
        echo = number == self.last and now - self.at < ECHO
        self.last, self.at = number, now
        return first or (number in self.urgent and not echo)


def stop_by(number: int) -> BaseException:
    """Return the exception by which a signal stops a function of this package."""
    return KeyboardInterrupt() if number == signal.SIGINT else Stopped(number)


def exception_of(number: int) -> BaseException:
    """Return the exception by which a signal ends the process: KeyboardInterrupt, or an exit with 128 + its number.

    >>> exception_of(signal.SIGINT), exception_of(signal.SIGTERM)
    (KeyboardInterrupt(), SystemExit(143))
    """
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


def are_obeyed(number: int) -> bool:
    """Return whether a signal has a handler that Python can replace and restore, and is not ignored."""
    return signal.getsignal(number) not in (signal.SIG_IGN, None)


def exit_on_signals() -> None:
    """Set handlers that end this process without a traceback at a stopping signal, with code 128 + its number.

    A signal raises the exception of ``exception_of``, except during an import, where other code would catch or print
    it: the process then ends at once. Files stay intact, as after a kill. Outside the main thread, this has no effect.
    """
    if not is_main_thread():
        return
    requests = Requests()

    def end(number: int, frame: FrameType | None) -> None:
        if is_importing(frame):
            if number == signal.SIGINT:
                say_interrupted()
            exit_at_once(128 + number)
        if requests.acts(number):
            raise exception_of(number)

    for number in filter(are_obeyed, STOPPING):
        signal.signal(number, end)
    sys.unraisablehook = send_again


def die_of_signals() -> None:
    """Restore the default effect of stopping signals, because an interpreter that shuts down would print exceptions."""
    if not is_main_thread():
        return
    for number in filter(are_obeyed, STOPPING):
        signal.signal(number, signal.SIG_DFL)


def is_importing(frame: FrameType | None) -> bool:
    """Return whether a frame belongs to an import."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def say_interrupted() -> None:
    """Write the line of an interrupted command to standard error, without the buffers of an interrupted program."""
    with suppress(OSError):
        os.write(2, b"interrupted\n")


def exit_at_once(code: int) -> None:
    """Stop the process at once, after showing the cursor, which a progress bar may have hidden."""
    if os.isatty(2):
        os.write(2, b"\x1b[?25h")
    os._exit(code)


def send_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Send a signal again if its exception was lost in a finalizer; report other lost exceptions as usual."""
    error = unraisable.exc_value
    for number in STOPPING:
        if type(error) is type(exception_of(number)) and str(error) == str(exception_of(number)):
            exit_on_signals()  # as if it were the first
            later = threading.Timer(ECHO, os.kill, (os.getpid(), number))
            later.daemon = True
            return later.start()
    sys.__unraisablehook__(unraisable)


def is_main_thread() -> bool:
    """Return whether this is the main thread, the only one in which Python handles signals."""
    return threading.current_thread() is threading.main_thread()


def is_in_pool() -> bool:
    """Return whether this process was started by ``multiprocessing``."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


@contextmanager
def deferred_signals() -> Generator[Interrupt]:
    """Defer the first stopping signal inside the block to a flag; a second SIGINT or SIGTERM acts at once.

    Outside the main thread, where Python delivers no signals, this has no effect.
    """
    asked, requests = Interrupt(), Requests()
    if not is_main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        if requests.acts(number):
            if asked.signal is not None:
                raise stop_by(number)
            asked.signal = number

    previous = {number: signal.signal(number, note) for number in filter(are_obeyed, STOPPING)}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
