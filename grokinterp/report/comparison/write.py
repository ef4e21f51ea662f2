"""Write a comparison of runs as one HTML file that opens offline and runs only its own script."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from grokinterp.errors import GrokinterpError, require
from grokinterp.garbage import without_garbage_collection
from grokinterp.page import asset, environment, policy
from grokinterp.page.html import STYLE, script
from grokinterp.page.plots import MOST_POINTS
from grokinterp.report.comparison.arguments import common_folder, comparison_file, run_paths
from grokinterp.report.comparison.content import content
from grokinterp.report.comparison.groups import grouping_of
from grokinterp.report.comparison.run import Compared, read_compared
from grokinterp.storage import write_atomic
from grokinterp.storage.atomic import make_directory

ASSETS = Path(__file__).parents[1] / "templates"

MOST_GROUPS = 24
"""Largest number of settings whose colors and dash patterns can be distinguished."""


class Comparison(NamedTuple):
    """Runs that were read, and the reason why each other run is left out, by its path."""

    runs: list[Compared]
    failed: dict[str, str]


def write_comparison(runs: Iterable[str | Path], out: str | Path | None = None) -> Path:
    """Write the page that compares runs, and return its path.

    Runs that differ only in their seeds are drawn as one curve with a band. Runs without analyses or without a history
    are compared by what they have.

    Args:
        runs: run directories, and folders of them.
        out: the output file (default: ``reports/comparison.html``).

    Raises:
        ConfigError: fewer than two runs, too many settings, a run is given twice, or the file is no page.
        RunDirectoryError: fewer than two runs can be read.
        WriteError: the page cannot be written.
    """
    path = comparison_file(out)
    found = read_comparison(runs)
    write_page(found, path)
    return path


def write_page(found: Comparison, path: Path) -> None:
    """Write the page of runs that were read."""
    page = render(found.runs, path, found.failed)
    make_directory(path.parent)
    write_atomic(path, page.encode("utf-8"), replace=True)


def read_comparison(paths: Iterable[str | Path]) -> Comparison:
    """Read the runs of a comparison.

    Raises:
        ConfigError: there are fewer than two runs, or a path is given twice or does not lead to a run.
        RunDirectoryError: fewer than two runs can be read.
    """
    places = run_paths(paths)
    above = common_folder(places)
    runs, failed = [], {}
    last: GrokinterpError | None = None
    for place in places:
        try:
            runs.append(read_compared(place, os.path.relpath(place, above)))
        except GrokinterpError as error:
            failed[str(place)], last = str(error), error
    if len(runs) < 2:
        assert last is not None  # at least two paths
        raise last
    count = len(grouping_of(runs).groups)
    rule = f"are more than the {MOST_GROUPS} that can be distinguished: use `grokinterp sweep-report`"
    require(count <= MOST_GROUPS, "runs", f"{count} different settings", rule)
    return Comparison(runs, failed)


@without_garbage_collection()
def render(runs: Sequence[Compared], out: Path, failed: dict[str, str] | None = None) -> str:
    """Return the page; the same runs always give the same bytes."""
    style = asset(STYLE) + asset(ASSETS / "many.css")
    values: dict[str, Any] = content(runs, out, failed or {})
    template = environment("grokinterp.report").get_template("comparison.html")
    code = script()
    return template.render(
        **values,
        most_points=MOST_POINTS,
        style=Markup(style),
        script=Markup(code),
        policy=policy(style=style, script=code),
    )
