"""Train a run, or continue it if it exists, in a folder that other processes use at the same time."""

from collections.abc import Sequence
from pathlib import Path

from grokinterp.errors import RunDirectoryError, RunInUse
from grokinterp.experiment import Experiment
from grokinterp.training import train
from grokinterp.training.loggers import AnyLogger
from grokinterp.training.outlook import Forecaster


def train_or_continue(
    experiment: Experiment,
    directory: Path,
    *,
    device: str,
    progress: bool = False,
    loggers: Sequence[AnyLogger] = (),
    forecaster: Forecaster | None = None,
) -> None:
    """Train a run, or continue it if it exists; see ``train``.

    Raises:
        RunInUse: another process is training it, or has just created it.
    """
    exists = (directory / "experiment.json").exists()
    try:
        train(
            experiment,
            directory,
            device=device,
            resume=exists,
            progress=progress,
            loggers=loggers,
            forecaster=forecaster,
        )
    except RunDirectoryError as error:
        if exists or not (directory / "experiment.json").exists():
            raise
        raise RunInUse(directory, error.why) from error
