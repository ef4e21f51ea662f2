"""Train the named sweeps and write what they found into docs/boundaries.md: ``python -m benchmarks.boundaries``.

Runs that exist are not trained again. All sweeps at small scale take about two hours on two cores; ``--sweeps`` names
some of them. Overrides of every run may follow, as in ``steps=500``; then name another ``--root`` and ``--out``.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.report import table
from grokinterp.cli.options import split_names
from grokinterp.cli.sweeping import settings_and_axes, suffixed
from grokinterp.sweep_report.chapters import CHAPTERS
from grokinterp.sweep_report.plate import Table
from grokinterp.sweep_report.study import Study, studies
from grokinterp.sweep_report.summary import study_doubts
from grokinterp.sweeps import Database, Sweep, build_db, open_db, run_sweep
from grokinterp.sweeps.named import SWEEPS, named

ROOT = Path("sweeps/named")
OUT = Path(__file__).resolve().parent.parent / "docs" / "boundaries.md"
HEADINGS = {"small": "## Measured at small scale\n", "full": "## Measured at full scale\n"}
"""The chapters of the document that this program writes; it replaces the one of the scale."""


def trained(names: Sequence[str], scale: str, root: Path, overrides: Sequence[str]) -> Database:
    """Train the sweeps that lack runs, and return the database of all runs of the folder."""
    for name in names:
        grid = named(name, scale).changed(*settings_and_axes(overrides))
        run_sweep(Sweep.of(suffixed(name, scale), grid), root, progress=True)
    build_db(root, root / "experiments.db")
    return open_db(root / "experiments.db")


def overview(database: Database) -> str:
    """Return the table of sweeps: how many of their runs have ended, and how many grokked or did not."""
    listed = database.experiments.set_index("experiment")["listed"]
    rows = []
    for name, runs in database.run_summary.groupby("experiment", sort=True):
        decided = runs[runs["decided"] == 1]
        dates = decided["grok_epoch"].dropna()
        first_and_last = f"{int(dates.min()):,} – {int(dates.max()):,}" if len(dates) else "none"
        censored = f"{len(decided) - len(dates)} ({1 - len(dates) / len(decided):.0%})" if len(decided) else "0"
        rows.append([f"`{name}`", f"{len(decided)} of {listed[name]}", str(len(dates)), censored, first_and_last])
    return table(("sweep", "runs that ended", "grokked", "censored", "earliest and latest grok step"), rows)


def section(study: Study) -> Iterator[str]:
    """Yield the lines of a study: what was found, what is doubtful, and its tables."""
    yield f"### {study.title[:1].upper()}{study.title[1:]}\n"
    names = ", ".join(f"`{name}`" for name in study.experiments)
    yield f"{len(study.runs)} run{'s' * (len(study.runs) != 1)} of {names}.\n"
    for chapter in CHAPTERS:
        yield from (f"* {sentence[:1].upper()}{sentence[1:]}" for sentence in chapter.findings(study))
    caveats = [*study_doubts(study), *(sentence for chapter in CHAPTERS for sentence in chapter.doubts(study))]
    yield from (f"* Caveat: {sentence[:1].upper()}{sentence[1:]}" for sentence in caveats)
    yield ""
    yield from (markdown(found) for chapter in CHAPTERS if (found := chapter.table(study)) is not None)


def markdown(found: Table) -> str:
    """Format a table of the page."""
    return f"{found.caption}\n\n{table(found.columns, found.rows)}"


def page(database: Database, root: Path, scale: str) -> str:
    """Return the part of the document that this program writes."""
    parts = [
        f"{HEADINGS[scale]}\nWritten by `python -m benchmarks.boundaries`. Machine: {describe()}.\n",
        "A run is censored if it did not grok before its budget ended.\n",
        overview(database),
        *(line for study in studies(database, root) if study.x is not None for line in section(study)),
    ]
    return "\n".join(parts)


def written(before: str, measured: str) -> str:
    """Return the document with a measured chapter in place of that with the same heading, or at the end."""
    heading = measured.partition("\n")[0] + "\n"
    start, _, rest = before.partition(heading)
    _, mark, after = rest.partition("\n## ")
    return start + measured.rstrip() + "\n" + mark + after


def main(arguments: Iterable[str] | None = None) -> None:
    """Train what is missing, and write the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.boundaries", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="the folder of the runs")
    parser.add_argument("--scale", default="small", choices=tuple(SWEEPS))
    parser.add_argument("--sweeps", default=",".join(SWEEPS["small"]), metavar="NAME,...", help="default: all of them")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE", help="the document that is written")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to every run")
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    database = trained(split_names(chosen.sweeps), chosen.scale, chosen.root, chosen.overrides)
    measured = page(database, chosen.root, chosen.scale)
    before = OUT.read_text(encoding="utf-8") if OUT.exists() else ""
    chosen.out.write_text(written(before, measured), encoding="utf-8")


if __name__ == "__main__":
    main()
