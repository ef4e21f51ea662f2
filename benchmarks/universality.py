"""Train the seeds of some settings, and count the different circuits; train at constrained norms, and list the losses.

``python -m benchmarks.universality [--parts circuits norms] [--out FOLDER] [--seeds 12] [--workers 1] [--small]``
prints the tables of docs/sweeps.md. Runs that the folder has are not trained again.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from benchmarks.report import table
from grokinterp.experiment import Experiment
from grokinterp.phases import SUSTAINED
from grokinterp.presets import preset
from grokinterp.runs.results import Results
from grokinterp.sweep_report.circuits import ANALYSIS, Circuits, FinalKeys, read_keys
from grokinterp.sweeps import Grid, Sweep, run_sweep
from grokinterp.sweeps.analyses import analyze_runs
from grokinterp.sweeps.entry import Entry
from grokinterp.sweeps.named import SMALL, named

SMALL_TRANSFORMER = {"steps": 4_000, "save.every": 4_000}
SMALL_MLP = {"steps": 1_000, "save.every": 1_000}
SMALL_GROUP = {
    "task.group": "S4", "model.d_embed": 32, "model.hidden": [64], "optimization.lr": 0.01, "split.fraction": 0.7,
    "steps": 2_000, "save.every": 2_000,
}  # fmt: skip

SETTINGS = {
    "transformer of the small sweeps, a + b mod 23": SMALL.changed(SMALL_TRANSFORMER),
    "quadratic MLP, a + b mod 31": preset("league").changed(SMALL_MLP),
    "ReLU MLP, x · y in S4": preset("chughtai_s5").changed(SMALL_GROUP),
}
"""Settings whose networks generalize within seconds or minutes on one core."""

TOY, IN_TESTS = {"steps": 20}, ("ReLU MLP, x · y in S4",)
HEAD = ["setting", "networks", "generalized", "keys", "different circuits", "by chance [95 %]", "p"]
NORMS = ["norm", "times the usual", "training loss", "test loss", "training accuracy", "test accuracy"]


def trained(name: str, base: Experiment, seeds: int, folder: Path, workers: int) -> list[Entry]:
    """Return the runs of a setting, trained and analyzed at the last checkpoint."""
    entries = run_sweep(Sweep.of(name, Grid(base, {}), seeds=seeds), folder, workers=workers, progress=True)
    analyze_runs(folder, only=[ANALYSIS], last=True, progress=True)
    return entries


def generalized(entry: Entry) -> bool:
    """Return whether the network of a run answers 95 % of the test examples correctly at the end."""
    return float(Results.open(entry.directory).metrics["test_accuracy"].values[-1]) >= SUSTAINED.threshold


def row(name: str, entries: Sequence[Entry]) -> list[str]:
    """Return the row of a setting."""
    good = [entry for entry in entries if generalized(entry)]
    read = [read_keys(entry.directory) for entry in good]
    keys = [of for of in read if isinstance(of, FinalKeys) and of.is_key.any()]
    if not keys:
        return [name, str(len(entries)), str(len(good)), "", "", "", ""]
    seeds, group = tuple(map(str, range(len(keys)))), entries[0].experiment.task.group_name
    sets, similarities = np.array([of.is_key for of in keys]), np.array([of.similarity for of in keys])
    of = Circuits(name, group, keys[0].labels, seeds, sets, similarities)
    by_chance = of.by_chance
    interval = f"{by_chance.expected:.1f} [{by_chance.quantile(0.025)}, {by_chance.quantile(0.975)}]"
    counts = [str(len(entries)), str(len(good)), of.sizes, str(of.n_classes)]
    return [name, *counts, interval, f"{by_chance.at_most(of.n_classes):.2g}"]


def norm_rows(entries: Sequence[Entry]) -> Iterator[list[str]]:
    """Yield a row for every constrained norm, with the medians over the seeds."""
    last = [Results.open(entry.directory).metrics.isel(step=-1) for entry in entries]
    scales = np.array([entry.experiment.optimization.init_scale for entry in entries])
    for scale in np.unique(scales):
        at = [one for one, of in zip(last, scales, strict=True) if of == scale]
        norm, *values = (
            float(np.median([float(one[name]) for one in at]))
            for name in ("weight_norm", "train_loss", "test_loss", "train_accuracy", "test_accuracy")
        )
        losses, accuracies = (f"{value:.2g}" for value in values[:2]), (f"{value:.2f}" for value in values[2:])
        yield [f"{norm**0.5:.1f}", f"{scale:g}", *losses, *accuracies]


def circuits(folder: Path, seeds: int, workers: int, *, small: bool) -> str:
    """Train and analyze the settings, and return the table of their circuits."""
    settings = {name: SETTINGS[name].changed(TOY) for name in IN_TESTS} if small else SETTINGS
    rows = [
        row(name, trained(f"setting-{i}", base, 2 if small else seeds, folder / str(i), workers))
        for i, (name, base) in enumerate(settings.items())
    ]
    return table(HEAD, rows)


def norms(folder: Path, workers: int, *, small: bool) -> str:
    """Train at constrained norms, and return the table of the losses."""
    grid = named("omnigrok_norm", "small")
    if small:
        grid = grid.changed(TOY, {"optimization.init_scale": [0.5, 1.0], "seed": [0]})
    entries = run_sweep(Sweep.of("omnigrok_norm", grid), folder / "norm", workers=workers, progress=True)
    return table(NORMS, norm_rows(entries))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, analyze, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.universality", description=__doc__)
    parser.add_argument("--out", type=Path, help="the folder of the runs (default: a temporary one)")
    parser.add_argument("--parts", nargs="+", choices=["circuits", "norms"], default=["circuits", "norms"])
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="toy size for the test suite; the numbers are meaningless")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.out or Path(temporary)
        print(f"Machine: {describe()}.")
        if "circuits" in chosen.parts:
            print("\n" + circuits(folder, chosen.seeds, chosen.workers, small=chosen.small), end="")
        if "norms" in chosen.parts:
            print("\n" + norms(folder, chosen.workers, small=chosen.small), end="")


if __name__ == "__main__":
    main()
