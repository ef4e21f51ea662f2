"""The results of the queries in docs/database.md: ``python -m benchmarks.queries [overrides]``.

Trains a sweep of eight small transformers, weight decay × ratio of width to prime × seed, builds its database, and
writes the rows of every query below it.
"""

import argparse
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from grokinterp.cli.printing import aligned
from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.models import TransformerSpec
from grokinterp.sweeps import Database, Grid, Sweep, build_db, open_db, run_sweep
from grokinterp.tasks import ModularAddition

PAGE = Path(__file__).resolve().parents[1] / "docs" / "database.md"

BLOCK = re.compile(r"(```sql\n(.*?)\n```\n)(?:\n```text\n.*?\n```\n)?", re.DOTALL)
"""A query of the page, and its result, if there is one."""

BASE = Experiment(
    name="boundary",
    task=ModularAddition(p=29),
    model=TransformerSpec(d_model=32, n_heads=2, d_mlp=128),
    split=Split(fraction=0.8, pairs="unordered"),
    optimization=Optimization(lr=5e-3),
    save=SaveAt(every=1500),
    steps=1500,
    patience=10,
)

AXES = {"optimization.weight_decay": (0.1, 2.0), "ratio": (0.5, 2), "seed": (0, 1)}


def trained(root: Path, base: Experiment, *, engine: str = "local") -> Database:
    """Train the sweep into a folder, and return its database."""
    sweep = Sweep.of("boundary", Grid(base, AXES, "weight decay and ratio"))
    run_sweep(sweep, root, engine=engine, workers=1)
    build_db(root, root / "experiments.db")
    return open_db(root / "experiments.db")


def with_results(page: str, db: Database) -> str:
    """Return the page with the current results of its queries."""

    def result(found: re.Match[str]) -> str:
        lines = "\n".join(aligned(*db.select(found[2]))) or "(no rows)"
        return f"{found[1]}\n```text\n{lines}\n```\n"

    return BLOCK.sub(result, page)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the sweep and write the results into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queries", description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="the page that is written")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to the experiment")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        db = trained(Path(folder), BASE.override(chosen.overrides))
        page = chosen.page.read_text(encoding="utf-8")
        chosen.page.write_text(with_results(page, db), encoding="utf-8")


if __name__ == "__main__":
    main()
