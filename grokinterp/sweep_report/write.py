"""Write a sweep as one HTML file that opens offline and runs only its own script."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from markupsafe import Markup

from grokinterp.errors import ConfigError
from grokinterp.figures.style import styled
from grokinterp.garbage import without_garbage_collection
from grokinterp.page import asset, environment, policy
from grokinterp.page.html import STYLE, script
from grokinterp.storage import write_atomic
from grokinterp.storage.atomic import make_directory
from grokinterp.storage.files import path_of
from grokinterp.sweep_report.arguments import page_file, require_arguments
from grokinterp.sweep_report.chapters import CHAPTERS, Chapter
from grokinterp.sweep_report.content import content
from grokinterp.sweeps.database import Database, open_db
from grokinterp.sweeps.ingest import Changes, build_db, update_db

ASSETS = Path(__file__).parent / "templates"


def write_sweep_report(
    root: str | Path, out: str | Path | None = None, *, db: str | Path | None = None, progress: bool = False
) -> Path:
    """Write the page of all runs below a folder and return its path.

    Args:
        root: a folder with the runs of one or several sweeps, at any depth.
        out: the output file (default: ``reports/<name of the folder>.html``).
        db: a database of the runs, which is updated first, or built if it does not exist; it makes repeated pages
            faster. Without it, the database is temporary.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: the folder contains no run, or a file is not what it should be.
        WriteError: the page or the database cannot be written.
    """
    return write_page(root, out, db=db, progress=progress)[0]


def write_page(
    root: str | Path, out: str | Path | None = None, *, db: str | Path | None = None, progress: bool = False
) -> tuple[Path, Changes]:
    """Write the page of all runs below a folder; return its path, and what was read, left out, and damaged.

    Arguments and errors are those of ``write_sweep_report``.
    """
    require_arguments(root, out, db)
    top, path = path_of("root", root), page_file(root, out)
    with tempfile.TemporaryDirectory(prefix="grokinterp-") as folder:
        file = Path(folder) / "runs.db" if db is None else path_of("db", db)
        changes = ingested(top, file, progress=progress)
        database = open_db(file)
        if not database.select("SELECT run_id FROM runs LIMIT 1")[1]:
            why = next(iter(changes.left_out.values()), "")
            raise ConfigError("root", top, f"contains no run that can be read: {why}")
        page = render(database, top, path, changes)
    make_directory(path.parent)
    write_atomic(path, page.encode("utf-8"), replace=True)
    return path, changes


def ingested(root: Path, file: Path, *, progress: bool = False) -> Changes:
    """Build or update the database of the runs below a folder."""
    is_there = file.exists() and file.stat().st_size > 0
    return (update_db if is_there else build_db)(root, file, progress=progress)


@styled()
@without_garbage_collection()
def render(database: Database, root: Path, out: Path, changes: Changes, chapters: Iterable[Chapter] = CHAPTERS) -> str:
    """Return the page; the same runs always give the same bytes."""
    style = asset(STYLE) + asset(ASSETS / "sweep.css")
    template = environment("grokinterp.sweep_report").get_template("sweep.html")
    values = content(database, root, out, changes, tuple(chapters))
    code = script()
    return template.render(**values, style=Markup(style), script=Markup(code), policy=policy(style=style, script=code))
