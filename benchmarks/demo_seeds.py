"""Train the demo with several seeds and write DEMO.md: ``python -m benchmarks.demo_seeds [--seeds 0 1 2 3]``.

Overrides of the demo may follow, as in ``steps=500``; in that case name another file with ``--out``.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.report import table
from grokinterp.phases import Curves, find_phases
from grokinterp.presets import preset
from grokinterp.training import train

OUT = Path(__file__).with_name("DEMO.md")
HEAD = [
    "seed",
    "memorized at",
    "test accuracy then",
    "generalized at",
    "last test accuracy",
    "last test loss",
    "seconds",
]


def row(seed: int, overrides: Sequence[str]) -> list[str]:
    """Train the run of a seed, date it, and discard it."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        experiment = preset("demo").override([f"seed={seed}", *overrides])
        metrics = train(experiment, Path(folder) / "run", progress=True).metrics
    seconds = time.perf_counter() - start
    history = find_phases(Curves.from_dataset(metrics))
    at = metrics.sel(step=history.memorized_step) if history.memorized_step is not None else None
    last = metrics.isel(step=-1)
    return [
        str(seed),
        str(history.memorized_step),
        "" if at is None else f"{float(at.test_accuracy):.3f}",
        str(history.grok_step),
        f"{float(last.test_accuracy):.4f}",
        f"{float(last.test_loss):.1e}",
        f"{seconds:.0f}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the seeds one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo_seeds", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to the demo")
    chosen = parser.parse_args(arguments)
    rows = [row(seed, chosen.overrides) for seed in chosen.seeds]
    lines = [
        "# The demo with other seeds\n",
        "Written by `python -m benchmarks.demo_seeds`.",
        f"Machine: {describe()}.\n",
    ]
    chosen.out.write_text("\n".join([*lines, table(HEAD, rows)]), encoding="utf-8")
    print(chosen.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
