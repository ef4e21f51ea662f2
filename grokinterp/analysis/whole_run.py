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
    device: str | torch.device = "cpu",
    progress: bool = False,
    entries: Sequence[Entry] = ENTRIES,
) -> Results:
    """Run analyses over the checkpoints of a run and write their results into ``analysis/NAME.nc``.

    A result is kept as long as the checkpoint, the arguments of the analysis, and the code it rests on stay the same;
    new checkpoints are added. Results that are no longer valid are removed, so that a summary never mixes them with
    others. An analysis that is not defined for the run's task or model is left out, and ``Results.not_defined`` says
    why.

    Costly analyses run on a few checkpoints, at the beginnings of the phases and between them, and those that store
    large maps on at most 128. ``every=1`` runs every analysis on every checkpoint.

    An analysis of your own needs no change of this package: ``entries=(*ENTRIES, Entry(mine))`` runs it along with the
    others.

    Args:
        run: a trajectory, or the directory of one.
        only: names of analyses (default: all; ``label_noise`` only where there is some).
        every: take each ``every``-th saved checkpoint, and the last, for all analyses alike.
        device: where to compute.
        progress: show a progress bar on standard error.
        entries: the analyses that there are, and how each is run.

    Raises:
        ConfigError: an unknown analysis or none, ``every`` below 1, or logits of all examples that do not fit the
            available memory.
        RunDirectoryError: not a run directory, or none of its checkpoints can be read.
    """
    results = analyze_run(run, entries, arguments_of, only=only, every=every, device=device, progress=progress)
    if only is None and every in (None, 1) and entries is ENTRIES:
        mark_complete(results.directory.path)
    return results


def arguments_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the arguments of analyses that the last checkpoint determines: its keys, and its triples of circles."""
    return keys_of(checkpoint) | {"triples": settling_triples(checkpoint)}


def keys_of(checkpoint: Checkpoint) -> dict[str, Int[Tensor, "key"]]:
    """Return the key frequencies and the rows of the key irreducible representations; none where there is no group."""
    keys = dict.fromkeys(("key_frequencies", "key_irreps"), torch.empty(0, dtype=torch.int64))
    with suppress(NotDefined):
        keys["key_frequencies"] = logit_spectrum(checkpoint).is_key.nonzero().flatten() + 1
    with suppress(NotDefined):
        keys["key_irreps"] = irrep_spectrum(checkpoint).is_key_irrep.nonzero().flatten()
    return keys
