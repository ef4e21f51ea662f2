"""The folder that a gallery reads and the file that it writes, checked before matplotlib is loaded."""

from pathlib import Path

from grokinterp.errors import require
from grokinterp.storage.atomic import html_file
from grokinterp.storage.files import path_of
from grokinterp.sweeps.found import runs_below

PAGE = Path("reports/gallery.html")


def gallery_file(out: str | Path | None = None) -> Path:
    """Return the file of a gallery. Raises ConfigError if it cannot be written."""
    return html_file("out", PAGE if out is None else out)


def require_folder(root: str | Path) -> Path:
    """Return the path of a folder of runs. Raises ConfigError if it contains no run, or is a run itself."""
    top = path_of("root", root)
    runs_below(top)
    is_run = (top / "experiment.json").exists()
    require(not is_run, "root", root, "is a run: `grokinterp report` writes its page, and this one that of a folder")
    return top
