"""Train presets to their last step and write docs/presets.md: ``python -m benchmarks.presets [NAME ...]``.

Without names, the presets that take minutes on a CPU are trained. Results are kept in presets.json, so that the long
runs can be added one at a time, on any machine, and in pieces: with ``--root``, the runs are kept, and a run that was
interrupted continues. ``--cost`` only measures how long the presets would take on one core of this machine.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.preset_sources import HEAD as CLAIMS_HEAD
from benchmarks.preset_sources import MEASURES
from benchmarks.preset_sources import rows as claims
from benchmarks.report import table
from grokinterp.analysis import analyze
from grokinterp.presets import PRESETS
from grokinterp.runs.trajectory import Trajectory
from grokinterp.sweeps.clock import Clock
from grokinterp.sweeps.continued import train_or_continue
from grokinterp.sweeps.estimate import timed
from grokinterp.sweeps.worker import Timer, keep, peak_bytes
from grokinterp.training.memory import traced_for

MEASURED = Path(__file__).with_name("presets.json")
OUT = Path(__file__).resolve().parent.parent / "docs" / "presets.md"
COSTS = Path(__file__).with_name("preset_costs.json")
ANALYSES = ("logit_spectrum", "irrep_spectrum", "weight_norms", "circuit_verdict")
SMALL = ("demo", "gromov2023", "prieto2025", "parity", "digits", "induction", "three_terms", "operators")
HEAD = [
    "preset",
    "steps",
    "verdict",
    "train ≥ 99 % at",
    "test ≥ 95 % at",
    "train / test accuracy at the end",
    "train / test loss at the end",
    "key frequencies explain",
    "Σθ²",
    "seconds of training",
]


AGAINST = (
    "One seed here against what a source states. Dates and frequencies depend on the seed, the split, and the rule by "
    "which a step is dated, so that a difference is not an error by itself."
)
COST_HEAD = ("preset", "weights", "steps", "s for 100 steps", "hours for all steps", "load")


def measure(name: str, root: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Train a preset to its end in a folder, or continue it there, and measure it."""
    directory, timer, before = root / name, Timer(), peak_bytes()
    experiment = PRESETS[name].experiment.override(overrides)
    try:
        train_or_continue(experiment, directory, device="cpu", progress=True, loggers=[timer])
    finally:
        keep(directory, timer, before, peak_bytes())  # the time before an interruption counts as well
    run = Trajectory.open(directory)
    results = analyze(run, only=ANALYSES, every=len(run.steps))
    history, measures, status = results.history, results.measures(), results.directory.status
    clock = Clock.read(directory, results.metrics["step"].to_numpy())
    last = results.metrics.isel(step=-1)
    at_end = {name: float(last[name]) for name in ("train_accuracy", "test_accuracy", "train_loss", "test_loss")}
    return {
        "steps": status["step"],
        "verdict": history.verdict if status["status"] == "finished" else status["status"],
        "memorized": history.memorized_step,
        "generalized": history.generalized_step,
        "measures": at_end | {key: measures.get(key) for key in ("logit_fve", "weight_norm", *MEASURES)},
        "seconds": clock.at(status["step"]),
        "machine": describe(),
    }


def cost(name: str, seconds: float) -> dict[str, Any]:
    """Measure the processor time of the steps and evaluations of a preset, by training it for some seconds."""
    experiment = PRESETS[name].experiment
    pace = timed(experiment, seconds=seconds, most_steps=1000)
    return {
        "steps": experiment.budget,
        "weights": traced_for(experiment).weights,
        "per_100": 100 * (pace.step + pace.evaluation / experiment.evaluate_every),
        "hours": pace.seconds(experiment) / 3600,
        "load": os.getloadavg()[0],
        "machine": describe(),
    }


