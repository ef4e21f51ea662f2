"""Rules on how a run was set up to be studied: leaks, no plateau, too few evaluations or checkpoints."""

import numpy as np

from grokinterp.diagnostics.facts import Diagnosis, Facts, times

LEAKED = 0.05
"""Share of leaked test examples from which the test accuracy has to be read with them in mind."""

ENOUGH = 5
"""Evaluations, or checkpoints, between memorization and generalization that a transition needs to be seen."""

WANTED = 20
"""That many are asked for where there are too few."""


def leaking(run: Facts) -> Diagnosis | None:
    """Test examples whose mirror image is trained on."""
    share = run.results.leaked_share
    if share is None or share < LEAKED or run.setting("split.pairs") != "ordered":
        return None
    if run.setting("split.trained_on") is not None:
        return None
    return Diagnosis(
        "The test set leaks: mirror images of test examples are trained on",
        f"{times(share)} of the test examples, as (b, a) for (a, b); {run.outcome()}",
        "Keep both on one side, or read the test accuracy with that in mind.",
        "split.pairs=unordered",
    )


def no_plateau(run: Facts) -> Diagnosis | None:
    """Generalization came with memorization: there is no delay to study."""
    if run.verdict != "generalized without delay" or run.history is None:
        return None
    fraction = run.number("split.fraction")
    smaller = fraction is not None and run.setting("split.trained_on") is None
    memorized = "not dated" if run.memorized is None else f"at step {run.memorized}"
    return Diagnosis(
        "No delay between memorization and generalization, hence no grokking to study",
        f"memorized {memorized}, generalized from step {run.history.generalized_step}; {run.outcome()}",
        "To see grokking, train on fewer of the examples.",
        run.override("split.fraction", (fraction or 0.0) * 2 / 3) if smaller else "",
    )


def too_rarely(run: Facts) -> Diagnosis | None:
    """Too few evaluations between memorization and generalization to date the phases between."""
    return _sparse(run, run.results.metrics["step"].values, "evaluation", "Evaluate more often.", "evaluate_every")


def few_checkpoints(run: Facts) -> Diagnosis | None:
    """Too few checkpoints there to see what changed."""
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
