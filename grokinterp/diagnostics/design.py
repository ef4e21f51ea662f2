"""Rules on the design of a run: leaks, no plateau, too few evaluations or checkpoints."""

import numpy as np

from grokinterp.diagnostics.facts import Diagnosis, Facts, times
from grokinterp.runs.continuations import DAMAGED_RECORD

LEAKED = 0.05
"""Share of leaked test examples from which the leak must be considered when reading the test accuracy."""

ENOUGH = 5
"""Evaluations, or checkpoints, between memorization and generalization that are needed to see the transition."""

WANTED = 20
"""Number of evaluations, or checkpoints, that the remedy aims for."""


def leaking(run: Facts) -> Diagnosis | None:
    """Diagnose test examples whose mirror image is in the training set."""
    share = run.results.leaked_share
    if share is None or share < LEAKED or run.setting("split.pairs") != "ordered":
        return None
    if run.setting("split.trained_on") is not None:
        return None
    return Diagnosis(
        "The test set leaks: mirror images of test examples are in the training set",
        f"{times(share)} of the test examples (a, b) have (b, a) in the training set; {run.outcome()}",
        "Keep both orders on the same side of the split, or account for the leak when reading the test accuracy.",
        "split.pairs=unordered",
    )


def damaged_log(run: Facts) -> Diagnosis | None:
    """Diagnose damaged or missing rows of metrics, without which curves and dates may be wrong."""
    faults = run.results.log_check.faults
    if not faults:
        return None
    return Diagnosis(
        "The log of the metrics is damaged: its curves are incomplete",
        f"metrics.jsonl: {faults}",
        "Restore metrics.jsonl from a copy, or train the run again.",
    )


def continued_elsewhere(run: Facts) -> Diagnosis | None:
    """Diagnose continuations in another environment, after which the run cannot be reproduced bit for bit."""
    records = run.results.continuations
    inexact = [found.text if found else DAMAGED_RECORD for found in records if found is None or found.exact is False]
    if not inexact:
        return None
    known = any(found is not None and found.exact is False for found in records)
    return Diagnosis(
        "The run was continued in another environment: it cannot be reproduced bit for bit"
        if known
        else "The run was continued, perhaps in another environment: it may not be reproducible bit for bit",
        "; ".join(inexact[:3]) + ("; ..." if len(inexact) > 3 else ""),
        "If exact reproduction matters, train the run again in one environment, with one number of threads.",
    )


def no_plateau(run: Facts) -> Diagnosis | None:
    """Diagnose generalization that came with memorization, so that there is no delay to study.

    On infinite data there is no delay, since nothing can be memorized.
    """
    if run.verdict != "generalized without delay" or run.history is None or run.draws_anew:
        return None
    fraction = run.number("split.fraction")
    smaller = fraction is not None and run.setting("split.trained_on") is None
    memorized = "memorization not dated" if run.memorized is None else f"memorized at step {run.memorized}"
    return Diagnosis(
        "No delay between memorization and generalization, hence no grokking to study",
        f"{memorized}, generalized at step {run.history.generalized_step}; {run.outcome()}",
        "To see grokking, train on a smaller share of the examples.",
        run.override("split.fraction", (fraction or 0.0) * 2 / 3) if smaller else "",
    )


def too_rarely(run: Facts) -> Diagnosis | None:
    """Diagnose too few evaluations between memorization and generalization to date the phases."""
    return _sparse(run, run.results.metrics["step"].values, "evaluation", "Evaluate more often.", "evaluate_every")


def few_checkpoints(run: Facts) -> Diagnosis | None:
    """Diagnose too few checkpoints between memorization and generalization to see changes."""
    steps = np.array(run.results.directory.steps())
    return _sparse(run, steps, "checkpoint", "Save checkpoints more often.", "save.every") if len(steps) else None


def _sparse(run: Facts, steps: np.ndarray, what: str, remedy: str, key: str) -> Diagnosis | None:
    late = run.generalizes and run.verdict != "generalized without delay"
    imported = "release" in run.results.directory.environment
    if not late or imported or run.history is None or run.memorized is None:
        return None
    start, stop = run.memorized, run.history.generalized_step or 0
    between = int(((steps > start) & (steps < stop)).sum())
    if between >= ENOUGH or stop - start <= ENOUGH:
        return None
    return Diagnosis(
        f"Too few {what}s to see the transition",
        f"{between} {what}{'' if between == 1 else 's'} between memorization at step {start} and generalization at "
        f"step {stop}",
        remedy,
        run.override(key, max(1, (stop - start) // WANTED)),
    )
