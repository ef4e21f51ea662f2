"""Links from a page to the reports of single runs."""

import os
from pathlib import Path
from urllib.parse import quote


def report_link(directory: str, root: Path, out: Path) -> str:
    """Return the URL of a run's report relative to the page, "" if there is none.

    Reports are looked for beside the page, in ``reports``, in the folder of the runs, and in the run directory.
    """
    name = f"{Path(directory).name}.html"
    places = (out.parent / name, Path("reports") / name, root / name, root / directory / "report.html")
    for place in places:
        if place.is_file():
            return quote(os.path.relpath(place.resolve(), out.parent.resolve()))
    return ""
