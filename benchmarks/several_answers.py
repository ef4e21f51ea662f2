"""Train networks with several answers, on finite and on infinite data: ``python -m benchmarks.several_answers``.

The outcomes are written into docs/several_answers.md. Overrides of every run may follow, as in ``steps=100``; then name
another file with ``--out``.
"""

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.report import table
from grokinterp import Results, analyze, preset, train

OUT = Path(__file__).resolve().parent.parent / "docs" / "several_answers.md"
BEGINS = "## Measured\n"
"""The line of the document from which this program writes it."""

RUNS = {
    "addition of two digits, 30 % of the pairs": ("digits", ()),
    "the same on infinite data": ("digits", ("data=infinite",)),
    "repeated sequences": ("induction", ()),
    "the same on infinite data ": ("induction", ("data=infinite",)),
}
"""The presets that are trained, and their changes, by their title."""


def results_of(name: str, overrides: Sequence[str], folder: Path) -> Results:
    """Train a preset, and measure the roles of its heads."""
    run = train(preset(name).override(overrides), folder, device="cpu", progress=True)
    return analyze(run, only=["head_roles"])


def section(title: str, results: Results) -> Iterator[str]:
    """Yield the outcome of a run: its verdict, the steps of every answer, and its induction head."""
    history, metrics = results.history, results.metrics
    yield f"### {title.strip()[:1].upper()}{title.strip()[1:]}\n"
    yield f"All answers together: {history.describe()}\n"
    rows = []
    for answer, of in results.histories.items():
        last = metrics.sel(answer=answer).isel(step=-1)
        accuracies = [f"{float(last[f'{part}_accuracy_of_answer']):.3f}" for part in ("train", "test")]
        rows.append([str(answer), step(of.memorized_step), step(of.generalized_step), *accuracies, of.verdict])
    yield table(("answer", "train ≥ 99 % at", "test ≥ 95 % at", "train at the end", "test at the end", "verdict"), rows)
    if found := results.induction:
        formed = "none formed" if found.formed is None else f"formed by step {found.formed:,}"
        score = f"prefix matching {found.prefix_matching:.2f} ({found.chance:.2f} for uniform attention)"
        yield f"Strongest induction head: {found.layer}.{found.head}, {score}, copying {found.copying:.2f}; {formed}.\n"


def step(at: int | None) -> str:
    """Return a step as text."""
    return "never" if at is None else f"{at:,}"


def main(arguments: Iterable[str] | None = None) -> None:
    """Train all runs, and write the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.several_answers", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE", help="the document that is written")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to every run")
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    parts = [f"{BEGINS}\nWritten by `python -m benchmarks.several_answers`, seed 0. Machine: {describe()}.\n"]
    with tempfile.TemporaryDirectory() as folder:
        for i, (title, (name, changes)) in enumerate(RUNS.items()):
            parts += section(title, results_of(name, [*changes, *chosen.overrides], Path(folder) / str(i)))
    text = OUT.read_text(encoding="utf-8") if OUT.exists() else ""
    chosen.out.write_text(text.partition(BEGINS)[0] + "\n".join(parts).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
