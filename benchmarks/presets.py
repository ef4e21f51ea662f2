"""Train presets to their last step and write docs/presets.md: ``python -m benchmarks.presets [NAME ...]``.

Without names, the presets that take minutes on a CPU are trained. Results are kept in presets.json, so that the long
runs can be added one at a time, on any machine.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.report import table
from grokinterp.analysis import analyze
from grokinterp.presets import PRESETS
from grokinterp.training import train

MEASURED = Path(__file__).with_name("presets.json")
OUT = Path(__file__).resolve().parent.parent / "docs" / "presets.md"
SMALL = ("demo", "gromov2023", "prieto2025", "parity", "pizza", "digits", "induction")
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


def measure(name: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Train a preset to its end, measure it, and discard the run."""
    experiment = PRESETS[name].experiment.override(overrides)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run = train(experiment, Path(folder) / "run", progress=True)
        seconds = time.perf_counter() - start
        results = analyze(run, only=["performance", "logit_spectrum", "weight_norms"], every=len(run.steps))
        history, measures = results.history, results.measures()
        status = results.directory.status
    names = ("train_accuracy", "test_accuracy", "train_loss", "test_loss", "logit_fve", "weight_norm")
    return {
        "steps": status["step"],
        "verdict": history.verdict if status["status"] == "finished" else status["status"],
        "memorized": history.memorized_step,
        "generalized": history.generalized_step,
        "measures": {key: measures.get(key) for key in names},
        "seconds": seconds,
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
        f"{at['weight_norm']:.0f}",
        f"{found['seconds']:.0f}",
    ]


def page(measured: dict[str, dict[str, Any]]) -> str:
    """Return the document: every preset with its source, then the results of the presets trained to the end."""
    lines = ["# Presets\n", "`grokinterp train --preset NAME`; any setting can be overridden.\n"]
    lines += [f"* **{name}**: {found.about}" for name, found in PRESETS.items()]
    lines += ["\n## Trained to the last step\n", "Written by `python -m benchmarks.presets`, seed 0."]
    lines += [
        "The losses are those trained with: squared errors for gromov2023, cross-entropies in nats for the others."
    ]
    lines += [f"Machine: {machine}." for machine in sorted({found["machine"] for found in measured.values()})]
    lines += ["", table(HEAD, [row(name, measured[name]) for name in PRESETS if name in measured])]
    untrained = [name for name in PRESETS if name not in measured]
    lines += [f"\nNot trained to the last step yet: {', '.join(untrained)}.\n"] if untrained else [""]
    return "\n".join(lines)


def main() -> None:
    """Train, store the results, and write the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.presets", description=__doc__)
    parser.add_argument("names", nargs="*", default=SMALL, metavar="NAME")
    measured = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    for name in parser.parse_args().names:
        measured[name] = measure(name)
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        OUT.write_text(page(measured), encoding="utf-8")
    print(OUT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
