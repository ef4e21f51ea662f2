"""Links of the documents of the repository, where the repository itself is not beside them.

The public address of the repository is written in a single place, ``[tool.grokinterp] repository`` in pyproject.toml.
While it is empty, a link to a file of the repository becomes its text, so that no published page has a dead link.
"""

import posixpath
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!!)\[([^\]\[]+)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
"""A relative link; the groups are its text, its path and its anchor."""


def repository(root: Path = ROOT) -> str:
    """Return the public address of the repository without a slash at its end; empty if it is unknown."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return str(settings["tool"]["grokinterp"]["repository"]).rstrip("/")


def address_of(path: str, anchor: str, base: str) -> str:
    """Return the address of a file of the repository.

    >>> address_of("docs/sweeps.md", "#axes", "scheme://host/name")
    'scheme://host/name/blob/main/docs/sweeps.md#axes'
    """
    return f"{base}/blob/main/{path}{anchor}"


def published(text: str, folder: str, base: str, *, kept: Callable[[str], bool] = lambda path: False) -> str:
    """Return a document whose links to files of the repository are absolute, or plain text without an address.

    Args:
        text: the document in Markdown.
        folder: its folder in the repository.
        base: the public address of the repository; may be empty.
        kept: whether a file is published beside the document, so that a link to it stays.

    >>> published("See [sweeps](docs/sweeps.md#axes).", "", "")
    'See sweeps.'
    >>> published("See [sweeps](docs/sweeps.md#axes).", "", "scheme://host/name")
    'See [sweeps](scheme://host/name/blob/main/docs/sweeps.md#axes).'
    """

    def replaced(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[2]))
        if kept(path):
            return link[0]
        return f"[{link[1]}]({address_of(path, link[3] or '', base)})" if base else link[1]

    return LINK.sub(replaced, text)
