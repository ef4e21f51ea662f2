"""Train an experiment into a run directory, or anyone's model until it groks."""

from grokinterp.training.attention import Replacement, replace_attention
from grokinterp.training.environment import choose_device
from grokinterp.training.grokking_aware import DivergedError, GrokkingAwareTrainer, Scores, configure_for_grokking
from grokinterp.training.loop import default_directory, train
from grokinterp.training.until_grokking import GrokkingResult, train_until_grokking

__all__ = [
    "DivergedError",
    "GrokkingAwareTrainer",
    "GrokkingResult",
    "Replacement",
    "Scores",
    "choose_device",
    "configure_for_grokking",
    "default_directory",
    "replace_attention",
    "train",
    "train_until_grokking",
]
