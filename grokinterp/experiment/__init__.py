"""The complete configuration of a run."""

from grokinterp.experiment.experiment import Experiment
from grokinterp.experiment.optimization import Optimization, PartSettings, Schedules
from grokinterp.experiment.origin import Origin
from grokinterp.experiment.saving import SaveAt
from grokinterp.experiment.split import Split, leaked_share

__all__ = ["Experiment", "Optimization", "Origin", "PartSettings", "SaveAt", "Schedules", "Split", "leaked_share"]
