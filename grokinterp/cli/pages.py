"""Commands that write pages about many runs, and follow a run while it trains."""

from pathlib import Path
from typing import Annotated

import typer

from grokinterp.cli.printing import note, say
from grokinterp.storage.atomic import output_file


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories, and folders of them.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Default: reports/comparison.html.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write every curve as CSV.")] = None,
) -> None:
    """Write one HTML page that compares runs: phases, differences in settings, and one plot for each measure.

    Runs that differ only in their seeds are drawn as one curve with a band. Runs without analyses or without a history
    are compared by whatever they have.

    Exit code 1: some runs are left out (they are named); 2: there is no page.
    """
    from grokinterp.report.comparison.arguments import comparison_file, run_paths

    page, curves = comparison_file(out), None if csv is None else output_file("csv", csv)
    run_paths(runs)

    from grokinterp.report.comparison.files import curves_text
    from grokinterp.report.comparison.write import read_comparison, write_page
    from grokinterp.storage import write_atomic

    found = read_comparison(runs)
    if curves is not None:
        write_atomic(curves, curves_text(found.runs).encode("utf-8"), replace=True)
    write_page(found, page)
    end(page, found.failed)


def gallery(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="A folder with runs, at any depth below it.")] = Path(
        "checkpoints"
    ),
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Default: reports/gallery.html.")] = None,
) -> None:
    """Write one HTML page with a card for every run below ROOT: verdict, curves, and filters.

    Exit code 1: some runs are left out (they are named); 2: there is no page.
    """
    from grokinterp.report.gallery.arguments import gallery_file, require_folder

    gallery_file(out)
    require_folder(root)

    from grokinterp.report.gallery.write import write_page

    end(*write_page(root, out, progress=True))


def watch(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run directory, which may not exist yet.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also keep a page up to date.")] = None,
    every: Annotated[float, typer.Option(help="Seconds between checks of the run.")] = 2.0,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the run to begin.")] = 60.0,
) -> None:
    """Follow a run while it trains: a dashboard in the terminal and, with --out, a page that refreshes itself.

    Both mark the run as unfinished until it ends, and end with it. If the run directory does not exist yet, the
    command waits for it.

    Exit code 1: the run was interrupted or diverged; 2: it did not begin in time, or cannot be read.
    """
    from grokinterp.watch import follow

    look = follow(run_dir, out=out, every=every, patience=wait)
    say([f"{run_dir}: {look.state}", look.verdict, *([] if out is None else [str(out)])])
    if look.status in ("interrupted", "diverged"):
        raise typer.Exit(1)


def end(page: Path, failed: dict[str, str]) -> None:
    """Print the path of a page and the runs that are left out, which make the exit code 1."""
    for why in failed.values():
        note(f"left out: {why}")
    say([str(page)])
    if failed:
        raise typer.Exit(1)
