"""Predictions of a run in training, from the database of other runs, and its end if it will not grok."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from grokinterp.errors import ConfigError, require, warn
from grokinterp.experiment import Experiment
from grokinterp.storage import RunDirectory
from grokinterp.sweeps.database import open_db
from grokinterp.sweeps.prediction.conformal import calibrate
from grokinterp.sweeps.prediction.early_run import KIND, EarlyRun
from grokinterp.sweeps.prediction.extrapolation import extrapolations, range_settings
from grokinterp.sweeps.prediction.forecast import FEWEST_GROKKED, FEWEST_RUNS, LEVEL, comparable, predicted
from grokinterp.sweeps.prediction.predictors import OURS, PREDICTORS
from grokinterp.sweeps.prediction.reading import Until, early_runs, read_target
from grokinterp.sweeps.rows import SETTINGS
from grokinterp.training.outlook import Outlook

LOOKS = (0.05, 0.1, 0.2, 0.4)
"""Shares of the budget after which a run is predicted."""

STOPS = (0.2, 0.4)
"""Shares of the budget after which a run can be stopped."""

RISK = 0.05
"""Nominal share of all runs that are stopped wrongly, over both looks; the proven bound is twice as large."""

CONDITION = f"nominal risk {100 * RISK:g} %, valid only if the run resembles those in the database"
"""The condition in the reason for a stop."""


@final
@dataclass(frozen=True)
class DatabaseForecaster:
    """Predicts one run at some steps; see ``docs/prediction.md``.

    Attributes:
        db: the database.
        runs: the comparable runs as they were known, by the step from which is predicted.
        stopping: the steps at which the run may be stopped.
    """

    db: str

    runs: Mapping[int, Sequence[EarlyRun]]
    stopping: frozenset[int]

    @classmethod
    def of(cls, experiment: Experiment, db: str | Path, *, stops: bool) -> "DatabaseForecaster":
        """Read the comparable runs of a database.

        Args:
            experiment: the configuration of the run.
            db: the database.
            stops: whether the run is stopped if it is predicted not to grok within its budget.

        Raises:
            ConfigError: the database cannot be read, or contains too few comparable runs.
        """
        source, budget, every = open_db(db), experiment.budget, experiment.evaluate_every
        kind = kind_of(experiment)
        steps = {share: int(share * budget + 1e-9) // every * every for share in LOOKS}
        runs = {step: early_runs(source, Until(share=share), kind) for share, step in steps.items()}
        most = max(len(each) for each in runs.values())
        grokked = max(sum(run.grokked for run in each) for each in runs.values())
        rule = f"contains {most} comparable runs, of which {grokked} grokked after a twentieth of their budget"
        enough = most >= FEWEST_RUNS and grokked >= FEWEST_GROKKED
        require(enough, "db", db, f"{rule}; at least {FEWEST_RUNS} and {FEWEST_GROKKED} are required")
        return cls(str(db), runs, frozenset(steps[share] for share in STOPS) if stops else frozenset())

    def outlook(self, run: RunDirectory, step: int) -> Outlook | None:
        """Return the prediction at one of the steps; None elsewhere, after grokking, and if too few runs remain."""
        if step not in self.runs:
            return None
        target = read_target(run.path, Until(at=step))
        try:
            others = [] if target.early is None else comparable(self.runs[step], target.early, self.db)
        except ConfigError:
            return None
        if target.early is None:
            return None
        budget = target.row["epochs"]
        odd = extrapolations(target.early.settings, [run.settings for run in others])
        if step in self.stopping and not odd and is_hopeless(target.early, others):
            why = f"predicted at step {step} not to grok within its budget of {budget} steps"
            return Outlook(f"{why} ({CONDITION})", ends=True)
        text = predicted(target.early, others, level=LEVEL, budget=budget).text
        return Outlook(f"{text}, extrapolated: {'; '.join(odd)}" if odd else text)

    def unlike(self, experiment: Experiment) -> tuple[str, ...]:
        """Return a phrase for every setting of an experiment that is outside those of all comparable runs."""
        others = [run.settings for each in self.runs.values() for run in each]
        return extrapolations(range_settings(experiment.to_dict()), others)


def kind_of(experiment: Experiment) -> dict[str, Any]:
    """Return the values of the columns in which comparable runs agree."""
    settings = experiment.flat
    return {column: settings[SETTINGS[column]] for column in KIND}


def warn_of_extrapolation(forecaster: DatabaseForecaster, experiments: Sequence[Experiment]) -> None:
    """Warn once if settings of some experiments are outside those of the database, so that these are never stopped."""
    odd = [phrases for one in experiments if (phrases := forecaster.unlike(one))]
    if odd:
        named = "; ".join(dict.fromkeys(phrase for phrases in odd for phrase in phrases))
        count = "1 run is" if len(odd) == 1 else f"{len(odd)} runs are"
        warn(f"{count} never stopped, because a prediction would extrapolate from {forecaster.db}: {named}")


def forecaster_of(experiment: Experiment, db: str | Path | None) -> DatabaseForecaster | None:
    """Return the forecaster that stops a run by a database; None without one."""
    return None if db is None else DatabaseForecaster.of(experiment, db, stops=True)


def is_hopeless(early: EarlyRun, others: Sequence[EarlyRun]) -> bool:
    """Return whether a lower end with a share of the risk lies at the horizon of a run."""
    seeds = early.setting in {run.setting for run in others}
    interval = calibrate(PREDICTORS[OURS], others, seeds=seeds).interval(early, level=LEVEL, lower=RISK / len(STOPS))
    return interval.low >= early.horizon
