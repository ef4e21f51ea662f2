"""Every analysis over every checkpoint of a run, kept in the run directory and only computed where it is missing."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from grokinterp.analysis.alignment import gradient_weight_alignment
from grokinterp.analysis.attention import attention_pattern, attention_periodicity
from grokinterp.analysis.evaluate import Analysis, declared_arguments, evaluate_readable
from grokinterp.analysis.fourier import (
    embedding_circles,
    embedding_spectrum,
    logit_spectrum,
    neuron_frequencies,
    neuron_logit_spectrum,
)
from grokinterp.analysis.logits import logit_map, logit_statistics, performance, softmax_collapse
from grokinterp.analysis.probes import class_cosine
from grokinterp.analysis.progress import progress_measures
from grokinterp.analysis.weights import singular_values, weight_norms
from grokinterp.errors import CheckpointError, ConfigError, RunDirectoryError
from grokinterp.experiment import leaked_share
from grokinterp.results import Results
from grokinterp.storage import read_analysis, read_digest, write_analysis
from grokinterp.trajectory import Trajectory

ANALYSES: tuple[Analysis, ...] = (
    performance,
    logit_statistics,
    softmax_collapse,
    logit_map,
    embedding_spectrum,
    embedding_circles,
    neuron_logit_spectrum,
    neuron_frequencies,
    logit_spectrum,
    progress_measures,
    attention_pattern,
    attention_periodicity,
    class_cosine,
    gradient_weight_alignment,
    weight_norms,
    singular_values,
)
"""What ``analyze`` runs, by function name."""


def analyze(
    run: Trajectory | str | Path,
    *,
    only: Iterable[str] | None = None,
    every: int = 1,
    device: str = "cpu",
    progress: bool = False,
) -> Results:
    """Run analyses over the checkpoints of a run into ``analysis/NAME.nc``.

    A result is kept as long as the checkpoint's digest, the analysis' arguments and the code it
    was computed with stay the same; new checkpoints are added.

    Args:
        only: names of analyses (default: all).
        every: take each ``every``-th saved checkpoint, and the last.

    Raises:
        ConfigError: an unknown analysis, or ``every`` below 1.
        RunDirectoryError: not a run directory, or none of its checkpoints can be read.
    """
    trajectory = run if isinstance(run, Trajectory) else Trajectory.open(run)
    chosen = choose(only)
    if every < 1:
        raise ConfigError("every", every, "must be an integer from 1")
    skipped: dict[int, str] = {}
    digests = read_digests(trajectory, thinned(trajectory.steps, every), skipped)
    keys = final_key_frequencies(trajectory, digests, skipped)
    if not len(keys):
        chosen = tuple(analysis for analysis in chosen if analysis is not embedding_circles)
    arguments = {"key_frequencies": keys}
    kept = {a: kept_results(trajectory, a, fingerprint(trajectory, a, arguments), digests) for a in chosen}
    done = {a: set() if part is None else set(part["step"].values.tolist()) for a, part in kept.items()}
    missing = [step for step in digests if step not in skipped and any(step not in steps for steps in done.values())]
    fresh = evaluate_readable(chosen, trajectory, missing, skipped, device, None, progress, arguments)
    for analysis in chosen:
        parts = [part for part in (kept[analysis], fresh.get(analysis)) if part is not None]
        save(trajectory, analysis, parts, digests, skipped, fingerprint(trajectory, analysis, arguments))
    return Results.open(trajectory.path)


def choose(only: Iterable[str] | None) -> tuple[Analysis, ...]:
    """Analyses by name. Raises ConfigError naming the ones there are."""
    by_name = {analysis.__name__: analysis for analysis in ANALYSES}
    for name in () if only is None else only:
        if name not in by_name:
            raise ConfigError("only", name, f"must be among {', '.join(by_name)}")
    return ANALYSES if only is None else tuple(by_name[name] for name in only)


def thinned(steps: Sequence[int], every: int) -> list[int]:
    """Each ``every``-th step and the last."""
    return sorted({*steps[::every], *steps[-1:]})


def read_digests(trajectory: Trajectory, steps: Iterable[int], skipped: dict[int, str]) -> dict[int, str]:
    """The content digest of every checkpoint, from its header alone; an unreadable one goes into ``skipped``."""
    digests = {}
    for step in steps:
        try:
            digests[step] = read_digest(trajectory.directory.checkpoint_path(step))
        except CheckpointError as error:
            skipped[step] = error.why
    return digests


def final_key_frequencies(trajectory: Trajectory, digests: Iterable[int], skipped: dict[int, str]) -> Tensor:
    """The key frequencies of the last checkpoint that can be read."""
    for step in sorted(digests, reverse=True):
        try:
            return logit_spectrum(trajectory[step]).is_key.nonzero().flatten() + 1
        except CheckpointError as error:
            skipped[step] = error.why
    raise RunDirectoryError(trajectory.path, f"has no readable checkpoint ({len(skipped)} damaged)")


def fingerprint(trajectory: Trajectory, analysis: Analysis, arguments: dict[str, Any]) -> str:
    """Changes when the run, the analysis' arguments or the code changes."""
    declared = {name: value.tolist() for name, value in declared_arguments(analysis, arguments).items()}
    content = [trajectory.directory.run_id, analysis.__name__, declared, code_digest()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


@cache
def code_digest() -> str:
    """Digest of this package's source files that a measure depends on."""
    package = Path(str(files("grokinterp")))
    rooms = ("maths", "tasks", "models", "analysis")
    paths = [path for room in rooms for path in (package / room).rglob("*.py")]
    sources = sorted([*paths, package / "losses.py", package / "experiment.py", package / "checkpoint.py"])
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def kept_results(
    trajectory: Trajectory, analysis: Analysis, expected: str, digests: dict[int, str]
) -> xr.Dataset | None:
    """Earlier results that still hold: same fingerprint, and per step the same checkpoint."""
    try:
        before = read_analysis(trajectory.path, analysis.__name__)
    except RunDirectoryError:
        return None
    if before is None or before.attrs.get("fingerprint") != expected:
        return None
    known = zip(before["step"].values.tolist(), before["checkpoint_digest"].values.astype(str), strict=True)
    on_disk = set(trajectory.steps)
    valid = [step for step, digest in known if step in on_disk and digests.get(step, digest) == digest]
    return before.sel(step=valid) if valid else None


def save(
    trajectory: Trajectory,
    analysis: Analysis,
    parts: Sequence[xr.Dataset],
    digests: dict[int, str],
    skipped: dict[int, str],
    expected: str,
) -> None:
    """Write the union of kept and fresh results of one analysis."""
    if not parts:
        return
    labelled = []
    for part in parts:
        if "checkpoint_digest" not in part:
            marks = np.array([digests[step] for step in part["step"].values.tolist()], dtype="S64")
            part = part.assign(checkpoint_digest=("step", marks))
        labelled.append(part)
    whole = xr.concat(labelled, "step", join="exact", combine_attrs="drop", data_vars="minimal", coords="minimal", compat="override")
    whole = whole.drop_duplicates("step").sortby("step")
    is_train = trajectory.problem.is_train
    whole.attrs = {
        "analysis": analysis.__name__,
        "fingerprint": expected,
        "skipped": json.dumps({str(step): why for step, why in sorted(skipped.items())}),
        "leaked_share": leaked_share(trajectory.experiment.task, is_train),
        "train_examples": int(is_train.sum()),
        "test_examples": int((~is_train).sum()),
    }
    write_analysis(trajectory.path, analysis.__name__, whole)
