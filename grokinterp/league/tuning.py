"""Tune learning rate and weight decay of every method under an equal budget, on a seed that is not reported.

Every method has the same number of trials. The first trial is the method as it is; the others have factors of its own
learning rate and weight decay, which are drawn log-uniformly, the same for all methods. Factors that are impossible for
a method are listed with the reason, and the next ones take their place. The trials of all methods are trained on one
seed, and the best trial of each is trained on the reported seeds, beside the method as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.league.arguments import MOST_SEEDS
from grokinterp.league.directories import numbered
from grokinterp.league.methods import METHODS, configured
from grokinterp.league.schema import tuned_place
from grokinterp.sweeps.entry import Entry
from grokinterp.sweeps.folder import outcomes

WIDEST = 10.0
"""Largest factor of learning rate and of weight decay; the smallest is its inverse."""

MOST_DRAWS = 20
"""Largest number of drawn trials, for every trial of the budget."""

TUNING, TUNED = "tuning", "tuned"
"""The folders of the trials, and of the runs with the chosen settings."""

Factors = tuple[float, float]


def tuning_seed(base: Experiment) -> int:
    """Return the seed of the trials, which no league with this base reports."""
    return base.seed + MOST_SEEDS


def factors_of(base: Experiment, trials: int) -> list[Factors]:
    """Return the factors of learning rate and weight decay of every trial; more trials begin with the same ones."""
    draw = np.random.default_rng([base.seed, MOST_SEEDS])
    drawn = [tuple(WIDEST ** draw.uniform(-1, 1, 2)) for _ in range(trials - 1)]
    return [(1.0, 1.0), *((float(f"{lr:.3g}"), float(f"{decay:.3g}")) for lr, decay in drawn)]


def trial_factors(name: str, base: Experiment, trials: int) -> list[Factors]:
    """Return the first factors of which a number of trials are possible for a method.

    Raises:
        ConfigError: too few of the factors that may be drawn are possible.
    """
    factors, possible = factors_of(base, MOST_DRAWS * trials), 0
    for drawn, each in enumerate(factors, start=1):
        possible += refusal(name, base, each) is None
        if possible == trials:
            return factors[:drawn]
    why = next(why for each in factors if (why := refusal(name, base, each)))
    raise ConfigError("tune", trials, f"{name} has only {possible} possible trials among {len(factors)} draws: {why}")


def refusal(name: str, base: Experiment, factors: Factors) -> str | None:
    """Return the reason why a trial of a method is impossible; None if it is possible."""
    try:
        scaled(configured(name, base), factors)
    except ConfigError as error:
        return str(error)
    return None


def scaled(experiment: Experiment, factors: Factors) -> Experiment:
    """Return an experiment with learning rate and weight decay multiplied by factors."""
    o = experiment.optimization
    lr, decay = (float(f"{value * by:.12g}") for value, by in zip((o.lr, o.weight_decay), factors, strict=True))
    return replace(experiment, optimization=replace(o, lr=lr, weight_decay=decay))


def trials_of(name: str, base: Experiment, factors: Sequence[Factors], top: Path) -> tuple[list[Entry], dict[int, str]]:
    """Return the trials of a method, numbered by their directories, and the reasons why some are impossible."""
    entries, refused = [], {}
    for number, each in enumerate(factors):
        if why := refusal(name, base, each):
            refused[number] = why
            continue
        one = replace(scaled(configured(name, base), each), name=name, seed=tuning_seed(base))
        entries.append(Entry(trial_directory(top, name, number), one, label=f"{name} trial {number}"))
    return entries, refused


def trial_directory(top: Path, name: str, number: int) -> Path:
    """Return the directory of a trial."""
    return top / TUNING / name / f"trial-{number}"


def measured_trials(
    name: str, base: Experiment, factors: Sequence[Factors], top: Path, *, patience: int
) -> dict[str, Any]:
    """Return the trials of a method as they are listed in ``league.json``, with the number of the chosen one."""
    entries, refused = trials_of(name, base, factors, top)
    paths = {int(entry.directory.name.removeprefix("trial-")): entry.directory for entry in entries}
    found, failed = outcomes(paths, patience=patience)
    reasons = {**refused, **failed}
    rows = [trial_row(number, each, found.get(number), reasons.get(number)) for number, each in enumerate(factors)]
    return {"chosen": best(rows), "possible": len(entries), "trials": rows}


def trial_row(number: int, factors: Factors, outcome: Mapping[str, Any] | None, why: str | None) -> dict[str, Any]:
    """Return a trial as JSON values."""
    kept = ("status", "event_step", "time_step", "final_test_accuracy")
    values = {key: None if outcome is None else outcome[key] for key in kept}
    return {"trial": number, "lr": factors[0], "weight_decay": factors[1], **values, "why": why}


def best(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the number of the trial that generalized first; None if none was trained to its end.

    All trials have the same budget, so that a trial that did not generalize takes longer than every trial that did. If
    none did, the highest final test accuracy decides, and trials that diverged or failed come last.

    >>> ended = {"status": "finished", "final_test_accuracy": 0.5}
    >>> best([ended | {"trial": 0, "event_step": None}, ended | {"trial": 1, "event_step": 90}])
    1
    """
    ended = [row for row in rows if row["status"] in ("finished", "diverged")]
    return min(ended, key=_rank)["trial"] if ended else None


