"""Write a run as one HTML file that opens offline and runs only its own script."""

from collections.abc import Iterable
from pathlib import Path

from markupsafe import Markup

from grokinterp.figures.style import styled
from grokinterp.garbage import without_garbage_collection
from grokinterp.page import asset, environment, policy
from grokinterp.page.html import STYLE, script
from grokinterp.report.chapters import CHAPTERS, Chapter
from grokinterp.report.content import content, view_of
from grokinterp.report.explorer import explorer
from grokinterp.report.terms import marker
from grokinterp.runs.results import Results
from grokinterp.storage import write_atomic
from grokinterp.storage.atomic import html_file, make_directory
from grokinterp.storage.files import path_of

ASSETS = Path(__file__).parent / "templates"

EXPLORER = ("drawing", "panels", "panel_rows", "lead", "slider")
"""The scripts of the slider, in the order in which they build on each other."""

LARGEST = 4_950_000
"""Maximum size of a page in bytes; the rest of the page limits the number of checkpoints in the slider."""

LEAST = 450_000
"""Number of bytes reserved for the slider."""


def write_report(run: Results | str | Path, out: str | Path | None = None) -> Path:
    """Write the report of an analyzed run and return its path.

    Args:
        run: the results of a run, or its run directory; the report names the analyses that have not been run.
        out: the output file (default: ``reports/<name of the run directory>.html``).

    Raises:
        ConfigError: the output file is a directory, a device or a symbolic link.
        RunDirectoryError: the path is not a run directory, or the run is damaged.
        GrokinterpError: the file cannot be written.
    """
    results = run if isinstance(run, Results) else Results.open(run)
    path = report_file(results.directory.path, out)
    page = render(results)
    make_directory(path.parent)
    write_atomic(path, page.encode("utf-8"), replace=True)
    return path


def report_file(run_dir: str | Path, out: str | Path | None = None) -> Path:
    """Return the file of a report. Raises ConfigError if it cannot be written."""
    named = Path("reports") / f"{path_of('run_dir', run_dir).resolve().name}.html"
    return html_file("out", named if out is None else out)


@styled()
@without_garbage_collection()
def render(results: Results, chapters: Iterable[Chapter] = CHAPTERS) -> str:
    """Return the page; the same results always give the same bytes."""
    style = asset(STYLE) + asset(ASSETS / "report.css")
    code = script(*(ASSETS / f"{name}.js" for name in EXPLORER))
    pages, view = environment("grokinterp.report"), view_of(results)
    values = content(view, chapters) | {"style": Markup(style), "script": Markup(code)}
    values["policy"] = policy(style=style, script=code)

    def page(budget: int) -> str:
        pages.filters["terms"] = marker()
        return pages.get_template("report.html").render(**values, explorer=explorer(view, budget=budget))

    return page(max(LARGEST - len(page(0).encode()), LEAST))
