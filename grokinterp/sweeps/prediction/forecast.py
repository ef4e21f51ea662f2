"""Predict when a run groks from its first metrics, with an interval that is calibrated on the runs of a database."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, final

from grokinterp.errors import ConfigError, require
from grokinterp.sweeps.database import Database, open_db
from grokinterp.sweeps.prediction.conformal import MOST_FOLDS, Calibrated, calibrate, within
from grokinterp.sweeps.prediction.early_run import KIND, EarlyRun
from grokinterp.sweeps.prediction.extrapolation import extrapolations
from grokinterp.sweeps.prediction.predictors import OURS, PREDICTORS, Regression
from grokinterp.sweeps.prediction.reading import Until, early_runs, read_target

LEVEL = 0.9
"""Nominal coverage of an interval."""

FEWEST_RUNS, FEWEST_GROKKED = 10, 5
"""Least numbers of comparable runs, and of those that grokked, from which a run is predicted."""


@final
@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The predicted grok step of a run.

    Attributes:
        at: the last step from which it was predicted.
        budget: the steps of the run.
        horizon: the last step at which the run could grok within its budget.
        level: the nominal coverage of the interval.
        step: the predicted grok step; infinite if it lies after the horizon.
        low: the lower end of the interval; the horizon if the run is predicted not to grok within its budget.
        high: the upper end; infinite if the run may not grok within its budget.
        n_runs: number of runs to which the predictor was fitted.
        n_groups: number of runs, or of settings, on which the interval was calibrated.
        exchangeable: "seeds" if the setting of the run was trained with other seeds, on whose runs the interval is
            calibrated; else "settings".
        baselines: the grok steps that other predictors predict.
        factors: the factor by which each feature changes the predicted step, the strongest first.
        observed: the observed grok step, if the run has grokked.
        censored_at: the last step at which the run is known not to have grokked, if it was observed beyond ``at`` and
            has not grokked.
        fraction: the share of its budget at which each comparable run was known; None if all were known at step ``at``.
        extrapolated: for every setting that is outside those of the comparable runs, a phrase that states both.
    """

    at: int
    budget: int
    horizon: int
    level: float
    step: float
    low: float
    high: float
    n_runs: int
    n_groups: int
    exchangeable: str
    baselines: dict[str, float]
    factors: dict[str, float]
    observed: int | None
    censored_at: int | None
    fraction: float | None = None
    extrapolated: tuple[str, ...] = ()

    @property
    def ends(self) -> bool:
        """Whether the run is predicted not to grok within its budget."""
        return self.low >= self.horizon

    @property
    def text(self) -> str:
        """The prediction in a sentence."""
        share = f"{100 * self.level:g} % interval"
        if self.ends:
            return f"predicted not to grok within the budget ({share}: after step {self.horizon})"
        edge = "not bounded within the budget" if math.isinf(self.high) else f"{self.high:.0f}"
        step = "not to grok within the budget" if math.isinf(self.step) else f"to grok at step {self.step:.0f}"
        return f"predicted {step} ({share}: {self.low:.0f} to {edge})"

    @property
    def compared(self) -> str:
        """The condition on the comparable runs, which depends on how the step was chosen."""
        if self.fraction is None:
            return f"had not grokked at step {self.at}"
        return f"had not grokked in the first {100 * self.fraction:g} % of their budgets"

    @property
    def outcome(self) -> str:
        """The observed outcome after step ``at``; "" if none was observed."""
        if self.observed is not None:
            return f"grokked at step {self.observed}"
        return "" if self.censored_at is None else f"had not grokked at step {self.censored_at}"

    @property
    def guarantee(self) -> str:
        """The assumption and the coverage that it implies."""
        return guarantee_of(self.exchangeable, self.level, self.n_groups)


def predict(
    run: str | Path,
    db: str | Path | Database,
    *,
    at: int | None = None,
    fraction: float | None = None,
    level: float = LEVEL,
) -> Prediction:
    """Predict when a run groks from its metrics so far, or from the first of them.

    The predictor is a regression on the settings and the early curves, fitted to the runs of a database that have the
    same kind of task, model, optimizer, and loss, and that had not grokked at the same step or, with ``fraction``, at
    the same share of their budget; these are different runs if budgets differ. The run itself is left out.

    Args:
        run: the run directory.
        db: the database of runs.
        at: use the metrics up to this step.
        fraction: use the metrics up to this share of the budget (default: all metrics).
        level: the nominal coverage of the interval.

    Raises:
        ConfigError: an argument is out of range, the run has already grokked, or too few runs are comparable.
        RunDirectoryError: the run cannot be read.
    """
    require_arguments(at, fraction, level)
    until = None if at is None and fraction is None else Until(at, fraction)
    target = read_target(run, until)
    early = target.early
    if early is None:
        raise ConfigError("run", run, unpredictable(target.row["grok_epoch"], target.at))
    if early.at >= early.horizon:
        raise ConfigError("run", run, f"has not grokked at step {early.at}, after which it cannot within its budget")
    source = db if isinstance(db, Database) else open_db(db)
    others = early_runs(source, until or Until(target.at), {name: target.row[name] for name in KIND})
    alike = comparable(others, early, source.path)
    return predicted(early, alike, level=level, budget=target.row["epochs"], fraction=fraction)


