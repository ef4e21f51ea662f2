"""Train an experiment into a run directory."""

from grokinterp.training.loop import train

__all__ = ["train"]
