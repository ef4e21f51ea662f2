"""Replication of published results on accelerated grokking: ``python -m benchmarks.accelerators [NAME ...]``.

Without names, all runs are measured, which takes about 20 minutes on two idle cores. Results are kept in
accelerators.json, from which the table in docs/accelerators.md is written.

``python -m benchmarks.accelerators --tune 6 [--out DIR]`` trains the league of tuned methods instead, and writes its
table into the same document.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.report import table
from grokinterp.analysis import analyze
from grokinterp.experiment import Experiment
from grokinterp.league import run_league
from grokinterp.league.tuned_table import TUNED_COLUMNS, budget_of, tuned_lead, tuned_rows
from grokinterp.presets import preset
from grokinterp.training import train

MEASURED = Path(__file__).with_name("accelerators.json")
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "accelerators.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"

EDGE = ["evaluate_every=5", "save.every=100"]
"""Prieto et al. 2025: MLP 200-200, p = 113, 40 %, no weight decay, lr .01, full batch, so that a step is an epoch."""

RUNS: dict[str, tuple[str, Sequence[str]]] = {
    "AdamW, float32 cross-entropy": ("prieto2025", [*EDGE, "steps=3000"]),
    "AdamW, float64 cross-entropy": ("prieto2025", [*EDGE, "steps=3000", "optimization.loss=float64"]),
    "OrthoAdamW, float32 cross-entropy": ("prieto2025", [*EDGE, "steps=500", "optimization.filters=orthograd"]),
    "AdamW, StableMax": ("prieto2025", [*EDGE, "steps=3000", "optimization.loss=stablemax"]),
    "Adam": ("lee2024", ["steps=2000", "optimization.filters=[]", "save.every=500"]),
    "Adam, Grokfast-EMA": ("lee2024", ["steps=2000", "save.every=500"]),
    "AdamW, Grokfast-EMA": ("lee2024", ["steps=2000", "save.every=500", "optimization.optimizer=adamw"]),
}
"""Runs by name: a preset and its overrides."""

HEAD = ["run", "seed", "steps", "train ≥ 99 % at", "test ≥ 95 % at", "test at 200", "test at 500", "test at the end"]
HEAD += ["collapsed in float32 at", "share at the end, float32 / float64"]


def measure(name: str, seed: int, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Train a run to its end, measure it, and discard it."""
    base, changes = RUNS[name]
    experiment = preset(base).override([*changes, f"seed={seed}", *overrides])
    with tempfile.TemporaryDirectory() as folder:
        run = train(experiment, Path(folder) / "run", progress=True)
        results = analyze(run, only=["softmax_collapse"], every=1)
        rows, collapse = (
            list(run.directory.read_metrics()[0].rows()),
            results.analyses["softmax_collapse"]["collapsed_share"],
        )
        collapsed = collapse.sel(precision="float32")
        at = [int(step) for step, share in zip(collapsed["step"], collapsed, strict=True) if share > 0]
        last = {precision: float(collapse.sel(precision=precision)[-1]) for precision in ("float32", "float64")}
    return {
        "preset": base,
        "changes": list(changes),
        "steps": rows[-1]["step"],
        "memorized": first(rows, "train_accuracy", 0.99),
        "generalized": first(rows, "test_accuracy", 0.95),
        "test": {row["step"]: row["test_accuracy"] for row in rows if row["step"] in (200, 500, 2000)},
        "test_at_end": rows[-1]["test_accuracy"],
        "collapsed": min(at, default=None),
        "collapsed_share": last,
        "machine": describe(),
    }


def first(rows: Sequence[Mapping[str, Any]], name: str, least: float) -> int | None:
    """Return the first evaluated step at which a value is reached."""
    return next((row["step"] for row in rows if row[name] >= least), None)


def line(name: str, seed: str, found: Mapping[str, Any]) -> list[str]:
    """Format a row of the table."""
    tests = found["test"]
    return [
        name,
        seed,
        f"{found['steps']:,}",
        *("never" if found[key] is None else f"{found[key]:,}" for key in ("memorized", "generalized")),
        *(f"{tests[step]:.1%}" if step in tests else "" for step in ("200", "500")),
        f"{found['test_at_end']:.1%}",
        "never" if found["collapsed"] is None else f"{found['collapsed']:,}",
        " / ".join(f"{share:.2%}" for share in found["collapsed_share"].values()),
    ]


def write(measured: Mapping[str, Mapping[str, Any]], document: Path = DOCUMENT) -> None:
    """Write the table into the document."""
    lines = [line(name, seed, found) for name in RUNS for seed, found in sorted(measured.get(name, {}).items())]
    machines = sorted({found["machine"] for of_name in measured.values() for found in of_name.values()})
    text = "\n".join([BEGIN, table(HEAD, lines), "", *(f"Machine: {machine}." for machine in machines), END])
    before, _, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    document.write_text(before + text + rest.partition(END)[2], encoding="utf-8")


TUNED = ("adamw", "grokfast_ema", "orthograd", "muon")
"""The methods of the league of tuned methods."""

TUNED_BEGIN, TUNED_END = "<!-- tuned -->", "<!-- /tuned -->"


def tuned(
    tune: int, seeds: int, out: Path, *, base: Experiment, methods: Sequence[str] = TUNED, document: Path = DOCUMENT
) -> None:
    """Train the league of tuned methods, with one process, and write its table into the document."""
    found = run_league(base, list(methods), seeds, out, device="cpu", stacked=False, jobs=1, tune=tune)
    rows = [[cell.replace("—", "") for cell in row] for row in tuned_rows(found)]
    lines = [
        f"{seeds} reported seeds; {budget_of(found)}. {tuned_lead(found)}",
        "",
        table(list(TUNED_COLUMNS), rows),
        f"Machine: {describe()}.",
    ]
    before, _, rest = document.read_text(encoding="utf-8").partition(TUNED_BEGIN)
    text = "\n".join([TUNED_BEGIN, *lines, TUNED_END])
    document.write_text(before + text + rest.partition(TUNED_END)[2], encoding="utf-8")


def main() -> None:
    """Train, store the results, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerators", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(RUNS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tune", type=int, help="trials of each method of the league of tuned methods")
    parser.add_argument("--seeds", type=int, default=3, help="reported seeds of that league")
    parser.add_argument("--out", type=Path, default=Path("leagues/tuned"), help="folder of that league")
    chosen = parser.parse_args()
    if chosen.tune:
        return tuned(chosen.tune, chosen.seeds, chosen.out, base=preset("league"))
    measured = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    for name in chosen.names:
        measured.setdefault(name, {})[str(chosen.seed)] = measure(name, chosen.seed)
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        write(json.loads(MEASURED.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