def require_arguments(at: int | None, fraction: float | None, level: float) -> None:
    """Raise ConfigError if an argument of ``predict`` is out of range."""
    require(at is None or fraction is None, "fraction", fraction, f"give it or at, not both (at is {at})")
    require(at is None or at >= 1, "at", at, "must be an integer from 1")
    require(fraction is None or 0 < fraction <= 1, "fraction", fraction, "must be above 0 and at most 1")
    require(0 < level < 1, "level", level, "must be between 0 and 1")


def unpredictable(grok_step: int | None, at: int) -> str:
    """Return the reason why a run cannot be predicted at a step."""
    if grok_step is not None and grok_step <= at:
        return f"has grokked at step {grok_step}, before step {at}"
    return f"has too few evaluations with a test accuracy up to step {at}"


def comparable(runs: Sequence[EarlyRun], early: EarlyRun, db: str | Path) -> list[EarlyRun]:
    """Return the other runs that have all features of a run.

    Args:
        runs: the runs of a database.
        early: the run.
        db: the database, which the error names.

    Raises:
        ConfigError: they are too few, or too few of them grokked.
    """
    found = [run for run in runs if run.run_id != early.run_id and run.features.keys() >= early.features.keys()]
    grokked = sum(run.grokked for run in found)
    if len(found) < FEWEST_RUNS or grokked < FEWEST_GROKKED:
        what = f"contains {len(found)} comparable runs that had not grokked at step {early.at}, of which {grokked} did"
        raise ConfigError("db", db, f"{what}; at least {FEWEST_RUNS} and {FEWEST_GROKKED} are required")
    return [replace(run, features={name: run.features[name] for name in early.features}) for run in found]


def predicted(
    early: EarlyRun, others: Sequence[EarlyRun], *, level: float, budget: int, fraction: float | None = None
) -> Prediction:
    """Return the prediction of a run from others, which were known at the same step, or at a share of their budgets."""
    seeds = early.setting in {run.setting for run in others}
    ours = calibrate(PREDICTORS[OURS], others, seeds=seeds)
    interval = ours.interval(early, level=level)
    return Prediction(
        at=early.at,
        budget=budget,
        horizon=early.horizon,
        level=level,
        **interval._asdict(),
        n_runs=len(others),
        n_groups=round(1 / ours.free) - 1,
        exchangeable="seeds" if seeds else "settings",
        baselines=baselines_of(early, others, seeds=seeds),
        factors=factors_of(ours, early),
        observed=early.outcome.grok_step,
        censored_at=censored_at(early),
        fraction=fraction,
        extrapolated=extrapolations(early.settings, [run.settings for run in others]),
    )


def censored_at(early: EarlyRun) -> int | None:
    """Return the last step at which a run that was observed further is known not to have grokked; None otherwise."""
    outcome = early.outcome
    return outcome.known_until if outcome.grok_step is None and outcome.known_until > early.at else None


def baselines_of(early: EarlyRun, others: Sequence[EarlyRun], *, seeds: bool) -> dict[str, float]:
    """Return the steps that the baselines predict; infinite after the horizon."""
    centers = {
        name: predictor.fit(others, seeds=seeds)(early) for name, predictor in PREDICTORS.items() if name != OURS
    }
    return {name: within(early, center, -math.inf, math.inf).step for name, center in centers.items()}


def factors_of(ours: Calibrated, early: EarlyRun) -> dict[str, float]:
    """Return the factor by which each feature changes the predicted step, the strongest first."""
    parts = cast(Regression, ours.fitted).parts(early)
    return {name: math.exp(part) for name, part in sorted(parts.items(), key=lambda item: -abs(item[1]))}


def guarantee_of(exchangeable: str, level: float, n_groups: int) -> str:
    """Return the assumption of an interval, and the least coverage that it implies.

    With at most 50 groups, each is a fold, and the coverage is at least 1 − 2 (1 − level); with more, at least that
    minus 1/51.

    Source: Barber et al. 2021 (jackknife+, CV+); Lee et al. 2023 for groups.

    >>> guarantee_of("seeds", 0.9, 30)
    'at least 80 % of such runs are inside, if the seed was drawn like those of the 30 runs'
    """
    least = max(1 - 2 * (1 - level) - (1 / (MOST_FOLDS + 1) if n_groups > MOST_FOLDS else 0), 0)
    drawn = f"the seed was drawn like those of the {n_groups} runs"
    if exchangeable == "settings":
        drawn = f"the setting was drawn like the {n_groups} settings"
    return f"at least {100 * least:.3g} % of such runs are inside, if {drawn}"
