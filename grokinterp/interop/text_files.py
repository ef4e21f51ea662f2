"""Reading of text files without torch, and the one-line error for any foreign file."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from grokinterp.errors import GrokinterpError, short
from grokinterp.storage.files import open_regular, parse_json

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
    with open_text(path, limit=LARGEST_TEXT) as file:
        return file.read()


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, in which NaN and Infinity may occur. Raises ForeignFileError."""
    text = read_text(path)
    try:
        return parse_json(text, non_finite=True)
    except ValueError as error:
        raise ForeignFileError(path, f"is not JSON: {error}") from None


@contextmanager
def open_text(path: Path, *, limit: int = LARGEST_LOG) -> Generator[TextIO]:
    """Open a text file for reading by lines: UTF-8, or UTF-16 with a byte order mark, as some programs write.

    Raises:
        ForeignFileError: if the file is missing, too large, binary, or has another encoding.
    """
    with open_binary(path, limit=limit) as file:
        start = file.read(2**16)
        file.seek(0)
        wide = start.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        if not wide and b"\0" in start:
            raise ForeignFileError(path, "is a binary file, not text")
        try:
            with TextIOWrapper(file, encoding="utf-16" if wide else "utf-8-sig") as text:
                yield text
        except UnicodeDecodeError as error:
            encoding, byte = ("UTF-16", "") if wide else ("UTF-8", f" (byte 0x{error.object[error.start]:02x})")
            raise ForeignFileError(path, f"is not text in {encoding}{byte}") from None


@contextmanager
def open_binary(path: Path, *, limit: int = LARGEST_LOG) -> Generator[BufferedReader]:
    """Open a regular file of at most ``limit`` bytes. Raises ForeignFileError."""
    try:
        file = open_regular(path, limit=limit)
    except FileNotFoundError:
        raise ForeignFileError(path, "no such file") from None
    except OSError as error:
        raise ForeignFileError(path, f"cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ForeignFileError(path, str(error)) from None
    with file:
        yield file


def read_bytes(path: Path, *, limit: int) -> bytes:
    """Return the bytes of a regular file of at most ``limit`` bytes. Raises ForeignFileError."""
    with open_binary(path, limit=limit) as file:
        return file.read()


def listed(names: Iterable[object]) -> str:
    """Join names on one line, shortened.

    >>> listed(["b", "a"])
    'a, b'
    """
    text = ", ".join(sorted(short(name)[:40] for name in names)) or "nothing"
    return text if len(text) <= 200 else text[:197] + "..."
