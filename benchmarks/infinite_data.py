"""Train one network on finite and on infinite data: ``python -m benchmarks.infinite_data [overrides]``.

The parity of 3 of 30 bits is learned by a small MLP from 500 strings, and from strings that are drawn anew for every
step. The outcomes are written into docs/infinite_data.md; with overrides, name another file with ``--out``.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.report import table
from grokinterp import Results, train
from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.models import MLPSpec
from grokinterp.tasks import SparseParity

OUT = Path(__file__).resolve().parent.parent / "docs" / "infinite_data.md"
BEGINS = "## Measured\n"
"""The line of the document from which this program writes it."""

BASE = Experiment(
    name="parity30",
    task=SparseParity(n_bits=30, k=3, samples=2_000),
    model=MLPSpec(hidden=(200,), act_fn="relu", biases=True, initialization="pytorch"),
    split=Split(fraction=0.25),
    optimization=Optimization(lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98), warmup_steps=0, batch_size=32),
    save=SaveAt(every=5_000, dense_until=0),
    steps=6_000,
    evaluate_every=50,
)

HEAD = ("data", "train ≥ 99 % at", "test ≥ 95 % at", "largest gap", "train / test accuracy at the end", "verdict")


def row(data: str, results: Results) -> tuple[str, ...]:
    """Return a row of the table."""
    history, metrics = results.history, results.metrics
    gap = float((metrics["train_accuracy"] - metrics["test_accuracy"]).max())
    ends = " / ".join(f"{float(metrics[f'{part}_accuracy'][-1]):.3f}" for part in ("train", "test"))
    steps = (f"{at:,}" if at is not None else "never" for at in (history.memorized_step, history.generalized_step))
    return data, *steps, f"{gap:.2f}", ends, history.verdict


def main(arguments: Sequence[str] | None = None) -> None:
    """Train both runs, and write the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.infinite_data", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE", help="the document that is written")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to both runs")
    chosen = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for data in ("finite", "infinite"):
            experiment = BASE.override([f"data={data}", *chosen.overrides])
            rows.append(row(data, Results.open(train(experiment, Path(folder) / data, device="cpu").path)))
    found = f"{BEGINS}\nWritten by `python -m benchmarks.infinite_data`, seed 0. Machine: {describe()}.\n\n"
    text = OUT.read_text(encoding="utf-8").partition(BEGINS)[0]
    chosen.out.write_text(text + found + table(HEAD, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
