"""The files that a sweep's page reads and writes, checked before pandas and matplotlib are loaded."""

import os
from pathlib import Path

from grokinterp.errors import ConfigError, require
from grokinterp.storage.atomic import html_file
from grokinterp.storage.files import path_of
from grokinterp.sweeps.database import database_file, require_version
from grokinterp.sweeps.found import runs_below


def page_file(root: str | Path, out: str | Path | None = None) -> Path:
    """Return the file of a page. Raises ConfigError if it cannot be written."""
    named = Path("reports") / f"{path_of('root', root).resolve().name or 'runs'}.html"
    return html_file("out", named if out is None else out)


def require_arguments(root: str | Path, out: str | Path | None, db: str | Path | None) -> None:
    """Raise ConfigError if the folder contains no run, or if a file is of another kind."""
    page, is_run = page_file(root, out), (path_of("root", root) / "experiment.json").exists()
    runs_below(root)
    if db is not None:
        file = database_file("db", db)
        if os.path.exists(file) and os.path.getsize(file):
            require_version(file)
        if os.path.realpath(file) == os.path.realpath(page):
            raise ConfigError("db", file, "is the file of the page")
    require(not is_run, "root", root, "is a run: `grokinterp report` writes its page, and this one that of a folder")
