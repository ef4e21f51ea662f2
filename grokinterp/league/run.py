"""Train every method with every seed, one process per core, and collect the outcomes in one file."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from grokinterp.errors import ConfigError, GrokinterpError, RunDirectoryError, warn
from grokinterp.experiment import Experiment, SaveAt
from grokinterp.experiment.configuration import there_and_here
from grokinterp.league.arguments import PATIENCE, require_arguments
from grokinterp.league.directories import directories
from grokinterp.league.listed import list_runs
from grokinterp.league.methods import METHODS, configured, plain
from grokinterp.league.schema import has_shape
from grokinterp.league.tuning import TUNED, chosen_runs, trial_factors, trials_of, tuning_of
from grokinterp.phases import SUSTAINED
from grokinterp.storage import RunDirectory, write_atomic
from grokinterp.storage.files import read_json_object
from grokinterp.sweeps.entry import Entry
from grokinterp.sweeps.folder import held, outcomes
from grokinterp.sweeps.many import train_entries
from grokinterp.sweeps.processes import cores
from grokinterp.training.environment import choose_device
from grokinterp.training.memory import require_memory

LEAGUE = "league.json"
MEASURES = ("performance", "softmax_collapse", "gradient_weight_alignment")
"""The analyses of every run, which has few checkpoints."""

CHECKPOINTS = 8
"""Number of checkpoints of a run after the first, enough to measure softmax collapse and alignment."""


def run_league(
    experiment: Experiment,
    methods: Sequence[str],
    seeds: int,
    directory: str | Path,
    *,
    device: str = "auto",
    stacked: bool | None = None,
    jobs: int | None = None,
    patience: int = PATIENCE,
    tune: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Train every method with every seed on the same budget, and return the content of ``league.json``.

    All runs have the same steps, evaluations, and model. Runs with the same seed share the split and, unless a method
    changes them, the initial weights. Each run has its own directory, ``METHOD/seed-N``, and on a CPU its own
    single-threaded process; on a GPU, runs that fit together are trained as one program, and their times are not
    recorded. Finished runs are not trained again, and interrupted runs are resumed. Methods that do not apply to the
    experiment, runs that fail, and damaged runs are listed with the reason. A directory is used by one call at a time.
    Its ``sweep.json`` lists the runs as the sweeps ``league``, ``league_tuning`` and ``league_tuned``.

    Args:
        experiment: the task, model, and budget; methods replace its optimizer, filters, schedules, and similar
            settings.
        methods: names among ``METHODS``.
        seeds: number of seeds, starting at the experiment's seed.
        directory: a new directory, or that of an earlier call, whose other runs remain in the league.
        device: auto, cpu or cuda.
        stacked: whether to train runs that fit together as one program (default: on a GPU).
        jobs: number of simultaneous processes (default: one per core).
        patience: evaluations without a lower held-out loss, for the comparison with early stopping.
        tune: number of trials by which learning rate and weight decay of every method are tuned (default: none); see
            ``league/tuning.py``.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: a method is unknown or given twice, a number is out of range, the device is missing, the
            experiment was recorded or has too few evaluations, no method applies, or too few trials are possible.
        RunDirectoryError: the directory contains runs with another configuration, or another call is using it, which
            the error names.
    """
    top, chosen = Path(directory), list(methods)
    require_arguments(experiment, chosen, seeds, jobs, patience, tune)
    base, refused, entries = planned(experiment, chosen, seeds, top, device)
    names = [name for name in chosen if name not in refused]
    budgets = {} if tune is None else {name: trial_factors(name, base, tune) for name in names}
    with held(top):
        before, notes = read_league(top), damage_of(top)
        for note in notes:
            warn(f"{top}: {note}")
        require_same(top, before, base, entries)
        outcome: dict[str, Any] = {"patience": patience, "jobs": jobs or cores(), "refused": refused, "notes": notes}
        trials = [one for name, factors in budgets.items() for one in trials_of(name, base, factors, top)[0]]
        require_same(top, before, base, trials)
        list_runs(top, entries, trials, refused)
        train = partial(train_entries, device=device, stacked=stacked, jobs=jobs, progress=progress)
        tuned: list[Entry] = []
        try:
            train(trials)
            tuned = chosen_runs(top, base, budgets, range(experiment.seed, experiment.seed + seeds), patience)
            require_same(top, before, base, tuned)
            list_runs(top, entries, trials, refused, tuned)
            train([*entries, *(one for one in tuned if top / TUNED in one.directory.parents)], analyses=MEASURES)
        finally:
            outcome |= {"tuning": tuning_of(top, base, budgets, before, patience), "tuned": tuned}
            found = collected(top, base, entries, before, outcome)
            list_runs(top, entries, trials, refused, tuned)
            write_league(top, found)
    return found


