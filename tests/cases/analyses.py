"""The analyses over which the general laws run, all that there are, and arguments to test them with: nothing to add."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from grokinterp.analysis import ENTRIES
from grokinterp.analysis.engine.evaluate import declared_arguments
from grokinterp.runs.trajectory import Trajectory

KEYS = {"key_frequencies": torch.tensor([1, 3])}

IRREPS = {"key_irreps": torch.tensor([0, 2])}
"""The same frequencies, as representations of a cyclic group."""

ANALYSES = {entry.name: entry.analysis for entry in ENTRIES}

LOOPED = {entry.name for entry in ENTRIES if entry.costly}
"""Those that run one checkpoint after another, never under vmap."""


def arguments(analyses: Iterable[Callable[..., Any]], run: Trajectory) -> dict[str, Any]:
    """What ``analyze`` would pass to these analyses, with planted keys."""
    weights = {name: run.weights(run.steps[at]).state for name, at in (("initial_weights", 0), ("final_weights", -1))}
    known = KEYS | IRREPS | weights
    return {key: value for one in analyses for key, value in declared_arguments(one, known).items()}
