"""Text streams to which a program can always write, whatever happens to their readers.

A reader that closes its pipe, a full disk, a terminal that vanished, a reader that does not read, and an encoding
without Greek letters must not end a training run. Everything that the package prints goes through an ``Output``.
"""

import codecs
import errno
import io
import os
import re
import select
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from grokinterp.errors import printable

PATIENCE = 1.0
"""Seconds to wait for a reader of standard error before text is dropped."""

COLORS = re.compile(r"\x1b\[[0-9;]*m")


class Output(io.TextIOBase):
    """A text stream whose writes never raise.

    After the first error, which ``failure`` keeps, nothing more is written to the stream. Control characters, and those
    that its encoding lacks, become "?"; line breaks stay, and color codes are removed.

    Args:
        stream: the stream to write to; None for a closed stream.
        patience: seconds to wait for a reader that does not read before text is dropped; None to wait forever.
        raw: whether to keep control characters, for drawing a progress bar.
    """

    def __init__(self, stream: Any, *, patience: float | None = PATIENCE, raw: bool = False) -> None:
        self.stream, self.patience, self.raw = stream, patience, raw
        self.failure: OSError | None = None
        self._descriptor = own_descriptor(stream)
        if self._descriptor is not None:
            self._encoder = codecs.getincrementalencoder(self.encoding)("replace")
        self._stalled = False

    @property
    def encoding(self) -> str:  # ty: ignore[incompatible-property-override] - constant in every stream
        """The encoding of the stream."""
        return getattr(self.stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write text, or drop it if the stream cannot be written."""
        shown = text if self.raw else "\n".join(map(printable, COLORS.sub("", text).split("\n")))
        if shown and self.failure is None:
            try:
                self._put(shown)
            except OSError as error:
                self.failure = error
            except Exception as error:  # any object can stand in for a stream
                self.failure = OSError(errno.EIO, f"{type(error).__name__}: {error}")
        return len(text)

    def flush(self) -> None:
        """Return at once: nothing is buffered."""

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        with suppress(Exception):
            return bool(self.stream.isatty())
        return False

    def fileno(self) -> int:
        """Return the descriptor of the stream. Raises OSError without one."""
        if self.stream is None:
            raise io.UnsupportedOperation("the stream is closed")
        return self.stream.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    def _put(self, text: str) -> None:
        """Write text, without a buffer. Raises OSError, or any error of a stream without a descriptor."""
        if self.stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self._descriptor is None:
            self.stream.write(text.encode(self.encoding, "replace").decode(self.encoding))
            self.stream.flush()
            return
        rest = memoryview(self._encoder.encode(text))
        while rest and self._is_ready(self._descriptor):
            with suppress(BlockingIOError):
                rest = rest[os.write(self._descriptor, rest[: select.PIPE_BUF]) :]

    def _is_ready(self, descriptor: int) -> bool:
        """Wait until a piece of text can be written without blocking; return whether it can."""
        patience = 0.0 if self._stalled else self.patience
        self._stalled = not select.select([], [descriptor], [], patience)[1]
        return not self._stalled


def own_descriptor(stream: Any) -> int | None:
    """Return the descriptor of this process's own standard output or error, None for any other stream.

    Text that the stream holds in its buffer is written first. A buffer that cannot be written is reported when the
    interpreter exits; without a buffer, there is nothing to report.
    """
    if stream is None or not (stream is sys.__stdout__ or stream is sys.__stderr__):
        return None
    with suppress(OSError, ValueError):
        stream.flush()
        return stream.fileno()
    return None


def standard_output() -> Output:
    """Return the current standard output as a stream whose writes never raise, and wait for their reader."""
    return tolerant(sys.stdout, patience=None)


def standard_error(*, patience: float = PATIENCE) -> Output:
    """Return the current standard error as a stream whose writes never raise."""
    return tolerant(sys.stderr, patience=patience)


def drawing() -> Output:
    """Return standard error for drawing a progress bar, even inside another progress bar, which redirects it."""
    stream = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
    return Output(stream.stream if isinstance(stream, Output) else stream, raw=True)


def tolerant(stream: Any, *, patience: float | None = PATIENCE) -> Output:
    """Return a stream whose writes never raise: the given one if it is an ``Output``, otherwise one that wraps it."""
    return stream if isinstance(stream, Output) else Output(stream, patience=patience)


@contextmanager
def tolerant_streams() -> Generator[tuple[Output, Output]]:
    """Replace standard output and error inside the block by streams whose writes never raise.

    Standard output waits for its reader, standard error drops text after a second.
    """
    reserve_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = streams = standard_output(), standard_error()
    try:
        yield streams
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def silent_standard_error() -> Generator[None]:
    """Keep the standard error of this process empty inside the block, also if other code than Python writes to it."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def reserve_descriptors() -> None:
    """Open the standard descriptors that are closed, so that no file of a run gets their number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
