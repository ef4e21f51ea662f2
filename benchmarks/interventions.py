"""Branch runs that grok, and write the outcomes into docs/interventions.md: ``python -m benchmarks.interventions``.

Overrides of the setting may follow, as in ``steps=500``; then name another file with ``--out``.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.machine import describe
from benchmarks.report import table
from grokinterp import Trajectory, analyze, branch, preset, train
from grokinterp.analysis import embedding_spectrum
from grokinterp.experiment.edits import AblateFrequencies, Edit, Graft
from grokinterp.phases import SUSTAINED, Curves, find_phases, sustained_step

MEASURED = Path(__file__).with_name("interventions.json")
OUT = Path(__file__).resolve().parent.parent / "docs" / "interventions.md"
BEGINS = "## Measured\n"
"""The line of the document from which this program writes it."""

SETTING = (
    "task.p=31", "model.d_model=64", "model.d_mlp=128", "split.fraction=0.7", "steps=4000", "evaluate_every=10",
    "save.every=20", "save.dense_until=0",
)  # fmt: skip
"""Changes to the demo: a network that groks in seconds."""

FEWER = (0.5, 0.3)
"""Fractions of the examples on which training continues after grokking."""

LONG = 2
"""How many times as long as its parent a run without weight decay is trained."""

EARLY = 20
"""The step into whose network an embedding is grafted."""


class Branches(NamedTuple):
    """The runs of one seed: the parent, where its branches start, and how a branch is trained."""

    parent: Trajectory
    memorized: int
    folder: Path

    @property
    def last(self) -> int:
        """The last step of the parent."""
        return self.parent.experiment.budget

    def grow(self, name: str, step: int, *changes: str, edits: Sequence[Edit] = ()) -> Trajectory:
        """Train a branch of the parent."""
        return branch(self.parent.path, step, *changes, edits=edits, directory=self.folder / name, device="cpu")


def measure(seed: int, overrides: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Train the parent of a seed and all branches, and return the outcome of each, by name."""
    experiment = preset("demo").override([*SETTING, f"seed={seed}", *overrides])
    with tempfile.TemporaryDirectory() as folder:
        parent = train(experiment, Path(folder) / "parent", device="cpu")
        memorized = find_phases(Curves.from_dataset(parent.metrics)).memorized_step or parent.experiment.budget
        saved = min((step for step in parent.steps if step >= memorized), default=parent.steps[-1])
        runs = Branches(parent, saved, Path(folder))
        found = {"parent": outcome(parent) | {"memorized": memorized}}
        for case in CASES:
            found |= case(runs)
    return found


def ungrokking(runs: Branches) -> dict[str, dict[str, Any]]:
    """Continue the grokked network on fewer examples, and train on as few from the start."""
    all_of_them = runs.parent.experiment.split.fraction
    found = {}
    for fraction in (all_of_them, *FEWER):
        found[f"continued on {fraction:g}"] = outcome(
            runs.grow(f"fewer-{fraction}", runs.last, f"split.fraction={fraction}")
        )
        if fraction != all_of_them:
            other = runs.parent.experiment.override([f"split.fraction={fraction}"])
            found[f"from the start on {fraction:g}"] = outcome(
                train(other, runs.folder / f"scratch-{fraction}", device="cpu")
            )
    return found


def weight_decay(runs: Branches) -> dict[str, dict[str, Any]]:
    """Continue from memorization with and without weight decay."""
    length = f"steps={LONG * runs.last}"
    return {
        "weight decay as before": outcome(runs.grow("decay", runs.memorized)),
        "weight decay 0": outcome(runs.grow("no-decay", runs.memorized, "optimization.weight_decay=0", length)),
    }


def frequency(runs: Branches) -> dict[str, dict[str, Any]]:
    """Remove the strongest key frequency, or another frequency, from the embedding of the grokked network."""
    keys = analyze(runs.parent, only=["logit_spectrum"], every=len(runs.parent.steps)).key_frequencies or [1]
    power = powers(runs.parent, runs.last)
    key = max(keys, key=lambda k: power[k - 1])
    other = min(range(1, len(power) + 1), key=lambda k: power[k - 1])
    found = {}
    for name, k in (("key frequency removed", key), ("weakest frequency removed", other)):
        run = runs.grow(name.split()[0], runs.last, edits=[AblateFrequencies(frequencies=(k,))])
        shares = [share(powers(run, step), k) for step in (0, run.steps[-1])]
        found[name] = outcome(run) | {"k": k, "shares": [share(power, k), *shares]}
    return found


def graft(runs: Branches) -> dict[str, dict[str, Any]]:
    """Graft the embedding of the grokked network into an early checkpoint."""
    step = min(EARLY, runs.last)
    edits = [Graft(part="embed", step=runs.last)]
    frozen = 'optimization.parts=[{part="embed",frozen=true}]'
    return {
        "early network": outcome(runs.grow("early", step)),
        "grafted embedding": outcome(runs.grow("grafted", step, edits=edits)),
        "grafted embedding, frozen": outcome(runs.grow("frozen", step, frozen, edits=edits)),
    }


CASES: tuple[Callable[[Branches], dict[str, dict[str, Any]]], ...] = (ungrokking, weight_decay, frequency, graft)


def powers(run: Trajectory, step: int) -> list[float]:
    """Return the power of each frequency in the embedding."""
    return embedding_spectrum(run[step]).embedding_power.tolist()


def share(power: Sequence[float], k: int) -> float:
    """Return the share of a frequency in the power of all frequencies.

    >>> share([1.0, 3.0], 2)
    0.75
    """
    return power[k - 1] / sum(power)


