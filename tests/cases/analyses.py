"""The analyses over which the general laws run, all that there are, and arguments to test them with: nothing to add."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from grokinterp.analysis import ENTRIES, Entry
from grokinterp.analysis.engine.evaluator import declared_arguments
from grokinterp.analysis.engine.passes import analyze_run
from grokinterp.analysis.whole_run import arguments_of
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory

KEYS = {"key_frequencies": torch.tensor([1, 3])}

IRREPS = {"key_irreps": torch.tensor([0, 2])}
"""The same frequencies, as representations of a cyclic group."""

BRANCH_KEYS = {"branch_keys": torch.tensor([0])}
"""Rows of representations of branches, for tasks of several operations."""

BRIEF = {"burn_in": 1, "draws": 3, "step_size": 1e-4, "nodes": 4}
"""Chains of four steps and integrals of four nodes: these take most of the time of an analysis."""

ANALYSES = {entry.name: entry.analysis for entry in ENTRIES}

OF_SOME = dict.fromkeys(("branch_performance", "branch_spectrum", "branch_evidence"), "operators")
OF_SOME |= {"factor_power": "sum of three", "rival_groups": "ambiguous", "head_roles": "recurrence"}
"""Analyses that are not defined for addition, and the name in tests/cases/tasks.py of a task for which they are."""

LOOPED = {entry.name for entry in ENTRIES if entry.costly}
"""Those that run one checkpoint after another, never under vmap."""


def arguments(analyses: Iterable[Callable[..., Any]], run: Trajectory) -> dict[str, Any]:
    """Return the arguments that ``analyze`` passes to these analyses, with planted keys, and ``BRIEF``."""
    weights = {name: run.weights(run.steps[at]).state for name, at in (("initial_weights", 0), ("final_weights", -1))}
    known = KEYS | IRREPS | BRANCH_KEYS | BRIEF | weights
    return {key: value for one in analyses for key, value in declared_arguments(one, known).items()}


def analyze_briefly(
    run: Trajectory | Path, entries: Sequence[Entry] = ENTRIES, *, known: dict[str, Any] | None = None, **options: Any
) -> Results:
    """Analyze a run with ``BRIEF``, and with other arguments in place of those that its last checkpoint determines."""
    given = BRIEF | (known or {})
    return analyze_run(run, entries, lambda checkpoint: arguments_of(checkpoint) | given, **options)
