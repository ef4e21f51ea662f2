"""Analyses of the demo compared with a notebook's loop: ``python -m benchmarks.demo_analyses RUN_DIR``.

Both run on one thread, taking turns; this package on every checkpoint, the notebook on every 25th.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.analyses import SAME, notebook
from grokinterp.analysis import evaluate, logit_spectrum
from grokinterp.runs.trajectory import Trajectory


def milliseconds(work: Callable[[], object], checkpoints: int) -> float:
    """Return the wall time per checkpoint."""
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start) / checkpoints


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the median times per checkpoint and their ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo_analyses", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="a run of one layer without biases on addition")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    run = Trajectory.open(chosen.run)
    keys = logit_spectrum(run[run.steps[-1]]).is_key.nonzero().flatten() + 1
    some, models = run.steps[::25], {"float32": run.model(), "float64": run.model().double()}
    times: dict[str, list[float]] = {name: [] for name in ("ours", *models)}
    for _ in range(chosen.rounds):
        times["ours"].append(milliseconds(lambda: evaluate(SAME, run, key_frequencies=keys), len(run.steps)))
        for name, model in models.items():

            def loop(model: torch.nn.Module = model) -> None:
                for step in some:
                    notebook(model, run, step, keys.tolist())

            times[name].append(milliseconds(loop, len(some)))
    medians = {name: statistics.median(of) for name, of in times.items()}
    print(f"ours {medians['ours']:.0f} ms per checkpoint, {len(run.steps)} checkpoints")
    for name in models:
        print(f"notebook, {name}: {medians[name]:.0f} ms, {medians[name] / medians['ours']:.1f} times")


if __name__ == "__main__":
    main()
