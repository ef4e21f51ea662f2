"""The experiment that a run directory stores, and what to say if this version cannot read it."""

from grokinterp._version import __version__
from grokinterp.errors import ConfigError, RunDirectoryError
from grokinterp.experiment import Experiment
from grokinterp.storage import RunDirectory


def stored_experiment(run: RunDirectory) -> Experiment:
    """Return the experiment of a run.

    Raises:
        RunDirectoryError: if the configuration is damaged, or invalid in this version; the message names the version
            that wrote it if it is another one.
    """
    configuration = run.experiment
    try:
        return Experiment.from_dict(configuration)
    except ConfigError as error:
        wrote = run.environment.get("grokinterp", __version__)
        versions = "" if wrote == __version__ else f"; the run is of grokinterp {wrote}, and this is {__version__}"
        raise RunDirectoryError(run.path, f"experiment.json: {error}{versions}") from None
