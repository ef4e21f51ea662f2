"""From a run directory to one HTML file that opens offline and runs nothing but its own script."""

from pathlib import Path

from markupsafe import Markup

from grokinterp.page import asset, environment, policy
from grokinterp.page.html import STYLE
from grokinterp.report.content import content
from grokinterp.runs.results import Results
from grokinterp.storage import write_atomic

ASSETS = Path(__file__).parent / "templates"


def write_report(run_dir: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of an analyzed run; returns where it is.

    Args:
        run_dir: a run directory with whatever analyses have been run; what is missing is named in the report.
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


def render(results: Results) -> str:
    """The page: the same results give the same bytes."""
    style, script = asset(STYLE) + asset(ASSETS / "report.css"), asset(ASSETS / "explorer.js")
    return environment("grokinterp.report").get_template("report.html").render(
        **content(results), style=Markup(style), script=Markup(script), policy=policy(style=style, script=script)
    )  # fmt: skip
