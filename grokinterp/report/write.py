"""A run directory as one HTML file that opens offline and runs nothing but its own script."""

from collections.abc import Iterable
from pathlib import Path

from markupsafe import Markup

from grokinterp.page import asset, environment, policy
from grokinterp.page.html import STYLE
from grokinterp.report.chapters import CHAPTERS, Chapter
from grokinterp.report.content import content, view_of
from grokinterp.report.explorer import explorer
from grokinterp.runs.results import Results
from grokinterp.storage import write_atomic

ASSETS = Path(__file__).parent / "templates"

LARGEST = 4_950_000
"""Bytes of a page; the checkpoint slider shows as many checkpoints as the rest of the page leaves room for."""

LEAST = 450_000
"""Bytes that the slider gets in any case."""


def write_report(run_dir: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of an analyzed run and return its path.

    Args:
        run_dir: a run directory; the report names the analyses that have not been run.
        out: the file, by default ``reports/<name of the run directory>.html``.

    Raises:
        RunDirectoryError: no run directory, or a damaged one.
        GrokinterpError: the file cannot be written.
    """
    path = Path("reports") / f"{Path(run_dir).resolve().name}.html" if out is None else Path(out)
    page = render(Results.open(run_dir))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, page.encode("utf-8"), replace=True)
    return path


def render(results: Results, chapters: Iterable[Chapter] = CHAPTERS) -> str:
    """Return the page: the same results give the same bytes."""
    style, script = asset(STYLE) + asset(ASSETS / "report.css"), asset(ASSETS / "explorer.js")
    template, view = environment("grokinterp.report").get_template("report.html"), view_of(results)
    values = content(view, chapters) | {"style": Markup(style), "script": Markup(script)}
    values["policy"] = policy(style=style, script=script)
    empty = len(template.render(**values, explorer=explorer(view, budget=0)).encode())
    return template.render(**values, explorer=explorer(view, budget=max(LARGEST - empty, LEAST)))
