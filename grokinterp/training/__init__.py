"""Train an experiment into a run directory."""

from grokinterp.training.loop import default_directory, train

__all__ = ["default_directory", "train"]
