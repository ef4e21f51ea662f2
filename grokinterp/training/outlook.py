"""Predictions of a run in training: a line that is shown, and, by choice, the reason for its end."""

from typing import NamedTuple, Protocol, runtime_checkable

from grokinterp.storage import RunDirectory


class Outlook(NamedTuple):
    """A prediction of how a run goes on, and whether the run is to be stopped for that reason."""

    text: str
    ends: bool = False


@runtime_checkable
class Forecaster(Protocol):
    """Predicts how a run goes on from its directory; called after every evaluation, so it returns at once mostly."""

    def outlook(self, run: RunDirectory, step: int) -> Outlook | None:
        """Return a prediction at some steps, None at all others."""
