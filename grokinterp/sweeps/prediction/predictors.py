"""Predictors of the grok step from an early run: ours, and the baselines with which it is compared.

Every predictor is fitted to other runs at the same early step, and returns the logarithm of the grok step. How certain
that is follows from ``conformal.py``, for all predictors in the same way.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import CensoredData, ecdf

from grokinterp.sweeps.prediction.early_run import EarlyRun
from grokinterp.sweeps.prediction.regression import Line, constant, fit_line

Fitted = Callable[[EarlyRun], float]

SEEDS = "other seeds"
"""The feature of a run whose setting was trained with other seeds: the mean logarithm of their grok steps."""


class Predictor(NamedTuple):
    """A predictor: what it does, its source, and the function that fits it.

    ``fit(runs, seeds=…)`` returns a function from an early run to the logarithm of its grok step; ``seeds`` states that
    the runs that are predicted have a setting that was trained with other seeds.
    """

    about: str
    source: str
    fit: Callable[..., Fitted]


class Regression(NamedTuple):
    """A fitted regression on features.

    Attributes:
        names: the names of the features.
        line: the line.
        by_setting: the targets of the runs of every setting by run id.
        typical: the mean target, which stands for the other seeds of a run without any.
    """

    names: tuple[str, ...]
    line: Line
    by_setting: Mapping[str, Mapping[str, float]]
    typical: float

    def __call__(self, run: EarlyRun) -> float:
        """Return the logarithm of the predicted step."""
        return self.line.at(self.row(run))

    def row(self, run: EarlyRun) -> Float[np.ndarray, " feature"]:
        """Return the features of a run, with those of its setting's other runs."""
        return np.array([self.value(run, name) for name in self.names])

    def value(self, run: EarlyRun, name: str) -> float:
        """Return a feature of a run."""
        if name != SEEDS:
            return run.features[name]
        others = [target for key, target in self.by_setting.get(run.setting, {}).items() if key != run.run_id]
        return float(np.mean(others)) if others else self.typical

    def parts(self, run: EarlyRun) -> dict[str, float]:
        """Return what each feature of a run adds to the mean of the logarithm."""
        return dict(zip(self.names, map(float, self.line.parts(self.row(run))), strict=True))


def by_setting_of(runs: Sequence[EarlyRun]) -> dict[str, dict[str, float]]:
    """Return the targets of the runs of every setting by run id."""
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for run in runs:
        found[run.setting][run.run_id] = run.target
    return dict(found)


def regression(choose: Callable[[str], bool]) -> Callable[..., Regression]:
    """Return a function that fits a regression on the chosen features and, if asked, on those of other seeds."""

    def fit(runs: Sequence[EarlyRun], *, seeds: bool) -> Regression:
        names = tuple(name for name in runs[0].features if choose(name))
        names += (SEEDS,) if seeds else ()
        targets = np.array([run.target for run in runs])
        typical = float(targets.mean())
        made = Regression(names, constant(typical, len(names)), by_setting_of(runs) if seeds else {}, typical)
        x = np.array([made.row(run) for run in runs])
        return made._replace(line=fit_line(x, targets, np.array([run.grokked for run in runs])))

    return fit


def median_step(runs: Sequence[EarlyRun]) -> float:
    """Return the logarithm of the Kaplan-Meier median; of the latest time, if the median is later."""
    data = CensoredData.right_censored([run.target for run in runs], [not run.grokked for run in runs])
    curve = ecdf(data).sf
    reached = np.flatnonzero(np.asarray(curve.probabilities) <= 0.5 + 1e-12)
    return float(curve.quantiles[reached[0]]) if len(reached) else max(run.target for run in runs)


def fit_median(runs: Sequence[EarlyRun], *, seeds: bool) -> Fitted:
    """Fit the median of all runs."""
    middle = median_step(runs)
    return lambda run: middle


def fit_setting_median(runs: Sequence[EarlyRun], *, seeds: bool) -> Fitted:
    """Fit the medians of the settings; a setting without other runs has the median of all."""
    overall, groups = median_step(runs), defaultdict[str, list[EarlyRun]](list)
    for run in runs:
        groups[run.setting].append(run)

    def predict(run: EarlyRun) -> float:
        others = [other for other in groups.get(run.setting, []) if other.run_id != run.run_id]
        return median_step(others) if others else overall

    return predict


def fit_decay(runs: Sequence[EarlyRun], *, seeds: bool) -> Fitted:
    """Fit T_grok = T_mem + ln(V_mem / V*) / (2 η λ κ), where V = Σθ² shrinks by weight decay alone.

    V* is a share of the initial Σθ²: the median share at which runs grokked. κ is the median of
    ln(V_mem / V_grok) / (2 η λ (T_grok − T_mem)) over runs where it is positive. A network that has not yet memorized
    is taken to do so now. Without weight decay, the run never groks; if V_mem is below V*, it groks now.
    """
    dates = [run for run in runs if run.outcome.grok_step is not None and run.outcome.norm > 0 and run.initial_norm > 0]
    shares = [run.outcome.norm / run.initial_norm for run in dates]
    share = float(np.median(shares)) if shares else math.nan
    speeds = [speed for run in dates if (speed := effective_decay(run)) > 0]
    kappa = float(np.median(speeds)) if speeds else math.nan

    def predict(run: EarlyRun) -> float:
        excess, rate = run.norm / (share * run.initial_norm), 2 * run.decay * kappa
        if not (math.isfinite(excess) and excess > 0 and rate > 0):
            return run.limit
        start = run.at if run.memorized is None else run.memorized
        return math.log(max(start + max(math.log(excess), 0.0) / rate, run.at, 1))

    return predict


def effective_decay(run: EarlyRun) -> float:
    """Return κ of a run that grokked; NaN if it had no weight decay, or grokked when it memorized."""
    start = run.at if run.memorized is None else run.memorized
    steps = (run.outcome.grok_step or start) - start
    if not (steps > 0 and run.decay > 0 and run.norm > 0):
        return math.nan
    return math.log(run.norm / run.outcome.norm) / (2 * run.decay * steps)


def fit_spectrum(runs: Sequence[EarlyRun], *, seeds: bool) -> Fitted:
    """Fit a censored regression on the energy of the training loss at low frequencies."""
    energies, targets = np.array([[run.energy] for run in runs]), np.array([run.target for run in runs])
    line = fit_line(energies, targets, np.array([run.grokked for run in runs]))
    return lambda run: line.at(np.array([run.energy]))


ONLY_SETTINGS = ("learning rate", "weight decay", "prime", "width", "training share")

OURS = "early curve"

PREDICTORS = {
    OURS: Predictor("censored regression on the settings and the early curves", "", regression(lambda name: True)),
    "settings": Predictor(
        "the same regression on the settings alone", "control", regression(lambda name: name in ONLY_SETTINGS)
    ),
    "sweep median": Predictor("the median of all runs", "control", fit_median),
    "setting median": Predictor("the median of the setting's other seeds", "control", fit_setting_median),
    "weight decay": Predictor(
        "T_mem + ln(V_mem / V*) / (2 η λ κ), from weight decay alone", "arXiv 2605.18845", fit_decay
    ),
    "spectrum": Predictor(
        "censored regression on the low-frequency energy of the training loss", "Notsawo et al. 2023", fit_spectrum
    ),
}
"""All predictors by name."""
