"""Reading of text files without torch, and the one-line error for any foreign file."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from grokinterp.errors import GrokinterpError, short

LARGEST_TEXT = 2**28
"""Largest size in bytes of a text file that is read as a whole."""


LARGEST_LOG = 2**32
"""Largest size in bytes of a text file that is read line by line."""


class ForeignFileError(GrokinterpError):
    """Raised if a file from other code is not as expected."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


def read_text(path: Path) -> str:
    """Return the content of a text file. Raises ForeignFileError."""
    require_regular(path, LARGEST_TEXT)
    with open_text(path) as file:
        return file.read()


@contextmanager
def open_text(path: Path) -> Generator[TextIO]:
    """Open a text file for reading by lines: UTF-8, or UTF-16 with a byte order mark, as some programs write.

    Raises:
        ForeignFileError: if the file is missing, too large, binary, or has another encoding.
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
    """Join names on one line, shortened.

    >>> listed(["b", "a"])
    'a, b'
    """
    text = ", ".join(sorted(short(name)[:40] for name in names)) or "nothing"
    return text if len(text) <= 200 else text[:197] + "..."


def require_regular(path: Path, limit: int) -> None:
    """Raise ForeignFileError unless the path is a regular file of at most ``limit`` bytes."""
    if not path.exists():
        raise ForeignFileError(path, "no such file")
    if not path.is_file():
        raise ForeignFileError(path, "is not a regular file")
    if path.stat().st_size > limit:
        raise ForeignFileError(path, f"has {path.stat().st_size} bytes; at most {limit} are read")
