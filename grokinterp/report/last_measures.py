"""The last measures and the last step of a run."""

from typing import Any

from grokinterp.numbers import whole
from grokinterp.report.plate import View
from grokinterp.runs.summary import last_evaluation


def last_measures(view: View) -> dict[str, Any]:
    """Return the measures of the last checkpoint, and of the last evaluation where no analysis has them.

    Of a run with several answers, they are those of the analyzed answer.
    """
    return last_evaluation(view.results) | view.results.measures()


def last_step(view: View) -> str:
    """Return the step of the last evaluation."""
    return whole(int(view.results.metrics["step"].values[-1]))
