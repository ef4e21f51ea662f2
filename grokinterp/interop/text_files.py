"""Text files that other people wrote, read without torch, and the one-line error for any foreign file."""

from collections.abc import Iterable
from pathlib import Path

from grokinterp.errors import GrokinterpError

LARGEST_TEXT = 2**28
"""Bytes of a text file that is held in memory as a whole."""


class ForeignFileError(GrokinterpError):
    """A file of somebody else's that is not what it should be."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


def read_text(path: Path) -> str:
    """A text file. Raises ForeignFileError."""
    require_regular(path, LARGEST_TEXT)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ForeignFileError(path, "is no text file") from None


def listed(names: Iterable[object]) -> str:
    """Names on one line, shortened.

    >>> listed(["b", "a"])
    'a, b'
    """
    text = ", ".join(sorted(str(name)[:40] for name in names)) or "nothing"
    return text if len(text) <= 200 else text[:197] + "..."


def require_regular(path: Path, limit: int) -> None:
    """Raise ForeignFileError unless that is a regular file of at most so many bytes."""
    if not path.exists():
        raise ForeignFileError(path, "no such file")
    if not path.is_file():
        raise ForeignFileError(path, "is not a regular file")
    if path.stat().st_size > limit:
        raise ForeignFileError(path, f"has {path.stat().st_size} bytes; at most {limit} are read")
