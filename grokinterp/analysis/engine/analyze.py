"""Every analysis over every checkpoint of a run, kept in the run directory and only computed where it is missing."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Int
from torch import Tensor

from grokinterp.analysis.circuit.verdict import settling_triples
from grokinterp.analysis.engine.catalogue import ANALYSES, MAPS, MOST, THINNED, thinned
from grokinterp.analysis.engine.coordinates import coordinates
from grokinterp.analysis.engine.evaluate import Analysis, declared_arguments, evaluate_each, result_of
from grokinterp.analysis.engine.labeled import Collector, Result, described
from grokinterp.analysis.engine.memory import require_memory
from grokinterp.analysis.groups.irreps import irrep_spectrum
from grokinterp.analysis.health.performance import label_noise
from grokinterp.analysis.structure.fourier import logit_spectrum
from grokinterp.errors import CheckpointError, ConfigError, NotDefined, RunDirectoryError
from grokinterp.experiment import leaked_share
from grokinterp.phases import Curves, find_phases
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.datasets import read_analysis, read_not_defined, write_analysis, write_not_defined
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory

RETIRED = ("symmetricity",)
"""Analyses of earlier versions, whose measures others have now: their results would contradict those."""


class Final(NamedTuple):
    """What analyses are told about the run as a whole.

    Args:
        checkpoint: the last one that can be read.
        arguments: values by the name under which an analysis declares them.
        marks: what stands for each value in a fingerprint.
    """

    checkpoint: Checkpoint
    arguments: dict[str, Any]
    marks: dict[str, Any]


def analyze(
    run: Trajectory | str | Path,
    *,
    only: Iterable[str] | None = None,
    every: int | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Results:
    """Run analyses over the checkpoints of a run into ``analysis/NAME.nc``.

    A result is kept as long as the checkpoint's digest, the analysis' arguments and the code it
    was computed with stay the same; new checkpoints are added. Results that no longer hold are
    removed, so that a summary never mixes them with others. An analysis that has no meaning for the
    run's task or model is left out, and ``Results.not_defined`` says why.

    Costly analyses run on few checkpoints, where the phases begin and between, and those that keep large maps on at
    most 128: ``catalogue.MOST`` says how many. ``every=1`` runs everything on every checkpoint.

    Args:
        run: a trajectory, or the directory of one.
        only: names of analyses (default: all; ``label_noise`` only where there is some).
        every: take each ``every``-th saved checkpoint, and the last, for all analyses alike.
        device: where to compute.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: an unknown analysis or none, ``every`` below 1, or logits of all examples that do not fit the
            memory there is.
        RunDirectoryError: not a run directory, or none of its checkpoints can be read.
    """
    chosen = choose(only)
    if every is not None and every < 1:
        raise ConfigError("every", every, "must be an integer from 1")
    trajectory = run if isinstance(run, Trajectory) else Trajectory.open(run)
    if not trajectory.steps:
        raise RunDirectoryError(trajectory.path, "has no checkpoint yet")
    if only is None and not trajectory.problem.has_noise:  # nobody asked, and there is nothing to say
        chosen = tuple(analysis for analysis in chosen if analysis is not label_noise)
    with trajectory.directory.analysis_lock():
        for name in RETIRED:
            remove_analysis(trajectory.path, name)
        analyze_missing(trajectory, chosen, every, device=device, progress=progress)
    return Results.open(trajectory.path)


def analyze_missing(
    trajectory: Trajectory,
    chosen: Sequence[Analysis],
    every: int | None,
    *,
    device: str | torch.device,
    progress: bool,
) -> None:
    """``analyze`` while nobody else writes results; what an interrupt leaves undone is missing next time.

    What is cheap is tried on the last checkpoint first, for under vmap nothing can be told of what has no meaning; and
    so is what had none before.
    """
    require_memory(trajectory.experiment.task, trajectory.empty_model(), torch.device(device))
    digests, skipped = read_digests(trajectory, trajectory.steps)
    final = final_of(trajectory, digests, skipped)
    readable, marks = tuple(step for step in sorted(digests) if step not in skipped), landmarks(trajectory)
    before = read_not_defined(trajectory.path)
    confident = [one for one in THINNED if one.__name__ not in before]
    harvest = Harvest(trajectory, final, digests, skipped)
    wanted = {one: steps_for(one, readable, every, marks) for one in chosen}
    harvest.begin({one: len(steps) for one, steps in wanted.items()})
    try:
        for analysis in [one for one in chosen if harvest.kept[one] is None and one not in confident]:
            harvest.add(int(final.checkpoint.step), analysis, result_of(analysis, final.checkpoint, final.arguments))
        for missing, group in by_missing_steps(wanted, harvest).items():
            results = evaluate_each(
                group, trajectory, missing, final.arguments, skipped, device=device, progress=progress,
                vectorize=False if set(group) & set(THINNED) else None,
            )  # fmt: skip
            for step, of_step in results:
                for analysis, result in zip(group, of_step, strict=True):
                    harvest.add(step, analysis, result)
            harvest.save(group)
    finally:
        harvest.save_rest()


class Harvest:
    """Results on their way into files: those kept from before, those computed now, and what there can be none of."""

    def __init__(
        self, trajectory: Trajectory, final: Final, digests: Mapping[int, str], skipped: Mapping[int, str]
    ) -> None:
        self.trajectory, self.digests, self.skipped = trajectory, digests, skipped
        self.axes = coordinates(trajectory.experiment, trajectory.empty_model(), final.arguments)
        self.prints = {analysis: fingerprint(trajectory, analysis, final.marks) for analysis in ANALYSES}
        self.kept = {one: kept_results(trajectory, one, self.prints[one], digests) for one in ANALYSES}
        self.fresh: dict[Analysis, Collector] = {}
        self.undefined: dict[str, str] = {}
        self.unsaved = list(ANALYSES)

    def begin(self, sizes: Mapping[Analysis, int]) -> None:
        """Make room for so many steps of each analysis; what others have been found to lack stays known."""
        self.fresh = {one: Collector(size, single=one in MAPS) for one, size in sizes.items()}
        others = [one.__name__ for one in ANALYSES if one not in sizes]
        self.undefined = read_not_defined(self.trajectory.path, among=others)

    def add(self, step: int, analysis: Analysis, result: Result | NotDefined) -> None:
        """Keep the result of a step, or why there is none."""
        if isinstance(result, NotDefined):
            self.undefined[analysis.__name__] = result.why
        else:
            self.fresh[analysis].add(step, result)

    def steps_of(self, analysis: Analysis) -> set[int]:
        """The checkpoints that there are results of."""
        return {*steps_of(self.kept[analysis]), *self.fresh[analysis].steps}

    def save(self, analyses: Iterable[Analysis]) -> None:
        """Write what there is of some analyses."""
        for analysis in analyses:
            collected = self.fresh.get(analysis)
            added = collected.dataset(self.axes) if collected is not None and collected.steps else None
            attributes = describe(self.trajectory, analysis, self.prints[analysis], self.skipped)
            save(self.trajectory, analysis, self.kept[analysis], added, self.digests, attributes)
            self.unsaved.remove(analysis)

    def save_rest(self) -> None:
        """Write what is not yet written, and what has no meaning for the run."""
        self.save(tuple(self.unsaved))
        write_not_defined(self.trajectory.path, self.undefined)


def steps_for(
    analysis: Analysis, steps: tuple[int, ...], every: int | None, landmarks: Sequence[int]
) -> tuple[int, ...]:
    """The checkpoints that an analysis is run on."""
    if every is None:
        return thinned(steps, MOST.get(analysis), landmarks)
    return tuple(sorted({*steps[::every], *steps[-1:]}))


def landmarks(trajectory: Trajectory) -> list[int]:
    """Where the phases that the training curves tell of begin; none without curves."""
    metrics = trajectory.metrics
    if metrics.sizes["step"] < 2 or not {"train_loss", "test_loss"} <= set(metrics):
        return []
    return [phase.start for phase in find_phases(Curves.from_dataset(metrics)).phases]


def steps_of(dataset: xr.Dataset | None) -> list[int]:
    """The checkpoints that there are results of."""
    return [] if dataset is None else dataset["step"].values.tolist()


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


def final_of(trajectory: Trajectory, digests: Mapping[int, str], skipped: dict[int, str]) -> Final:
    """What is known at the last checkpoint that can be read; later ones go into ``skipped``."""
    for step in sorted(digests, reverse=True):
        try:
            checkpoint, first = trajectory[step], min(digests)
            keys = keys_of(checkpoint)
            weights = {
                "initial_weights": trajectory.weights(first).state,
                "final_weights": trajectory.weights(step).state,
            }
        except CheckpointError as error:
            skipped[step] = error.why
        else:
            triples = {"triples": settling_triples(checkpoint)}
            marks = {name: value.tolist() for name, value in keys.items()} | triples
            digest = {"initial_weights": digests[first], "final_weights": digests[step]}
            return Final(checkpoint, keys | weights | triples, marks | digest)
    raise RunDirectoryError(trajectory.path, f"has no readable checkpoint ({len(skipped)} damaged)")


def keys_of(checkpoint: Checkpoint) -> dict[str, Int[Tensor, "key"]]:
    """The key frequencies and the rows of the key irreducible representations; none where there is no group."""
    keys = dict.fromkeys(("key_frequencies", "key_irreps"), torch.empty(0, dtype=torch.int64))
    with suppress(NotDefined):
        keys["key_frequencies"] = logit_spectrum(checkpoint).is_key.nonzero().flatten() + 1
    with suppress(NotDefined):
        keys["key_irreps"] = irrep_spectrum(checkpoint).is_key_irrep.nonzero().flatten()
    return keys


def by_missing_steps(
    wanted: Mapping[Analysis, Sequence[int]], harvest: Harvest
) -> dict[tuple[int, ...], list[Analysis]]:
    """Analyses that have a meaning and lack the same steps, to be run in one pass."""
    groups: dict[tuple[int, ...], list[Analysis]] = {}
    for analysis, steps in wanted.items():
        done = harvest.steps_of(analysis)
        missing = tuple(step for step in steps if step not in done)
        if missing and analysis.__name__ not in harvest.undefined:
            groups.setdefault(missing, []).append(analysis)
    return groups


def fingerprint(trajectory: Trajectory, analysis: Analysis, marks: Mapping[str, Any]) -> str:
    """Changes when the run, the analysis' arguments or the code changes."""
    declared = declared_arguments(analysis, marks)
    content = [trajectory.directory.run_id, analysis.__name__, declared, code_digest()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


@cache
def code_digest() -> str:
    """Digest of this package's source files that a measure depends on."""
    package = Path(str(files("grokinterp")))
    rooms = ("maths", "tasks", "models", "losses", "optim", "experiment", "analysis")
    paths = [path for room in rooms for path in (package / room).rglob("*.py")]
    sources = sorted([*paths, package / "runs" / "checkpoint.py"])
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
        **described(analysis),
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
    """Write the union of kept and fresh results of one analysis; remove what does not hold any more.

    Where an analysis that is thinned lacks checkpoints, the attribute ``thinned`` says how many it has.
    """
    steps = {*steps_of(kept), *steps_of(fresh)}
    readable = len(digests)
    if analysis in MOST and len(steps) < readable:
        attributes = {**attributes, "thinned": f"{len(steps)} of {readable} checkpoints"}
    if fresh is None and kept is not None and kept.attrs == attributes:
        return
    parts = [] if kept is None else [kept]
    if fresh is not None:
        marks = np.array([digests[step] for step in steps_of(fresh)], dtype="S64")
        parts.append(fresh.assign(checkpoint_digest=("step", marks)))
    if not parts and trajectory.lacks_module:
        return  # what may not hold any more could not be measured again
    if not parts:
        remove_analysis(trajectory.path, analysis.__name__)
        return
    whole = xr.concat(parts, "step", join="exact", data_vars="minimal", coords="minimal", compat="override")
    whole.attrs = dict(attributes)
    write_analysis(trajectory.path, analysis.__name__, whole.sortby("step"))
