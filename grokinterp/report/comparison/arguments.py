"""The runs that a comparison reads and the file that it writes, checked before pandas and matplotlib are loaded."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from grokinterp.errors import ConfigError, require
from grokinterp.storage.atomic import html_file
from grokinterp.storage.files import path_of
from grokinterp.sweeps.found import MARKS, runs_below

PAGE = Path("reports/comparison.html")


def comparison_file(out: str | Path | None = None) -> Path:
    """Return the file of a comparison. Raises ConfigError if it cannot be written."""
    return html_file("out", PAGE if out is None else out)


def run_paths(paths: Iterable[str | Path]) -> list[Path]:
    """Return the run directories among some paths, and those below the folders among them."""
    found: list[Path] = []
    for one in paths:
        path = path_of("runs", one)
        if any((path / mark).exists() for mark in MARKS):
            found.append(path)
            continue
        require(path.exists(), "runs", path, "does not exist")
        found += [run.path for run in runs_below(path).runs if run.path is not None]
    seen: set[Path] = set()
    for path in found:
        if path.resolve() in seen:
            raise ConfigError("runs", path, "is given twice")
        seen.add(path.resolve())
    rule = "is a single run" if found else "no runs were found"
    require(len(found) > 1, "runs", found[0] if found else "none", f"{rule}: a comparison needs at least 2")
    return found


def common_folder(paths: Sequence[Path]) -> Path:
    """Return the folder above all paths.

    >>> common_folder([Path("/a/b/c"), Path("/a/d")]).as_posix()
    '/a'
    """
    return Path(os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths]))