def row(name: str, found: dict[str, Any]) -> list[str]:
    """Format a row of the table."""
    at = found["measures"]
    explained = "not defined" if at["logit_fve"] is None else f"{at['logit_fve']:.1%}"
    return [
        name,
        f"{found['steps']:,}",
        found["verdict"],
        *("never" if found[key] is None else f"{found[key]:,}" for key in ("memorized", "generalized")),
        f"{at['train_accuracy']:.4f} / {at['test_accuracy']:.4f}",
        f"{at['train_loss']:.1e} / {at['test_loss']:.1e}",
        explained,
        "—" if at["weight_norm"] is None else f"{at['weight_norm']:.0f}",
        f"{found['seconds']:.0f}",
    ]


def page(measured: dict[str, dict[str, Any]], costs: dict[str, dict[str, Any]]) -> str:
    """Return the document: every preset with its source, the results of those trained to the end, and the others."""
    lines = ["# Presets\n", "`grokinterp train --preset NAME`; any setting can be overridden.\n"]
    lines += [f"* **{name}**: {found.about}" for name, found in PRESETS.items()]
    lines += ["\n## Trained to the last step\n", "Written by `python -m benchmarks.presets`, seed 0."]
    lines += [
        "The losses are those used in training: squared errors for gromov2023, cross-entropies in nats for the others."
    ]
    lines += [f"Machine: {machine}." for machine in sorted({found["machine"] for found in measured.values()})]
    lines += ["", table(HEAD, [row(name, measured[name]) for name in PRESETS if name in measured])]
    lines += ["## Against the sources\n", AGAINST, "", table(CLAIMS_HEAD, claims(measured))]
    untrained = [name for name in PRESETS if name not in measured]
    return "\n".join([*lines, *(untrained_lines(untrained, costs) if untrained else [""])])


def untrained_lines(names: Sequence[str], costs: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the section on presets that were not trained to the last step, with what this would take."""
    known = {name: costs[name] for name in names if name in costs}
    yield "\n## Not trained to the last step\n"
    yield (
        f"{', '.join(names)}: this program has not trained them to the last step. `python -m benchmarks.presets NAME "
        "--root DIR` does so in pieces: an interrupted run continues."
    )
    if known:
        yield "\nProcessor time on one core, by `python -m benchmarks.presets --cost`, without saving and analyses."
        yield "At a load above the number of cores, other programs shared the caches, and an idle machine is faster."
        yield from (f"Machine: {machine}." for machine in sorted({one["machine"] for one in known.values()}))
        yield ""
        yield table(
            COST_HEAD,
            [
                (
                    name,
                    f"{one['weights']:,}",
                    f"{one['steps']:,}",
                    f"{one['per_100']:.1f}",
                    f"{one['hours']:.1f}",
                    f"{one['load']:.0f}",
                )
                for name, one in known.items()
            ],
        )


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the stored numbers of a file; empty without one."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train presets, or measure what this costs; store the numbers, and write the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.presets", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: those that take minutes, or with --cost all")
    parser.add_argument("--root", type=Path, help="folder in which the runs are kept and continued")
    parser.add_argument("--cost", action="store_true", help="measure the cost of presets that were not trained")
    parser.add_argument("--seconds", type=float, default=20, help="for which each preset is timed with --cost")
    chosen = parser.parse_args(arguments)
    measured, costs = read(MEASURED), read(COSTS)
    if chosen.cost:
        for name in chosen.names or [name for name in PRESETS if name not in measured]:
            costs[name] = cost(name, chosen.seconds)
            COSTS.write_text(json.dumps(costs, indent=1) + "\n", encoding="utf-8")
            OUT.write_text(page(read(MEASURED), read(COSTS)), encoding="utf-8")
    else:
        for name in chosen.names or SMALL:
            with tempfile.TemporaryDirectory() as folder:
                measured[name] = measure(name, chosen.root or Path(folder))
            MEASURED.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
            OUT.write_text(page(read(MEASURED), read(COSTS)), encoding="utf-8")
    print(OUT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
