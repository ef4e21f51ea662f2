"""Changes of a run when it is continued: settings on which its past does not depend."""

from dataclasses import replace
from typing import Any

from grokinterp.errors import ConfigError, RunDirectoryError
from grokinterp.experiment import Experiment
from grokinterp.experiment.configuration import there_and_here
from grokinterp.runs.stored import stored_experiment
from grokinterp.storage import RunDirectory
from grokinterp.storage.continuations import may_change


def changed_settings(run: RunDirectory, experiment: Experiment) -> dict[str, tuple[Any, Any]]:
    """Return the settings of a stored run that differ in the given experiment: dotted key, value there, value here.

    Keys that are newer than the run have their default values there. The origin of a branch may be given as before its
    creation.

    Raises:
        RunDirectoryError: if the past of the run depends on one of these settings.
    """
    stored = stored_experiment(run)
    given, there = experiment.origin, stored.origin
    if given is not None and there is not None and given.located in (there.located, there.anonymous.located):
        experiment = replace(experiment, origin=there)
    differing = stored.differences(experiment)
    fixed = {key: both for key, both in differing.items() if not may_change(key)}
    if fixed:
        why = f"was trained with another configuration: {there_and_here(fixed)}"
        raise RunDirectoryError(run.path, f"{why}; only steps, patience, evaluate_every and save may change")
    return differing


def require_extension(run: RunDirectory, experiment: Experiment) -> None:
    """Raise an error unless the run can be continued with the settings of an experiment.

    Raises:
        RunDirectoryError: if the past of the run depends on a setting that differs.
        ConfigError: if a schedule follows the planned length, which differs, or the run has passed the planned length.
    """
    changed = changed_settings(run, experiment)
    if "steps" in changed:
        for name in ("lr", "weight_decay", "batch_size"):
            schedule = getattr(experiment.optimization.schedules, name)
            if schedule.follows_length:
                before, now = changed["steps"]
                rule = f"follows the planned length of the run, so that steps={before} cannot become {now}"
                raise ConfigError(f"optimization.schedules.{name}.kind", schedule.kind, rule)
    reached = max([*run.steps(), *run.resume.steps()], default=0)
    if experiment.budget < reached or ("steps" in changed and experiment.budget == reached):
        raise ConfigError(
            "steps", experiment.budget, f"must be above {reached}, which the run in {run.path} has reached"
        )