def outcome(run: Trajectory) -> dict[str, Any]:
    """Return test accuracy at the start and the end, its extremes, and the step of lasting generalization."""
    metrics = run.metrics
    accuracy, steps = metrics["test_accuracy"].values, metrics["step"].values
    step = sustained_step(steps, accuracy)
    return {
        "steps": int(steps[-1]),
        "start": float(accuracy[0]),
        "lowest": float(accuracy.min()),
        "highest": float(accuracy.max()),
        "end": float(accuracy[-1]),
        "train": float(metrics["train_accuracy"].values[-1]),
        "generalized": None if step is None else int(step),
    }


HEAD = ("run", "steps", "test accuracy at its step 0", "lowest", "at the end", "generalized at (its own steps)")

CAPTIONS = {
    ungrokking: "### Fewer examples after grokking\n\nUngrokking (Varma et al. 2023): from the last step of the "
    "parent, with the same settings but a smaller `split.fraction`; the examples that are left out join the "
    "test set. Below them, runs that were trained on as few examples from the start.",
    weight_decay: "### Weight decay off at memorization\n\nFrom the first saved step at which the parent has "
    f"memorized. The run without weight decay is trained {LONG} times as long as the parent.",
    frequency: "### A frequency removed at the end\n\nFrom the last step of the parent, without one frequency in the "
    "embedding: the key frequency with the largest share of the embedding's power or, as a control, the frequency with "
    "the smallest share.",
    graft: f"### A generalizing embedding in an early network\n\nFrom step {EARLY} of the parent, with the embedding "
    "of its last step, trained on or frozen.",
}


def names_of(case: Callable[[Branches], Any], found: Iterable[str]) -> list[str]:
    """Return the names of the runs of a case."""
    starts = {
        ungrokking: ("continued", "from"), weight_decay: ("weight decay",), frequency: ("key", "weakest"),
        graft: ("early", "grafted"),
    }  # fmt: skip
    return [name for name in found if name.startswith(starts[case])]


def row(name: str, of_seeds: Sequence[dict[str, Any]]) -> list[str]:
    """Return the row of a run, with the values of all seeds."""
    steps = sorted({one["steps"] for one in of_seeds})
    columns = [", ".join(f"{one[key]:.3f}" for one in of_seeds) for key in ("start", "lowest", "end")]
    dates = ", ".join("never" if one["generalized"] is None else f"{one['generalized']:,}" for one in of_seeds)
    return [name, ", ".join(f"{step:,}" for step in steps), *columns, dates]


def shares_table(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table of the shares of the removed frequencies in the power of the embedding."""
    rows = [
        [name, str(seed), str(one["k"]), *(f"{value:.4f}" for value in one["shares"])]
        for name in names_of(frequency, found)
        for seed, one in enumerate(found[name])
    ]
    return table(["run", "seed", "frequency", "share before", "share at step 0", "share at the end"], rows)


def section(measured: dict[str, Any]) -> str:
    """Return the part of the document with the results."""
    found = measured["runs"]
    parent = [*row("parent", found["parent"]), ", ".join(f"{one['memorized']:,}" for one in found["parent"])]
    lines = [
        f"{BEGINS}\nWritten by `python -m benchmarks.interventions`: {measured['setting']}. Values are listed by seed "
        f"({', '.join(map(str, measured['seeds']))}). A run has generalized at the first step of "
        f"{SUSTAINED.window} evaluations with a test accuracy of at least {SUSTAINED.threshold:g}. Branches start with "
        f"a fresh optimizer. {measured['seconds']:.0f} seconds of processor time in all. Machine: "
        f"{measured['machine']}, one thread.\n",
        table([*HEAD, "memorized at"], [parent]),
    ]
    parents = zip(measured["seeds"], found["parent"], strict=True)
    late = [str(seed) for seed, one in parents if one["generalized"] is None]
    if late:
        lines.append(
            f"The parent of seed {' and '.join(late)} has not generalized at its last step, so that branches of this "
            "step start from a network that has not grokked.\n"
        )
    for case in CASES:
        lines += [f"{CAPTIONS[case]}\n", table(list(HEAD), [row(name, found[name]) for name in names_of(case, found)])]
        lines += [shares_table(found)] if case is frequency else []
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train all runs of all seeds, keep the numbers, and write them into the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interventions", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--write", action="store_true", help="write the document from the stored numbers")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to the setting")
    chosen = parser.parse_args(arguments)
    if chosen.write:
        return write(json.loads(MEASURED.read_text(encoding="utf-8")), chosen.out)
    torch.set_num_threads(1)
    start = time.process_time()
    of_seeds = [measure(seed, chosen.overrides) for seed in chosen.seeds]
    setting = ", ".join(f"`{change}`" for change in chain(SETTING, chosen.overrides))
    measured = {
        "setting": f"the preset `demo` with {setting}",
        "seeds": chosen.seeds,
        "machine": describe(),
        "seconds": time.process_time() - start,
        "runs": {name: [one[name] for one in of_seeds] for name in of_seeds[0]},
    }
    if chosen.out == OUT:
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    return write(measured, chosen.out)


def write(measured: dict[str, Any], out: Path) -> None:
    """Write the results into a document, and print them."""
    text = out.read_text(encoding="utf-8") if out.exists() else ""
    out.write_text(text.partition(BEGINS)[0] + section(measured), encoding="utf-8")
    print(section(measured))


if __name__ == "__main__":
    main()