def _rank(row: Mapping[str, Any]) -> tuple[float, bool, float, int]:
    event, accuracy = row["event_step"], row["final_test_accuracy"]
    time = float("inf") if event is None else float(event)
    return time, row["status"] == "diverged", -(0.0 if accuracy is None else accuracy), row["trial"]


def tuned_entries(
    name: str, chosen: int, base: Experiment, factors: Sequence[Factors], top: Path, numbers: Sequence[int]
) -> list[Entry]:
    """Return the runs of a method with the chosen settings, which for the first trial are its own runs."""
    made = scaled(configured(name, base), factors[chosen])
    return [
        Entry(
            tuned_directory(top, name, chosen) / f"seed-{seed}",
            replace(made, name=name, seed=seed),
            label=f"{name} tuned seed {seed}",
        )
        for seed in numbers
    ]


def tuned_directory(top: Path, name: str, chosen: int) -> Path:
    """Return the folder of the runs of a method with the settings of a trial."""
    return top / tuned_place(name, chosen)


def chosen_runs(
    top: Path, base: Experiment, budgets: Mapping[str, Sequence[Factors]], numbers: Sequence[int], patience: int
) -> list[Entry]:
    """Return the runs with the settings of the best trial of every method, none without trials."""
    made: list[Entry] = []
    for name, factors in budgets.items():
        chosen = measured_trials(name, base, factors, top, patience=patience)["chosen"]
        if chosen is not None:
            made += tuned_entries(name, chosen, base, factors, top, numbers)
    return made


def tuning_of(
    top: Path, base: Experiment, budgets: Mapping[str, Sequence[Factors]], before: Mapping[str, Any], patience: int
) -> dict[str, Any] | None:
    """Return the trials and the tuned runs of all methods that were tuned, now or by an earlier call.

    A method that is not tuned now keeps its trials, whose number may be another one; every method states its own.
    """
    earlier: dict[str, Any] = before.get("tuning") or {"methods": {}}
    kept = {
        name: [(row["lr"], row["weight_decay"]) for row in one["trials"]] for name, one in earlier["methods"].items()
    }
    tried = kept | dict(budgets)
    if not tried:
        return None
    measured = {
        name: measured_trials(name, base, tried[name], top, patience=patience) for name in METHODS if name in tried
    }
    return {
        "trials": max(one["possible"] for one in measured.values()),
        "seed": tuning_seed(base),
        "methods": measured,
        "runs": tuned_outcomes(top, {name: one["chosen"] for name, one in measured.items()}, patience),
    }


def tuned_outcomes(top: Path, chosen: Mapping[str, int | None], patience: int) -> list[dict[str, Any]]:
    """Return the outcomes of the runs with the chosen settings; damaged runs are left out."""
    paths = {
        (name, seed): path
        for name, number in chosen.items()
        if number is not None
        for seed, path in numbered(tuned_directory(top, name, number))
    }
    measured, _ = outcomes(paths, patience=patience)
    return [
        {"method": name, "seed": seed, "directory": paths[name, seed].relative_to(top).as_posix()} | values
        for (name, seed), values in measured.items()
    ]
