"""Train an experiment into a run directory."""

from grokinterp.training.environment import choose_device
from grokinterp.training.loop import default_directory, train

__all__ = ["choose_device", "default_directory", "train"]
