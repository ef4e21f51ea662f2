"""The rules on the arguments of a league, which are checked before torch is loaded."""

from collections.abc import Sequence

from grokinterp.errors import ConfigError, require, require_choice
from grokinterp.experiment import Experiment
from grokinterp.experiment.kinds import RECORDED
from grokinterp.league.methods import METHODS
from grokinterp.phases import SUSTAINED

MOST_SEEDS = 1000

MOST_TRIALS = 1000
"""Largest number of trials by which a method is tuned."""

PATIENCE = 20
"""Number of evaluations without a lower held-out loss after which early stopping would end a run."""


def require_arguments(
    experiment: Experiment,
    methods: Sequence[str],
    seeds: int,
    jobs: int | None,
    patience: int,
    tune: int | None = None,
) -> None:
    """Raise ConfigError if an argument of a league is invalid for every method."""
    require_selection(methods, seeds, patience)
    require(jobs is None or jobs >= 1, "jobs", jobs, "must be an integer from 1")
    require(tune is None or 2 <= tune <= MOST_TRIALS, "tune", tune, f"must be an integer from 2 to {MOST_TRIALS}")
    require(experiment.model.kind != RECORDED, "model.kind", RECORDED, "was trained by an external loop")
    require_evaluations("steps", experiment.budget, "evaluate_every", experiment.evaluate_every)


def require_selection(methods: Sequence[str], seeds: int, patience: int) -> None:
    """Raise ConfigError unless the methods are known and given once, and the numbers are in range."""
    for name in methods:
        require_choice("methods", name, METHODS)
        require(methods.count(name) == 1, "methods", name, "must be given once")
    require(bool(methods), "methods", "none", "must contain at least one method")
    require(1 <= seeds <= MOST_SEEDS, "seeds", seeds, f"must be an integer from 1 to {MOST_SEEDS}")
    require(patience >= 1, "patience", patience, "must be an integer from 1")


def require_evaluations(steps: str, budget: int, interval: str, every: int) -> None:
    """Raise ConfigError if a budget has too few evaluations, with the names of both arguments."""
    evaluations = budget // every + 1
    if evaluations < SUSTAINED.window:
        rule = f"gives {evaluations} evaluations; at least {SUSTAINED.window} are required: lower {interval}"
        raise ConfigError(steps, budget, rule)
