"""Memory of analyzing 2,000 checkpoints compared with 20: ``python -m benchmarks.memory [--counts 20 2000]``.

The task has the size of Nanda et al. 2023, p = 113, which determines the size of the results; the model is narrow, so
that the benchmark takes about ten minutes. Checkpoints are drawn at random, not trained.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from unittest.mock import patch

import torch

from grokinterp.presets import preset
from grokinterp.runs.trajectory import UPDATE
from grokinterp.storage import RunDirectory

NARROW = ["model.d_model=16", "model.d_mlp=32"]

PEAKS = """
import resource, sys
from grokinterp.analysis import analyze
only, *paths = sys.argv[1:]
for path in paths:
    analyze(path, only=only.split(",") if only else None)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@patch.object(os, "fsync", lambda descriptor: None)  # durability is not measured
def draw(path: Path, count: int, overrides: Sequence[str] = ()) -> Path:
    """Create a run directory with a number of random checkpoints."""
    experiment = preset("nanda2023").override([*NARROW, *overrides])
    run = RunDirectory.create(path, experiment.to_dict(), {})
    model = experiment.empty_model()
    with run.lock() as held:
        for step in range(0, 10 * count, 10):
            model.initialize(torch.Generator().manual_seed(step))
            update = {UPDATE + name: 0.01 * weight.detach() for name, weight in model.named_parameters()}
            held.save_checkpoint(step, dict(model.state_dict()) | (update if step else {}))
            held.metrics.append({"step": step, "train_loss": 1.0, "test_loss": 1.0, "train_accuracy": 0.5})
    return path


def peaks(paths: Iterable[Path], only: Iterable[str] = ()) -> list[float]:
    """Return the peak resident memory in MB of one process after it has analyzed each of the runs, in this order."""
    command = [sys.executable, "-c", PEAKS, ",".join(only), *map(str, paths)]
    return [float(line) for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both peaks and their difference."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--counts", type=int, nargs=2, default=[20, 2000], metavar="N", help="checkpoints of both runs")
    parser.add_argument("--only", default="", metavar="NAMES", help="names of analyses, separated by commas")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to the preset nanda2023")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        runs = [draw(Path(folder) / str(count), count, chosen.overrides) for count in chosen.counts]
        few, many = peaks(runs, filter(None, chosen.only.split(",")))
    parts = (f"{count:,} checkpoints {mb:.0f} MB" for count, mb in zip(chosen.counts, (few, many), strict=True))
    print(f"peak memory of analyze: {', '.join(parts)}, {many - few:+.0f} MB")


if __name__ == "__main__":
    main()