def planned(
    experiment: Experiment, methods: Sequence[str], seeds: int, top: Path, device: str
) -> tuple[Experiment, dict[str, str], list[Entry]]:
    """Return the baseline experiment, the reasons why methods do not apply, and the runs ordered by seed."""
    every = max(experiment.budget // CHECKPOINTS, 1)
    base = plain(replace(experiment, save=SaveAt(every=every, resume_every=max(experiment.budget // 10, 1))))
    chosen = choose_device(device)
    made, refused = applicable(methods, base, lambda one: require_memory(one, chosen))
    return base, refused, entries_of(top, made, range(experiment.seed, experiment.seed + seeds))


def applicable(
    methods: Sequence[str], base: Experiment, require: Callable[[Experiment], None]
) -> tuple[dict[str, Experiment], dict[str, str]]:
    """Return the experiments of the methods that apply, and the reasons why the others do not.

    Args:
        methods: the names of the methods.
        base: the baseline experiment.
        require: raises ConfigError if the experiment of a method cannot be trained.

    Raises:
        ConfigError: no method applies.
    """
    made, refused = {}, {}
    for name in methods:
        try:
            one = configured(name, base)
            require(one)
            made[name] = one
        except ConfigError as error:
            refused[name] = str(error)
    if not made:
        raise ConfigError(
            "methods", ",".join(methods), f"no method applies to this experiment: {next(iter(refused.values()))}"
        )
    return made, refused


def entries_of(top: Path, made: Mapping[str, Experiment], seeds: Iterable[int]) -> list[Entry]:
    """Return the runs of the methods, ordered by seed."""
    return [
        Entry(top / name / f"seed-{seed}", replace(one, name=name, seed=seed))
        for seed in seeds
        for name, one in made.items()
    ]


def require_same(top: Path, earlier: Mapping[str, Any], base: Experiment, entries: Sequence[Entry]) -> None:
    """Raise RunDirectoryError if the directory contains runs with another configuration."""
    if earlier:
        stored = replace(Experiment.from_dict(earlier["base"]), name=base.name)
        if odd := stored.differences(base):
            raise RunDirectoryError(top, f"contains a league of another experiment: {there_and_here(odd)}")
    for entry in entries:
        stored = stored_in(entry.directory)
        if stored is not None and (odd := stored.differences(entry.experiment)):
            raise RunDirectoryError(entry.directory, f"was trained with another configuration: {there_and_here(odd)}")


def stored_in(directory: Path) -> Experiment | None:
    """Return the configuration of a run; None if there is none, or if it is damaged, which training reports."""
    try:
        return Experiment.from_dict(RunDirectory.open(directory).experiment)
    except GrokinterpError:
        return None


def read_league(top: Path) -> dict[str, Any]:
    """Return the content of ``league.json``; empty if the file is missing or damaged, or has another shape."""
    try:
        found = read_json_object(top / LEAGUE)
    except (OSError, ValueError):
        return {}
    return found if has_shape(found) else {}


def write_league(top: Path, found: Mapping[str, Any]) -> None:
    """Write ``league.json`` if the league has runs."""
    if found["runs"]:
        write_atomic(top / LEAGUE, (json.dumps(found, indent=1) + "\n").encode("ascii"), replace=True)


def damage_of(top: Path) -> list[str]:
    """Return a line if ``league.json`` exists but cannot be read."""
    exists = os.path.lexists(top / LEAGUE)
    return [f"{LEAGUE} was damaged and has been rewritten from the runs"] if exists and not read_league(top) else []


def collected(
    top: Path, base: Experiment, entries: Sequence[Entry], before: Mapping[str, Any], outcome: Mapping[str, Any]
) -> dict[str, Any]:
    """Collect the league from its run directories, including those of earlier calls, in the order of METHODS."""
    paths = {(name, seed): path for name, seed, path in directories(top)}
    measured, damaged = outcomes(paths, patience=outcome["patience"])
    failures = {(e.experiment.name, e.experiment.seed): e.failure for e in [*entries, *outcome["tuned"]] if e.failure}
    earlier = {(one["method"], one["seed"]): one["why"] for one in before.get("failed", [])}
    failures = {run: why for run, why in earlier.items() if run not in measured} | failures | damaged
    found = {name for name, _ in paths}
    refused = {**before.get("refused", {}), **outcome["refused"]}
    asked = [name for name in METHODS if name in found or name in refused]
    return {
        "format": 1,
        "base": base.to_dict(),
        "rule": {"threshold": SUSTAINED.threshold, "window": SUSTAINED.window},
        "patience": outcome["patience"],
        "jobs": outcome["jobs"],
        "refused": {name: refused[name] for name in asked if name in refused and name not in found},
        "failed": [{"method": name, "seed": seed, "why": why} for (name, seed), why in failures.items() if why],
        "methods": {name: method_of(name, base) for name in asked},
        "notes": outcome["notes"],
        "tuning": outcome["tuning"],
        "runs": [
            {"method": name, "seed": seed, "directory": f"{name}/seed-{seed}"} | values
            for (name, seed), values in measured.items()
        ],
    }


def method_of(name: str, base: Experiment) -> dict[str, Any]:
    """Return the description of a method, its source, and the settings that it changes."""
    method = METHODS[name]
    try:
        changes = base.differences(configured(name, base))
    except GrokinterpError:
        changes = {}
    return {"about": method.about, "source": method.source, "changes": {key: list(two) for key, two in changes.items()}}
