"""Predict when a run groks from its first metrics, with calibrated intervals, and beside stated baselines."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

__all__ = [
    "OURS", "PREDICTORS", "DatabaseForecaster", "EarlyRun", "Interval", "Outcome", "Prediction", "Until", "calibrate",
    "early_runs", "predict",
]  # fmt: skip

if TYPE_CHECKING:
    from grokinterp.sweeps.prediction.conformal import Interval, calibrate
    from grokinterp.sweeps.prediction.early_run import EarlyRun, Outcome
    from grokinterp.sweeps.prediction.forecast import Prediction, predict
    from grokinterp.sweeps.prediction.predictors import OURS, PREDICTORS
    from grokinterp.sweeps.prediction.reading import Until, early_runs
    from grokinterp.sweeps.prediction.stopping import DatabaseForecaster
else:
    __getattr__, __dir__ = front_door(
        __name__,
        {
            ".conformal": ("Interval", "calibrate"),
            ".early_run": ("EarlyRun", "Outcome"),
            ".forecast": ("Prediction", "predict"),
            ".predictors": ("OURS", "PREDICTORS"),
            ".reading": ("Until", "early_runs"),
            ".stopping": ("DatabaseForecaster",),
        },
        __all__,
    )
