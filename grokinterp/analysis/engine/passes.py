"""Computation of the missing results of a run in as few passes over its checkpoints as possible."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grokinterp.analysis.engine.entry import Entry
from grokinterp.analysis.engine.evaluate import evaluate_each
from grokinterp.analysis.engine.harvest import Final, Harvest, remove_results, steps_of
from grokinterp.analysis.engine.memory import lacking_memory, require_memory
from grokinterp.analysis.engine.team import Team
from grokinterp.available import bytes_available
from grokinterp.errors import CheckpointError, ConfigError, RunDirectoryError, require, require_choice, short, warn
from grokinterp.phases import Curves, find_phases
from grokinterp.progress import ProgressBar
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.datasets import read_not_defined
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from grokinterp.specification import require_type
from grokinterp.storage.atomic import require_writable
from grokinterp.torch_settings import computing

RETIRED = ("symmetricity",)
"""Analyses of earlier versions that other analyses have replaced; their results are removed."""

ALWAYS = 1
"""Number of arrays as large as all logits for computing the arguments that the last checkpoint determines."""

FEW = 3
"""Largest number of analyses that the progress bar names one by one."""

ArgumentsOf = Callable[[Checkpoint], Mapping[str, Any]]
"""Function from the last checkpoint to arguments of analyses, which are tensors or JSON values."""


def analyze_run(
    run: Trajectory | str | Path,
    entries: Sequence[Entry],
    arguments_of: ArgumentsOf,
    *,
    only: Iterable[str] | None = None,
    every: int | None = None,
    last: bool = False,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Results:
    """Run the analyses of a table over the checkpoints of a run; see ``grokinterp.analysis.analyze`` for the results.

    Args:
        run: a trajectory, or a run directory.
        entries: all analyses whose results the run directory may hold.
        arguments_of: a function that returns the arguments determined by the last checkpoint.
        only: names of analyses to run (default: all entries that apply to the run).
        every: run every analysis on each ``every``-th saved checkpoint and on the last.
        last: run every analysis on the last checkpoint only.
        device: the device to compute on.
        progress: show a progress bar on standard error.
    """
    chosen = choose(entries, only)
    require_type("every", every, int | None)
    if every is not None and every < 1:
        raise ConfigError("every", every, "must be an integer from 1")
    require(not last or every is None, "every", every, "give it or last, not both")
    trajectory = run if isinstance(run, Trajectory) else Trajectory.open(run)
    rule = "must be a whole run, whose files hold the results; evaluate(analysis, run) measures a part of a run"
    require(trajectory.window.is_whole, "run", f"run[{trajectory.window}]", rule)
    if not trajectory.steps:
        raise RunDirectoryError(trajectory.path, "has no checkpoint yet")
    if only is None:
        chosen = [entry for entry in chosen if entry.where is None or entry.where(trajectory.problem)]
    with trajectory.directory.analysis_lock(), computing(device):
        for name in RETIRED:
            remove_results(trajectory.path, name)
        model, free = trajectory.empty_model(), bytes_available(torch.device(device))
        require_memory(trajectory.experiment, model, torch.device(device), copies=ALWAYS)
        too_large = {
            entry: why
            for entry in chosen
            if (why := lacking_memory(trajectory.experiment, model, free, copies=entry.copies))
        }
        digests, skipped = read_digests(trajectory, trajectory.steps)
        final = final_of(trajectory, arguments_of, digests, skipped)
        harvest = Harvest(trajectory, entries, final, digests, skipped)
        analyze_missing(
            harvest, final, wanted_of(harvest, chosen, every, last=last), too_large, device=device, progress=progress
        )
    if harvest.removed:
        plural, names = "" if len(harvest.removed) == 1 else "s", ", ".join(harvest.removed)
        warn(f"removed {len(harvest.removed)} result{plural} of another version: {names}", stacklevel=3)
    return Results.open(trajectory.path)


def choose(entries: Sequence[Entry], only: Iterable[str] | None) -> list[Entry]:
    """Return the entries of the given names. Raises ConfigError, which lists all names, for an unknown name."""
    for entry in entries:
        require(isinstance(entry, Entry), "entries", short(entry), "must be an Entry, as in Entry(my_analysis)")
    by_name = {entry.name: entry for entry in entries}
    if len(by_name) < len(entries):
        twice = next(entry.name for entry in entries if by_name[entry.name] is not entry)
        raise ConfigError("entries", twice, "must name each analysis once")
    names = list(by_name) if only is None else [only] if isinstance(only, str) else list(only)
    for name in names or [""]:
        require_choice("only", name, by_name)
    return [entry for name, entry in by_name.items() if name in names]


def read_digests(trajectory: Trajectory, steps: Iterable[int]) -> tuple[dict[int, str], dict[int, str]]:
    """Return the verified digest of every readable checkpoint, and the reason for every unreadable checkpoint."""
    digests, unreadable = {}, {}
    for step in steps:
        try:
            digests[step] = trajectory.directory.digest(step)
        except CheckpointError as error:
            unreadable[step] = error.why
    return digests, unreadable


def final_of(
    trajectory: Trajectory, arguments_of: ArgumentsOf, digests: Mapping[int, str], skipped: dict[int, str]
) -> Final:
    """Return the last readable checkpoint and the arguments it determines; add unreadable ones to ``skipped``."""
    for step in sorted(digests, reverse=True):
        try:
            checkpoint, first = trajectory[step], min(digests)
            known = dict(arguments_of(checkpoint))
            weights = {
                "initial_weights": trajectory.weights(first).state,
                "final_weights": trajectory.weights(step).state,
            }
        except CheckpointError as error:
            skipped[step] = error.why
        else:
            marks = {name: value.tolist() if isinstance(value, Tensor) else value for name, value in known.items()}
            digest = {"initial_weights": digests[first], "final_weights": digests[step]}
            return Final(checkpoint, known | weights, marks | digest)
    raise RunDirectoryError(trajectory.path, f"has no readable checkpoint ({len(skipped)} damaged)")


def analyze_missing(
    harvest: Harvest,
    final: Final,
    wanted: Mapping[Entry, Sequence[int]],
    too_large: Mapping[Entry, str],
    *,
    device: str | torch.device,
    progress: bool,
) -> None:
    """Compute and save the missing results, counted on one progress bar; the next call computes what is interrupted.

    Cheap analyses, and analyses that were not defined before, run on the last checkpoint first, because vmap cannot
    report which analysis is not defined for the run. Analyses that do not fit into memory are not run; the reason is
    recorded, as for analyses that are not defined.
    """
    trajectory = harvest.trajectory
    before = read_not_defined(trajectory.path)
    defined = {entry: steps for entry, steps in wanted.items() if entry.name not in before}
    if any(set(steps) - set(steps_of(harvest.kept[entry])) for entry, steps in defined.items()):
        require_writable(trajectory.path / "analysis")  # before the work
    harvest.begin({entry: len(steps) for entry, steps in wanted.items()})
    for entry in too_large.keys() & wanted.keys():
        harvest.refuse(entry, wanted[entry], too_large[entry])
    unknown = [entry for entry in wanted if entry not in too_large and harvest.kept[entry] is None]
    try:
        for entry in unknown:
            if entry.name in before:
                harvest.add_last(entry, final)
        counts = {entry: len(set(steps) - harvest.steps_of(entry)) for entry, steps in wanted.items()}
        total = sum(count for entry, count in counts.items() if entry.name not in harvest.undefined)
        with ProgressBar("analyzing", total, shown=progress and total > 0) as bar:
            for entry in unknown:
                if entry.name not in before and not entry.costly:
                    bar.advance(0, note=entry.name)
                    bar.advance(1 if harvest.add_last(entry, final) else counts[entry])
            final.checkpoint.forget()
            with Team(trajectory, final.arguments, device) as team:
                for missing, group in by_missing_steps(wanted, harvest).items():
                    evaluate_group(harvest, final, missing, group, team, bar, device=device)
            bar.advance(0, note="")
    finally:
        harvest.save_rest()


def evaluate_group(
    harvest: Harvest,
    final: Final,
    steps: Sequence[int],
    group: Sequence[Entry],
    team: Team,
    bar: ProgressBar,
    *,
    device: str | torch.device,
) -> None:
    """Compute and save the results of a group of analyses in one pass over the same steps."""
    costly, what, done = any(entry.costly for entry in group), names_of(group), bar.done
    bar.advance(0, note=what)
    results = evaluate_each(
        [entry.analysis for entry in group], harvest.trajectory, steps, final.arguments, harvest.skipped,
        device=device, vectorize=False if costly else None,
        copies=max(entry.copies for entry in group), apart=costly, team=team,
    )  # fmt: skip
    with closing(results):
        for step, of_step in results:
            for entry, result in zip(group, of_step, strict=True):
                harvest.add(step, entry, result)
            bar.advance(len(group), note=f"{what}, step {step:,}")
    bar.advance(len(steps) * len(group) - (bar.done - done))  # damaged checkpoints
    harvest.save(group)


def names_of(group: Sequence[Entry]) -> str:
    """Return the names of some analyses as text, all of them only if they are few."""
    names = [entry.name for entry in group]
    return ", ".join(names) if len(names) <= FEW else f"{names[0]} and {len(names) - 1} others"


def wanted_of(
    harvest: Harvest, chosen: Sequence[Entry], every: int | None, *, last: bool
) -> dict[Entry, tuple[int, ...]]:
    """Return the steps of the readable checkpoints on which each analysis is to run."""
    readable = tuple(step for step in sorted(harvest.digests) if step not in harvest.skipped)
    if last:
        return dict.fromkeys(chosen, readable[-1:])
    marks = landmarks(harvest.trajectory)
    return {entry: entry.steps(readable, every, marks) for entry in chosen}


def landmarks(trajectory: Trajectory) -> list[int]:
    """Return the steps at which the phases of the training curves begin; empty without curves."""
    metrics = trajectory.metrics
    if metrics.sizes["step"] < 2 or not {"train_loss", "test_loss"} <= set(metrics):
        return []
    return [phase.start for phase in find_phases(Curves.from_dataset(metrics)).phases]


def by_missing_steps(wanted: Mapping[Entry, Sequence[int]], harvest: Harvest) -> dict[tuple[int, ...], list[Entry]]:
    """Group the defined analyses that lack results by their missing steps, one group per pass."""
    groups: dict[tuple[int, ...], list[Entry]] = {}
    for entry, steps in wanted.items():
        done = harvest.steps_of(entry)
        missing = tuple(step for step in steps if step not in done)
        if missing and entry.name not in harvest.undefined:
            groups.setdefault(missing, []).append(entry)
    return groups
