"""Every analysis over every checkpoint of a run, kept in the run directory and only computed where it is missing."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Int
from torch import Tensor

from grokinterp.analysis.alignment import gradient_weight_alignment
from grokinterp.analysis.attention import attention_map, attention_pattern, attention_periodicity
from grokinterp.analysis.coordinates import coordinates
from grokinterp.analysis.evaluate import Analysis, declared_arguments, evaluate_each
from grokinterp.analysis.fourier import (
    embedding_circles,
    embedding_spectrum,
    logit_spectrum,
    neuron_frequencies,
    neuron_logit_spectrum,
)
from grokinterp.analysis.irreps import irrep_spectrum
from grokinterp.analysis.labelled import Collector
from grokinterp.analysis.logits import label_noise, logit_map, logit_statistics, performance, softmax_collapse
from grokinterp.analysis.probes import class_cosine
from grokinterp.analysis.progress import progress_measures
from grokinterp.analysis.weights import singular_values, weight_norms
from grokinterp.checkpoint import Checkpoint
from grokinterp.errors import CheckpointError, ConfigError, NotDefined, RunDirectoryError
from grokinterp.experiment import leaked_share
from grokinterp.results import Results
from grokinterp.tables import read_analysis, read_not_defined, write_analysis, write_not_defined
from grokinterp.trajectory import Trajectory

ANALYSES: tuple[Analysis, ...] = (
    performance,
    label_noise,
    logit_statistics,
    softmax_collapse,
    logit_map,
    embedding_spectrum,
    embedding_circles,
    neuron_logit_spectrum,
    neuron_frequencies,
    logit_spectrum,
    irrep_spectrum,
    progress_measures,
    attention_pattern,
    attention_map,
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
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Results:
    """Run analyses over the checkpoints of a run into ``analysis/NAME.nc``.

    A result is kept as long as the checkpoint's digest, the analysis' arguments and the code it
    was computed with stay the same; new checkpoints are added. Results that no longer hold are
    removed, so that a summary never mixes them with others. An analysis that has no meaning for the
    run's task or model is left out, and ``Results.not_defined`` says why.

    Args:
        run: a trajectory, or the directory of one.
        only: names of analyses (default: all; ``label_noise`` only where there is some).
        every: take each ``every``-th saved checkpoint, and the last.
        device: where to compute.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: an unknown analysis or none, or ``every`` below 1.
        RunDirectoryError: not a run directory, or none of its checkpoints can be read.
    """
    chosen = choose(only)
    if every < 1:
        raise ConfigError("every", every, "must be an integer from 1")
    trajectory = run if isinstance(run, Trajectory) else Trajectory.open(run)
    if not trajectory.steps:
        raise RunDirectoryError(trajectory.path, "has no checkpoint yet")
    if only is None and not trajectory.problem.has_noise:  # nobody asked, and there is nothing to say
        chosen = tuple(analysis for analysis in chosen if analysis is not label_noise)
    with trajectory.directory.analysis_lock():
        analyze_missing(trajectory, chosen, every, device=device, progress=progress)
    return Results.open(trajectory.path)


def analyze_missing(
    trajectory: Trajectory, chosen: Sequence[Analysis], every: int, *, device: str | torch.device, progress: bool
) -> None:
    """``analyze`` while nobody else writes results; what an interrupt leaves undone is missing next time."""
    steps = trajectory.steps
    digests, skipped = read_digests(trajectory, steps)
    last, keys = final_key_frequencies(trajectory, digests, skipped)
    arguments = {"key_frequencies": keys}
    prints = {analysis: fingerprint(trajectory, analysis, arguments) for analysis in ANALYSES}
    kept = {analysis: kept_results(trajectory, analysis, prints[analysis], digests) for analysis in ANALYSES}
    undefined = why_not_defined([one for one in chosen if kept[one] is None], trajectory[last], arguments)
    others = [one.__name__ for one in ANALYSES if one not in chosen]
    write_not_defined(trajectory.path, read_not_defined(trajectory.path, among=others) | undefined)
    chosen = tuple(analysis for analysis in chosen if analysis.__name__ not in undefined)
    wanted = sorted({*steps[::every], last} - set(skipped))
    axes = coordinates(trajectory.experiment, trajectory.experiment.empty_model(), arguments)
    fresh = {analysis: Collector(len(wanted)) for analysis in chosen}
    try:
        for missing, group in by_missing_steps({analysis: kept[analysis] for analysis in chosen}, wanted).items():
            found = evaluate_each(group, trajectory, missing, arguments, skipped, device=device, progress=progress)
            for step, results in found:
                for analysis, result in zip(group, results, strict=True):
                    fresh[analysis].add(step, result)
    finally:
        for analysis in ANALYSES:
            added = fresh[analysis].dataset(axes) if analysis in fresh and fresh[analysis].steps else None
            attributes = describe(trajectory, analysis, prints[analysis], skipped)
            save(trajectory, analysis, kept[analysis], added, digests, attributes)


def choose(only: Iterable[str] | None) -> tuple[Analysis, ...]:
    """Analyses by name. Raises ConfigError naming the ones there are."""
    by_name = {analysis.__name__: analysis for analysis in ANALYSES}
    names = list(by_name) if only is None else [only] if isinstance(only, str) else list(only)
    for name in names or [""]:
        if name not in by_name:
            raise ConfigError("only", name, f"must be among {', '.join(by_name)}")
    return tuple(analysis for name, analysis in by_name.items() if name in names)


def read_digests(trajectory: Trajectory, steps: Iterable[int]) -> tuple[dict[int, str], dict[int, str]]:
    """The content digest of every checkpoint, verified against its content, and why the others have none."""
    digests, unreadable = {}, {}
    for step in steps:
        try:
            digests[step] = trajectory.directory.load_checkpoint(step).digest
        except CheckpointError as error:
            unreadable[step] = error.why
    return digests, unreadable


def final_key_frequencies(
    trajectory: Trajectory, digests: Iterable[int], skipped: dict[int, str]
) -> tuple[int, Int[Tensor, "key"]]:
    """The last checkpoint that can be read and its key frequencies, none without a cyclic group.

    Later ones go into ``skipped``.
    """
    for step in sorted(digests, reverse=True):
        try:
            return step, logit_spectrum(trajectory[step]).is_key.nonzero().flatten() + 1
        except NotDefined:
            return step, torch.empty(0, dtype=torch.int64)
        except CheckpointError as error:
            skipped[step] = error.why
    raise RunDirectoryError(trajectory.path, f"has no readable checkpoint ({len(skipped)} damaged)")


def why_not_defined(
    analyses: Iterable[Analysis], checkpoint: Checkpoint, arguments: Mapping[str, Any]
) -> dict[str, str]:
    """The analyses that have no meaning for the run of a checkpoint, by name, and what is lacking."""
    found = {}
    for analysis in analyses:
        try:
            analysis(checkpoint, **declared_arguments(analysis, arguments))
        except NotDefined as undefined:
            found[analysis.__name__] = undefined.why
    return found


def by_missing_steps(
    kept: Mapping[Analysis, xr.Dataset | None], wanted: Sequence[int]
) -> dict[tuple[int, ...], list[Analysis]]:
    """Analyses that lack the same steps, to be run in one pass."""
    groups: dict[tuple[int, ...], list[Analysis]] = {}
    for analysis, dataset in kept.items():
        done = set() if dataset is None else set(dataset["step"].values.tolist())
        missing = tuple(step for step in wanted if step not in done)
        if missing:
            groups.setdefault(missing, []).append(analysis)
    return groups


def fingerprint(trajectory: Trajectory, analysis: Analysis, arguments: dict[str, Any]) -> str:
    """Changes when the run, the analysis' arguments or the code changes."""
    declared = {name: value.tolist() for name, value in declared_arguments(analysis, arguments).items()}
    content = [trajectory.directory.run_id, analysis.__name__, declared, code_digest()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


@cache
def code_digest() -> str:
    """Digest of this package's source files that a measure depends on."""
    package = Path(str(files("grokinterp")))
    rooms = ("maths", "tasks", "models", "experiment", "analysis")
    paths = [path for room in rooms for path in (package / room).rglob("*.py")]
    sources = sorted([*paths, package / "losses.py", package / "checkpoint.py"])
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def kept_results(
    trajectory: Trajectory, analysis: Analysis, expected: str, digests: Mapping[int, str]
) -> xr.Dataset | None:
    """Earlier results that still hold: same fingerprint, and per step the same checkpoint.

    Those that are a part of the file come without its attributes.
    """
    try:
        before = read_analysis(trajectory.path, analysis.__name__)
    except RunDirectoryError:
        return None
    if before is None or before.attrs.get("fingerprint") != expected:
        return None
    known = zip(before["step"].values.tolist(), before["checkpoint_digest"].values.astype(str), strict=True)
    valid = [step for step, digest in known if digests.get(step) == digest]
    if len(valid) == before.sizes["step"]:
        return before
    part = before.sel(step=valid)
    part.attrs = {}
    return part if valid else None


def remove_analysis(run: Path, name: str) -> None:
    """Remove the results of one analysis, if there are any."""
    (run / "analysis" / f"{name}.nc").unlink(missing_ok=True)


def describe(
    trajectory: Trajectory, analysis: Analysis, fingerprint: str, skipped: Mapping[int, str]
) -> dict[str, str | int | float]:
    """What a result file says about itself."""
    is_train = trajectory.problem.is_train
    leaked = {"leaked_share": leaked_share(trajectory.experiment.task, is_train)} if is_train.any() else {}
    return {
        "analysis": analysis.__name__,
        "fingerprint": fingerprint,
        "skipped": json.dumps({str(step): why for step, why in sorted(skipped.items())}),
        **leaked,
        "train_examples": int(is_train.sum()),
        "test_examples": int(trajectory.problem.is_test.sum()),
    }


def save(
    trajectory: Trajectory,
    analysis: Analysis,
    kept: xr.Dataset | None,
    fresh: xr.Dataset | None,
    digests: Mapping[int, str],
    attributes: Mapping[str, str | int | float],
) -> None:
    """Write the union of kept and fresh results of one analysis; remove what does not hold any more."""
    if fresh is None and kept is not None and kept.attrs == attributes:
        return
    parts = [] if kept is None else [kept]
    if fresh is not None:
        marks = np.array([digests[step] for step in fresh["step"].values.tolist()], dtype="S64")
        parts.append(fresh.assign(checkpoint_digest=("step", marks)))
    if not parts:
        remove_analysis(trajectory.path, analysis.__name__)
        return
    whole = xr.concat(parts, "step", join="exact", data_vars="minimal", coords="minimal", compat="override")
    write_analysis(trajectory.path, analysis.__name__, whole.sortby("step").assign_attrs(attributes))
