"""Write all runs of a folder as one HTML file of cards that opens offline and runs only its own script."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from grokinterp.errors import GrokinterpError
from grokinterp.garbage import without_garbage_collection
from grokinterp.page import asset, environment, policy
from grokinterp.page.html import STYLE
from grokinterp.progress import track
from grokinterp.report.gallery.arguments import gallery_file, require_folder
from grokinterp.report.gallery.content import content
from grokinterp.storage import write_atomic
from grokinterp.storage.atomic import make_directory
from grokinterp.sweeps.found import runs_below
from grokinterp.sweeps.record import Record, read_record

ASSETS = Path(__file__).parents[1] / "templates"


def write_gallery(root: str | Path = "checkpoints", out: str | Path | None = None, *, progress: bool = False) -> Path:
    """Write the page of all runs below a folder, and return its path.

    Args:
        root: a folder with runs, at any depth.
        out: the output file (default: ``reports/gallery.html``).
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: the folder contains no run or is one, or the file is no page.
        RunDirectoryError: no run can be read.
        WriteError: the page cannot be written.
    """
    return write_page(root, out, progress=progress)[0]


def write_page(root: str | Path, out: str | Path | None, *, progress: bool = False) -> tuple[Path, dict[str, str]]:
    """Write the page; return its path, and the reason why each other run is left out, by its directory.

    Arguments and errors are those of ``write_gallery``.
    """
    top, path = require_folder(root), gallery_file(out)
    records, left_out = read_records(top, progress=progress)
    page = render(records, top, path, left_out)
    make_directory(path.parent)
    write_atomic(path, page.encode("utf-8"), replace=True)
    return path, left_out


def read_records(top: Path, *, progress: bool) -> tuple[list[Record], dict[str, str]]:
    """Read all runs below a folder, and return the reason why each other run is left out.

    Raises:
        RunDirectoryError: no run can be read.
    """
    found = runs_below(top)
    records, left_out = [], dict(found.damaged)
    last: GrokinterpError | None = None
    for run in track(found.runs, "reading", total=len(found.runs), shown=progress and len(found.runs) > 50):
        try:
            records.append(read_record(run))
        except GrokinterpError as error:
            left_out[run.directory], last = str(error), error
    if not records and last is not None:
        raise last
    return records, left_out


@without_garbage_collection()
def render(records: Sequence[Record], root: Path, out: Path, left_out: Mapping[str, str]) -> str:
    """Return the page; the same runs always give the same bytes."""
    style = asset(STYLE) + asset(ASSETS / "many.css") + asset(ASSETS / "gallery.css")
    script = asset(ASSETS / "gallery.js")
    values = content(records, root, out, left_out) | {"style": Markup(style), "script": Markup(script)}
    values["policy"] = policy(style=style, script=script)
    return environment("grokinterp.report").get_template("gallery.html").render(**values)
