"""Text files that other people wrote, read without torch, and the one-line error for any foreign file."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from grokinterp.errors import GrokinterpError, short

LARGEST_TEXT = 2**28
"""Bytes of a text file that is held in memory as a whole."""


LARGEST_LOG = 2**32
"""Bytes of a text file that is read line by line."""


class ForeignFileError(GrokinterpError):
    """A file of somebody else's that is not what it should be."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


def read_text(path: Path) -> str:
    """A text file. Raises ForeignFileError."""
    require_regular(path, LARGEST_TEXT)
    with open_text(path) as file:
        return file.read()


@contextmanager
def open_text(path: Path) -> Generator[TextIO]:
    """A text file to be read line by line: UTF-8, or UTF-16 with its mark, as some shells and spreadsheets write it.

    Raises:
        ForeignFileError: no such file, a huge or a binary one, another encoding.
    """
    require_regular(path, LARGEST_LOG)
    with path.open("rb") as file:
        start = file.read(2**16)
    wide = start.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    if not wide and b"\0" in start:
        raise ForeignFileError(path, "is a binary file, not text")
    try:
        with path.open(encoding="utf-16" if wide else "utf-8-sig") as text:
            yield text
    except UnicodeDecodeError as error:
        encoding, byte = ("UTF-16", "") if wide else ("UTF-8", f" (byte 0x{error.object[error.start]:02x})")
        raise ForeignFileError(path, f"is not text in {encoding}{byte}") from None


def listed(names: Iterable[object]) -> str:
    """Names on one line, shortened.

    >>> listed(["b", "a"])
    'a, b'
    """
    text = ", ".join(sorted(short(name)[:40] for name in names)) or "nothing"
    return text if len(text) <= 200 else text[:197] + "..."


def require_regular(path: Path, limit: int) -> None:
    """Raise ForeignFileError unless that is a regular file of at most so many bytes."""
    if not path.exists():
        raise ForeignFileError(path, "no such file")
    if not path.is_file():
        raise ForeignFileError(path, "is not a regular file")
    if path.stat().st_size > limit:
        raise ForeignFileError(path, f"has {path.stat().st_size} bytes; at most {limit} are read")
