"""The whole configuration of a run, and nothing else."""

from grokinterp.experiment.experiment import Experiment
from grokinterp.experiment.optimization import Optimization
from grokinterp.experiment.saving import SaveAt
from grokinterp.experiment.split import Split, leaked_share

__all__ = ["Experiment", "Optimization", "SaveAt", "Split", "leaked_share"]
