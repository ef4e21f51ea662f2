"""All analyses over a run, with the arguments that its last checkpoint determines."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.analysis.catalogue import ENTRIES
from grokinterp.analysis.circuit.verdict import settling_triples
from grokinterp.analysis.engine.entry import Entry
from grokinterp.analysis.engine.passes import analyze_run
from grokinterp.analysis.groups.branches import branch_spectrum
from grokinterp.analysis.groups.irreps import irrep_spectrum
from grokinterp.analysis.structure.fourier import logit_spectrum
from grokinterp.errors import NotDefined
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.completeness import mark_complete
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory


def analyze(
    run: Trajectory | str | Path,
    *,
    only: Iterable[str] | None = None,
    every: int | None = None,
    last: bool = False,
    answer: int | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
    entries: Sequence[Entry] = ENTRIES,
) -> Results:
    """Run analyses over the checkpoints of a run and write their results into ``analysis/NAME.nc``.

    A result is kept as long as the checkpoint, the arguments of the analysis, and the code that it depends on are
    unchanged; results for new checkpoints are added. Outdated results that are not measured again are removed and named
    in a warning, so that a summary never mixes them with current results. An analysis that is not defined for the task
    or the model of the run is skipped, and ``Results.not_defined`` gives the reason.

    Costly analyses run on a few checkpoints, at the starts of the phases and between them; analyses that store large
    maps run on at most 128 checkpoints. ``every=1`` runs every analysis on every checkpoint.

    You can add your own analysis without changing this package: ``entries=(*ENTRIES, Entry(mine))`` runs it together
    with the others.

    Args:
        run: a trajectory, or a run directory.
        only: names of analyses (default: all; ``label_noise`` only for runs with label noise).
        every: run every analysis on each ``every``-th saved checkpoint and on the last.
        last: run every analysis on the last checkpoint only.
        answer: the answer to analyze, if the task asks for several (default: that of the run, which is the last answer
            unless ``run.at_answer`` chose another). A run directory holds the results of one answer.
        device: the device to compute on.
        progress: show a progress bar on standard error.
        entries: the available analyses, and how each is run.

    Raises:
        ConfigError: an analysis is unknown, none is given, ``every`` is below 1 or given with ``last``, there is no
            such answer, the logits of all examples do not fit into the available memory, or the results of an
            analysis are not labeled or contradict its axes.
        RunDirectoryError: the directory is not a run directory, or none of its checkpoints can be read.
    """
    run = run if isinstance(run, Trajectory) else Trajectory.open(run)
    run = run if answer is None else run.at_answer(answer)
    results = analyze_run(
        run, entries, arguments_of, only=only, every=every, last=last, device=device, progress=progress
    )
    if only is None and not last and every in (None, 1) and set(ENTRIES) <= set(entries):
        mark_complete(results.directory.path)
    return results


def arguments_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the arguments of analyses that the last checkpoint determines: its keys and its triples of circles."""
    return keys_of(checkpoint) | branch_keys_of(checkpoint) | {"triples": settling_triples(checkpoint)}


def keys_of(checkpoint: Checkpoint) -> dict[str, Int[Tensor, "key"]]:
    """Return the key frequencies and the rows of the key irreducible representations, both empty without a group."""
    keys = dict.fromkeys(("key_frequencies", "key_irreps"), torch.empty(0, dtype=torch.int64))
    with suppress(NotDefined):
        keys["key_frequencies"] = logit_spectrum(checkpoint).is_key.nonzero().flatten() + 1
    with suppress(NotDefined):
        keys["key_irreps"] = irrep_spectrum(checkpoint).is_key_irrep.nonzero().flatten()
    return keys


def branch_keys_of(checkpoint: Checkpoint) -> dict[str, Int[Tensor, "key"]]:
    """Return the rows of the key representations of each operation; empty for a single operation."""
    found = torch.empty(0, dtype=torch.int64)
    with suppress(NotDefined):
        found = branch_spectrum(checkpoint).is_key_branch.nonzero().flatten()
    return {"branch_keys": found}
